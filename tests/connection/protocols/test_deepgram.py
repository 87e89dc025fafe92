"""Deepgram's live protocol without a network: what is said in answer to what, in which order."""

import hashlib
import json
from itertools import pairwise
from typing import Any

import pytest
from deepgram.listen.v1.types.listen_v1configure_failure import ListenV1ConfigureFailure
from deepgram.listen.v1.types.listen_v1configure_success import ListenV1ConfigureSuccess
from deepgram.listen.v1.types.listen_v1error import ListenV1Error
from deepgram.listen.v1.types.listen_v1metadata import ListenV1Metadata
from deepgram.listen.v1.types.listen_v1results import ListenV1Results
from deepgram.listen.v1.types.listen_v1speech_started import ListenV1SpeechStarted
from deepgram.listen.v1.types.listen_v1utterance_end import ListenV1UtteranceEnd
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Settings
from gateway.connection import messages as m
from gateway.connection.closing import CloseCode
from gateway.connection.protocols.codec import End, Handshake, Say, Step, Tell
from gateway.connection.protocols.deepgram import Deepgram
from gateway.events import AudioFormat, ModelInfo

REQUEST = "11111111-2222-4333-8444-555555555555"
MODEL = ModelInfo("demo", "cpu", "int8", 80, ("en", "zh"), demo=True)
SECOND = bytes(32_000)
TYPES = {
    "Results": ListenV1Results,
    "SpeechStarted": ListenV1SpeechStarted,
    "UtteranceEnd": ListenV1UtteranceEnd,
    "Metadata": ListenV1Metadata,
    "Error": ListenV1Error,
    "ConfigureSuccess": ListenV1ConfigureSuccess,
    "ConfigureFailure": ListenV1ConfigureFailure,
}


def handshake(bed: str | None = None, **query: Any) -> Handshake:
    """A lone value of a parameter, or a list of them; `encoding=None`: a container."""
    asked = {"encoding": "linear16", "sample_rate": "16000"} | query
    lists = {
        name: [values] if isinstance(values, str) else values for name, values in asked.items() if values
    }
    return Handshake(REQUEST, MODEL, Settings(), now=0.0, unix_s=1_795_435_200.25, bed=bed, query=lists)


def final(utterance: int, start: float, end: float, text: str = "Hello there.", **fields: Any) -> m.Final:
    return m.Final(utterance, utterance, start, end, text, "en", 0.9 if text else 0.0, **fields)


