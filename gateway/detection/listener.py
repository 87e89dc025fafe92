"""core: one stream's bytes -> what was heard: the whole stage behind one class."""

from typing import TYPE_CHECKING

import numpy as np

from gateway.config import DetectionSettings
from gateway.detection.audio import AudioDecoder
from gateway.detection.speech import SpeechDetector
from gateway.detection.utterance import Segmenter
from gateway.events import FRAME_SAMPLES, SAMPLE_RATE, Audio, AudioFormat, Heard

if TYPE_CHECKING:
    from gateway.detection.silero import SileroModel

SPEAKING_BLOCK_SAMPLES = 4 * FRAME_SAMPLES
"""While speech goes on, frames are judged four (80 ms) at a time, however small the messages: that saves half
of the work, and nothing is decided of its end before eager_ms of silence, which are counted in samples."""


class Listener:
    """One client's ears. Raises AudioError("bad_audio_format") for a format it cannot read."""

    def __init__(
        self,
        audio: AudioFormat,
        settings: DetectionSettings,
        mel_bands: int,
        silero: "SileroModel | None" = None,
    ) -> None:
        self._rate = audio.sample_rate
        self._decoder = AudioDecoder(audio)
        self._detector = SpeechDetector(settings, silero)
        self._segmenter = Segmenter(settings, mel_bands)
        self._rest: Audio = np.zeros(0, np.float32)
        self._speaking = False
        """The last frame was speech."""

    @property
    def received(self) -> int:
        """The client's samples per channel so far, declared gaps included."""
        return self._decoder.received

    @property
    def decided_samples(self) -> int:
        """16 kHz position before which all is silence or part of an ended utterance. Never decreases."""
        return self._segmenter.decided_samples

    def client_samples(self, samples: int) -> int:
        """A 16 kHz position -> the client's samples, rounded down."""
        return samples * self._rate // SAMPLE_RATE

    def configure(self, settings: DetectionSettings) -> None:
        """Other lengths from here on; how speech is told from noise stays as it is."""
        self._segmenter.configure(settings)

    def stretch_partials(self, factor: float | None) -> None:
        """Partials `factor` times as far apart; None: none at all."""
        self._segmenter.stretch_partials(factor)

    def receive(self, payload: bytes) -> list[Heard]:
        """One binary message -> what was heard, in order.

        Raises AudioError; then the message has changed nothing, and the next one may be received.
        """
        return self._listen(self._decoder.receive(payload))

    def flush(self) -> list[Heard]:
        """End the open utterance now, with all that was received; the stream goes on."""
        heard = self._listen(self._decoder.flush())
        if len(self._rest):
            rest, self._rest = self._rest, self._rest[:0]
            heard += self._segment(rest)
        return heard + self._segmenter.flush()

    def skip(self, samples: int) -> list[Heard]:
        """The client lost so many of its samples: end the open utterance, go on behind the hole."""
        heard = self.flush()
        self._detector.reset()
        self._speaking = False
        return heard + self._segmenter.skip(self._decoder.skip(samples))

    def _listen(self, audio: Audio) -> list[Heard]:
        audio = np.concatenate([self._rest, audio]) if len(self._rest) else audio
        whole = len(audio) - len(audio) % FRAME_SAMPLES
        if whole < (SPEAKING_BLOCK_SAMPLES if self._speaking else FRAME_SAMPLES):
            whole = 0
        self._rest = audio[whole:].copy()
        return self._segment(audio[:whole]) if whole else []

    def _segment(self, audio: Audio) -> list[Heard]:
        flags = self._detector.push(audio)
        self._speaking = flags[-1]
        return self._segmenter.push(audio, flags)
