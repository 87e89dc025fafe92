"""The service level and its edges."""

import math
from dataclasses import replace
from typing import Any

import pytest

from gateway.loadtest.figures import Cost, Figures, figures
from gateway.loadtest.level import judge
from gateway.loadtest.observe import Steady
from gateway.loadtest.statistics import Drift, Summary
from tests.loadtest.making import load


def of(value: float) -> Summary:
    return Summary(100, value, value, value, value, value)


EMPTY = figures(load(), Steady(5, 185), 0.4, [], None, Cost())
STEADY = Drift(0.0, -10.0, 10.0, 0.0, 20)
GOOD = replace(EMPTY, ttfs_ms=of(600), word_first_ms=of(400), lateness_ms=of(1), drift=STEADY)


def test_a_good_run_holds() -> None:
    """And is valid."""
    verdict = judge(GOOD)
    assert (verdict.holds, verdict.invalid) == (True, None)


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({"ttfs_ms": of(1000.0)}, True),
        ({"ttfs_ms": of(1000.1)}, False),
        ({"ttfs_ms": Summary(100, 1, 600, 900, 1500.0, 9000)}, True),
        ({"ttfs_ms": Summary(100, 1, 600, 900, 1500.1, 9000)}, False),
        ({"word_first_ms": of(700.0)}, True),
        ({"word_first_ms": of(700.1)}, False),
        ({"drift": Drift(20.0, 0.1, 40.0, 60.0, 20)}, False),
        ({"drift": Drift(20.0, -0.1, 40.0, 60.0, 20)}, True),
        ({"drift": Drift(10.0, 0.1, 20.0, 50.0, 20)}, True),
        ({"faults": {"refused 503": 1}}, False),
        ({"unanswered_turns": 1}, False),
        ({"lost_samples": 1}, False),
        ({"uncommitted_samples": 1}, False),
        ({"ttfs_ms": of(math.nan)}, False),
        ({"word_first_ms": of(math.nan)}, False),
    ],
)
def test_each_line_has_its_edge(change: dict[str, Any], holds: bool) -> None:
    """At the limit it holds, beyond it does not; what was not measured does not."""
    assert judge(replace(GOOD, **change)).holds is holds


def test_only_a_full_run_must_be_long_enough_to_tell_a_drift() -> None:
    """A short step of a search has too few turns."""
    unknown = replace(GOOD, drift=EMPTY.drift)
    assert not judge(unknown).holds
    assert judge(unknown, full=False).holds


@pytest.mark.parametrize(("late_ms", "valid"), [(5.0, True), (5.1, False)])
def test_a_late_generator_says_nothing(late_ms: float, valid: bool) -> None:
    """And what to do about it."""
    invalid = judge(replace(GOOD, lateness_ms=of(late_ms))).invalid
    assert (invalid is None) is valid
    assert valid or "--processes" in str(invalid)


def test_a_run_without_audio_says_why() -> None:
    """Refused streams break the level; silence without an error is invalid."""
    silent: Figures = replace(GOOD, lateness_ms=of(math.nan))
    assert judge(silent).invalid
    refused = judge(replace(silent, faults={"refused 503": 2}))
    assert (refused.holds, refused.invalid) == (False, None)
