"""Rules of the WhisperLive protocol: hello, ready, lists of segments that only grow, END_OF_AUDIO."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.messages import (
    Audio,
    Error,
    Flush,
    Notice,
    Ping,
    Speech,
    Start,
    Stop,
    TimedWord,
)
from gateway.connection.protocols.whisperlive import QUIET_S, WhisperLive
from gateway.events import AudioFormat
from tests.connection.protocols.wires import SETTINGS, STARTED, STOPPED, Wire, final, handshake, partial

BROWSER = {"uid": "u", "language": "en", "task": "transcribe", "model": "small", "use_vad": True}
"""What the browser extensions send."""
PACKAGE = {
    **BROWSER, "send_last_n_segments": 10, "no_speech_thresh": 0.45, "clip_audio": False, "same_output_threshold": 10,
    "enable_translation": False, "target_language": "fr", "hotwords": None, "enable_diarization": False,
    "max_speakers": 10, "known_speakers": [], "word_timestamps": False, "initial_prompt": None,
    "vad_parameters": None,
}  # fmt: skip
FLOATS = struct.pack("<4f", 0.0, 0.5, -0.5, 1.0)


def wire(**fields: Any) -> Wire:
    """A client of this hello, before it is ready."""
    whisper = Wire(WhisperLive(handshake(bed="3A")))
    whisper.client({**BROWSER, **fields})
    return whisper


def ready(**fields: Any) -> Wire:
    whisper = wire(**fields)
    whisper.session(STARTED)
    return whisper


def lists(whisper: Wire) -> list[list[dict[str, Any]]]:
    return [message["segments"] for message in whisper.said if "segments" in message]


def began(whisper: Wire) -> Start:
    [start] = [message for message in whisper.told if isinstance(message, Start)]
    return start


# --- hello ---


@pytest.mark.parametrize("hello", [BROWSER, PACKAGE, {"uid": "u", "language": "en"}])
def test_hello_is_answered_with_ready(hello: dict[str, Any]) -> None:
    """The first message, with the backend from which the package collects; only `uid` must be there."""
    whisper = Wire(WhisperLive(handshake(bed="3A")))
    assert whisper.codec.open() == []
    assert whisper.client(hello) == []
    assert began(whisper) == Start(AudioFormat("pcm_f32le", 16_000), language="en", bed="3A")
    said = whisper.session(STARTED)
    assert said == [{"uid": "u", "message": "SERVER_READY", "backend": "faster_whisper"}]


@pytest.mark.parametrize(
    ("field", "value", "asked"),
    [
        ("language", None, {"language": None}),
        ("language", "", {"language": None}),
        ("language", "zh-TW", {"language": "zh", "script": "twp"}),
        ("language", "EN_us", {"language": "en"}),
        ("task", "translate", {"task": "translate"}),
        ("task", None, {}),
        ("model", "nobody/has-it", {}),
        ("use_vad", False, {}),
        ("hotwords", "Panadol, aspirin", {"hotwords": ["Panadol", "aspirin"]}),
        ("hotwords", ["Panadol"], {"hotwords": ["Panadol"]}),
        ("hotwords", ["a"] * 1000, {"hotwords": ["a"] * 100}),
        ("initial_prompt", "A ward.", {"prompt": "A ward."}),
        ("initial_prompt", "A ward.\nBed 3.", {"prompt": "A ward. Bed 3."}),
        ("word_timestamps", True, {"words": True}),
        ("audio_format", "int16", {"audio": AudioFormat("pcm_s16le", 16_000)}),
        ("audio_format", "uint8", {"audio": AudioFormat("pcm_s16le", 16_000)}),
        ("audio_format", "float32", {}),
        ("vad_parameters", {"threshold": 0.5}, {}),
    ],
)
def test_what_the_hello_asks_for(field: str, value: Any, asked: dict[str, Any]) -> None:
    """Each field that means something here; others are ignored."""
    plain: dict[str, Any] = {"audio": AudioFormat("pcm_f32le", 16_000), "language": "en", "bed": "3A"}
    assert began(wire(**{field: value})) == Start(**(plain | asked))


@pytest.mark.parametrize(
    ("hello", "uid"),
    [
        ({"language": "en"}, ""),
        ({"uid": None}, ""),
        ({"uid": "u" * 129}, ""),
        ({"uid": "u", "language": "ja"}, "u"),
        ({"uid": "u", "task": "sing"}, "u"),
        ({"uid": "u", "audio_format": "mp3"}, "u"),
        ({"uid": "u", "hotwords": 3}, "u"),
        ("no JSON", ""),
        ("[" * 5000, ""),
        (b"\xff\xfe", ""),
        (FLOATS, ""),
    ],
)
def test_a_bad_hello_is_an_error_and_the_end(hello: Any, uid: str) -> None:
    """In the shape that the package prints; it shows only what carries its uid."""
    whisper = Wire(WhisperLive(handshake()))
    [error] = whisper.client(hello)
    assert (error["uid"], error["status"]) == (uid, "ERROR")
    assert error["message"]
    assert whisper.closed is not None
    assert whisper.closed[0] == 1008
    assert whisper.client(BROWSER, FLOATS) == []
    assert whisper.told == []


def test_a_client_that_never_says_hello_is_closed() -> None:
    """After the time that others have for their `start`."""
    whisper = Wire(WhisperLive(handshake()))
    whisper.tick(SETTINGS.server.start_timeout_s - 1)
    assert whisper.closed is None
    whisper.tick(SETTINGS.server.start_timeout_s)
    assert whisper.closed is not None
    assert whisper.closed[0] == 1008


# --- audio ---


def test_audio_of_any_size_is_passed_on_whole() -> None:
    """Parts of a sample wait for the next frame."""
    whisper = ready()
    whisper.client(FLOATS[:3], FLOATS[3:9], FLOATS[9:], b"")
    assert whisper.audio == FLOATS
    assert all(len(m.payload) % 4 == 0 for m in whisper.told if isinstance(m, Audio))


def test_unsigned_bytes_become_samples() -> None:
    """128 is silence, 0 and 255 are the extremes."""
    whisper = ready(audio_format="uint8")
    whisper.client(bytes([128, 0, 255]))
    assert struct.unpack("<3h", whisper.audio) == (0, -32768, 32512)


@pytest.mark.parametrize("end", ["END_OF_AUDIO", b"END_OF_AUDIO"])
def test_the_end_marker_is_no_audio(end: str | bytes) -> None:
    """Though it would be three floats. Nothing is heard after it."""
    whisper = ready()
    whisper.client(FLOATS, "what is this", end, FLOATS, end)
    assert [type(message) for message in whisper.told] == [Start, Audio, Stop]


def test_the_last_segment_is_completed_before_the_close() -> None:
    """The package waits for the close after END_OF_AUDIO, and takes segments until then."""
    whisper = ready()
    whisper.client(FLOATS)
    whisper.session(partial(1, "I am col"))
    whisper.client(b"END_OF_AUDIO")
    whisper.session(final(1, "I am cold."), STOPPED)
    assert lists(whisper)[-1] == [
        {"start": "0.000", "end": "1.000", "text": " I am cold.", "completed": True}
    ]
    assert whisper.closed == (1000, "done")


def test_an_utterance_ends_when_the_audio_does() -> None:
    """A client that has played its file waits for texts and then hangs up. Once, and not while a frame that is
    long may still be on its way to the session."""
    whisper = ready()
    whisper.client(bytes(4 * 16_000 * 5), now=100.0)
    whisper.session(Speech("started", 0.2))
    whisper.tick(100.0 + 5.0 + QUIET_S - 0.01)
    assert Flush(0) not in whisper.told
    whisper.tick(100.0 + 5.0 + QUIET_S)
    whisper.tick(100.0 + 5.0 + QUIET_S + 1)
    assert whisper.told.count(Flush(0)) == 1
    whisper.session(Speech("stopped", 5.0), final(1, "one", 0.2, 5.0))
    whisper.client(FLOATS, now=200.0)
    whisper.tick(300.0)
    assert whisper.told.count(Flush(0)) == 1


# --- language ---


def test_a_language_is_told_once_before_any_segments() -> None:
    """Where the hello named none; what is heard before it is known is shown as soon as it is."""
    whisper = ready(language=None)
    assert whisper.session(partial(1, "I")) == []
    language, shown = whisper.session(partial(1, "I am", language="en"))
    assert language == {"uid": "u", "language": "en", "language_prob": 0.7}
    assert shown["segments"][0]["text"] == " I am"
    whisper.session(partial(1, "I am cold", language="zh"), final(1, "I am cold.", language="zh"))
    assert sum("language" in message for message in whisper.said) == 1


def test_a_final_tells_the_language_as_well() -> None:
    """Short utterances have no partials, or none of a likely language."""
    whisper = ready(language=None)
    whisper.session(partial(1, "No"), final(1, "No.", language="en"))
    assert [sorted(message)[0] for message in whisper.said[1:]] == ["language", "segments", "segments"]


def test_a_language_that_was_named_is_not_told() -> None:
    """The client knows it."""
    whisper = ready(language="en")
    whisper.session(partial(1, "I am", language="en"), final(1, "I am cold."))
    assert not any("language" in message for message in whisper.said)


# --- segments ---


def test_a_segment_is_open_until_it_is_completed() -> None:
    """Open ones may be replaced on their way by newer ones, completed ones may not."""
    whisper = ready()
    whisper.session(partial(1, "I am", 0.2, 0.9), partial(1, "I am", 0.2, 1.1), final(1, "I am", 0.45, 1.0))
    assert lists(whisper) == [
        [{"start": "0.200", "end": "0.900", "text": " I am", "completed": False}],
        [{"start": "0.450", "end": "1.000", "text": " I am", "completed": True}],
    ]
    assert whisper.replaceable == [False, True, False]


def test_the_last_open_text_is_the_one_that_is_completed() -> None:
    """The package keeps an open text at the end of its files that was never completed as it was."""
    whisper = ready()
    whisper.session(partial(1, "I am col"), final(1, "I am cold."), final(2, "No.", 1.0, 2.0))
    for *_, last in (segments for segments in lists(whisper) if segments[-1]["completed"]):
        opened = [s["text"] for segments in lists(whisper) for s in segments if not s["completed"]]
        assert last["text"] in opened
    assert opened[-1] == " No."


def test_two_utterances_may_be_open() -> None:
    """They are one open segment, so that no words vanish while the first waits for its final."""
    whisper = ready()
    whisper.session(partial(1, "one", 0.0, 1.0), partial(2, "two", 2.0, 3.0))
    assert lists(whisper)[-1] == [{"start": "0.000", "end": "3.000", "text": " one two", "completed": False}]
    whisper.session(final(1, "One.", 0.2, 1.2))
    assert [(s["text"], s["completed"]) for s in lists(whisper)[-1]] == [(" One.", True), (" two", False)]


def test_a_suppressed_final_is_no_segment() -> None:
    """What was shown of it goes; a list is never empty."""
    whisper = ready()
    whisper.session(partial(1, "Thank you"), final(1, "", suppressed="no_speech"))
    assert len(lists(whisper)) == 1
    whisper.session(final(2, "One.", 1.0, 2.0), partial(3, "Thanks"), final(3, "", suppressed="no_speech"))
    assert [s["text"] for s in lists(whisper)[-1]] == [" One."]


def test_lists_repeat_as_much_as_the_client_wants() -> None:
    """The last n completed ones; at least the newest, and 10 if it does not say."""
    for asked, count in ((3, 3), (0, 1), (-5, 1), (10**9, 40), (None, 10)):
        whisper = ready(send_last_n_segments=asked)
        whisper.session(*(final(k, f"w{k}", k, k + 0.5) for k in range(1, 41)))
        texts = [s["text"] for s in lists(whisper)[-1]]
        assert texts == [f" w{k}" for k in range(41 - count, 41)]


def test_words_are_told_when_wanted() -> None:
    """As the vendor's server has them."""
    word = TimedWord(" cold.", 0.5, 0.9, 0.75)
    whisper = ready(word_timestamps=True)
    whisper.session(final(1, "cold.", 0.5, 0.9, words=(word,)))
    told = {"word": " cold.", "start": 0.5, "end": 0.9, "probability": 0.75}
    assert lists(whisper)[-1][0]["words"] == [told]


