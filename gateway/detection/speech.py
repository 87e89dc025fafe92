"""core: frame -> speech or not.

webrtcvad hears almost all speech and much noise. Its single frames are smoothed by a vote, and where there
is a Silero it must agree; that costs far more, so it is asked only while webrtcvad hears something. Silero
overlooks faint speech that it knows when loud, so it is given the sound turned up towards one level (what is
decoded later stays as it came).
"""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import webrtcvad

from gateway.config import DetectionSettings
from gateway.events import FRAME_SAMPLES, SAMPLE_RATE, Audio

if TYPE_CHECKING:
    from gateway.detection.silero import SileroModel

VOTERS = 3
"""webrtcvad's last frames (60 ms) that vote."""
ON_VOTES = 2
"""Votes that make it speech."""
HOLD_FRAMES = 15
"""Frames (300 ms) that Silero is still asked after webrtcvad's last yes: its state outlives short pauses."""
RELEASE = 0.3
"""Share of Silero's threshold below which speech, once begun, is over."""
TARGET_PEAK = 0.25
"""What Silero's input is turned up to ..."""
MAX_GAIN = 30.0
"""... but not by more than this (30 dB): silence stays silent."""
PEAK_DECAY = 0.998
"""Per frame: a loud moment is half forgotten after 7 s."""


class SpeechDetector:
    """One stream's frames -> speech or not, with memory of the last seconds."""

    def __init__(self, settings: DetectionSettings, silero: "SileroModel | None" = None) -> None:
        self._aggressiveness = settings.vad_aggressiveness
        self._threshold = settings.silero_threshold
        self._silero = silero.stream() if silero and settings.silero else None
        self.reset()

    def reset(self) -> None:
        """Forget everything: the stream has a hole here."""
        self._vad = webrtcvad.Vad(self._aggressiveness)
        self._votes = deque([False] * VOTERS, maxlen=VOTERS)
        self._quiet_frames = HOLD_FRAMES
        self._peak = 0.0
        self._speaking = False
        if self._silero:
            self._silero.reset()

    def push(self, audio: Audio) -> list[bool]:
        """Frames of 320 samples (20 ms) -> a flag for each.

        The last may be shorter, at a flush: it is judged with zeros after it.
        """
        voted, asked = [], []
        for heard in self._hear(audio):
            self._votes.append(heard)
            self._quiet_frames = 0 if heard else self._quiet_frames + 1
            voted.append(sum(self._votes) >= ON_VOTES)
            asked.append(self._quiet_frames < HOLD_FRAMES)
        if self._silero is None:
            return voted
        flags = []
        for is_voted, probability in zip(voted, self._silero.push(self._level(audio), asked), strict=True):
            needed = self._threshold * (RELEASE if self._speaking else 1)
            self._speaking = is_voted and probability >= needed
            flags.append(self._speaking)
        return flags

    def _hear(self, audio: Audio) -> Iterator[bool]:
        pcm = (audio * 32767).astype("<i2").tobytes()
        size = 2 * FRAME_SAMPLES
        for at in range(0, len(pcm), size):
            # is_speech raises on any other length, except odd ones, which it misreads
            yield bool(self._vad.is_speech(pcm[at : at + size].ljust(size, b"\0"), SAMPLE_RATE))

    def _level(self, audio: Audio) -> Audio:
        """The audio turned up towards TARGET_PEAK, frame by frame."""
        whole = audio if len(audio) % FRAME_SAMPLES == 0 else np.pad(audio, (0, -len(audio) % FRAME_SAMPLES))
        frames = whole.reshape(-1, FRAME_SAMPLES)
        gains = []
        for peak in np.abs(frames).max(axis=1).tolist():
            self._peak = max(self._peak * PEAK_DECAY, peak)
            gains.append(min(MAX_GAIN, max(1.0, TARGET_PEAK / max(self._peak, 1e-6))))
        return (frames * np.array(gains, np.float32)[:, None]).ravel()[: len(audio)]