def text(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


class Client:
    """A codec, what it told its session, and what it said."""

    def __init__(self, **query: Any) -> None:
        self.codec = Deepgram(handshake(**query))
        self.told: list[m.ClientMessage] = []
        self.said: list[dict[str, Any]] = []
        self.ended: End | None = None
        self.take(self.codec.open())

    def take(self, steps: list[Step]) -> list[dict[str, Any]]:
        """What these steps say; each message is one that the SDK has a class for, with all its fields."""
        new = []
        for step in steps:
            assert self.ended is None
            match step:
                case Say(frame):
                    new.append(json.loads(frame))
                    TYPES[new[-1]["type"]].model_validate(new[-1])
                case Tell(message):
                    self.told.append(message)
                case End():
                    self.ended = step
        self.said += new
        return new

    def send(self, frame: str | bytes, now: float = 0.0) -> list[dict[str, Any]]:
        return self.take(self.codec.receive(frame, now))

    def hear(self, *messages: m.ServerMessage) -> list[dict[str, Any]]:
        return [said for message in messages for said in self.take(self.codec.send(message))]

    def kinds(self) -> list[str]:
        return [said["type"] for said in self.said]

    def results(self) -> list[dict[str, Any]]:
        return [said for said in self.said if said["type"] == "Results"]


def transcripts(said: list[dict[str, Any]]) -> list[str]:
    return [one["channel"]["alternatives"][0]["transcript"] for one in said if one["type"] == "Results"]


# --- a conversation ---


def test_a_conversation_has_deepgrams_order() -> None:
    """SpeechStarted, interim, final, UtteranceEnd; after CloseStream the rest, Metadata, 1000."""
    client = Client(interim_results="true", vad_events="true", utterance_end_ms="1000")
    audio = [SECOND, b"\x01\x00" * 16_000, SECOND, SECOND]
    client.send(audio[0])
    client.hear(m.Speech("started", 0.2), m.Partial(1, 1, 0.0, 0.9, "Hello", " the"))
    client.send(audio[1])
    client.hear(m.Speech("stopped", 1.2), final(1, 0.2, 1.2))
    for frame in audio[2:]:
        client.send(frame)
    client.send(text("CloseStream"))
    assert client.told[-1] == m.Stop()
    client.hear(m.Stopped(64_000, 1))
    assert client.codec.close(CloseCode.DONE, "done") == (1000, "")
    assert client.kinds() == [
        "SpeechStarted", "Results", "Results", "UtteranceEnd", "Results", "Metadata",
    ]  # fmt: skip
    assert client.said[0] == {"type": "SpeechStarted", "channel": [0, 1], "timestamp": 0.2}
    assert client.said[3] == {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.2}
    metadata = client.said[-1]
    assert metadata["request_id"] == REQUEST
    assert metadata["sha256"] == hashlib.sha256(b"".join(audio)).hexdigest()
    assert (metadata["created"], metadata["duration"]) == ("2026-11-23T12:00:00.250Z", 4.0)
    assert metadata["models"] == list(metadata["model_info"])


def test_a_result_has_every_field() -> None:
    """Clients index them without looking; the next one begins where the last final ended."""
    client = Client()
    client.send(SECOND)
    words = (m.TimedWord("Hello", 0.1, 0.4, 0.98), m.TimedWord(" there.", 0.5, 0.96, 0.971))
    [said] = client.hear(m.Speech("started", 0.1), m.Speech("stopped", 0.9), final(1, 0.1, 0.9, words=words))
    uuid = said["metadata"]["model_uuid"]
    assert [len(part) for part in uuid.split("-")] == [8, 4, 4, 4, 12]
    assert said == {
        "type": "Results",
        "channel_index": [0, 1],
        "start": 0.0,
        "duration": 0.96,
        "is_final": True,
        "speech_final": True,
        "from_finalize": False,
        "channel": {
            "alternatives": [
                {
                    "transcript": "Hello there.",
                    "confidence": 0.9,
                    "words": [
                        {
                            "word": "hello",
                            "start": 0.1,
                            "end": 0.4,
                            "confidence": 0.98,
                            "punctuated_word": "Hello",
                        },
                        {
                            "word": "there",
                            "start": 0.5,
                            "end": 0.96,
                            "confidence": 0.971,
                            "punctuated_word": "there.",
                        },
                    ],
                }
            ]
        },
        "metadata": {
            "request_id": REQUEST,
            "model_uuid": uuid,
            "model_info": {"name": "demo", "version": "int8", "arch": "whisper"},
        },
    }
    client.send(SECOND)
    [after] = client.hear(m.Speech("started", 1.2), final(2, 1.2, 1.6))
    assert (after["start"], after["duration"]) == (0.96, 0.64)


def test_interim_results_are_sent_only_when_asked_for() -> None:
    """They keep their start, and one of an utterance whose turn has not come is left out."""
    client = Client(interim_results="TRUE")
    client.send(SECOND)
    said = client.hear(
        m.Speech("started", 0.2),
        m.Partial(1, 1, 0.0, 0.5, "", "Hell"),
        m.Speech("stopped", 0.5),
        m.Speech("started", 0.6),
        m.Partial(2, 1, 0.6, 0.8, "And", " now"),
        final(1, 0.2, 0.5),
        m.Partial(2, 2, 0.6, 0.9, "And", " now"),
        m.Partial(2, 3, 0.6, 0.95, "", ""),
    )
    assert transcripts(said) == ["Hell", "Hello there.", "And now"]
    assert [(one["start"], one["is_final"], one["speech_final"]) for one in said] == [
        (0.0, False, False), (0.0, True, True), (0.5, False, False),
    ]  # fmt: skip
    assert said[0]["channel"]["alternatives"][0]["words"][0]["start"] == 0.2
    assert not Client().hear(m.Speech("started", 0.2), m.Partial(1, 1, 0.0, 0.5, "", "Hell"))


def test_interim_results_replace_one_another_on_the_way() -> None:
    """A slow reader gets the newest."""
    client = Client(interim_results="true")
    client.hear(m.Speech("started", 0.2))
    [step] = client.codec.send(m.Partial(1, 1, 0.0, 0.5, "", "Hell"))
    assert isinstance(step, Say)
    assert step.partial_of is not None
    [step] = client.codec.send(final(1, 0.0, 0.5))
    assert isinstance(step, Say)
    assert step.partial_of is None


def test_a_cut_is_no_pause() -> None:
    """`speech_final` says that the speaker paused; without endpointing only a Finalize makes one."""
    client = Client()
    client.send(SECOND)
    one, two, three = client.hear(
        m.Speech("started", 0.0),
        final(1, 0.0, 0.5, cut=True),
        m.Speech("started", 0.5),
        final(2, 0.5, 0.7, suppressed="repetition", text=""),
        m.Speech("started", 0.8),
        final(3, 0.8, 0.9),
    )
    assert [said["speech_final"] for said in (one, two, three)] == [False, True, True]
    assert two["channel"]["alternatives"] == [{"transcript": "", "confidence": 0.0, "words": []}]
    unbroken = Client(endpointing="false")
    unbroken.send(SECOND)
    [said] = unbroken.hear(m.Speech("started", 0.0), final(1, 0.0, 0.5))
    assert (said["is_final"], said["speech_final"]) == (True, False)


def test_a_detected_language_is_said() -> None:
    """With `language=multi`, of results and of words."""
    client = Client(language="multi", interim_results="true")
    client.send(SECOND)
    chinese = m.Final(1, 1, 0.0, 0.9, "你好。", "zh", 0.9)
    so_far = m.Partial(1, 1, 0.0, 0.9, "", "你好", "zh")
    for said in client.hear(m.Speech("started", 0.0), so_far, chinese):
        [alternative] = said["channel"]["alternatives"]
        assert alternative["languages"] == ["zh"]
        words = [(word["word"], word["language"]) for word in alternative["words"]]
        assert words == [("你", "zh"), ("好", "zh")]


def test_what_no_utf8_can_carry_does_no_harm() -> None:
    """Half a surrogate pair becomes a question mark."""
    client = Client()
    client.send(SECOND)
    [said] = client.hear(m.Speech("started", 0.0), final(1, 0.0, 0.9, "cold \ud800"))
    assert transcripts([said]) == ["cold ?"]


# --- Finalize ---


def test_finalize_with_nothing_to_say_has_an_empty_answer() -> None:
    """Exactly one: clients wait for it. It covers what was sent before."""
    client = Client()
    client.send(SECOND)
    assert not client.send(text("Finalize"))
    [flush] = client.told[-1:]
    assert isinstance(flush, m.Flush)
    [said] = client.hear(m.Flushed(flush.id))
    assert (said["from_finalize"], said["is_final"], said["speech_final"]) == (True, True, True)
    assert (said["start"], said["duration"], transcripts([said])) == (0.0, 1.0, [""])


def test_finalize_is_answered_by_the_last_final_before_it() -> None:
    """The earlier ones are ordinary, and so is what comes later."""
    client = Client()
    client.send(SECOND)
    client.hear(m.Speech("started", 0.0), m.Speech("stopped", 0.3), m.Speech("started", 0.5))
    client.send(text("Finalize"))
    client.hear(m.Speech("stopped", 1.0), final(1, 0.0, 0.3, "One."), final(2, 0.5, 1.0, "Two."))
    client.hear(m.Flushed(16_000), m.Speech("started", 1.0), final(3, 1.0, 1.1, "Three."))
    said = client.results()
    assert transcripts(said) == ["One.", "Two.", "Three."]
    assert [one["from_finalize"] for one in said] == [False, True, False]


def test_two_finalizes_have_two_answers() -> None:
    """Also when the second one finds nothing new."""
    client = Client()
    client.send(SECOND)
    client.hear(m.Speech("started", 0.0))
    client.send(text("Finalize", channel=0))
    client.send(text("Finalize"))
    client.hear(m.Speech("stopped", 1.0), final(1, 0.0, 1.0), m.Flushed(16_000), m.Flushed(16_000))
    assert transcripts(client.results()) == ["Hello there.", ""]
    assert [one["from_finalize"] for one in client.results()] == [True, True]


@pytest.mark.parametrize("end", [m.Stopped(16_000, 1), m.Error("overloaded", "Later.", fatal=True)])
def test_a_final_held_for_finalize_is_not_lost(end: m.ServerMessage) -> None:
    """A session that ends answers no flush any more."""
    client = Client()
    client.send(SECOND)
    client.hear(m.Speech("started", 0.0))
    client.send(text("Finalize"))
    assert not client.hear(final(1, 0.0, 0.9))
    assert transcripts(client.hear(end)) == ["Hello there."]


# --- UtteranceEnd ---


def test_utterance_end_counts_audio_and_not_time() -> None:
    """Once per gap, when the session has heard so much silence, and never again without a word."""
    client = Client(utterance_end_ms="1500")
    client.send(SECOND)
    client.hear(m.Speech("started", 0.1), m.Speech("stopped", 0.6), final(1, 0.1, 0.6))
    assert not client.take(client.codec.tick(9.0))
    assert not client.send(SECOND)
    assert not client.send(SECOND, now=9.0), "2.0 s are heard; the gap is 1.4 s long"
    [said] = client.send(text("KeepAlive"), now=9.5)
    assert said == {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 0.6}
    for _ in range(5):
        assert not client.send(SECOND)


def test_utterance_end_waits_for_the_final_with_the_last_word() -> None:
    """However late the final comes."""
    client = Client(utterance_end_ms="1000")
    client.send(SECOND)
    client.hear(m.Speech("started", 0.1), m.Speech("stopped", 0.6))
    for _ in range(3):
        assert not client.send(SECOND)
    assert [one["type"] for one in client.hear(final(1, 0.1, 0.6))] == ["Results", "UtteranceEnd"]


def test_new_speech_puts_utterance_end_off() -> None:
    """The gap ends where the next utterance begins; if that was no speech, the gap goes on."""
    client = Client(utterance_end_ms="1000")
    client.send(SECOND)
    client.hear(m.Speech("started", 0.1), m.Speech("stopped", 0.6), final(1, 0.1, 0.6))
    client.hear(m.Speech("started", 0.9))
    for _ in range(3):
        assert not client.send(SECOND)
    said = client.hear(m.Speech("stopped", 1.0), final(2, 0.9, 1.0, "", suppressed="noise"))
    assert [one["type"] for one in said] == ["Results", "UtteranceEnd"]
    assert said[-1]["last_word_end"] == 0.6


def test_a_gap_before_new_speech_ends_the_utterance() -> None:
    """Although the next speech has begun by the time the final is there."""
    client = Client(utterance_end_ms="1000")
    client.send(SECOND * 3)
    client.hear(m.Speech("started", 0.1), m.Speech("stopped", 0.6), m.Speech("started", 2.0))
    assert [one["type"] for one in client.hear(final(1, 0.1, 0.6))] == ["Results", "UtteranceEnd"]


# --- silence on the wire ---


def test_ten_seconds_without_a_frame_end_it() -> None:
    """1011 NET-0001. Any frame of the client starts the clock again."""
    client = Client()
    client.take(client.codec.tick(9.9))
    client.send(text("KeepAlive"), now=9.9)
    assert isinstance(client.told[-1], m.Ping)
    client.take(client.codec.tick(19.8))
    client.send(SECOND, now=19.8)
    client.take(client.codec.tick(29.7))
    assert client.ended is None
    client.take(client.codec.tick(29.8))
    assert client.ended == End(1011, "NET-0001")
    assert client.codec.receive(SECOND, 30.0) == []
    assert client.codec.tick(60.0) == []


def test_a_long_frame_takes_its_time() -> None:
    """While the session goes on hearing it, nobody is idle."""
    client = Client()
    client.send(SECOND * 60)
    for second in range(1, 40):
        client.hear(m.Ack(16_000 * second, 0))
        assert client.codec.tick(float(second)) == []
    client.hear(m.Ack(16_000 * 39, 0))
    assert client.codec.tick(48.9) == []
    assert client.codec.tick(49.0) == [End(1011, "NET-0001")]


def test_a_client_that_said_goodbye_is_not_idle() -> None:
    """It waits for its finals."""
    client = Client()
    client.send(text("CloseStream"))
    assert client.codec.tick(100.0) == []


# --- the end ---


@pytest.mark.parametrize("goodbye", [b"", text("CloseStream")])
def test_the_end_of_the_stream(goodbye: str | bytes) -> None:
    """An empty frame is the old way to say it. What comes after it is not heard."""
    client = Client()
    client.send(SECOND)
    client.hear(m.Speech("started", 0.1))
    client.send(goodbye)
    assert client.told[-1] == m.Stop()
    before = len(client.told)
    for late in (SECOND, b"", text("Finalize"), text("CloseStream"), "{"):
        assert client.send(late) == []
    assert len(client.told) == before
    said = client.hear(
        m.Speech("stopped", 1.0), final(1, 0.1, 1.0), m.Stopped(16_000, 1), m.Stopped(16_000, 1)
    )
    assert [one["type"] for one in said] == ["Results", "Metadata"]


def test_after_close_stream_it_is_always_1000() -> None:
    """Deepgram's Node SDK begins again at any other code. Metadata comes although the session failed."""
    client = Client()
    client.send(SECOND)
    client.send(text("CloseStream"))
    said = client.hear(m.Error("overloaded", "Later.", fatal=True))
    assert [one["type"] for one in said] == ["Results", "Metadata"]
    assert client.codec.close(CloseCode.OVERLOADED, "overloaded") == (1000, "")
    assert client.hear(m.Stopped(16_000, 0)) == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (CloseCode.BAD_MESSAGE, (1008, "DATA-0000")),
        (CloseCode.IDLE, (1011, "NET-0001")),
        (CloseCode.GOING_AWAY, (1001, "why")),
        (CloseCode.RESTART, (1012, "why")),
        (CloseCode.OVERLOADED, (1013, "why")),
        (CloseCode.INTERNAL, (1011, "why")),
        (CloseCode.TOO_FAST, (1013, "why")),
        (CloseCode.FORBIDDEN, (1008, "why")),
        (CloseCode.UNAUTHORIZED, (1008, "why")),
    ],
)
def test_close_codes(ours: int, theirs: tuple[int, str]) -> None:
    """Ours from 4000 on mean nothing to a Deepgram client."""
    client = Client()
    assert client.codec.close(ours, "why") == theirs
    assert client.codec.receive(SECOND, 0.0) == []


