"""The overload contract: slower partials, then none, then no new speakers; each step is announced.

Finals are never dropped. inference/load.py says how hard the engine is pressed; this says what follows.
"""

from dataclasses import dataclass

from gateway.connection.messages import Notice
from gateway.inference.load import LoadGauge, LoadLevel, Strain

NOTICES = {
    LoadLevel.NORMAL: Notice("recovered", "Captions come at their usual pace again."),
    LoadLevel.STRETCHED: Notice("degraded_slower", "Many people speak: partial captions come less often."),
    LoadLevel.NO_PARTIALS: Notice("degraded_finals_only", "Overloaded: only final captions for now."),
    LoadLevel.REFUSING: Notice("degraded_refusing", "Overloaded: only finals, and no new speakers."),
}


@dataclass(frozen=True, slots=True)
class Step:
    """What the contract asks for now."""

    level: LoadLevel = LoadLevel.NORMAL
    stretch: float | None = 1.0
    """Partials so many times as far apart; None: no partials."""

    @property
    def notice(self) -> Notice:
        return NOTICES[self.level]

    @property
    def degraded(self) -> bool:
        """So that readers notice."""
        return self.level >= LoadLevel.NO_PARTIALS


class Overload:
    """Strain in, steps out."""

    def __init__(self) -> None:
        self._gauge = LoadGauge()
        self.step = Step()

    def observe(self, strain: Strain, now: float) -> Step | None:
        """The step to take, or None when nothing changes. `now` is monotonic seconds."""
        level = self._gauge.observe(strain, now)
        stretch = None if level >= LoadLevel.NO_PARTIALS else float(self._gauge.interval_factor)
        step = Step(level, stretch)
        if step == self.step:
            return None
        self.step = step
        return step
