"""The language is locked when it is certain, not before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import Kind
from gateway.transcript.language import LanguageLock
from tests.transcript.hypotheses import heard


def lock(*heard_of: tuple[str, float, float, Kind]) -> str | None:
    """The language after hypotheses of (language, probability, seconds of speech, kind)."""
    lock = LanguageLock(None)
    for language, probability, speech_s, kind in heard_of:
        lock.receive(heard("x", kind=kind, language=language, language_probability=probability), speech_s)
    return lock.language


def test_a_named_language_stays() -> None:
    """Who names a language knows it."""
    named = LanguageLock("zh")
    named.receive(heard("x", language="en", language_probability=1.0), 20)
    assert named.language == "zh"
    assert LanguageLock("").language is None


@pytest.mark.parametrize("kind", list(Kind))
def test_one_clear_hypothesis_is_enough(kind: Kind) -> None:
    """0.9 on 1.5 s of speech."""
    assert lock(("zh", 0.9, 1.5, kind)) == "zh"
    assert lock(("zh", 0.89, 1.5, kind)) is None
    assert lock(("zh", 0.9, 1.4, kind)) is None


def test_two_likely_finals_in_a_row() -> None:
    """Two that agree, with none between that does not."""
    zh, en, weak = ("zh", 0.7, 0.5, Kind.FINAL), ("en", 0.8, 0.5, Kind.FINAL), ("zh", 0.6, 0.5, Kind.FINAL)
    assert lock(zh, zh) == "zh"
    assert lock(zh, en) is None
    assert lock(zh, en, zh) is None
    assert lock(zh, weak, zh) is None
    assert lock(zh, en, en, zh, zh) == "en"


def test_short_partials_decide_nothing() -> None:
    """Neither do they stand between two finals."""
    partial = ("en", 0.99, 0.5, Kind.PARTIAL)
    assert lock(partial, partial, partial) is None
    assert lock(("zh", 0.7, 0.5, Kind.FINAL), partial, ("zh", 0.7, 0.5, Kind.FINAL)) == "zh"


def test_failures_and_unknown_languages_decide_nothing() -> None:
    """No language in the answer, no vote."""
    lock = LanguageLock(None)
    lock.receive(heard("x", language="", language_probability=1.0), 5)
    lock.receive(heard("x", failure="decode_failed"), 5)
    assert lock.language is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["en", "zh"]), st.floats(0, 1), st.floats(0, 9), st.sampled_from(Kind))
    )
)
def test_a_lock_never_opens(votes: list[tuple[str, float, float, Kind]]) -> None:
    """Once certain, always the same."""
    lock, locked = LanguageLock(None), None
    for language, probability, speech_s, kind in votes:
        lock.receive(heard("x", kind=kind, language=language, language_probability=probability), speech_s)
        assert locked in (None, lock.language)
        locked = lock.language