# --- text frames ---


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "hello",
        "[]",
        "{}",
        '{"type": 3}',
        text("Sing"),
        text("keepalive"),
        text("Configure", keyterms="Lin"),
        text("Configure", keyterms=[1]),
        "[" * 100_000,
        '{"type":"Configure","keyterms":["\ud800"]',
    ],
)
def test_text_that_is_not_understood(frame: str) -> None:
    """A SchemaError with the text, and the stream goes on."""
    client = Client()
    [said] = client.send(frame)
    assert (said["type"], said["variant"]) == ("Error", "SchemaError")
    assert said["description"]
    assert said["message"] == frame[:1000].replace("\ud800", "?")
    assert client.send(text("KeepAlive")) == []


def test_configure_replaces_the_keyterms() -> None:
    """All of them; `keywords` of the address stay, and so does everything else."""
    client = Client(keyterm=["Lin", "SpO2"], keywords=["Dilantin:2"], language="zh-TW")
    [start] = client.told
    assert isinstance(start, m.Start)
    assert start.hotwords == ["Lin", "SpO2", "Dilantin"]
    said = client.send(text("Configure", keyterms=["Chen"], features=None))
    assert said == [{"type": "ConfigureSuccess", "request_id": REQUEST, "keyterms": ["Chen"]}]
    [configure] = client.told[1:]
    assert isinstance(configure, m.Configure)
    assert configure.start.hotwords == ["Chen", "Dilantin"]
    assert (configure.start.language, configure.start.script) == ("zh", "twp")


