"""core: when did a position of the stream arrive? (what latencies are measured from)"""

from bisect import bisect_left
from collections import deque
from operator import itemgetter

from gateway.events import SAMPLE_RATE

KEPT_SAMPLES = 60 * SAMPLE_RATE
STEP_SAMPLES = 160
"""Finer it is not kept, so that a client with tiny messages does not fill the memory."""


class Arrivals:
    """The arrival times of the last minute of a stream."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, float]] = deque()

    def __len__(self) -> int:
        return len(self._marks)

    def push(self, position_samples: int, now: float) -> None:
        """Everything before the position has arrived by now."""
        if len(self._marks) > 1 and self._marks[-1][0] < self._marks[-2][0] + STEP_SAMPLES:
            self._marks.pop()
        self._marks.append((position_samples, now))
        while self._marks[0][0] < position_samples - KEPT_SAMPLES:
            self._marks.popleft()

    def at(self, position_samples: int) -> float | None:
        """When that position arrived; None when it is not known (any more, or yet)."""
        found = bisect_left(self._marks, position_samples, key=itemgetter(0))
        return self._marks[found][1] if found < len(self._marks) else None
