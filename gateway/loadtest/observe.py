"""core: one stream's messages, with the times when they came, against what was said -> observations.

Times are seconds after the stream began, unless they are said to be of the run. How each figure is defined is
in docs/loadtest.md.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from gateway.connection.messages import Ack, Error, Final, Notice, Partial, ServerMessage, Stopped
from gateway.events import SAMPLE_RATE
from gateway.loadtest.schedule import Load, Placed, Plan, Turn, sent_s
from gateway.loadtest.text import Errors, erased, errors, matches, units

END_TOLERANCE_S = 0.5
"""A final belongs to the end of a turn when its own end is not further from it."""
EDGE_S = 0.3
"""How far a word's reference may lie outside the final that has it."""
NEARBY = 2
"""Places by which a shown word may be off where the final has it."""
NORMAL_CLOSE = 1000


@dataclass(slots=True)
class Record:
    """What a synthetic speaker noted."""

    stream: int
    began_s: float
    """Of the run: when its first sample was spoken."""
    heard: list[tuple[float, ServerMessage]] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    """By how much the generator itself was late, for each chunk."""
    round_trips_s: list[float] = field(default_factory=list)
    """ping to pong."""
    sent_samples: int = 0
    close_code: int | None = None
    failures: list[str] = field(default_factory=list)
    """Named reasons why it did not go as it should: refused (429), no_answer, ..."""


@dataclass(frozen=True, slots=True)
class Guide:
    """What the unloaded run tells of a turn; empty where there was none."""

    text: str = ""
    unit_ends_s: tuple[tuple[str, float], ...] = ()
    """Each word (or character) of the turn, and when it ends, in seconds after the turn's first sample."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The final of one turn; the last four add up to `ttfs_s`."""

    at_s: float
    """Of the run: the true end of speech."""
    ttfs_s: float
    hangover_s: float
    vad_s: float
    """The end that the gateway took, minus the true one."""
    chunk_s: float
    """Until the chunk with the end of the hangover was full."""
    answer_s: float
    """From when that chunk was due to the final: what the hangover did not hide of queue, batch, network."""


@dataclass(frozen=True, slots=True)
class Steady:
    """When all streams run: after the last has begun, before the first ends. Seconds of the run."""

    from_s: float
    to_s: float

    def __contains__(self, at_s: float) -> bool:
        return self.from_s <= at_s <= self.to_s


@dataclass(slots=True)
class Observation:
    """What came of one stream."""

    stream: int
    answers: list[Answer] = field(default_factory=list)
    turns: int = 0
    unmatched: int = 0
    """Turns without a final that ends where they do."""
    unanswered: int = 0
    """Turns during which no final came at all, though one came without load."""
    invented: int = 0
    """Finals with words where nothing was said."""
    first_s: list[float] = field(default_factory=list)
    stable_s: list[float] = field(default_factory=list)
    partial_latency_s: list[float] = field(default_factory=list)
    partial_interval_s: list[float] = field(default_factory=list)
    partials: int = 0
    finals: int = 0
    suppressed: int = 0
    erased_units: int = 0
    final_units: int = 0
    against_references: dict[str, Errors] = field(default_factory=dict)
    against_unloaded: dict[str, Errors] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    """What was understood of a turn, when last it was said."""
    audio_s: float = 0.0
    lost_samples: int = 0
    uncommitted_samples: int = 0
    late_ms: list[float] = field(default_factory=list)
    round_trips_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notices: dict[str, int] = field(default_factory=dict)


def observe(
    load: Load, plan: Plan, turns: Sequence[Turn], guides: Sequence[Guide], record: Record, steady: Steady
) -> Observation:
    """`steady`: latencies of what is said outside of it do not count."""
    seen = Observation(plan.stream, turns=len(plan.placed), audio_s=record.sent_samples / SAMPLE_RATE)
    seen.late_ms, seen.round_trips_s = record.late_ms, record.round_trips_s
    seen.failures = [*record.failures, *faults(record)]
    finals = [(at, message) for at, message in record.heard if isinstance(message, Final)]
    partials: dict[int, list[tuple[float, Partial]]] = defaultdict(list)
    for at, message in record.heard:
        if isinstance(message, Partial):
            partials[message.utterance].append((at, message))
        elif isinstance(message, Notice):
            seen.notices[message.code] = seen.notices.get(message.code, 0) + 1
    counted = Steady(steady.from_s - record.began_s, steady.to_s - record.began_s)
    _answers(seen, load, plan, turns, finals, record.began_s, counted)
    _texts(seen, plan, turns, guides, finals)
    _captions(seen, load, plan, guides, finals, partials, counted)
    _lost(seen, plan, turns, record)
    return seen


def faults(record: Record) -> list[str]:
    """Everything that must not happen on a stream that breaks no rule."""
    found = [f"error {message.code}" for _, message in record.heard if isinstance(message, Error)]
    numbers = [message.number for _, message in record.heard if isinstance(message, Final)]
    if numbers != list(range(1, len(numbers) + 1)):
        found.append("finals not numbered 1, 2, 3 ...")
    if not record.failures:
        if not any(isinstance(message, Stopped) for _, message in record.heard):
            found.append("no stopped")
        if record.close_code != NORMAL_CLOSE:
            found.append(f"closed {record.close_code}")
    return found


def nearest_end(ends_s: Sequence[float], end_s: float) -> int | None:
    """The turn that a final which ends there belongs to."""
    if not ends_s:
        return None
    best = min(range(len(ends_s)), key=lambda i: abs(ends_s[i] - end_s))
    return best if abs(ends_s[best] - end_s) <= END_TOLERANCE_S else None


