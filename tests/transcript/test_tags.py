"""Tests of language tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.opening import SCRIPTS as KNOWN
from gateway.transcript.tags import SCRIPTS, Tongue, read_tag


@pytest.mark.parametrize(
    ("tag", "language", "script"),
    [
        (None, None, None),
        ("", None, None),
        ("auto", None, None),
        ("und", None, None),
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
