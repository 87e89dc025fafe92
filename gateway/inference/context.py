"""core: how much encoder context a job gets, in log-mel frames of 10 ms.

CTranslate2 masks nothing: every item of a pass has the same length and hears the padding of its own. So
the length depends on the job alone, never on its neighbours, and a batch equals its items one by one. Lengths
come from a short list, so that jobs meet in few buckets. Cost grows faster than linearly with the length.
"""

from dataclasses import dataclass
from typing import Literal

from gateway.events import Kind

FULL_FRAMES = 3000
"""The 30 s window that Whisper was trained on, and its maximum."""
BUCKETS = (200, 300, 500, 750, 1000, 1500, 2000, FULL_FRAMES)
"""Never 159/160 or 255/256: an encoder output as long as there are mel bands is taken for features."""
SHORT_MARGIN = 100
"""Silence after the audio that a model trained on short contexts needs to see the end of it."""
LONG_MARGIN = 256
"""The same for a model that only knows 30 s windows."""
LONG_FLOOR = 500
"""Such a model falls into repetition below about 5 s."""
EVERY_CONTEXT = tuple(size - SHORT_MARGIN for size in BUCKETS)
"""Lengths of audio that between them get every context that there is, under any rule."""


def bucket(frames: int) -> int:
    """The smallest bucket that holds so many frames; the full window for what no bucket holds."""
    return next((size for size in BUCKETS if size >= frames), FULL_FRAMES)


@dataclass(frozen=True, slots=True)
class ContextRule:
    """Which context partials and finals of one model get."""

    short_context: bool
    """The model was trained or tested with less than 30 s."""
    final_context: Literal["auto", "short", "full"] = "auto"

    def padded_frames(self, frames: int, kind: Kind) -> int:
        """Length to which `frames` frames of features are padded."""
        if kind is not Kind.PARTIAL and self._full_finals:
            return FULL_FRAMES
        if self.short_context:
            return bucket(frames + SHORT_MARGIN)
        return bucket(max(frames + LONG_MARGIN, LONG_FLOOR))

    @property
    def _full_finals(self) -> bool:
        return self.final_context == "full" or (self.final_context == "auto" and not self.short_context)
