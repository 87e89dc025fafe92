"""core: how hard the engine is pressed, and which step of the overload contract follows.

Degrade in order and say so: stretch the partial interval, then stop partials, then refuse new sessions.
Finals are never dropped. The pressure is how long the oldest final has waited, smoothed so that only a
sustained queue counts: quick to rise, slow to fall. Each step is left at half the pressure that entered it.
"""

from dataclasses import dataclass
from enum import IntEnum
from math import exp

RISE_S = 1.0
FALL_S = 4.0
"""Time constants of the smoothing."""
STEPS_S = (0.15, 0.25, 0.4, 1.0)
"""Smoothed final wait from which: interval x2, interval x4, no partials, no new sessions."""
PARTIAL_WEIGHT = 0.3
"""A partial may wait three times as long as a final before it means the same."""
FULL_QUEUE = 0.5
"""Share of `max_queued_finals` from which new sessions are refused at once."""


class LoadLevel(IntEnum):
    NORMAL = 0
    STRETCHED = 1
    NO_PARTIALS = 2
    REFUSING = 3


LEVELS = (
    LoadLevel.NORMAL,
    LoadLevel.STRETCHED,
    LoadLevel.STRETCHED,
    LoadLevel.NO_PARTIALS,
    LoadLevel.REFUSING,
)


@dataclass(frozen=True, slots=True)
class Strain:
    """How long the queue makes its oldest jobs wait, 0 where none waits."""

    final_wait_s: float
    partial_wait_s: float
    queue_fill: float
    """Share of `max_queued_finals` in use."""


class LoadGauge:
    """Waiting times in, load level out."""

    def __init__(self) -> None:
        self.pressure_s = 0.0
        self._step = 0
        self._queue_full = False
        self._observed: float | None = None

    def observe(self, strain: Strain, now: float) -> LoadLevel:
        """Called a few times a second."""
        # Waiting partials can stretch their own interval; only waiting finals stop partials.
        most = STEPS_S[2] * 0.99
        pressure = max(strain.final_wait_s, min(strain.partial_wait_s * PARTIAL_WEIGHT, most))
        elapsed = 0.0 if self._observed is None else max(0.0, now - self._observed)
        self._observed = now
        constant = RISE_S if pressure > self.pressure_s else FALL_S
        self.pressure_s += (pressure - self.pressure_s) * (1 - exp(-elapsed / constant))
        while self._step < len(STEPS_S) and self.pressure_s >= STEPS_S[self._step]:
            self._step += 1
        while self._step and self.pressure_s < STEPS_S[self._step - 1] / 2:
            self._step -= 1
        self._queue_full = strain.queue_fill >= (FULL_QUEUE / 2 if self._queue_full else FULL_QUEUE)
        return self.level

    @property
    def level(self) -> LoadLevel:
        return LoadLevel.REFUSING if self._queue_full else LEVELS[self._step]

    @property
    def interval_factor(self) -> int:
        """By how much the partial interval is stretched: 1, 2 or 4."""
        return (1, 2, 4, 4, 4)[self._step]
