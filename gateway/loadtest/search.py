"""core: the largest number of streams that holds the level.

Short steps that grow by half until one breaks it, bisection between the last that held and the first that did
not, then the full duration at the best; if that breaks, a little less, until one holds. It assumes that more
streams are never easier.
"""

from dataclasses import dataclass

GROWTH = 1.5
PRECISION = 0.05
"""Bisection ends when the two sides are not further apart than this share (or one stream)."""
STEP_BACK = 0.9
"""Of the streams, when the full duration broke the level that a short step had held."""


@dataclass(frozen=True, slots=True)
class Step:
    streams: int
    full: bool
    """For the whole duration: what holds this is a capacity."""


class Search:
    """Ask `next`, run it, tell `record`; None: it is over, and `capacity` is known."""

    def __init__(self, first: int, most: int) -> None:
        """From `first` streams on, and never more than `most` of them (0 < first <= most)."""
        self._most = most
        self._step = Step(first, full=False)
        self._held = 0
        self.broke_at: int | None = None
        """The smallest number that did not hold; None: all that were tried did."""
        self.capacity: int | None = None
        """0: not even one stream. None: not known yet."""

    def next(self) -> Step | None:
        return None if self.capacity is not None else self._step

    def record(self, held: bool) -> None:
        """Whether the step that `next` gave held the level."""
        streams = self._step.streams
        if held:
            self._held = streams
        else:
            self.broke_at = streams
        if held and self._step.full:
            self.capacity = streams
        elif self._step.full:
            self._try_fully(min(streams - 1, int(streams * STEP_BACK)))
        elif self._is_narrow():
            self._try_fully(self._held)
        else:
            self._step = Step(self._between(), full=False)

    def _try_fully(self, streams: int) -> None:
        self._step = Step(streams, full=True)
        if streams == 0:
            self.capacity = 0

    def _is_narrow(self) -> bool:
        limit = self._most + 1 if self.broke_at is None else self.broke_at
        return limit - self._held <= max(1, int(self._held * PRECISION))

    def _between(self) -> int:
        if self.broke_at is None:
            return min(self._most, max(self._held + 1, int(self._held * GROWTH)))
        return (self._held + self.broke_at) // 2
