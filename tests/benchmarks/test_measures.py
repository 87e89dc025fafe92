"""The arithmetic of the benchmark: what it calls an error, a loss, a wait."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measures import (
    TOLERANCE_S,
    Span,
    census,
    corrections,
    due_s,
    find,
    pair,
    percentile,
    retractions,
)
from gateway.loadtest.text import Errors, errors, units

letters = st.lists(st.sampled_from("abc"), max_size=12)
moments = st.lists(st.floats(0, 5), max_size=6)
values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


def spans(*texts: str, length_s: float = 2.0, pause_s: float = 1.0) -> list[Span]:
    """One after the other."""
    period = length_s + pause_s
    return [Span(n * period, n * period + length_s, text) for n, text in enumerate(texts)]


# --- texts ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I can’t, Tom!", ["i", "can't", "tom"]),
        ("血氧96％。", ["血", "氧", "96"]),
        ("臺北ABC", ["台", "北", "abc"]),
        ("ＡＢ　ｃ", ["ab", "c"]),
        ("'quoted' words'", ["quoted", "words"]),
        ("。，", []),
    ],
)
def test_units_are_words_or_chinese_characters(text: str, expected: list[str]) -> None:
    """Case, width, punctuation and the two forms of 台 make no difference."""
    assert units(text) == expected


@pytest.mark.parametrize(
    ("reference", "text", "edits", "count"),
    [
        ("a b c", "a b c", 0, 3),
        ("a b c", "a x c", 1, 3),
        ("a b c", "a c", 1, 3),
        ("a b c", "", 3, 3),
        ("", "a b", 2, 0),
        ("我好冷。", "我好冷", 0, 3),
        ("我好冷。", "你好冷了", 2, 3),
    ],
)
def test_errors_are_counted_by_edit_distance(reference: str, text: str, edits: int, count: int) -> None:
    """Substitutions, insertions and deletions cost one each."""
    assert errors(reference, text) == Errors(edits, count)


@given(letters, letters, letters)
def test_edit_distance_is_a_distance(a: list[str], b: list[str], c: list[str]) -> None:
    """Zero only for the same, the same both ways, and never longer than by way of a third."""
    ab, ba = errors(" ".join(a), " ".join(b)).edits, errors(" ".join(b), " ".join(a)).edits
    ac, cb = errors(" ".join(a), " ".join(c)).edits, errors(" ".join(c), " ".join(b)).edits
    assert (ab == 0) == (a == b)
    assert ab == ba <= ac + cb
    assert abs(len(a) - len(b)) <= ab <= max(len(a), len(b))


def test_errors_add_up_before_they_are_a_rate() -> None:
    """A long text weighs more than a short one; nothing said is no error."""
    assert (Errors(1, 1) + Errors(0, 99)).percent == 1.0
    assert Errors().percent == 0.0


def test_a_final_that_goes_on_corrects_nothing() -> None:
    """Only what was shown as stable and then changed counts."""
    assert corrections("I am cold", "I am cold, and tired.") == Errors(0, 3)
    assert corrections("I am cold", "I am old, and tired.") == Errors(1, 3)
    assert corrections("I am cold", "") == Errors(3, 3)
    assert corrections("", "anything") == Errors(0, 0)


@given(letters, letters)
def test_corrections_never_exceed_what_was_shown(stable: list[str], final: list[str]) -> None:
    """However different the final is."""
    assert 0 <= corrections(" ".join(stable), " ".join(final)).edits <= len(stable)


@given(letters, letters, letters)
def test_what_is_in_a_text_is_found_there(before: list[str], wanted: list[str], after: list[str]) -> None:
    """Without an edit, and what was found reads as wanted."""
    text = before + wanted + after
    start, end, edits = find(wanted, text)
    assert (text[start:end], edits) == (wanted, 0)


@given(letters, letters)
def test_the_place_found_has_the_edits_told(wanted: list[str], text: list[str]) -> None:
    """And no worse than finding nothing at all."""
    start, end, edits = find(wanted, text)
    assert 0 <= start <= end <= len(text)
    assert edits == errors(" ".join(wanted), " ".join(text[start:end])).edits <= len(wanted)


def test_stable_text_may_only_grow() -> None:
    """Each one that does not begin with the one before is a retraction."""
    assert retractions(["", "a", "a b", "a b"]) == 0
    assert retractions(["a b", "a c", "a", "a b"]) == 2


# --- sentences ---


def test_all_sentences_found_is_an_empty_census() -> None:
    """Also when several share a final, or one is cut in two."""
    said = spans("I am very cold.", "Help me, please.", pause_s=0.3)
    together = [Span(0, said[1].end, "I am very cold. Help me please")]
    cut = [Span(0, 1, "I am"), Span(1, 2, "very cold"), said[1]]
    for finals in (said, together, cut):
        assert census(said, finals) == census(said, said)
        assert census(said, finals).lost == census(said, finals).doubled == ()


def test_a_sentence_without_a_final_is_lost() -> None:
    """Whatever else is said elsewhere."""
    said = spans("I am very cold.", "Help me, please.", "I am very cold.")
    assert census(said, [said[0], said[1]]).lost == ("I am very cold.",)


def test_a_sentence_left_out_of_a_shared_final_is_lost() -> None:
    """The final covers its time but is too short."""
    said = spans("It is time for the injection.", "Help me, please.", pause_s=0.4)
    assert census(said, [Span(0, said[1].end, "It is time for the injection.")]).lost == ("Help me, please.",)


def test_a_misheard_sentence_is_wrong_and_not_lost() -> None:
    """It is as long as what was said."""
    said = spans("水沸騰後變為蒸汽。")
    found = census(said, [Span(0, 2, "誰費疼候便為徵器？")])
    assert (found.lost, found.doubled) == ((), ())
    assert found.errors == Errors(7, 8)


def test_a_sentence_that_comes_twice_is_doubled() -> None:
    """In one final or in two; saying it twice is another matter."""
    said = spans("My right arm hurts a lot.", "Help me, please.")
    twice = Span(0, 2, "My right arm hurts a lot. My right arm hurt a lot.")
    assert census(said, [twice, said[1]]).doubled == ("My right arm hurts a lot.",)
    assert census(said, [said[0], Span(2, 2.5, said[0].text), said[1]]).doubled == (said[0].text,)
    again = spans("Help me, please.", "Help me, please.")
    assert census(again, again).doubled == ()


# --- times ---


def test_moments_are_paired_with_the_nearest_once() -> None:
    """Beyond the tolerance they are strangers."""
    assert pair([1.0, 2.0, 9.0], [1.9, 1.1, 1.2, 20.0]) == [(0, 1), (1, 0)]
    assert pair([1.0], [1.0 + TOLERANCE_S + 0.01]) == []


@given(moments, moments)
def test_no_moment_is_paired_twice(wanted: list[float], found: list[float]) -> None:
    """And never with one out of reach; what is left over has no free partner in reach."""
    pairs = pair(wanted, found)
    left, right = [i for i, _ in pairs], [j for _, j in pairs]
    assert len(set(left)) == len(left)
    assert len(set(right)) == len(right)
    assert all(abs(wanted[i] - found[j]) <= TOLERANCE_S for i, j in pairs)
    for i in set(range(len(wanted))) - set(left):
        for j in set(range(len(found))) - set(right):
            assert abs(wanted[i] - found[j]) > TOLERANCE_S


def test_percentiles_are_values_that_were_measured() -> None:
    """Nearest rank: no interpolation makes a tail look better."""
    hundred = list(range(1, 101))
    assert [percentile(hundred, p) for p in (0, 50, 95, 99, 100)] == [1, 50, 95, 99, 100]
    assert percentile([3.0, 1.0], 95) == 3.0
    assert math.isnan(percentile([], 50))


@given(values, st.floats(0, 100))
def test_so_many_percent_are_at_most_the_percentile(measured: list[float], percent: float) -> None:
    """And it is the smallest value of which that is true."""
    value = percentile(measured, percent)
    assert value in measured
    assert sum(v <= value for v in measured) >= percent / 100 * len(measured) - 1e-9
    assert sum(v < value for v in measured) < max(1, percent / 100 * len(measured) + 1e-9)


@given(st.integers(0, 100_000), st.sampled_from([0.02, 0.1]), st.sampled_from([1.0, 4.0]))
def test_a_chunk_is_due_when_its_last_sample_is_spoken(index: int, chunk_s: float, speed: float) -> None:
    """An absolute schedule: no chunk's lateness delays the next, nothing is sent before it was said."""
    assert due_s(index, chunk_s, speed) * speed == pytest.approx((index + 1) * chunk_s)
    assert due_s(index + 1, chunk_s, speed) - due_s(index, chunk_s, speed) == pytest.approx(chunk_s / speed)
