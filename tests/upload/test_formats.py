"""The five response formats and the events, against what OpenAI's own classes and the formats demand."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.audio import (
    Transcription,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
    TranslationVerbose,
)

from gateway.events import Hypothesis, Kind, Word
from gateway.upload import formats
from gateway.upload.formats import Transcript
from gateway.upload.segments import Segment

CUE = re.compile(r"(\d\d):(\d\d):(\d\d)[.,](\d\d\d) --> (\d\d):(\d\d):(\d\d)[.,](\d\d\d)")


def segment(start_s: float, end_s: float, text: str, language: str = "en", logprob: float = -0.2) -> Segment:
    words = (Word(text.strip(), start_s, end_s, 0.9),)
    hypothesis = Hypothesis(1, 1, 1, Kind.UPLOAD, text, language, average_logprob=logprob)
    return Segment(start_s, end_s, text, language, words, hypothesis)


TWO = Transcript([segment(0.5, 1.25, "Hello."), segment(3723.5, 3724.0, " Bye.")], 3725.25, "transcribe")
NOTHING = Transcript([], 2.0, "transcribe")


def test_json() -> None:
    """The text, and the seconds that were decoded."""
    body = json.loads(formats.body(TWO, "json"))
    assert body == {"text": "Hello. Bye.", "usage": {"type": "duration", "seconds": 3726}}
    assert Transcription.model_validate(body, strict=True).text == "Hello. Bye."


def test_text() -> None:
    assert formats.body(TWO, "text") == "Hello. Bye.\n"
    assert formats.body(NOTHING, "text") == "\n"


def test_srt() -> None:
    assert formats.body(TWO, "srt") == (
        "1\n00:00:00,500 --> 00:00:01,250\nHello.\n\n2\n01:02:03,500 --> 01:02:04,000\nBye.\n\n"
    )
    assert formats.body(NOTHING, "srt") == ""


def test_vtt() -> None:
    assert formats.body(TWO, "vtt") == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.250\nHello.\n\n01:02:03.500 --> 01:02:04.000\nBye.\n\n"
    )
    assert formats.body(NOTHING, "vtt") == "WEBVTT\n\n"


def test_verbose_json_has_every_field_that_the_classes_insist_on() -> None:
    """Also of numbers that JSON does not have."""
    strange = Transcript([segment(0, 1, "a", logprob=float("-inf"))], 2.0, "transcribe")
    for transcript in (TWO, NOTHING, strange):
        body = json.loads(formats.body(transcript, "verbose_json", words=True))
        verbose = TranscriptionVerbose.model_validate(body, strict=True)
        assert verbose.segments is not None
        assert verbose.words is not None
        assert "".join(s.text for s in verbose.segments) == verbose.text
        TranslationVerbose.model_validate(body, strict=True)


@pytest.mark.parametrize(("segments", "words"), [(True, False), (False, True), (True, True)])
def test_verbose_json_has_what_was_asked_for(segments: bool, words: bool) -> None:
    body = json.loads(formats.body(TWO, "verbose_json", segments=segments, words=words))
    assert ("segments" in body, "words" in body) == (segments, words)


def test_the_language_is_that_of_most_of_the_speech() -> None:
    """Or the one that was named; of a translation English; of silence none."""
    mixed = [segment(0, 1, "a", "en"), segment(1, 4, "b", "zh"), segment(4, 5, "c", "en")]
    assert Transcript(mixed, 5, "transcribe").language_name == "chinese"
    assert Transcript(mixed, 5, "transcribe", "en").language_name == "english"
    assert Transcript(mixed, 5, "translate", "zh").language_name == "english"
    assert NOTHING.language_name == "unknown"


def test_events_are_data_lines_that_the_classes_read() -> None:
    """One JSON object each, then [DONE]."""
    delta, done = formats.delta(" 你好"), formats.done("a 你好")
    assert TranscriptionTextDeltaEvent.model_validate_json(delta.removeprefix("data: ")).delta == " 你好"
    event, end, rest = done.split("\n\n")
    assert TranscriptionTextDoneEvent.model_validate_json(event.removeprefix("data: ")).text == "a 你好"
    assert (end, rest) == ("data: [DONE]", "")
    assert formats.failed({"error": {"message": "m"}}).startswith('data: {"error":{"message":"m"}}\n\n')


@given(texts=st.lists(st.text(min_size=1, max_size=40), max_size=5))
def test_no_text_breaks_out_of_its_cue_or_event(texts: list[str]) -> None:
    """Line ends, arrows and tags in a text."""
    transcript = Transcript(
        [segment(2.0 * n, 2.0 * n + 1, text) for n, text in enumerate(texts)], 99, "transcribe"
    )
    for form in ("srt", "vtt"):
        body = formats.body(transcript, form)  # type: ignore[arg-type]
        assert len(CUE.findall(body)) == body.count("-->") == len(texts)
    assert "<" not in formats.body(transcript, "vtt")
    for text in texts:
        assert formats.delta(text).count("\n") == 2
        assert json.loads(formats.delta(text).removeprefix("data: "))["delta"] == text
