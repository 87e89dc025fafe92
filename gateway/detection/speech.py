"""core: frame -> speech or not.

webrtcvad hears almost all speech and some noise. Its single frames are smoothed by a vote, and where there
is a Silero it must agree; it costs far more, so it is asked only while webrtcvad hears something.
"""

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import webrtcvad

from gateway.config import DetectionSettings
from gateway.events import FRAME_SAMPLES, SAMPLE_RATE, Audio

if TYPE_CHECKING:
    from gateway.detection.silero import SileroModel

VOTERS = 5
"""Frames (100 ms) that vote."""
ON_VOTES = 3
"""Votes that make it speech."""
HOLD_FRAMES = 15
"""Frames (300 ms) that Silero is still asked after webrtcvad's last yes: its state outlives short pauses."""
RELEASE = 0.3
"""Share of Silero's threshold below which speech, once begun, is over."""


class SpeechDetector:
    """One stream's frames -> speech or not, with memory of the last second."""

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
        self._speaking = False
        if self._silero:
            self._silero.reset()

    def push(self, frame: Audio) -> bool:
        """One frame of 320 samples (20 ms); a shorter one, at a flush, is judged with zeros after it."""
        heard = self._hear(frame)
        self._votes.append(heard)
        self._quiet_frames = 0 if heard else self._quiet_frames + 1
        voted = sum(self._votes) >= ON_VOTES
        agreed = self._agrees(frame)
        self._speaking = voted and agreed
        return self._speaking

    def _hear(self, frame: Audio) -> bool:
        pcm = (frame * 32767).astype("<i2")
        if len(pcm) < FRAME_SAMPLES:
            pcm = np.pad(pcm, (0, FRAME_SAMPLES - len(pcm)))
        return bool(self._vad.is_speech(pcm.tobytes(), SAMPLE_RATE))

    def _agrees(self, frame: Audio) -> bool:
        if self._silero is None:
            return True
        probability = self._silero.push(frame, wanted=self._quiet_frames < HOLD_FRAMES)
        return probability >= self._threshold * (RELEASE if self._speaking else 1)
