"""core: how the figures are computed: error rates, percentiles, which final belongs to which sentence.

Everything here is plain arithmetic on texts and seconds, so that it can be tested without a gateway.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.loadtest.text import Errors, units

TOLERANCE_S = 0.3
"""A final belongs to a sentence when their ends (or beginnings) are not further apart."""
LOST_FROM = 0.75
"""A sentence is lost when at least this share of it is nowhere in the finals of its time ..."""
SHORT_BY = 0.5
"""... and these are too short by at least this share of it: what was misheard is as long as what was said."""
DOUBLED_TO = 0.4
"""A sentence is doubled when it is found a second time with no more errors than this."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of speech, in seconds of its stream, and what was said (or understood)."""

    start: float
    end: float
    text: str


def _distances(wanted: Sequence[str], got: Sequence[str]) -> list[int]:
    """[Levenshtein distance from `wanted` to got[:j] for j in 0 .. len(got)]"""
    row = list(range(len(got) + 1))
    for i, unit in enumerate(wanted, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (unit != other))
    return row


def corrections(stable: str, final: str) -> Errors:
    """How many units shown as stable the final changed: the distance to its most similar beginning."""
    shown = units(stable)
    return Errors(min(len(shown), min(_distances(shown, units(final)))), len(shown))


def find(wanted: Sequence[str], text: Sequence[str]) -> tuple[int, int, int]:
    """Where in `text` is `wanted`, or what is most like it: (from, to, edits).

    Approximate string matching (Sellers 1980): a distance whose beginning and end in `text` are free.
    """
    row = [(0, j) for j in range(len(text) + 1)]
    for i, unit in enumerate(wanted, 1):
        diagonal, row[0] = row[0], (i, 0)
        for j, other in enumerate(text, 1):
            candidates = (
                (row[j][0] + 1, row[j][1]),
                (row[j - 1][0] + 1, row[j - 1][1]),
                (diagonal[0] + (unit != other), diagonal[1]),
            )
            diagonal, row[j] = row[j], min(candidates, key=lambda c: c[0])
    end = min(range(len(row)), key=lambda j: row[j][0])
    return row[end][1], end, row[end][0]


@dataclass(frozen=True, slots=True)
class Census:
    """What became of the sentences that were spoken."""

    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    errors: Errors
    """Of each sentence against the place where it was found: no errors of what is between sentences."""


def census(sentences: Sequence[Span], finals: Sequence[Span]) -> Census:
    """Look for each sentence in the finals of its time."""
    lost, doubled, total = [], [], Errors()
    for sentence in sentences:
        near = [final for final in finals if _meet(final, sentence, TOLERANCE_S)]
        wanted, text = units(sentence.text), units(" ".join(final.text for final in near))
        start, end, edits = find(wanted, text)
        total += Errors(edits, len(wanted))
        together = [other for other in sentences if any(_meet(final, other, 0) for final in near)] or [
            sentence
        ]
        missing = sum(len(units(other.text)) for other in together) - len(text)
        if edits >= LOST_FROM * len(wanted) and missing >= SHORT_BY * len(wanted):
            lost.append(sentence.text)
        elif min(find(wanted, rest)[2] for rest in (text[:start], text[end:])) <= DOUBLED_TO * len(wanted):
            doubled.append(sentence.text)
    return Census(tuple(lost), tuple(doubled), total)


def _meet(a: Span, b: Span, margin_s: float) -> bool:
    return a.start <= b.end + margin_s and a.end >= b.start - margin_s


def pair(wanted: Sequence[float], found: Sequence[float]) -> list[tuple[int, int]]:
    """Moments that belong together, nearest first, each once, within TOLERANCE_S: their indices."""
    near = sorted(
        (abs(a - b), i, j)
        for i, a in enumerate(wanted)
        for j, b in enumerate(found)
        if abs(a - b) <= TOLERANCE_S
    )
    pairs: dict[int, int] = {}
    for _, i, j in near:
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return sorted(pairs.items())


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that so many percent do not exceed (nearest rank); NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else math.nan


def due_s(index: int, chunk_s: float, speed: float) -> float:
    """When chunk `index` may be sent, counted from the first sample of its stream: once it is spoken."""
    return (index + 1) * chunk_s / speed


def retractions(stable_texts: Iterable[str]) -> int:
    """How often a stable text does not begin with the one before it."""
    return sum(not after.startswith(before) for before, after in pairwise(stable_texts))
