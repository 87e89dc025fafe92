"""Comparing gateways: what a client of each protocol reads, how long it waited, what a server holds."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measures import Errors, units
from benchmarks.peers.report import ratio
from benchmarks.peers.waits import (
    Heard,
    Level,
    Run,
    Text,
    Wait,
    Waits,
    capacity,
    next_try,
    summed,
    waits_for,
)
from benchmarks.peers.wires import Native, WhisperLive, WhisperLiveKit, Wire
from gateway.connection.messages import Error, Final, Partial, ServerMessage
from gateway.connection.protocols.native import encode_server
from gateway.events import SAMPLE_RATE
from gateway.loadtest.schedule import Placed, Plan, Sentence, Turn

MOST = 300
FINAL = Level("final", True, 1.0, 1.5)
SHOWN = Level("shown", False, 1.0, 1.5)


def turn(text: str, start_s: float = 0.5, end_s: float = 2.0) -> Turn:
    sentence = Sentence(round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE), text)
    return Turn(bytes(2 * 3 * SAMPLE_RATE), "en", (sentence,))


def seconds_for(texts: list[Text], *said: str, patience_s: float = 5.0) -> list[float]:
    """Each sentence is spoken from 0.5 to 2.0 s of its ten."""
    turns = [turn(text) for text in said]
    placed = tuple(Placed(n, 10 * n * SAMPLE_RATE) for n in range(len(turns)))
    heard = Heard(Plan(0, "en", 0.0, placed, 10 * len(turns) * SAMPLE_RATE))
    return [wait.seconds for wait in waits_for(heard, texts, turns, patience_s, units)]


def waits(p95_s: float = 0.9, p99_s: float = 1.2, sentences: int = 100, missed: int = 0) -> Waits:
    return Waits(sentences, missed, 0.0, 0.5, p95_s, p99_s)


def run(shown: Waits, final: Waits | None = None) -> Run:
    return Run(8, 30.0, shown, final or shown, {}, 1.0, 0.5, 0.1, 0.0, 200.0)


# --- what a reader sees ---


def read(wire: Wire, *messages: str) -> list[tuple[str, str]]:
    """(final, shown) after each message, blanks evened out."""
    seen = []
    for message in messages:
        wire.receive(message)
        seen.append((" ".join(wire.final.split()), " ".join(wire.shown.split())))
    return seen


def native(message: ServerMessage) -> str:
    return encode_server(message)


def segments(*texts: str, last_open: bool) -> str:
    ends = [True] * (len(texts) - 1) + [not last_open]
    said = [{"start": "0", "end": "1", "text": t, "completed": c} for t, c in zip(texts, ends, strict=True)]
    return json.dumps({"uid": "u", "segments": said})


def test_partials_of_the_native_protocol_are_shown_after_the_finals() -> None:
    """Until the final replaces them."""
    assert read(
        Native("en"),
        native(Final(1, 1, 0, 1, "One.", "en", 1)),
        native(Partial(2, 1, 1, 2, "two ", "three")),
        native(Final(2, 2, 1, 2, "Two three.", "en", 1)),
    ) == [("One.", "One."), ("One.", "One. two three"), ("One. Two three.", "One. Two three.")]


def test_open_segments_of_whisperlive_are_shown_only() -> None:
    assert read(
        WhisperLive("en"), segments(" One", " two", last_open=True), segments(" One", " two", last_open=False)
    ) == [("One", "One two"), ("One two", "One two")]


def test_what_whisperlivekit_has_not_committed_is_shown_only() -> None:
    message = {"status": "active_transcription", "lines": [{"text": "One"}, {"text": None}]}
    assert read(WhisperLiveKit("en"), json.dumps(message | {"buffer_transcription": "two"})) == [
        ("One", "One two")
    ]


@pytest.mark.parametrize(
    ("wire", "ready"),
    [
        (WhisperLive("en"), '{"uid": "u", "message": "SERVER_READY", "backend": "faster_whisper"}'),
        (WhisperLiveKit("en"), '{"type": "config", "useAudioWorklet": true}'),
    ],
)
def test_audio_waits_for_the_server(wire: Wire, ready: str) -> None:
    assert not wire.ready
    wire.receive(ready)
    assert wire.ready
    assert not wire.fault


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (Native("en"), native(Error("overloaded", "no", True))),
        (WhisperLive("en"), '{"uid": "u", "status": "WAIT", "message": 2.5}'),
        (WhisperLive("en"), '{"uid": "u", "message": "DISCONNECT"}'),
        (WhisperLiveKit("en"), '{"type": "error", "error": "no such language"}'),
    ],
)
def test_a_refusal_is_a_fault(wire: Wire, message: str) -> None:
    wire.receive(message)
    assert wire.fault


def test_everybody_gets_the_same_sound() -> None:
    """WhisperLive as floats."""
    pcm = bytes([0, 0, 0, 64, 0, 128])
    assert Native("en").audio(pcm) == WhisperLiveKit("en").audio(pcm) == pcm
    assert WhisperLive("en").audio(pcm) == b"\0\0\0\0" + b"\0\0\0?" + b"\0\0\x80\xbf"


# --- how long he waits ---


def test_a_sentence_is_complete_when_a_fifth_of_its_words_are_wrong_at_most() -> None:
    """Counted from the end of speech, from the first text that has it, wherever in the text."""
    texts = [
        (1.5, "my father"),
        (2.25, "My father has"),
        (2.5, "well my farther has been there twice"),
    ]
    assert seconds_for(texts, "My father has been there") == [0.5]


def test_it_may_be_complete_before_the_speaker_has_ended() -> None:
    """He draws breath, or the server guesses."""
    assert seconds_for([(1.75, "I am cold.")], "I am cold.") == [-0.25]


def test_what_was_read_before_it_was_spoken_does_not_count() -> None:
    """The same words of before, or of another sentence."""
    texts = [(2.5, "I am cold."), (13.0, "I am cold. I am cold.")]
    assert seconds_for(texts, "I am cold.", "I am cold.") == [0.5, 1.0]
    assert math.isnan(seconds_for([(0.25, "I am cold.")], "I am cold.")[0])


def test_too_late_is_never() -> None:
    [late, never] = seconds_for([(7.5, "I am cold.")], "I am cold.", "You are hot.")
    assert math.isnan(late)
    assert math.isnan(never)


def test_missed_sentences_are_counted_and_have_no_wait() -> None:
    total = summed([Wait(0.5, Errors(0, 5)), Wait(math.nan, Errors(5, 5))])
    assert (total.sentences, total.missed, total.error_percent, total.p95_s) == (2, 1, 50.0, 0.5)


# --- what a server holds ---


def test_each_level_looks_at_its_own_text() -> None:
    fast, slow = waits(), waits(p95_s=1.1)
    assert SHOWN.held_by(run(fast, slow), run(fast, slow))
    assert not FINAL.held_by(run(fast, slow), run(fast, slow))


@pytest.mark.parametrize("broken", [waits(p95_s=1.1), waits(p99_s=1.6), waits(p95_s=math.nan)])
def test_a_level_breaks_by_either_percentile_or_for_want_of_any(broken: Waits) -> None:
    assert not SHOWN.held_by(run(broken), run(waits()))


def test_a_level_breaks_by_any_fault() -> None:
    assert not SHOWN.held_by(replace(run(waits()), faults={"WAIT 2.5": 1}), run(waits()))


@pytest.mark.parametrize(("missed", "holds"), [(30, True), (31, False)])
def test_a_level_breaks_when_more_is_missed_than_without_load(missed: int, holds: bool) -> None:
    """A fifth is misheard without load; a tenth more is allowed."""
    alone = run(waits(sentences=10, missed=2))
    assert SHOWN.held_by(run(waits(missed=missed)), alone) is holds


def test_one_sentence_may_always_be_missed() -> None:
    alone = run(waits())
    assert SHOWN.held_by(run(waits(sentences=4, missed=1)), alone)
    assert not SHOWN.held_by(run(waits(sentences=4, missed=2)), alone)


@given(st.integers(0, MOST), st.integers(1, MOST), st.sampled_from([0.05, 0.1, 0.5, 1.0]))
def test_the_search_finds_what_is_held(limit: int, first: int, precision: float) -> None:
    """Never more than is held, and less by no more than the precision; nothing is tried twice."""
    held: dict[int, bool] = {}
    while (number := next_try(held, first, MOST, precision)) is not None:
        assert 1 <= number <= MOST
        assert number not in held
        held[number] = number <= limit
    found = capacity(held)
    assert found <= limit <= found + max(1, precision * found)


def test_a_number_above_one_that_broke_does_not_count() -> None:
    assert capacity({1: True, 2: True, 4: False, 8: True}) == 2
    assert capacity({1: False, 2: True}) == 0


@pytest.mark.parametrize(("ours", "theirs", "text"), [(40, 4, "10.0×"), (40, 0, "40 : 0"), (0, 0, "—")])
def test_a_server_that_holds_nobody_has_no_ratio(ours: int, theirs: int, text: str) -> None:
    assert ratio(ours, theirs) == text
