"""The words of a final read as its text and keep their times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import Word
from gateway.transcript.script import Script
from gateway.transcript.words import retime


def timed(*texts: str) -> tuple[Word, ...]:
    """One second each."""
    return tuple(Word(text, float(i), float(i + 1), 0.5) for i, text in enumerate(texts))


def times(words: tuple[Word, ...]) -> list[tuple[str, float, float]]:
    return [(w.text, w.start_s, w.end_s) for w in words]


def test_unchanged_words_keep_their_times() -> None:
    """But for the space at the beginning."""
    assert times(retime(timed(" I", " am", " cold."), "I am cold.")) == [
        ("I", 0, 1),
        (" am", 1, 2),
        (" cold.", 2, 3),
    ]


def test_converted_one_for_one() -> None:
    """Characters of another script keep the time of the one they replace."""
    assert times(retime(timed("里", "面", "很", "热。"), "裡面很熱。")) == [
        ("裡", 0, 1),
        ("面", 1, 2),
        ("很", 2, 3),
        ("熱。", 3, 4),
    ]


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        (("用", "激", "光"), "用雷射", [("用", 0, 1), ("雷", 1, 2), ("射", 2, 3)]),
        (("a", " b"), "a x y b", [("a", 0, 1), (" x", 1, 1), (" y", 1, 1), (" b", 1, 2)]),
        (("a", " b"), "x a b", [("x", 0, 0), (" a", 0, 1), (" b", 1, 2)]),
        (("a", " b", " c"), "a c", [("a", 0, 1), (" c", 2, 3)]),
        (("点滴", "没了"), "點滴沒了", [("點", 0, 0.5), ("滴", 0.5, 1), ("沒", 1, 1.5), ("了", 1.5, 2)]),
        (("博客",), "部落格", [("部", 0, 1 / 3), ("落", 1 / 3, 2 / 3), ("格", 2 / 3, 1)]),
    ],
)
def test_another_number_of_units(
    words: tuple[str, ...], text: str, expected: list[tuple[str, float, float]]
) -> None:
    """A changed stretch shares its time; what only the text has takes none."""
    result = times(retime(timed(*words), text))
    assert [t for t, _, _ in result] == [t for t, _, _ in expected]
    assert [x for _, *pair in result for x in pair] == pytest.approx(
        [x for _, *pair in expected for x in pair]
    )


def test_no_words_no_times() -> None:
    """Words were not asked for."""
    assert retime((), "I am cold.") == ()


@given(st.lists(st.text("里面很热鼠标软件a b.", min_size=1, max_size=4), min_size=1, max_size=8))
def test_words_join_to_the_text_in_order(texts: list[str]) -> None:
    """Whatever the conversion does: nothing lost, and time does not run backwards."""
    words = timed(*texts)
    text = Script("twp").convert(" ".join("".join(texts).split()))
    result = retime(words, text)
    assert "".join(w.text for w in result) == text
    starts = [w.start_s for w in result]
    assert starts == sorted(starts)
    assert all(0 <= w.start_s <= w.end_s <= len(texts) for w in result)
