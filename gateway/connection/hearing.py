"""core: the listening half of a session: audio in, what was heard out, positions in the client's own samples.

A session that continues in another gateway process begins at `first` instead of 0: the Listener counts from
there on.
"""

from gateway.config import DetectionSettings
from gateway.connection.arrivals import Arrivals
from gateway.detection.listener import Listener
from gateway.detection.silero import SileroModel
from gateway.events import SAMPLE_RATE, AudioFormat, Heard, SpeechStarted, UtteranceEnded


class Hearing:
    """Raises AudioError("bad_audio_format") for a format that cannot be read."""

    def __init__(
        self,
        audio: AudioFormat,
        settings: DetectionSettings,
        mel_bands: int,
        silero: SileroModel | None,
        first: int = 0,
    ) -> None:
        self._listener = Listener(audio, settings, mel_bands, silero)
        self._rate = audio.sample_rate
        self._first = first
        self._arrivals = Arrivals()
        self._lost = 0
        self._counted = 0
        self.received = first
        """The client's samples so far, declared gaps included."""
        self.speaking = False
        """An utterance is open."""

    @property
    def position_s(self) -> float:
        """Seconds of the client's stream so far."""
        return round(self.received / self._rate, 3)

    def take_heard_s(self) -> float:
        """Seconds of audio that came since this was asked last."""
        counted, self._counted = self._counted, self.received - self._first - self._lost
        return (self._counted - counted) / self._rate

    def receive(self, payload: bytes, now: float) -> list[Heard]:
        """Audio as the client sent it. Raises AudioError."""
        heard = self._note(self._listener.receive(payload))
        self._advance(now)
        return heard

    def skip(self, samples: int, now: float) -> list[Heard]:
        """Audio that the client had to drop."""
        heard = self._note(self._listener.skip(samples))
        self._lost += samples
        self._advance(now)
        return heard

    def flush(self) -> list[Heard]:
        """Close the open utterance."""
        return self._note(self._listener.flush())

    def configure(self, settings: DetectionSettings) -> None:
        """Other lengths of pauses, pre-roll and utterances from here on."""
        self._listener.configure(settings)

    def stretch_partials(self, factor: float | None) -> None:
        self._listener.stretch_partials(factor)

    def seconds(self, samples: int) -> float:
        """A 16 kHz position of this process as seconds of the client's stream, to the millisecond."""
        return round(self._first / self._rate + samples / SAMPLE_RATE, 3)

    def arrived_at(self, samples: int) -> float | None:
        """When that 16 kHz position arrived."""
        return self._arrivals.at(samples)

    def committable(self, undecided_samples: int | None) -> int:
        """The client's position before which all is silence or decided; the argument is where the audio
        begins that still waits for a final."""
        decided = self._listener.decided_samples
        decided = decided if undecided_samples is None else min(decided, undecided_samples)
        return min(self.received, self._first + self._listener.client_samples(decided))

    def _advance(self, now: float) -> None:
        received = self._listener.received
        self.received = self._first + received
        self._arrivals.push(received * SAMPLE_RATE // self._rate, now)

    def _note(self, heard: list[Heard]) -> list[Heard]:
        for item in heard:
            if isinstance(item, SpeechStarted | UtteranceEnded):
                self.speaking = isinstance(item, SpeechStarted)
        return heard
