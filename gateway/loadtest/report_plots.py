"""core: the report's cards with plots, each with the sentence that it shows."""

import math
from collections.abc import Sequence
from html import escape

from gateway.loadtest.figures import Figures
from gateway.loadtest.level import TTFS_P95_MS, TTFS_P99_MS, WORD_P50_MS
from gateway.loadtest.plots import Axes, Part, Point, picture, stacked
from gateway.loadtest.results import Document, RunResult
from gateway.loadtest.words import amount

ROOM = 1.12
"""Of an axis beyond the largest thing on it."""


def cards(document: Document) -> list[str]:
    """All that there is something to show in."""
    figures, unloaded = document.run.figures, document.unloaded
    found = []
    if document.steps:
        found.append(_ramp(document.steps, document.capacity))
    if figures.curves.ttfs_over_time:
        found += [_over_time(figures), _finals(figures, unloaded), _split(figures, unloaded)]
    if figures.curves.word_first:
        found.append(_words(figures))
    return found


def accuracy_words(figures: Figures) -> str:
    changed = [one.against_unloaded for one in figures.accuracy.values() if one.against_unloaded is not None]
    if not changed:
        return "Errors of the finals; there was no run without load to compare with."
    if max(changed) == 0:
        return "Under load every final reads exactly as it does without load."
    return "Errors under load, errors of one stream alone, and how far the finals under load differ from its."


def _over_time(figures: Figures) -> str:
    windows, hangover = figures.curves.ttfs_over_time, figures.split.hangover_ms
    p50 = [(w.at_s, w.p50) for w in windows]
    p95 = [(w.at_s, w.p95) for w in windows]
    limit = hangover + TTFS_P95_MS
    top = ROOM * max(limit, *(y for _, y in p95))
    axes = Axes.make((figures.settled_s, max(w.at_s for w in windows)), (0, top), "s of the run", "ms")
    drift = figures.drift
    said = "Too short to tell whether it grows."
    if drift.known:
        word = "It grows" if drift.drifts else "No drift"
        said = (
            f"{word}: {amount(drift.slope_ms_per_min)} ms a minute "
            f"(95 %: {amount(drift.low_ms_per_min)} to {amount(drift.high_ms_per_min)})."
        )
    parts = [
        axes.grid(), axes.across(hangover, "hangover", "floor"), axes.across(limit, "limit of p95"),
        axes.band(p95, p50, "first"), axes.line(p95, "second"), axes.line(p50, "first"),
    ]  # fmt: skip
    return _card(
        "The wait for a final, over the run", said,
        picture(f"Time to the final over the run. {said}", *parts),
        [("first", "p50"), ("second", "p95")],
    )  # fmt: skip


def _finals(figures: Figures, unloaded: Figures | None) -> str:
    hangover, ttfs = figures.split.hangover_ms, figures.ttfs_ms
    reach = ROOM * max(hangover + TTFS_P99_MS, min(ttfs.p99, 4 * (hangover + TTFS_P99_MS)))
    axes = Axes.make((0, reach), (0, 100), "ms after speech ended", "% of finals")
    parts = [axes.grid(), axes.ceiling(hangover + TTFS_P95_MS, 95), axes.ceiling(hangover + TTFS_P99_MS, 99)]
    key = [("first", "under load")]
    if unloaded and unloaded.curves.ttfs:
        parts.append(axes.line(_curve(unloaded.curves.ttfs), "third"))
        key.append(("third", "one stream alone"))
    parts.append(axes.line(_curve(figures.curves.ttfs), "first"))
    parts += [axes.mark(ttfs.p50, 50, "point", f"p50 {amount(ttfs.p50)}"), axes.mark(ttfs.p95, 95, "point")]
    said = (
        f"Half of all finals are there {amount(ttfs.p50)} ms after the last word, "
        f"95 % after {amount(ttfs.p95)}, 99 % after {amount(ttfs.p99)}. "
        "The curve must stay left of the dotted corners."
    )
    return _card("How long people wait for a final", said, picture(said, *parts), key)