# --- the gateway's side of the end ---


@pytest.mark.parametrize("is_ready", [False, True])
def test_overload_is_wait_with_minutes(is_ready: bool) -> None:
    """Then the close; the package tries again by itself if it was told to."""
    whisper = ready() if is_ready else wire()
    [said] = whisper.session(Error("overloaded", "Too much.", fatal=True), code=1013)
    assert said == {"uid": "u", "status": "WAIT", "message": 1.0}
    assert whisper.closed == (1013, "done")


def test_errors_end_it_and_warnings_do_not() -> None:
    """By their words; a decode that failed is a warning, other notices are not for this client."""
    whisper = ready()
    said = whisper.session(
        Notice("degraded_slower", "-"),
        Notice("decode_failed", "It failed."),
        Error("odd", "Odd.", fatal=False),
    )
    assert [(s["status"], s["message"]) for s in said] == [("WARNING", "It failed."), ("WARNING", "Odd.")]
    [said_last] = whisper.session(Error("not_finite", "NaN.", fatal=True), code=1008)
    assert (said_last["status"], said_last["message"]) == ("ERROR", "NaN.")
    assert whisper.closed == (1008, "done")


def test_a_session_that_is_over_is_disconnected() -> None:
    """In the protocol's words; a gateway that stops only closes, and the package may come back."""
    whisper = ready()
    assert whisper.session(Notice("session_ending", "-")) == []
    assert whisper.session(STOPPED, code=1012) == [{"uid": "u", "message": "DISCONNECT"}]
    assert whisper.closed == (1000, "done")
    stopping = ready()
    assert stopping.session(STOPPED, code=1001) == []
    assert stopping.closed == (1001, "done")


