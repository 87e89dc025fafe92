"""core: when did a position of the stream arrive? (what latencies are measured from)"""

from array import array
from bisect import bisect_left

from gateway.events import SAMPLE_RATE

KEPT_SAMPLES = 60 * SAMPLE_RATE
STEP_SAMPLES = 160
"""Finer it is not kept, so that a client with tiny messages does not fill the memory."""
TRIMMED_MARKS = 64
"""Older marks are forgotten so many at a time."""


class Arrivals:
    """The arrival times of the last minute of a stream: 16 bytes a mark, which silence costs too."""

    def __init__(self) -> None:
        self._positions = array("q")
        self._times = array("d")

    def __len__(self) -> int:
        return len(self._positions)

    def push(self, position_samples: int, now: float) -> None:
        """Everything before the position has arrived by now."""
        positions, times = self._positions, self._times
        if len(positions) > 1 and positions[-1] < positions[-2] + STEP_SAMPLES:
            positions[-1], times[-1] = position_samples, now
        else:
            positions.append(position_samples)
            times.append(now)
        if len(positions) > TRIMMED_MARKS and positions[TRIMMED_MARKS] < position_samples - KEPT_SAMPLES:
            del positions[:TRIMMED_MARKS], times[:TRIMMED_MARKS]

    def at(self, position_samples: int) -> float | None:
        """When that position arrived; None when it is not known (any more, or yet)."""
        found = bisect_left(self._positions, position_samples)
        return self._times[found] if found < len(self._positions) else None