def _words(figures: Figures) -> str:
    first, stable = figures.word_first_ms, figures.word_stable_ms
    reach = ROOM * max(WORD_P50_MS, stable.p99 if not math.isnan(stable.p99) else 0.0)
    low = min(0.0, figures.curves.word_first[1])
    axes = Axes.make((low, reach), (0, 100), "ms after the word was said", "% of words")
    parts = [
        axes.grid(), axes.ceiling(WORD_P50_MS, 50), axes.line(_curve(figures.curves.word_stable), "second"),
        axes.line(_curve(figures.curves.word_first), "first"),
        axes.mark(first.p50, 50, "point", f"p50 {amount(first.p50)}"),
    ]  # fmt: skip
    said = (
        f"Half of all words are on the screen {amount(first.p50)} ms after they were said, "
        f"and do not change any more after {amount(stable.p50)} ms."
    )
    key = [("first", "first seen"), ("second", "stable")]
    return _card("When words appear", said, picture(said, *parts), key)


def _split(figures: Figures, unloaded: Figures | None) -> str:
    rows = [(f"{figures.streams} streams", _parts(figures))]
    if unloaded and unloaded.ttfs_ms.count:
        rows.append(("one stream alone", _parts(unloaded)))
    split = figures.split
    queue, batch = (amount(one.mean) if one else "–" for one in (split.queue_ms, split.batch_ms))
    worked_ms = sum(one.mean for one in (split.queue_ms, split.batch_ms) if one)
    hidden = split.answer_ms.mean < worked_ms
    where = (
        "mostly hidden in the hangover: finals are decoded in advance" if hidden else "which people wait for"
    )
    said = (
        f"Means. Of the answer, the network both ways takes {amount(split.network_ms.p50, 1)} ms. "
        f"A job waits {queue} ms and a pass takes {batch} ms, {where}."
    )
    total = ", ".join(f"{part.name} {part.value:.0f} ms" for part in rows[0][1])
    key = [(part.kind, part.name) for part in rows[0][1]]
    return _card("Where the wait goes", said, stacked(rows, f"Mean time to a final: {total}.", "ms"), key)


def _parts(figures: Figures) -> list[Part]:
    split = figures.split
    return [
        Part("hangover", split.hangover_ms, "hangover"),
        Part("speech thought longer", split.vad_ms.mean, "vad"),
        Part("chunk fills", split.chunk_ms.mean, "chunk"),
        Part("answer", split.answer_ms.mean, "answer"),
    ]


def _ramp(steps: Sequence[RunResult], capacity: int | None) -> str:
    hangover = steps[0].figures.split.hangover_ms
    limit = hangover + TTFS_P95_MS
    measured = [s for s in steps if not math.isnan(s.figures.ttfs_ms.p95)]
    top = ROOM * min(3 * limit, max([limit, *(s.figures.ttfs_ms.p95 for s in measured)]))
    axes = Axes.make(
        (0, ROOM * max(s.figures.streams for s in steps)), (0, top), "streams", "ms, p95 of a final"
    )
    parts = [axes.grid(), axes.across(hangover, "hangover", "floor"), axes.across(limit, "limit of p95")]
    last = {float(s.figures.streams): s.figures.ttfs_ms.p95 for s in measured}
    parts.append(axes.line(sorted(last.items()), "third"))
    for step in measured:
        holds = step.verdict.holds and not step.verdict.invalid
        at = step.figures.streams, step.figures.ttfs_ms.p95
        kind = "invalid" if step.verdict.invalid else "held" if holds else "broken"
        parts.append(axes.mark(*at, kind))
        if step.full and holds:
            parts.append(
                f'<circle class="full" cx="{axes.x.at(at[0]):.1f}" cy="{axes.y.at(at[1]):.1f}" r="8"/>'
            )
    said = (
        f"{len(steps)} runs; the ring is the one that held for the whole duration: {capacity or 0} streams."
    )
    key = [("held", "holds the level"), ("broken", "breaks it"), ("invalid", "says nothing")]
    return _card("The search for the capacity", said, picture(said, *parts), key)


def _curve(quantiles: Sequence[float]) -> list[Point]:
    return [(value, float(percent)) for percent, value in enumerate(quantiles)]


def _card(title: str, said: str, drawing: str, key: Sequence[tuple[str, str]]) -> str:
    names = "".join(f'<li class="k-{kind}">{escape(name)}</li>' for kind, name in key)
    return (
        f'<section class="card"><figure><h2>{escape(title)}</h2>'
        f'<figcaption>{escape(said)}</figcaption>{drawing}<ul class="key">{names}</ul></figure></section>'
    )
