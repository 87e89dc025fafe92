"""Tests of what clients of every protocol ask for in their own words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ServerSettings
from gateway.connection.opening import SCRIPTS as KNOWN
from gateway.connection.protocols.wishes import SCRIPTS, Tongue, fitting, read_tag


@pytest.mark.parametrize(
    ("tag", "language", "script"),
    [
        (None, None, None),
        ("", None, None),
        ("en-US", "en", None),
        ("EN_gb", "en", None),
        ("zh", "zh", None),
        ("zh-TW", "zh", "twp"),
        ("zh-Hant", "zh", "twp"),
        ("zh_Hant_HK", "zh", "hk"),
        ("zh-CN", "zh", "cn"),
        ("cmn-Hans-CN", "zh", "cn"),
        ("ja-TW", "ja", None),
        ("fil", "tl", None),
    ],
)
def test_a_language_tag_names_the_language_and_the_script(
    tag: str | None, language: str | None, script: str | None
) -> None:
    """The region or script of a Chinese tag chooses how it is written; others do not matter."""
    assert read_tag(tag) == Tongue(language, script)


def test_every_script_is_one_that_a_session_knows() -> None:
    """Otherwise a tag would end the session."""
    assert set(SCRIPTS.values()) <= set(KNOWN)


@given(st.text(max_size=40))
def test_any_tag_can_be_read(tag: str) -> None:
    """Whether the model knows it is for the session to say."""
    tongue = read_tag(tag)
    assert tongue.script is None or tongue.language == "zh"


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
