"""Stable text stays, nothing heard is lost, and little has to be corrected."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transcript.agreement import align_prefix, keys, split
from gateway.transcript.stabilizer import CLEAR_LOGPROB, Caption, Stabilizer

WORDS = st.lists(
    st.sampled_from(["I", "am", "cold.", "Cold,", "water", "3.5", "痛", "不", "要。", "ส\u0e31", '"so', "…"]),
    max_size=8,
)
TEXTS = st.one_of(
    st.lists(st.tuples(WORDS, st.sampled_from([" ", ""])).map(lambda p: p[1].join(p[0])), max_size=10),
    st.lists(st.text(max_size=20), max_size=6),
)
LOGPROBS = st.lists(st.floats(-2, 0), min_size=10, max_size=10)


def receive(*texts: str, logprob: float = 0.0) -> list[tuple[str, str]]:
    """(stable, tentative) after each of the texts."""
    stabilizer = Stabilizer()
    captions = [stabilizer.receive(i, text, logprob) for i, text in enumerate(texts, 1)]
    return [(c.stable, c.tentative) for c in captions if c]


def compared(text: str) -> list[str]:
    return keys(split(text))


@given(TEXTS, LOGPROBS)
def test_stable_text_is_never_taken_back(texts: list[str], logprobs: list[float]) -> None:
    """Whatever the hypotheses: each stable text begins with the one before, byte for byte."""
    stabilizer, before = Stabilizer(), ""
    for i, (text, logprob) in enumerate(zip(texts, logprobs, strict=False), 1):
        caption = stabilizer.receive(i, text, logprob)
        assert caption is not None
        assert caption.stable.startswith(before)
        before = caption.stable


@given(TEXTS)
def test_the_end_of_a_hypothesis_is_shown(texts: list[str]) -> None:
    """After the stable text comes all that was heard after it: nothing lost, nothing twice."""
    stabilizer, shown = Stabilizer(), []
    for i, text in enumerate(texts, 1):
        caption = stabilizer.receive(i, text)
        assert caption is not None
        done, _ = align_prefix(shown, compared(text))
        on_screen = compared(caption.stable + caption.tentative)
        assert [k for k in on_screen if any(map(str.isalnum, k))] == [
            k for k in shown + compared(text)[done:] if any(map(str.isalnum, k))
        ]
        if not shown:
            assert caption.stable + caption.tentative == text
        shown = keys(stabilizer.units)


@given(TEXTS)
def test_stable_text_ends_after_a_whole_unit(texts: list[str]) -> None:
    """Never inside a word or a number, never between a character and its mark."""
    stabilizer = Stabilizer()
    for i, text in enumerate(texts, 1):
        caption = stabilizer.receive(i, text)
        assert caption is not None
        if caption.stable and caption.tentative:
            assert not unicodedata.category(caption.tentative[0]).startswith("M") or not stabilizer.units
            apart = [
                k
                for part in (caption.stable, caption.tentative)
                for k in compared(part)
                if any(map(str.isalnum, k))
            ]
            assert apart == [
                k for k in compared(caption.stable + caption.tentative) if any(map(str.isalnum, k))
            ]


def test_two_hypotheses_agree() -> None:
    """What two in a row say is stable, but for the last word."""
    assert receive("I am", "I am cold", "I am called a", "I am called a nurse") == [
        ("", "I am"),
        ("I am", " cold"),
        ("I am", " called a"),
        ("I am called a", " nurse"),
    ]


def test_characters_agree_in_chinese() -> None:
    """A character is a unit, with Latin words between."""
    assert receive("請給我", "請給我 water", "請給我 water 好嗎？") == [
        ("", "請給我"),
        ("請給我", " water"),
        ("請給我 water", " 好嗎？"),
    ]


def test_a_doubtful_hypothesis_needs_three() -> None:
    """Whisper errs twice alike, but then its log-probability is poor."""
    texts = ["at door to", "at door to avoid", "at door to avoid a"]
    assert receive(*texts, logprob=CLEAR_LOGPROB - 0.1)[1:] == [("", texts[1]), ("at door to", " avoid a")]


def test_the_last_word_is_not_believed() -> None:
    """The same words again are no news of the last one: it may be cut."""
    assert receive("I am co", "I am co") == [("", "I am co"), ("I am", " co")]


def test_punctuation_at_the_end_stays_open() -> None:
    """A partial's full stop is often wrong; what was stable stays without it."""
    assert receive("I am cold.", "I am cold. Yes", "I am cold, yes I", "I am cold, yes I am") == [
        ("", "I am cold."),
        ("I am cold", ". Yes"),
        ("I am cold, yes", " I"),
        ("I am cold, yes I", " am"),
    ]


@pytest.mark.parametrize(
    ("later", "tentative"),
    [
        ("I was cold and tired", " and tired"),
        ("Oh I am cold and", " and"),
        ("I cold and tired", " and tired"),
        ("I am", ""),
        ("", ""),
        ("I am cold.", "."),
        ("I am called, and", ", and"),
    ],
)
def test_disagreement_with_stable_text(later: str, tentative: str) -> None:
    """Stable text stays, what follows its place in the new hypothesis is shown behind it."""
    stabilizer = Stabilizer()
    stabilizer.receive(1, "I am cold and")
    stabilizer.receive(2, "I am cold or")
    assert stabilizer.receive(3, later) == Caption("I am cold", tentative)


def test_words_do_not_run_together() -> None:
    """A space is put between stable text and a hypothesis that begins without one."""
    assert receive("痛痛痛 help me", "痛痛痛 help us", "help")[-1] == ("痛痛痛 help", "")
    stabilizer = Stabilizer()
    stabilizer.receive(1, "no water here")
    stabilizer.receive(2, "no water there")
    assert stabilizer.receive(3, "水water") == Caption("no water", "")
    assert stabilizer.receive(4, "不水help") == Caption("no water", " help")


def test_late_hypotheses_are_ignored() -> None:
    """Answers may overtake one another; an older one is no news."""
    stabilizer = Stabilizer()
    assert stabilizer.receive(2, "I am cold") is not None
    assert stabilizer.receive(1, "I") is None
    assert stabilizer.receive(2, "I am cold and") is None
    assert stabilizer.stable == ""
