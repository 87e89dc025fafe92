"""core: how long a reader waits for each sentence, and the largest number of speakers that a server holds.

A sentence is complete when the text before the reader has it with at most a fifth of its words (characters in
Chinese) wrong, wherever in the text it stands: servers that cut elsewhere, or later, are not blamed for that.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.measures import find, percentile
from gateway.events import SAMPLE_RATE
from gateway.loadtest.schedule import Placed, Plan, Turn
from gateway.loadtest.text import Errors

WRONG_SHARE = 0.2
TAIL_UNITS = 48
"""Of a text, looked through: a sentence that has just been said stands at its end."""
MISSED_SHARE = 0.1
"""Of the sentences, may never come right (or one, if they are few), more than without load: what is misheard
then is the model's matter, or that of how a server feeds it."""
Text = tuple[float, str]
"""When it came, in seconds of the stream, and all that the reader had before him then."""


@dataclass(slots=True)
class Heard:
    """What one speaker sent and read."""

    plan: Plan
    finals: list[Text] = field(default_factory=list)
    shown: list[Text] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    """By how much each chunk left after its time."""


@dataclass(frozen=True, slots=True)
class Wait:
    """For one sentence, from the true end of its speech; NaN: it never came right."""

    seconds: float
    errors: Errors
    """The fewest that its reader ever saw."""


@dataclass(frozen=True, slots=True)
class Waits:
    """For all sentences of a run."""

    sentences: int
    missed: int
    error_percent: float
    p50_s: float
    p95_s: float
    p99_s: float

    def misses_many(self, alone: "Waits") -> bool:
        """`alone`: of the same server without load."""
        share = MISSED_SHARE + alone.missed / max(1, alone.sentences)
        return self.missed > max(1, share * self.sentences)


@dataclass(frozen=True, slots=True)
class Run:
    """One number of speakers against one server, the fields of the JSON."""

    speakers: int
    seconds: float
    shown: Waits
    final: Waits
    faults: dict[str, int]
    lateness_p99_ms: float
    """The generator's own."""
    server_cores: float
    """Processors that the server kept busy, on average."""
    generator_cores: float
    others_cores: float
    server_memory_mb: float


@dataclass(frozen=True, slots=True)
class Level:
    """What a reader is promised."""

    name: str
    is_final: bool
    """Of final text only; else of whatever is shown, though it may change still."""
    p95_s: float
    p99_s: float

    def held_by(self, run: Run, alone: Run) -> bool:
        """`alone`: of the same server without load."""
        waits, unloaded = (run.final, alone.final) if self.is_final else (run.shown, alone.shown)
        if run.faults or waits.misses_many(unloaded):
            return False
        return waits.p95_s <= self.p95_s and waits.p99_s <= self.p99_s  # False for NaN


def wait_for(
    turn: Turn, placed: Placed, texts: Sequence[Text], until_s: float, read: Callable[[str], Sequence[str]]
) -> Wait:
    """Among the texts that came between the beginning of its speech and `until_s`. `read`: its units."""
    wanted = read(turn.text)
    begin_s = (placed.at + turn.start_samples) / SAMPLE_RATE
    end_s = (placed.at + turn.end_samples) / SAMPLE_RATE
    fewest, seconds = len(wanted), math.nan
    for at, text in texts:
        if begin_s <= at <= until_s and fewest:
            edits = find(wanted, read(text)[-TAIL_UNITS:])[2]
            fewest = min(fewest, edits)
            if math.isnan(seconds) and edits <= WRONG_SHARE * len(wanted):
                seconds = at - end_s
    return Wait(seconds, Errors(fewest, len(wanted)))


def waits_for(
    heard: Heard, texts: Sequence[Text], turns: Sequence[Turn], patience_s: float,
    read: Callable[[str], Sequence[str]],
) -> list[Wait]:  # fmt: skip
    """Of all sentences of a speaker, each looked for until `patience_s` after its speech."""
    found = []
    for placed in heard.plan.placed:
        turn = turns[placed.turn]
        until_s = (placed.at + turn.end_samples) / SAMPLE_RATE + patience_s
        found.append(wait_for(turn, placed, texts, until_s, read))
    return found


def summed(waits: Sequence[Wait]) -> Waits:
    right = [wait.seconds for wait in waits if not math.isnan(wait.seconds)]
    errors = sum((wait.errors for wait in waits), Errors())
    p50, p95, p99 = (percentile(right, percent) for percent in (50, 95, 99))
    return Waits(len(waits), len(waits) - len(right), errors.percent, p50, p95, p99)


def capacity(held: Mapping[int, bool]) -> int:
    """The largest number that held with none below it that did not; 0: none."""
    broken = min((n for n, ok in held.items() if not ok), default=math.inf)
    return max((n for n, ok in held.items() if ok and n < broken), default=0)


def next_try(held: Mapping[int, bool], first: int, most: int, precision: float) -> int | None:
    """The number of speakers to try next; None: enough.

    Doubling (or halving) from `first` on, then bisection until the last that held and the first that did not
    are no further apart than `precision` of the former.

    It assumes that more speakers are never easier. `precision` 1 is doubling alone.
    """
    if not held:
        return min(first, most)
    best = capacity(held)
    broken = min((n for n, ok in held.items() if not ok), default=None)
    if broken is None:
        return None if best >= most else min(most, 2 * best)
    if best == 0:
        return broken // 2 or None
    return None if broken - best <= max(1, precision * best) else (best + broken) // 2
