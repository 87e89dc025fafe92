"""The report: well-formed, self-contained, for light and dark, whatever was measured."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.loadtest.figures import Cost, Curves, figures
from gateway.loadtest.level import judge
from gateway.loadtest.observe import Steady
from gateway.loadtest.plots import Scale
from gateway.loadtest.report_html import render
from gateway.loadtest.results import SCHEMA, Document, RunResult, to_json
from gateway.loadtest.statistics import drift, quantiles, windows
from tests.loadtest.making import load
from tests.loadtest.test_level import EMPTY, GOOD
from tests.loadtest.test_observe import good, seen

MEASURED = figures(
    load(),
    Steady(0, 40),
    0.4,
    [seen(good())],
    None,
    Cost(12.0, 30.0, 180.0, 170.0, 66.0, 0.5, 9, 1.2, 3.1, 0.1),
)


def document(**change: object) -> Document:
    result = RunResult(True, MEASURED, judge(MEASURED))
    made = Document(
        "2026-11-23T12:00:00+0000", "care-voice loadtest --streams 1 && <b>", {"url": "ws://x/?a&b", "model": "demo"},
        {"cpu": "<fast>", "cores": 2}, {"profile": "turns", "chunk_ms": 100, "hangover_ms": 500}, result,
    )  # fmt: skip
    return replace(made, **change)  # type: ignore[arg-type]


def parsed(made: Document) -> ElementTree.Element:
    text = render(made).decode()
    assert text.startswith("<!doctype html>")
    return ElementTree.fromstring(text.removeprefix("<!doctype html>"))


@pytest.mark.parametrize(
    "made",
    [
        document(),
        document(unloaded=MEASURED, notes=("no <metrics>",)),
        document(capacity=0, run=RunResult(True, EMPTY, judge(EMPTY))),
        document(capacity=1, at_least=True, steps=(RunResult(False, EMPTY, judge(EMPTY)), document().run)),
        document(run=RunResult(True, GOOD, judge(GOOD))),
    ],
)
def test_the_report_is_well_formed_and_needs_nothing(made: Document) -> None:
    """No script, no request to anywhere; a sentence for each picture; both themes; made for small screens."""
    root = parsed(made)
    text = render(made).decode()
    assert not re.search(r"<script|<link|<img|url\(|@import|src=|href=|\bon\w+=", text)
    assert "prefers-color-scheme: dark" in text
    assert root.attrib["lang"] == "en"
    assert root.find(".//meta[@name='viewport']") is not None
    for picture in root.iter("svg"):
        assert picture.get("aria-hidden") == "true" or len(picture.get("aria-label", "")) > 10
    assert "nan" not in "".join(root.itertext()).lower()
    assert next(h.tag for h in root.iter() if h.tag in {"h1", "h2"}) == "h1"


def test_the_verdict_is_said_in_words() -> None:
    """Not by colour alone."""
    assert "Holds the service level" in render(document(run=RunResult(True, GOOD, judge(GOOD)))).decode()
    assert (
        "Breaks the service level"
        in render(document(run=RunResult(True, EMPTY, judge(replace(EMPTY, faults={"x": 1}))))).decode()
    )
    assert "≥ 1 stream" in render(document(capacity=1, at_least=True)).decode()


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=60))
def test_any_measurement_can_be_drawn(values: list[float]) -> None:
    """One value or many, all equal or not."""
    timeline = windows([(float(i), v) for i, v in enumerate(values)], 0, len(values))
    curves = Curves(quantiles(values), quantiles(values), quantiles(values), (), tuple(timeline))
    drawn = replace(MEASURED, curves=curves, drift=drift(timeline, 60))
    parsed(document(run=RunResult(True, drawn, judge(drawn))))


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e5))
def test_ticks_are_few_and_inside(low: float, size: float) -> None:
    """Round numbers."""
    ticks = Scale(low, low + size, 0, 100).ticks()
    assert 1 <= len(ticks) <= 12
    assert all(low - 1e-6 * size <= tick <= low + size + 1e-6 * size for tick in ticks)


def test_the_json_is_versioned_and_knows_null() -> None:
    """What is not known is null, not NaN."""
    written = json.loads(to_json(document(run=RunResult(True, EMPTY, judge(EMPTY)))))
    assert written["schema"] == SCHEMA
    assert written["run"]["figures"]["ttfs_ms"]["p95"] is None
    assert "NaN" not in to_json(document()).decode()