def test_configure_without_keyterms_changes_nothing() -> None:
    """Features are how numbers look and the like: accepted, as everywhere."""
    client = Client(keyterm=["Lin"])
    said = client.send(text("Configure", features={"numerals": True}))
    assert said == [{"type": "ConfigureSuccess", "request_id": REQUEST}]
    assert len(client.told) == 1


@pytest.mark.parametrize(
    ("keyterms", "code"),
    [
        (["word"] * 101, "CONFIGURE_KEYTERM_LIMIT_EXCEEDED"),
        (["w" * 1001], "CONFIGURE_KEYTERM_LIMIT_EXCEEDED"),
        (["a\x00b"], "CONFIGURE_KEYTERMS_NOT_SUPPORTED"),
    ],
)
def test_keyterms_beyond_the_limits(keyterms: list[str], code: str) -> None:
    """The old ones stay."""
    client = Client(keyterm=["Lin"])
    [said] = client.send(text("Configure", keyterms=keyterms))
    assert (said["type"], said["code"], said["request_id"]) == ("ConfigureFailure", code, REQUEST)
    assert said["description"]
    assert len(client.told) == 1


# --- audio ---


@pytest.mark.parametrize(
    ("query", "frames", "audio", "duration"),
    [
        ({}, [b"abc", b"d", b"e"], [b"ab", b"cd"], 2 / 16_000),
        ({"channels": "2"}, [b"abcde", b"fgh"], [b"abcd", b"efgh"], 2 / 16_000),
        ({"encoding": "mulaw", "sample_rate": "8000"}, [b"abc"], [b"abc"], 3 / 8_000),
        ({"encoding": "linear32"}, [b"abcdef", b"gh"], [b"abcd", b"efgh"], 2 / 16_000),
        (
            {"encoding": "opus", "sample_rate": "48000"},
            [b"\x08abc", b"\x03\x3fa"],
            [b"\x08abc", b"\x03\x3fa"],
            0.02,
        ),
    ],
)
def test_audio_is_told_in_whole_samples(
    query: dict[str, str], frames: list[bytes], audio: list[bytes], duration: float
) -> None:
    """Of all channels; Opus in packets, as it comes, one of them too long to be any."""
    client = Client(**query)
    for frame in frames:
        client.send(frame)
    assert [told.payload for told in client.told if isinstance(told, m.Audio)] == audio
    client.send(b"")
    client.hear(m.Stopped(0, 0))
    assert client.said[-1]["duration"] == round(duration, 3)
    assert client.said[-1]["channels"] == int(query.get("channels", 1))