def test_a_silent_client_is_kept() -> None:
    """The package waits 15 s for texts before it says that it is done."""
    whisper = ready()
    for now in range(100, 400):
        whisper.tick(float(now))
    pings = sum(isinstance(message, Ping) for message in whisper.told)
    assert pings > 300 / (SETTINGS.server.idle_timeout_s / 2)
    whisper.client(b"END_OF_AUDIO")
    assert whisper.tick(1000.0) == []


# --- any order of everything ---

TEXT = st.text(alphabet="ab 我。", max_size=6).map(str.strip)
TIMES = st.tuples(st.integers(0, 3000), st.integers(0, 2000))
EVENT = st.tuples(st.sampled_from(["partial", "next", "final"]), TEXT, TIMES)


@given(st.lists(EVENT, max_size=40), st.booleans(), st.integers(1, 4))
def test_what_clients_rely_on(
    events: list[tuple[str, str, tuple[int, int]]], named: bool, last_n: int
) -> None:
    """Whatever the session says: the list is never empty, its completed segments never change, are in order,
    do not overlap and are all told; at most the last one is open; the package's own rule collects all."""
    whisper = ready(language="en" if named else None, send_last_n_segments=last_n)
    settled, finals = 0, []
    for kind, text, (start, length) in events:
        times = start / 1000, (start + length) / 1000
        if kind == "final":
            settled += 1
            finals.append(text)
            whisper.session(final(settled, text, *times))
        else:
            whisper.session(
                partial(settled + 1 + (kind == "next"), text, *times, language="en" if start % 2 else "")
            )
    told: dict[tuple[str, str], str] = {}
    collected: list[dict[str, Any]] = []
    for segments in lists(whisper):
        assert segments
        assert all(segment["completed"] for segment in segments[:-1])
        ends = -1.0
        for segment in segments:
            assert segment["text"][0] == " "
            assert all(len(segment[name].partition(".")[2]) == 3 for name in ("start", "end"))
            assert ends <= float(segment["start"]) < float(segment["end"])
            ends = float(segment["end"])
            if segment["completed"]:
                key = segment["start"], segment["end"]
                assert told.setdefault(key, segment["text"]) == segment["text"]
                if not collected or float(segment["start"]) >= float(collected[-1]["end"]):
                    collected.append(segment)
    assert [segment["text"] for segment in collected] == [f" {text}" for text in finals if text]
    names = [i for i, message in enumerate(whisper.said) if "language" in message]
    assert names == [] if named else names in ([], [1])
    assert names or named or not lists(whisper)


@given(st.lists(st.text(max_size=60) | st.binary(max_size=60), max_size=20), st.booleans())
def test_nothing_that_a_client_sends_raises(frames: list[str | bytes], hello: bool) -> None:
    """Any text and bytes, in any order, before and after the hello."""
    whisper = ready() if hello else Wire(WhisperLive(handshake()))
    whisper.client(*frames)
    json.dumps(whisper.said)
