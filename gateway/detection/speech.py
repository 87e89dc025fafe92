"""core: frame -> speech or not.

webrtcvad hears almost all speech and much noise. Its single frames are smoothed by a vote, and where there
is a Silero it must agree; that costs far more, so it is asked only while webrtcvad hears something. Silero
overlooks faint speech that it knows when loud, so it is given the sound turned up towards one level (what is
decoded later stays as it came).
"""

from collections import deque
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

    def push(self, frame: Audio) -> bool:
        """One frame of 320 samples (20 ms); a shorter one, at a flush, is judged with zeros after it."""
        heard = self._hear(frame)
        self._votes.append(heard)
        self._quiet_frames = 0 if heard else self._quiet_frames + 1
        agreed = self._agrees(frame)
        self._speaking = agreed and sum(self._votes) >= ON_VOTES
        return self._speaking

    def _hear(self, frame: Audio) -> bool:
        pcm = (frame * 32767).astype("<i2").tobytes()
        # is_speech raises on any other length, except odd ones, which it misreads
        return bool(self._vad.is_speech(pcm.ljust(2 * FRAME_SAMPLES, b"\0"), SAMPLE_RATE))

    def _agrees(self, frame: Audio) -> bool:
        if self._silero is None:
            return True
        self._peak = max(self._peak * PEAK_DECAY, float(np.abs(frame).max()))
        gain = np.float32(min(MAX_GAIN, max(1.0, TARGET_PEAK / max(self._peak, 1e-6))))
        probability = self._silero.push(frame * gain, wanted=self._quiet_frames < HOLD_FRAMES)
        return probability >= self._threshold * (RELEASE if self._speaking else 1)