def test_without_an_encoding_the_header_begins_the_session() -> None:
    """It says how the audio is written. Before it Finalize, KeepAlive and Configure have their answers."""
    client = Client(encoding=None, sample_rate=None, language="zh")
    assert client.told == []
    client.send(text("KeepAlive"))
    assert transcripts(client.send(text("Finalize"))) == [""]
    client.send(text("Configure", keyterms=["Lin"]))
    header = bytes.fromhex(
        "52494646 ffffffff 57415645 666d7420 10000000 0700 0100 401f0000 401f0000 0100 0800 64617461 ffffffff"
    )
    client.send(header[:7])
    client.send(header[7:] + b"\x7f" * 120)
    start, audio = client.told
    assert isinstance(start, m.Start)
    assert start.audio == AudioFormat("mulaw", 8000, 1)
    assert (start.language, start.hotwords) == ("zh", ["Lin"])
    assert audio == m.Audio(b"\x7f" * 120)
    client.send(b"")
    client.hear(m.Stopped(120, 0))
    assert client.said[-1]["sha256"] == hashlib.sha256(header + b"\x7f" * 120).hexdigest()
    assert client.said[-1]["duration"] == 0.015


@pytest.mark.parametrize("first", [b"OggS" + bytes(60), b"\x1aE\xdf\xa3", bytes(2000), b"RIFF\0\0\0\0AVI "])
def test_another_container_is_refused(first: bytes) -> None:
    """1008 DATA-0000, and nothing after it is heard."""
    client = Client(encoding=None)
    client.send(first)
    assert client.ended == End(1008, "DATA-0000")
    assert client.codec.receive(b"RIFF", 0.0) == []


