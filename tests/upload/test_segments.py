"""A file's PCM to utterances, and answers to segments."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import DetectionSettings, TranscriptSettings
from gateway.events import SAMPLE_RATE, Hypothesis, Kind, Snapshot, UtteranceEnded, Word
from gateway.transcript.captioner import Captioner
from gateway.upload.segments import WINDOW, Assembler, Splitter, Spoken, joint
from tests.connection.speech import pcm16, silence
from tests.talking import REFERENCES


def split(pcm: bytes, sizes: list[int] | None = None) -> list[Spoken]:
    splitter, found, at = Splitter(DetectionSettings(), 80), [], 0
    for size in sizes or []:
        found += splitter.push(pcm[at : at + size])
        at += size
    found += splitter.push(pcm[at:]) + splitter.flush()
    assert splitter.duration_s == len(pcm) // 2 / SAMPLE_RATE
    return found


def said(number: int, text: str, language: str = "en", **fields: object) -> tuple[Spoken, Hypothesis]:
    """An utterance of 2 s from second 3 * number on, heard 0.3 s earlier, and the engine's answer."""
    at = 3 * number * SAMPLE_RATE
    features = np.zeros((80, 200), np.float32)
    snapshot = Snapshot(number, 1, Kind.FINAL, at - 4800, at + 32_000, 32_000, features)
    spoken = Spoken(snapshot, UtteranceEnded(number, at, at + 32_000, 1))
    answer = {"language_probability": 0.99, "average_logprob": -0.1} | fields
    return spoken, Hypothesis(9, number, 1, Kind.UPLOAD, text, language, **answer)  # type: ignore[arg-type]


def assembler(language: str | None = None) -> Assembler:
    return Assembler(Captioner(TranscriptSettings(), None, language))


def test_utterances_are_those_that_were_spoken() -> None:
    """One final each, where the speech is, in order and without overlap; nothing in advance."""
    found = split(pcm16("dialog_en.wav"))
    wanted = REFERENCES["dialog_en.wav"]["segments"]
    assert len(found) == len(wanted)
    for spoken, reference in zip(found, wanted, strict=True):
        assert spoken.snapshot.kind is Kind.FINAL
        assert abs(spoken.ended.start_samples / SAMPLE_RATE - reference["start"]) < 0.3
        assert abs(spoken.ended.end_samples / SAMPLE_RATE - reference["end"]) < 0.3
    for before, after in pairwise(found):
        assert before.snapshot.end_samples <= after.snapshot.start_samples


def test_silence_has_no_utterances() -> None:
    assert split(silence(3)) == []
    assert split(b"") == []


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.integers(0, 9999), max_size=30))
def test_how_the_bytes_are_cut_changes_nothing(sizes: list[int]) -> None:
    """Not even in the middle of a sample."""
    pcm = pcm16("en_00.wav")
    whole, pieces = split(pcm), split(pcm, sizes)
    assert [s.ended for s in whole] == [s.ended for s in pieces]
    for a, b in zip(whole, pieces, strict=True):
        assert np.allclose(a.snapshot.features, b.snapshot.features, atol=1e-4)


def test_texts_join_to_the_transcript() -> None:
    """Spaces between English, none beside Chinese; each segment brings its own."""
    made = assembler()
    texts = ["I am cold.", "Where is it?", "我好冷。", "今天", "OK."]
    languages = ["en", "en", "zh", "zh", "en"]
    segments = [
        made.add(*said(n, t, lang)) for n, (t, lang) in enumerate(zip(texts, languages, strict=True), 1)
    ]
    assert "".join(s.text for s in segments if s) == "I am cold. Where is it?我好冷。今天OK."


@pytest.mark.parametrize(
    ("before", "after", "between"),
    [
        ("", "a", ""),
        ("a.", "b", " "),
        ("好", "好", ""),
        ("好。", "OK", ""),
        ("OK", "好", ""),
        ("네", "네", " "),
    ],
)
def test_what_stands_between_two_texts(before: str, after: str, between: str) -> None:
    """Korean has spaces although its letters are wide."""
    assert joint(before, after) == between


def test_a_segment_has_the_times_of_the_speech_and_its_words_those_of_the_file() -> None:
    words = (Word(" Good", 0.3, 0.6, 0.9), Word(" night.", 0.6, 1.0, 0.9))
    segment = assembler().add(*said(2, "Good night.", words=words))
    assert segment is not None
    assert (segment.start_s, segment.end_s) == (6.0, 8.0)
    assert [(w.text, round(w.start_s, 3), round(w.end_s, 3)) for w in segment.words] == [
        ("Good", 6.0, 6.3),
        ("night.", 6.3, 6.7),
    ]


def test_what_the_guard_suppresses_is_in_no_segment() -> None:
    """As in live captions; it leaves no space behind either."""
    made = assembler()
    assert made.add(*said(1, "")) is None
    assert made.add(*said(2, "Thanks for watching!")) is None
    segment = made.add(*said(3, "Good night."))
    assert segment is not None
    assert segment.text == "Good night."


def test_chinese_is_in_the_script_of_the_gateway() -> None:
    segment = assembler().add(*said(1, "护士来了", "zh"))
    assert segment is not None
    assert segment.text == "護士來了"


def test_the_language_is_detected_once() -> None:
    """Utterances go one by one until it is certain; then several wait, and all are asked in that language."""
    made = assembler()
    assert (made.language, made.window) == (None, 1)
    made.add(*said(1, "Good night."))
    assert (made.language, made.window) == ("en", WINDOW)
    assert (assembler("zh").language, assembler("zh").window) == ("zh", WINDOW)
