"""Tests of hotwords and prompts that fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ServerSettings, Settings
from gateway.connection.messages import Start
from gateway.connection.opening import open_stream
from gateway.connection.protocols.wishes import fitting, one_line, prompt_of
from tests.connection.protocols.wires import MODEL


@given(st.lists(st.text(max_size=30), max_size=30), st.text(), st.integers(0, 20), st.integers(0, 100))
def test_what_fits_begins_a_session(words: list[str], prompt: str, most: int, chars: int) -> None:
    """The words are the first ones that it would take, in their order; whatever was asked for."""
    server = ServerSettings(max_hotwords=most, max_prompt_chars=chars)
    found = fitting(words, server)
    open_stream(Start(hotwords=found, prompt=prompt_of(prompt, server)), Settings(server=server), MODEL)
    assert [w for w in map(one_line, words) if w in found][: len(found)] or not found


def test_too_many_words_are_no_reason_to_refuse() -> None:
    """A grammar of a thousand phrases is cut, not answered with an error."""
    assert fitting(["a", " ", "b", "c"], ServerSettings(max_hotwords=2)) == ["a", "b"]


@pytest.mark.parametrize(
    ("prompt", "kept"),
    [("A ward.\nBed 3.", "A ward. Bed 3."), ("abcdefghijklmnop", "bcdefghijklmnop"), ("", "")],
)
def test_of_a_long_prompt_the_end_counts(prompt: str, kept: str) -> None:
    """On one line."""
    assert prompt_of(prompt, ServerSettings(max_prompt_chars=15)) == kept
