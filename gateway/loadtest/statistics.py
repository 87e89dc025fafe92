"""core: percentiles, and whether something grows over time."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

WINDOWS = 20
"""Of a run: the medians of so many windows are tested for a slope: the values of all streams rise and fall
together and would look like more evidence than they are."""
T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101,
)  # fmt: skip
"""Student's t, 97.5 %, for 1 to 18 degrees of freedom."""
HARMLESS_GROWTH_MS = 50.0
"""Over the whole run: less is no drift, however certain it is."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Of a sample; all NaN when it is empty."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Window:
    """A slice of the run."""

    at_s: float
    """Its middle."""
    count: int
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Drift:
    """A line through the windows' medians, with the 95 % confidence interval of its slope (Student's t).

    It drifts when the whole interval is above 0 and the growth over the run above HARMLESS_GROWTH_MS. NaN (of
    fewer than three windows) is unknown, which is not "no drift".
    """

    slope_ms_per_min: float
    low_ms_per_min: float
    high_ms_per_min: float
    growth_ms: float
    windows: int

    @property
    def known(self) -> bool:
        return not math.isnan(self.low_ms_per_min)

    @property
    def drifts(self) -> bool:
        return self.low_ms_per_min > 0 and self.growth_ms > HARMLESS_GROWTH_MS


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of a sorted sample do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else math.nan


def summary(values: Iterable[float]) -> Summary:
    ordered = sorted(values)
    if not ordered:
        return Summary(0, math.nan, math.nan, math.nan, math.nan, math.nan)
    p50, p95, p99 = (percentile(ordered, percent) for percent in (50, 95, 99))
    return Summary(len(ordered), math.fsum(ordered) / len(ordered), p50, p95, p99, ordered[-1])


def quantiles(values: Iterable[float]) -> tuple[float, ...]:
    """0, 1, ... 100 %: the curve of the distribution."""
    ordered = sorted(values)
    return tuple(percentile(ordered, percent) for percent in range(101)) if ordered else ()


def windows(points: Iterable[tuple[float, float]], start_s: float, end_s: float) -> list[Window]:
    """(time, value) -> WINDOWS slices of [start, end); those without a value are left out."""
    width = max(1e-9, end_s - start_s) / WINDOWS
    slices: list[list[float]] = [[] for _ in range(WINDOWS)]
    for at, value in points:
        slices[min(WINDOWS - 1, max(0, int((at - start_s) / width)))].append(value)
    return [
        Window(start_s + (i + 0.5) * width, len(values), percentile(values, 50), percentile(values, 95))
        for i, values in enumerate(sorted(found) for found in slices)
        if values
    ]


def drift(found: Sequence[Window], duration_s: float) -> Drift:
    """Least squares through the windows' medians."""
    free = len(found) - 2
    if free < 1:
        return Drift(math.nan, math.nan, math.nan, math.nan, len(found))
    x = np.array([window.at_s for window in found]) / 60
    y = np.array([window.p50 for window in found])
    x = x - x.mean()
    slope = float(x @ (y - y.mean()) / (x @ x))
    residual = y - y.mean() - slope * x
    error = math.sqrt(float(residual @ residual) / free / float(x @ x))
    reach = T_975[min(free, len(T_975)) - 1] * error
    return Drift(slope, slope - reach, slope + reach, slope * duration_s / 60, len(found))