def nearest_turn(plan: Plan, turns: Sequence[Turn], final: Final) -> int | None:
    """The turn (its place in the plan) that a final shares most time with; None: nothing was said then."""

    def shared_s(placed: Placed) -> float:
        turn = turns[placed.turn]
        begin, end = (placed.at + turn.start_samples), (placed.at + turn.end_samples)
        return min(final.end, end / SAMPLE_RATE) - max(final.start, begin / SAMPLE_RATE)

    best = max(range(len(plan.placed)), key=lambda i: shared_s(plan.placed[i]))
    return best if shared_s(plan.placed[best]) > -EDGE_S else None


def turn_ends_s(plan: Plan, turns: Sequence[Turn]) -> list[float]:
    """The true ends of speech, in seconds of the stream."""
    return [(p.at + turns[p.turn].end_samples) / SAMPLE_RATE for p in plan.placed]


def _answers(
    seen: Observation,
    load: Load,
    plan: Plan,
    turns: Sequence[Turn],
    finals: Sequence[tuple[float, Final]],
    began_s: float,
    counted: Steady,
) -> None:
    ends_s = turn_ends_s(plan, turns)
    hangover_s = load.hangover_ms / 1000
    found: dict[int, Answer] = {}
    for at, final in finals:
        turn = nearest_end(ends_s, final.end)
        if turn is not None:
            needed_s = final.end + hangover_s
            due_s = sent_s(needed_s * SAMPLE_RATE, load.chunk_samples)
            found[turn] = Answer(
                at_s=began_s + ends_s[turn],
                ttfs_s=at - ends_s[turn],
                hangover_s=hangover_s,
                vad_s=final.end - ends_s[turn],
                chunk_s=due_s - needed_s,
                answer_s=at - due_s,
            )
    seen.unmatched = len(ends_s) - len(found)
    seen.answers = [answer for turn, answer in found.items() if ends_s[turn] in counted]


def _texts(
    seen: Observation,
    plan: Plan,
    turns: Sequence[Turn],
    guides: Sequence[Guide],
    finals: Sequence[tuple[float, Final]],
) -> None:
    """Each final is text of the turn that it shares most time with."""
    said: dict[int, list[str]] = defaultdict(list)
    for _, final in finals:
        seen.finals += 1
        seen.suppressed += final.suppressed is not None
        turn_number = nearest_turn(plan, turns, final)
        if turn_number is not None:
            said[turn_number].append(final.text)
        elif final.text:
            seen.invented += 1
    for number, placed in enumerate(plan.placed):
        turn, guide, text = turns[placed.turn], guides[placed.turn], " ".join(said[number])
        seen.texts[placed.turn] = text
        seen.unanswered += bool(guide.text) and not said[number]
        language = turn.language or "auto"
        _add(seen.against_references, language, errors(turn.text, text))
        if guide.text:
            _add(seen.against_unloaded, language, errors(guide.text, text))


def _captions(
    seen: Observation,
    load: Load,
    plan: Plan,
    guides: Sequence[Guide],
    finals: Sequence[tuple[float, Final]],
    partials: dict[int, list[tuple[float, Partial]]],
    counted: Steady,
) -> None:
    """What readers saw: partials' latency and rhythm, when words appeared, what was taken back."""
    ends = [
        (unit, placed.at / SAMPLE_RATE + end_s)
        for placed in plan.placed
        for unit, end_s in guides[placed.turn].unit_ends_s
    ]
    for at, final in finals:
        shown = partials.get(final.utterance, [])
        seen.partials += len(shown)
        seen.partial_interval_s += [b - a for (a, _), (b, _) in pairwise(shown)]
        seen.partial_latency_s += [
            came - sent_s(partial.end * SAMPLE_RATE, load.chunk_samples)
            for came, partial in shown
            if partial.end in counted
        ]
        all_texts = [(came, units(partial.stable + partial.tentative)) for came, partial in shown]
        stable = [(came, units(partial.stable)) for came, partial in shown]
        last = (at, units(final.text))
        seen.final_units += len(last[1])
        seen.erased_units += sum(erased(a, b) for (_, a), (_, b) in pairwise([*all_texts, last]))
        near = [(u, end) for u, end in ends if final.start - EDGE_S <= end <= final.end + EDGE_S]
        pairs = [(i, j) for i, j in matches([u for u, _ in near], last[1]) if near[i][1] in counted]
        for into, texts in ((seen.first_s, all_texts), (seen.stable_s, stable)):
            times = first_shown(last[1], [*texts, last])
            into += [times[j] - near[i][1] for i, j in pairs]


def first_shown(final: Sequence[str], texts: Sequence[tuple[float, list[str]]]) -> list[float]:
    """For each word of the final: when a text first had it, within NEARBY places of where the final does.

    The last text must be the final itself.
    """
    times: list[float | None] = [None] * len(final)
    for at, text in texts:
        for j, unit in enumerate(final):
            if times[j] is None and unit in text[max(0, j - NEARBY) : j + NEARBY + 1]:
                times[j] = at
    return [time for time in times if time is not None]


def _lost(seen: Observation, plan: Plan, turns: Sequence[Turn], record: Record) -> None:
    received = max((m.received for _, m in record.heard if isinstance(m, Stopped)), default=None)
    committed = max((m.committed for _, m in record.heard if isinstance(m, Ack)), default=0)
    if received is None:
        received = max((m.received for _, m in record.heard if isinstance(m, Ack)), default=0)
    seen.lost_samples = max(0, record.sent_samples - received)
    spoken = max((p.at + turns[p.turn].end_samples for p in plan.placed), default=0)
    seen.uncommitted_samples = max(0, min(spoken, record.sent_samples) - committed)


def _add(totals: dict[str, Errors], language: str, more: Errors) -> None:
    totals[language] = totals.get(language, Errors()) + more
