"""One stream's messages against what was said."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.messages import Ack, Error, Final, Partial, ServerMessage, Stopped, TimedWord
from gateway.events import SAMPLE_RATE
from gateway.loadtest.figures import Cost, figures
from gateway.loadtest.guide import guide
from gateway.loadtest.observe import Guide, Observation, Record, Steady, faults, first_shown, observe
from gateway.loadtest.schedule import recital
from tests.loadtest.making import load, turn

TURNS = (turn(2.0, "I am cold."), turn(1.5, "Thank you."))
LOAD = load()
PLAN = recital(LOAD, TURNS, "en")
ENDS = [1.9, 2.0 + 0.9 + 1.4]
"""Of the speech of both turns, in seconds of the stream."""
ALWAYS = Steady(0, math.inf)
GUIDES = (
    Guide("I am cold.", (("i", 0.5), ("am", 1.0), ("cold", 1.9))),
    Guide("Thank you.", (("thank", 0.7), ("you", 1.4))),
)


def final(number: int, end: float, text: str, start: float | None = None) -> Final:
    return Final(number, number, end - 1.2 if start is None else start, end, text, "en", 0.9)


def good(late_s: float = 0.0) -> list[tuple[float, ServerMessage]]:
    """All that a gateway says to PLAN, its finals `late_s` after the chunk that they needed."""
    return [
        (1.3, Partial(1, 1, 0.0, 1.0, "", "I hm")),
        (1.8, Partial(1, 2, 0.0, 1.5, "I", " am")),
        (2.5 + late_s, final(1, 1.96, "I am cold.")),
        (4.9 + late_s, final(2, 4.34, "Thank you.")),
        (4.9 + late_s, Ack(PLAN.samples, PLAN.samples)),
        (5.4, Stopped(PLAN.samples, 2)),
    ]


def record(heard: list[tuple[float, ServerMessage]]) -> Record:
    return Record(0, 10.0, heard, [0.1, 0.2], [0.001], PLAN.samples, 1000)


def seen(heard: list[tuple[float, ServerMessage]], steady: Steady = ALWAYS) -> Observation:
    return observe(LOAD, PLAN, TURNS, GUIDES, record(heard), steady)


@given(st.floats(0, 5))
def test_the_parts_of_the_wait_add_up(late_s: float) -> None:
    """Hangover, what the VAD adds, the chunk's rest and the answer are the whole time from the true end."""
    found = seen(good(late_s)).answers
    assert len(found) == 2
    for answer, end in zip(found, ENDS, strict=True):
        assert answer.at_s == pytest.approx(10 + end)
        parts = answer.hangover_s + answer.vad_s + answer.chunk_s + answer.answer_s
        assert parts == pytest.approx(answer.ttfs_s)
    assert found[0].ttfs_s == pytest.approx(2.5 + late_s - 1.9)
    assert [answer.answer_s for answer in found] == [pytest.approx(late_s), pytest.approx(late_s)]


def test_words_are_timed_from_their_own_ends() -> None:
    """First seen in any text, stable in the stable one; a final's own words at the final."""
    found = seen(good())
    assert found.first_s == pytest.approx([0.8, 0.8, 0.6, 4.9 - 3.6, 4.9 - ENDS[1]])
    assert found.stable_s[:3] == pytest.approx([1.3, 1.5, 0.6])
    assert (found.erased_units, found.final_units) == (1, 5)  # "hm"


def test_a_good_stream_has_nothing_to_complain_about() -> None:
    """No faults, nothing lost, texts equal."""
    found = seen(good())
    assert found.failures == []
    assert (found.lost_samples, found.uncommitted_samples, found.unanswered, found.unmatched) == (0, 0, 0, 0)
    assert found.against_references["en"].edits == found.against_unloaded["en"].edits == 0
    assert found.partial_latency_s == pytest.approx([0.3, 0.3])
    assert found.partial_interval_s == pytest.approx([0.5])


def test_latencies_count_only_while_all_streams_run() -> None:
    """The texts always do."""
    found = seen(good(), Steady(13, 20))
    assert [answer.at_s for answer in found.answers] == [pytest.approx(10 + ENDS[1])]
    assert len(found.first_s) == 2
    assert found.against_references["en"].units == 5


