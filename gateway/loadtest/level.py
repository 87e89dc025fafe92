"""core: the service level, and whether a run held it.

TTFS (true end of speech to the final) p95 within the hangover + 500 ms and p99 within it + 1 s, half of all
words seen within 700 ms, no drift, no errors, nothing lost. What was not measured is not held.
"""

import math
from dataclasses import dataclass

from gateway.loadtest.figures import Figures
from gateway.loadtest.statistics import HARMLESS_GROWTH_MS

TTFS_P95_MS = 500.0
TTFS_P99_MS = 1000.0
"""Beyond the hangover."""
WORD_P50_MS = 700.0
CAPACITY_S = 180.0
"""A capacity is claimed for runs as long as this: drift shows late."""
LATENESS_P99_MS = 5.0
"""Above it the generator itself was late, and the run says nothing about the gateway."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of the level."""

    name: str
    value: float
    limit: float
    unit: str
    holds: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    holds: bool
    criteria: tuple[Criterion, ...]
    invalid: str | None = None
    """Why the run says nothing, and what to do."""


def judge(figures: Figures, full: bool = True) -> Verdict:
    """Whether a run held the level, and whether it was a valid one.

    A short step of a search (not `full`) may be too short to tell whether the wait grows.
    """
    hangover_ms = figures.split.hangover_ms
    criteria = (
        _at_most("TTFS p95", figures.ttfs_ms.p95, hangover_ms + TTFS_P95_MS),
        _at_most("TTFS p99", figures.ttfs_ms.p99, hangover_ms + TTFS_P99_MS),
        _at_most("word first seen p50", figures.word_first_ms.p50, WORD_P50_MS),
        _no_drift(figures, full),
        _at_most("errors", float(figures.errors), 0.0, ""),
        _at_most("lost samples", float(figures.lost_samples + figures.uncommitted_samples), 0.0, ""),
    )
    return Verdict(all(criterion.holds for criterion in criteria), criteria, _invalid(figures))


def _at_most(name: str, value: float, limit: float, unit: str = "ms") -> Criterion:
    return Criterion(name, value, limit, unit, value <= limit)  # False for NaN


def _no_drift(figures: Figures, full: bool) -> Criterion:
    drift, minutes = figures.drift, (figures.duration_s - figures.settled_s) / 60
    low_ms, high_ms = drift.low_ms_per_min * minutes, drift.high_ms_per_min * minutes
    note = f"95 %: {low_ms:.0f} to {high_ms:.0f} ms" if drift.known else "too few turns to tell"
    holds = (drift.known or not full) and not drift.drifts
    return Criterion("TTFS growth over the run", drift.growth_ms, HARMLESS_GROWTH_MS, "ms", holds, note)


def _invalid(figures: Figures) -> str | None:
    late_ms = figures.lateness_ms.p99
    if math.isnan(late_ms):
        return None if figures.errors else "no audio was sent"
    if late_ms > LATENESS_P99_MS:
        return (
            f"the load generator was late itself: {late_ms:.1f} ms (99 % of chunks), more than "
            f"{LATENESS_P99_MS:g}. Give it more --processes, larger --chunk-ms, or another machine."
        )
    return None
