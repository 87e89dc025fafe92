"""Tests of hotwords that fit."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ServerSettings
from gateway.connection.protocols.wishes import fitting


@given(st.lists(st.text(max_size=30), max_size=30), st.integers(0, 20), st.integers(0, 100))
def test_fitting_words_fit(words: list[str], most: int, chars: int) -> None:
    """They are the first ones that a session would take, in their order."""
    found = fitting(words, ServerSettings(max_hotwords=most, max_prompt_chars=chars))
    assert len(found) <= most
    assert len(", ".join(found)) <= chars
    assert [w for w in (w.strip() for w in words) if w in found][: len(found)] or not found


def test_too_many_words_are_no_reason_to_refuse() -> None:
    """A grammar of a thousand phrases is cut, not answered with an error."""
    assert fitting(["a", " ", "b", "c"], ServerSettings(max_hotwords=2)) == ["a", "b"]
