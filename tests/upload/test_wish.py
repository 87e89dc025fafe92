"""The fields of the form."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.tokens import _LANGUAGE_CODES
from gateway.upload import wish
from gateway.upload.failure import UploadFailed
from gateway.upload.languages import NAMES, code_of, name_of
from gateway.upload.wish import Wish

NAMES_OF_FIELDS = [
    "model",
    "language",
    "prompt",
    "response_format",
    "temperature",
    "timestamp_granularities",
    "stream",
    "x",
]


def read(**fields: str | list[str]) -> Wish:
    values = {name: [value] if isinstance(value, str) else value for name, value in fields.items()}
    return wish.read({"model": ["whisper-1"]} | values, "transcribe", 100)


def test_what_openai_does_when_nothing_is_said() -> None:
    assert read() == Wish("transcribe")


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"response_format": "srt"}, {"format": "srt"}),
        ({"language": "zh-TW"}, {"language": "zh", "script": "twp"}),
        ({"language": "zh-CN"}, {"language": "zh", "script": "cn"}),
        ({"language": "Chinese"}, {"language": "zh"}),
        ({"language": "English"}, {"language": "en"}),
        ({"prompt": "one\n two"}, {"prompt": "one two"}),
        ({"prompt": "x" * 50 + "y" * 100}, {"prompt": "y" * 100}),
        ({"keywords": ["Tan", "Lim"]}, {"hotwords": ("Tan", "Lim")}),
        ({"stream": "true"}, {"stream": True}),
        ({"stream": "False"}, {"stream": False}),
        ({"temperature": "0.4"}, {"temperature": 0.4}),
        ({"unknown": "x", "include": "logprobs", "chunking_strategy": "auto"}, {}),
        ({"timestamp_granularities": "word"}, {"segments": False}),
        (
            {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]},
            {"format": "verbose_json", "words": True},
        ),
        (
            {"response_format": "verbose_json", "timestamp_granularities": "segment"},
            {"format": "verbose_json"},
        ),
    ],
)
def test_fields_are_read(fields: dict[str, str], wanted: dict[str, object]) -> None:
    """And those that nobody knows are passed over."""
    assert read(**fields) == Wish(**{"task": "transcribe"} | wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", ""),
        ("response_format", "diarized_json"),
        ("response_format", "xml"),
        ("temperature", "hot"),
        ("temperature", "2"),
        ("temperature", "-0.1"),
        ("temperature", "nan"),
        ("timestamp_granularities", "sentence"),
        ("stream", "maybe"),
    ],
)
def test_a_field_that_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(UploadFailed) as no:
        read(**{name: value})
    assert (no.value.status, no.value.param) == (400, name)


@given(st.dictionaries(st.sampled_from(NAMES_OF_FIELDS), st.lists(st.text(max_size=20), max_size=3)))
def test_no_form_raises_anything_else(fields: dict[str, list[str]]) -> None:
    with contextlib.suppress(UploadFailed):
        wish.read(fields, "translate", 10)


def test_every_language_of_whisper_has_its_name() -> None:
    """Whoever reads a language and sends it back gets the same one."""
    assert set(NAMES) == set(_LANGUAGE_CODES)
    for code in NAMES:
        assert code_of(name_of(code)) == code_of(code.upper()) == code
