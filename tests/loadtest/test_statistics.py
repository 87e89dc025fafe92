"""Percentiles and slopes, against numpy."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.loadtest.statistics import WINDOWS, Window, drift, quantiles, summary, windows

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300)


@given(VALUES)
def test_a_summary_is_numpys(values: list[float]) -> None:
    """Nearest rank: numpy's inverted_cdf."""
    found = summary(values)
    expected = np.percentile(values, (50, 95, 99), method="inverted_cdf")
    assert [found.p50, found.p95, found.p99] == list(expected)
    assert math.isclose(found.mean, np.mean(values), rel_tol=1e-9, abs_tol=1e-6)
    assert (found.count, found.max) == (len(values), max(values))


@given(VALUES)
def test_quantiles_rise_from_the_least_to_the_most(values: list[float]) -> None:
    """101 points."""
    curve = quantiles(values)
    assert (len(curve), curve[0], curve[-1]) == (101, min(values), max(values))
    assert list(curve) == sorted(curve)


def test_nothing_has_no_figures() -> None:
    """NaN, not 0: what was not measured must not look good."""
    assert math.isnan(summary([]).p95)
    assert quantiles([]) == ()
    assert not drift([], 60).known


@given(st.lists(st.floats(0, 5000), min_size=3, max_size=WINDOWS), st.floats(30, 600))
def test_the_slope_is_numpys(medians: list[float], duration_s: float) -> None:
    """Least squares, and an interval around it."""
    found = drift([Window(10.0 * i, 5, p50, p50) for i, p50 in enumerate(medians)], duration_s)
    slope = np.polyfit([i / 6 for i in range(len(medians))], medians, 1)[0]
    assert math.isclose(found.slope_ms_per_min, slope, rel_tol=1e-6, abs_tol=1e-6)
    assert found.low_ms_per_min <= found.slope_ms_per_min <= found.high_ms_per_min
    assert math.isclose(found.growth_ms, found.slope_ms_per_min * duration_s / 60, abs_tol=1e-9)


def test_growth_is_a_drift_and_noise_is_not() -> None:
    """A queue that grows is seen; the same noise without it is not; certain but tiny growth is harmless."""
    noise = np.random.default_rng(3).normal(600, 20, 200)
    times = np.linspace(10, 180, 200)

    def of(values: np.ndarray) -> bool:
        return drift(windows(zip(times, values, strict=True), 10, 180), 170).drifts

    assert not of(noise)
    assert of(noise + 2 * times)
    assert not of(600 + 0.1 * times)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1000)), max_size=100))
def test_windows_lose_nothing(points: list[tuple[float, float]]) -> None:
    """Each point is in one; empty ones are left out."""
    found = windows(points, 0, 100)
    assert sum(window.count for window in found) == len(points)
    assert all(window.count for window in found)