def test_what_is_lost_is_counted() -> None:
    """Samples that did not arrive, speech that was not committed, turns without a final."""
    heard = [(2.5, final(1, 1.96, "I am cold.")), (2.5, Ack(40_000, 32_000)), (5.4, Stopped(40_000, 1))]
    found = seen(heard)
    assert found.lost_samples == PLAN.samples - 40_000
    assert found.uncommitted_samples == round(ENDS[1] * SAMPLE_RATE) - 32_000
    assert (found.unmatched, found.unanswered) == (1, 1)


def test_a_final_where_nobody_spoke_is_invented() -> None:
    """Far from all turns; an empty one is none."""
    plan_end = PLAN.samples / SAMPLE_RATE
    extra = [
        (9.0, final(3, plan_end + 3, "Thanks!", plan_end + 2)),
        (9.1, final(4, plan_end + 5, "", plan_end + 4)),
    ]
    assert seen([*good()[:-1], *extra, good()[-1]]).invented == 1


@pytest.mark.parametrize(
    ("heard", "close", "expected"),
    [
        ([(1.0, Error("overloaded", "full", True))], 1013, ["error overloaded", "no stopped", "closed 1013"]),
        ([(1.0, final(2, 1.96, "x")), (2.0, Stopped(1, 1))], 1000, ["finals not numbered 1, 2, 3 ..."]),
        ([], None, ["no stopped", "closed None"]),
    ],
)
def test_faults_are_named(
    heard: list[tuple[float, ServerMessage]], close: int | None, expected: list[str]
) -> None:
    """Each kind, so that a report can count them."""
    assert faults(Record(0, 0.0, heard, close_code=close)) == expected


def test_a_refused_stream_has_one_fault() -> None:
    """Not also that it has no end."""
    assert faults(Record(0, 0.0, failures=["refused 503"])) == []


def test_first_shown_forgives_a_shifted_word() -> None:
    """A word too many before it does not hide it; far away is somewhere else."""
    texts = [(1.0, ["oh", "i", "am"]), (2.0, ["i", "am", "cold"])]
    assert first_shown(["i", "am", "cold"], texts) == [1.0, 1.0, 2.0]
    assert first_shown(["a"], [(1.0, ["x", "x", "x", "a"]), (2.0, ["a"])]) == [2.0]


def test_a_guide_believes_the_aligner_and_fills_the_rest() -> None:
    """Understood words have its times, others lie between; the last word ends with the speech."""
    words = [TimedWord("I", 10.2, 10.5, 1.0), TimedWord(" called", 10.9, 11.9, 0.4)]
    found = guide(TURNS[0], "I called", words, 10.0)
    assert [unit for unit, _ in found.unit_ends_s] == ["i", "am", "cold"]
    assert [end for _, end in found.unit_ends_s] == pytest.approx([0.5, 1.2, 1.9])


@given(st.lists(st.tuples(st.sampled_from(["I", "am", "cold", "hm"]), st.floats(-1, 4)), max_size=5))
def test_a_guide_never_falls_nor_leaves_its_sentence(said: list[tuple[str, float]]) -> None:
    """Whatever the aligner says."""
    words = [TimedWord(text, end - 0.1, end, 0.5) for text, end in said]
    ends = [end for _, end in guide(TURNS[0], "", words, 0.0).unit_ends_s]
    assert ends == sorted(ends)
    assert all(0.1 <= end <= 1.9 + 1e-9 for end in ends)
    assert ends[-1] == pytest.approx(1.9)


def test_figures_add_streams_up() -> None:
    """Counts are sums; the accuracy is over all units."""
    bad = seen([*good()[:2], (2.5, final(1, 1.96, "I am old.")), *good()[3:]])
    found = figures(LOAD, Steady(0, 40), 0.4, [seen(good()), bad], None, Cost())
    assert (found.turns, found.finals, found.partials, found.ttfs_ms.count) == (4, 4, 4, 4)
    assert found.accuracy["en"].against_references == pytest.approx(100 * 1 / 10)
    assert found.accuracy["en"].against_unloaded == pytest.approx(100 * 1 / 10)
    assert (found.errors, found.lost_samples) == (0, 0)
