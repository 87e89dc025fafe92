"""The verdicts of the benchmark."""

import io
import math

import pytest
from rich.console import Console

from benchmarks.report import Figure, show


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (Figure("at its limit", 1.0, limit=1.0), "PASS"),
        (Figure("above", 1.01, limit=1.0), "MISS"),
        (Figure("nothing measured", math.nan, limit=1.0), "MISS"),
        (Figure("no goal", 5.0), ""),
        (Figure("disturbed", 6.0, limit=5.0, invalidates=True), "INVALID"),
    ],
)
def test_a_figure_passes_up_to_its_limit(figure: Figure, verdict: str) -> None:
    """What was not measured has not passed."""
    assert figure.verdict == verdict
    assert figure.as_json()["verdict"] == verdict


def test_the_table_shows_figure_goal_and_verdict() -> None:
    """Whatever the size of the number."""
    console = Console(width=150, record=True, file=io.StringIO())
    figures = [
        Figure("wait", 0.5754, "s", 0.65, "why"),
        Figure("none", math.nan, "s", 1),
        Figure("much", 12345.6),
        Figure("lost", 0, "of 3", 0),
    ]
    show(console, {"latency": figures})
    text = console.export_text()
    for part in (
        "latency: wait",
        "0 of 3",
        "0.575 s",
        "≤ 0.65",
        "PASS",
        "why",
        "nan",
        "MISS",
        "12346",
        "2 of 3 goals met",
    ):
        assert part in text