def test_a_stream_without_audio_ends_well() -> None:
    """Metadata of nothing, and 1000."""
    client = Client(encoding=None)
    [said] = client.send(text("CloseStream"))
    assert (said["type"], said["duration"], said["sha256"]) == ("Metadata", 0.0, hashlib.sha256().hexdigest())
    assert client.ended == End(1000)


# --- whatever comes ---

FRAMES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100),
    st.sampled_from(
        [text("KeepAlive"), text("Finalize"), text("CloseStream"), text("Configure", keyterms=["a"])]
    ),
)


@given(frames=st.lists(FRAMES, max_size=20), container=st.booleans())
def test_no_frame_of_a_client_does_harm(frames: list[str | bytes], container: bool) -> None:
    """Known messages only, whole samples only, one end."""
    client = Client(encoding=None if container else "linear16")
    for number, frame in enumerate(frames):
        client.send(frame, float(number))
        client.take(client.codec.tick(float(number)))
    for told in client.told:
        assert container or not isinstance(told, m.Audio) or len(told.payload) % 2 == 0
    starts = [told for told in client.told if isinstance(told, m.Start)]
    assert len(starts) <= 1
    assert client.told[:1] == starts


# --- results tile the stream ---


class Standin:
    """A session that is told when somebody speaks and when the engine answers."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.position = 0.0
        self.open_at: float | None = None
        self.utterances = 0
        self.waiting: list[m.Final | m.Flushed] = []

    def say(self, *messages: m.ServerMessage) -> None:
        self.client.hear(*messages)

    def audio(self) -> None:
        self.position += 0.5
        self.client.send(bytes(16_000))

    def speak(self) -> None:
        if self.open_at is None:
            self.utterances += 1
            self.open_at = self.position
            self.say(m.Speech("started", self.position))

    def partial(self) -> None:
        if self.open_at is not None:
            self.say(m.Partial(self.utterances, 1, self.open_at, self.position, "", "Hello"))

    def pause(self, cut: bool = False) -> None:
        if self.open_at is not None:
            start, self.open_at = self.open_at, None
            self.say(m.Speech("stopped", self.position))
            words = (m.TimedWord("Hello", max(0.0, start - 0.1), self.position + 0.1, 0.9),)
            worded = words if self.utterances % 2 else None
            said = final(
                self.utterances, start, self.position, f"Hello {self.utterances}.", cut=cut, words=worded
            )
            self.waiting.append(said)
            if cut:
                self.speak()

    def cut(self) -> None:
        self.pause(cut=True)

    def answer(self) -> None:
        if self.waiting:
            self.say(self.waiting.pop(0))
        while self.waiting and isinstance(self.waiting[0], m.Flushed):
            self.say(self.waiting.pop(0))

    def finalize(self) -> None:
        self.client.send(text("Finalize"))
        self.pause()
        flush = self.client.told[-1]
        assert isinstance(flush, m.Flush)
        self.waiting.append(m.Flushed(flush.id))
        if len(self.waiting) == 1:
            self.answer()

    def close(self) -> None:
        self.client.send(text("CloseStream"))
        self.pause()
        while self.waiting:
            self.answer()
        self.say(m.Stopped(int(self.position * 16_000), self.utterances))


MOVES = ("audio", "speak", "partial", "pause", "cut", "answer", "finalize")


@given(moves=st.lists(st.sampled_from(MOVES), max_size=40))
def test_finals_tile_the_stream(moves: list[str]) -> None:
    """From 0 to its end without gap or overlap, words inside and in order, nothing lost, one answer per
    Finalize, no UtteranceEnd twice without a word, Metadata last."""
    client = Client(interim_results="true", vad_events="true", utterance_end_ms="1000")
    session = Standin(client)
    for move in moves:
        getattr(session, move)()
    session.close()
    assert client.said[-1]["type"] == "Metadata"
    finals = [one for one in client.results() if one["is_final"]]
    covered = 0.0
    for result in client.results():
        assert result["start"] == covered
        assert not result["speech_final"] or result["is_final"]
        end = round(result["start"] + result["duration"], 3)
        edges = [edge for word in words_of(result) for edge in (word["start"], word["end"])]
        assert all(a <= b for a, b in pairwise([result["start"], *edges, end]))
        covered = end if result["is_final"] else covered
    assert covered == session.position == client.said[-1]["duration"]
    heard = [said for said in transcripts(finals) if said]
    assert heard == [f"Hello {n + 1}." for n in range(session.utterances)]
    assert sum(one["from_finalize"] for one in finals) == moves.count("finalize")
    check_utterance_ends(client.said)


def words_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    return list(result["channel"]["alternatives"][0]["words"])


def check_utterance_ends(said: list[dict[str, Any]]) -> None:
    last_word: float | None = None
    for one in said:
        if one["type"] == "Results" and one["is_final"] and words_of(one):
            last_word = words_of(one)[-1]["end"]
        if one["type"] == "UtteranceEnd":
            assert one["last_word_end"] == last_word
            last_word = None
