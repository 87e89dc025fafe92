"""Wyoming's codec without a network: what is said in answer to what, in which order."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ServerSettings
from gateway.connection import messages as m
from gateway.connection.closing import CloseCode
from gateway.connection.opening import open_stream
from gateway.connection.protocols import wyoming
from gateway.connection.protocols.codec import End, Say, Step, Tell
from gateway.connection.protocols.wyoming import Wyoming
from gateway.connection.protocols.wyoming_info import hotwords_of, info, tongue_of
from gateway.events import AudioFormat
from tests.connection.protocols.test_wyoming_frames import packed
from tests.connection.protocols.wires import MODEL, SETTINGS, STARTED, STOPPED, final, handshake
from tests.wyoming_peer import KNOWN, Event, check_answer
from tests.wyoming_peer import info as their_info

OPENING = packed("audio-start", {"rate": 16_000, "width": 2, "channels": 1})
CHUNK = packed("audio-chunk", {"rate": 16_000, "width": 2, "channels": 1, "timestamp": None}, bytes(640))
OTHER_CHUNK = packed("audio-chunk", {"rate": 8_000, "width": 1, "channels": 2}, bytes(640))
STOP = packed("audio-stop", {"timestamp": None})


def event(frame: str) -> Event:
    """A frame of ours, read by the package's own class for it."""
    header, _, block = frame.partition("\n")
    read = Event(json.loads(header)["type"], json.loads(block) if block else {})
    assert json.loads(header).get("data_length", 0) == len(block.encode())
    KNOWN[read.type].from_event(read)
    return read


@dataclass
class Client:
    """A codec, a shell that keeps its contract, and a session whose answers the test gives."""

    codec: Wyoming = field(default_factory=lambda: Wyoming(handshake()))
    said: list[Event] = field(default_factory=list)
    told: list[m.ClientMessage] = field(default_factory=list)
    closed: tuple[int, str] | None = None
    hears: bool = True
    """The session is to be begun; False: the gateway is full."""
    session: str = "none"
    """none, listening or stopping."""

    def send(self, *frames: bytes) -> list[str]:
        """Types of what is said at once."""
        before = len(self.said)
        self._feed(b"".join(frames))
        return [event.type for event in self.said[before:]]

    def answer(self, *messages: m.ServerMessage) -> list[str]:
        """The session says this; when it has stopped, the client is read again."""
        before = len(self.said)
        for message in messages:
            self._take(self.codec.send(message))
            if isinstance(message, m.Stopped):
                self.session = "none"
                assert self.codec.close(CloseCode.DONE, "done") is None
        self._feed(b"")
        return [event.type for event in self.said[before:]]

    def sessions(self) -> list[m.Start]:
        return [message for message in self.told if isinstance(message, m.Start)]

    def _feed(self, data: bytes) -> None:
        if self.codec.pending:
            assert not data, "a shell does not read now"
            return
        self._take(self.codec.receive(data, 0.0))
        while not self.codec.hungry and not self.codec.pending:
            self._take(self.codec.receive(b"", 0.0))

    def _take(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Say(frame, None):
                    self.said.append(event(frame))
                case Tell(message):
                    self._tell(message)
                case End(code, reason):
                    self.closed = (code, reason)

    def _tell(self, message: m.ClientMessage) -> None:
        self.told.append(message)
        if isinstance(message, m.Audio | m.Stop | m.Ping) and self.hears:
            assert self.session == "listening"
        if isinstance(message, m.Stop):
            self.session = "stopping"
        if isinstance(message, m.Start):
            assert self.session == "none"
            self.session = "listening" if self.hears else "none"
            open_stream(message, SETTINGS, MODEL)
            refusal = m.Error("overloaded", "full: the most speakers are connected", fatal=True)
            self._take(self.codec.send(STARTED if self.hears else refusal))
            if not self.hears:
                assert self.codec.close(CloseCode.OVERLOADED, "overloaded") is None


def test_an_utterance_is_a_session() -> None:
    """Begun by its first audio, ended by audio-stop; its finals are chunks, then the transcript."""
    client = Client()
    assert client.send(packed("transcribe", {"language": "en-US"}), OPENING) == []
    assert client.told == []
    assert client.send(CHUNK, CHUNK) == []
    start = m.Start(AudioFormat(), "en", partials=False)
    assert client.told == [start, m.Audio(bytes(640)), m.Audio(bytes(640))]
    assert client.answer(m.Speech("started", 0.5), m.Partial(1, 1, 0, 1, "I", "")) == ["voice-started"]
    assert client.answer(m.Speech("stopped", 1.25), final(1, "I am cold.")) == [
        "voice-stopped", "transcript-start", "transcript-chunk",
    ]  # fmt: skip
    assert client.send(STOP) == []
    assert client.told[-1] == m.Stop()
    assert client.answer(final(2, "Help me.")) == ["transcript-chunk"]
    assert client.answer(STOPPED) == ["transcript", "transcript-stop"]
    assert check_answer(client.said) == {"text": "I am cold. Help me.", "language": "en"}
    assert [e.data for e in client.said[:2]] == [{"timestamp": 500}, {"timestamp": 1250}]


def test_the_next_utterance_waits_for_the_transcript() -> None:
    """A client that sends everything at once gets one answer after the other, each from its own session."""
    client = Client()
    client.send(OPENING, CHUNK, STOP, packed("ping", {"text": "a"}), OPENING, CHUNK, STOP)
    assert client.codec.pending
    assert len(client.sessions()) == 1
    first = client.answer(final(1, "One."), STOPPED)
    assert first == ["transcript-start", "transcript-chunk", "transcript", "transcript-stop", "pong"]
    assert len(client.sessions()) == 2
    client.answer(final(1, "Two."), STOPPED)
    assert not client.codec.pending
    assert [e.data["text"] for e in client.said if e.type == "transcript"] == ["One.", "Two."]


@pytest.mark.parametrize("before", [b"", OPENING, OPENING + packed("audio-chunk", {})])
def test_without_audio_the_transcript_is_empty_at_once(before: bytes) -> None:
    """No session is begun for it."""
    client = Client()
    assert client.send(before, STOP) == ["transcript-start", "transcript", "transcript-stop"]
    assert check_answer(client.said) == {"text": ""}
    assert client.told == []


def test_a_chunk_without_audio_start_says_itself_what_it_is() -> None:
    """Its format begins the session, narrowed to 16 bits and two channels."""
    client = Client()
    client.send(OTHER_CHUNK)
    assert client.told[0] == m.Start(AudioFormat("pcm_s16le", 8_000, 2), partials=False)
    assert client.told[1] == m.Audio(bytes([0, 0x80]) * 640)


def test_another_format_goes_on_in_another_session() -> None:
    """The words of both are one transcript; the audio waits until the first session has ended."""
    client = Client()
    client.send(CHUNK, OTHER_CHUNK, OTHER_CHUNK, STOP)
    assert client.told[-1] == m.Stop()
    assert len(client.sessions()) == 1
    client.answer(final(1, "One."), STOPPED)
    assert [start.audio.sample_rate for start in client.sessions()] == [16_000, 8_000]
    assert client.told[-1] == m.Stop()
    client.answer(final(1, "Two."), STOPPED)
    assert check_answer(client.said)["text"] == "One. Two."


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        (["I am cold.", "", " Help me. "], "I am cold. Help me."),
        (["我很冷。", "請幫我。"], "我很冷。請幫我。"),
        (["我很冷", "請幫我"], "我很冷請幫我"),
        (["I am cold.", "我很冷。", "OK."], "I am cold. 我很冷。OK."),
        (["추워요", "도와주세요"], "추워요 도와주세요"),
        ([], ""),
        ([""], ""),
    ],
)
def test_captions_are_joined_as_they_are_written(texts: list[str], whole: str) -> None:
    """With spaces, but not after Chinese; an empty caption is no chunk."""
    client = Client()
    client.send(CHUNK, STOP)
    client.answer(*(final(n, text) for n, text in enumerate(texts, 1)), STOPPED)
    assert check_answer(client.said)["text"] == whole


def test_a_part_that_cannot_be_decoded_is_told() -> None:
    """An error, and the transcript of the rest, which may be empty."""
    client = Client()
    client.send(CHUNK, STOP)
    failed = m.Notice("decode_failed", "...")
    client.answer(failed, final(1, "", suppressed="decode_failed"), STOPPED)
    assert client.said[0].type == "error"
    assert client.said[0].data["code"] == "decode_failed"
    assert check_answer(client.said)["text"] == ""


def test_a_full_gateway_says_so_and_stays() -> None:
    """An error at the first audio, the empty transcript at audio-stop; the next utterance is tried again."""
    client = Client(hears=False)
    assert client.send(OPENING, CHUNK, CHUNK) == ["error"]
    assert len(client.sessions()) == 1
    assert client.send(STOP) == ["transcript-start", "transcript", "transcript-stop"]
    client.hears = True
    client.send(CHUNK, STOP)
    client.answer(final(1, "Now."), STOPPED)
    assert check_answer(client.said[-4:])["text"] == "Now."


def test_an_error_in_the_middle_keeps_what_was_said() -> None:
    """No more audio is heard; the finals that still come are in the transcript."""
    client = Client()
    client.send(CHUNK)
    assert client.answer(m.Error("overloaded", "...", fatal=True)) == ["error"]
    assert client.codec.close(CloseCode.OVERLOADED, "overloaded") is None
    before = list(client.told)
    client.send(CHUNK)
    assert client.told == before
    client.send(STOP)
    client.answer(final(1, "One."), STOPPED)
    assert check_answer(client.said)["text"] == "One."


def test_a_session_that_ends_by_itself_is_followed_by_another() -> None:
    """The client notices nothing: one transcript, at audio-stop."""
    client = Client()
    client.send(CHUNK)
    assert client.answer(final(1, "One."), STOPPED) == ["transcript-start", "transcript-chunk"]
    client.send(CHUNK, STOP)
    client.answer(final(1, "Two."), STOPPED)
    assert len(client.sessions()) == 2
    assert check_answer(client.said)["text"] == "One. Two."


def test_a_transcript_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too long is given, told and closed: the client goes on with another connection."""
    monkeypatch.setattr(wyoming, "MAX_TEXT_CHARS", 10)
    client = Client()
    client.send(CHUNK)
    client.answer(final(1, "One."))
    assert client.closed is None
    client.answer(final(2, "Two.Three."))
    assert "too_long" in [e.data.get("code") for e in client.said]
    assert check_answer(client.said)["text"] == "One. Two.Three."
    assert client.closed == (1012, "too_long")
    assert client.send(CHUNK) == []


@pytest.mark.parametrize("stopped", [False, True])
def test_a_gateway_that_stops_gives_what_was_said(stopped: bool) -> None:
    """Also to a client that has not come to audio-stop, with an error; then it closes."""
    client = Client()
    client.send(CHUNK, *([STOP] if stopped else []))
    client.answer(m.Notice("going_away", "The gateway stops."), final(1, "One."))
    kinds = [e.type for e in client.said]
    assert ("error" in kinds) is not stopped
    for step in client.codec.send(STOPPED):
        assert isinstance(step, Say)
        client.said.append(event(step.frame))
    assert check_answer(client.said)["text"] == "One."
    assert client.codec.close(CloseCode.GOING_AWAY, "done") == (1001, "done")


def test_audio_that_cannot_be_read_is_an_error_and_an_empty_transcript() -> None:
    """One error, however many chunks; the next utterance is heard."""
    client = Client()
    bad = packed("audio-chunk", {"rate": 96_000, "width": 2, "channels": 1}, bytes(64))
    assert client.send(bad, bad, STOP) == ["error", "transcript-start", "transcript", "transcript-stop"]
    assert client.said[0].data["code"] == "bad_audio_format"
    client.send(CHUNK)
    assert len(client.sessions()) == 1


def test_info_is_read_by_the_package() -> None:
    """The loaded model and its languages; at any time, also while somebody speaks."""
    client = Client()
    assert client.send(packed("describe"), CHUNK, packed("describe")) == ["info", "info"]
    said = their_info.Info.from_event(client.said[0])
    [program] = said.asr
    [model] = program.models
    assert program.supports_transcript_streaming
    assert program.installed
    assert model.installed
    assert (model.name, model.languages) == ("demo", ["en", "zh"])
    assert not any([said.tts, said.handle, said.intent, said.wake, said.mic, said.snd])
    assert json.loads(json.dumps(info(MODEL))) == client.said[0].data


def test_a_ping_is_answered_and_keeps_the_session() -> None:
    """The text comes back, if it is one."""
    client = Client()
    client.send(packed("ping", {"text": "a"}), packed("ping"), packed("ping", {"text": 7}))
    assert [e.data["text"] for e in client.said] == ["a", None, None]
    assert client.told == []
    client.send(CHUNK, packed("ping"))
    assert client.told[-1] == m.Ping()


def test_what_is_unknown_is_ignored_and_what_is_broken_ends_it() -> None:
    """New events and programs pass; a header that is none closes with an error, and nothing more is read."""
    client = Client()
    assert client.send(packed("select-program", {"name": "x"}), packed("new", {"a": 1}, b"123")) == []
    assert client.send(b"GET / HTTP/1.1\r\n\r\n", CHUNK) == ["error"]
    assert client.closed == (1008, "bad_event")
    assert client.codec.hungry
    assert client.codec.receive(CHUNK, 0.0) == []


def test_a_bed_is_the_settings_not_the_clients() -> None:
    """What `transcribe` names is no bed; with a bed there are partials, for its viewers."""
    client = Client(Wyoming(handshake(bed="3A")))
    client.send(packed("transcribe", {"context": {"bed": "4B"}, "bed": "4B", "name": "tiny"}), CHUNK)
    assert client.told[0] == m.Start(AudioFormat(), bed="3A")


def test_times_are_those_of_the_client() -> None:
    """Voice events count from the first chunk's timestamp."""
    client = Client()
    client.send(packed("audio-chunk", {"timestamp": 12_000}, bytes(640)))
    client.answer(m.Speech("started", 0.04))
    assert client.said[0].data == {"timestamp": 12_040}


@pytest.mark.parametrize(
    ("tag", "language"),
    [("en", "en"), ("en-US", "en"), ("zh-TW", "zh"), ("zh_Hant", "zh"), ("cmn-Hant-TW", "zh"), ("ZH", "zh"),
     ("fr-FR", None), ("nb-NO", "no"), ("", None), (None, None), (7, None), ("auto", None)],
)  # fmt: skip
def test_languages_are_the_models(tag: object, language: str | None) -> None:
    """What it does not know is detected."""
    assert tongue_of(tag, ("en", "zh", "no")).language == language


def test_hotwords_are_as_many_as_fit() -> None:
    """Names before terms; nothing that could not be said."""
    server = ServerSettings(max_hotwords=3, max_prompt_chars=12)
    assert hotwords_of(["Ann\n", 5, ""], ["Bo", "Much too long", "Cy", "Di"], server) == ["Ann", "Bo", "Cy"]
    assert hotwords_of("Ann", None, server) == []


@given(st.lists(st.text(max_size=400), max_size=200), st.lists(st.text(max_size=9), max_size=200))
def test_hotwords_are_never_refused(names: list[str], terms: list[str]) -> None:
    """Whatever a client wishes, a session takes it."""
    client = Client()
    client.send(packed("transcribe", {"transcript_names": names, "transcript_terms": terms}), CHUNK)
    assert len(client.sessions()) == 1


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["rate", "width", "channels", "timestamp", "language", "text", "name", "transcript_names", "context"]
any_event = st.builds(
    packed,
    st.sampled_from(["describe", "transcribe", "audio-start", "audio-chunk", "audio-stop", "ping", "x"]),
    st.none() | st.dictionaries(st.sampled_from(FIELDS), json_values | st.sampled_from([1, 2, 8000, 48_000])),
    st.binary(max_size=9),
)
any_answer = st.sampled_from(
    [final(1, "One."), final(2, ""), STOPPED, m.Notice("decode_failed", "x"), m.Speech("started", 0.1),
     m.Error("overloaded", "x", fatal=True), m.Error("odd_bytes", "x", fatal=False), m.Flushed(1), m.Pong()]
)  # fmt: skip


@given(st.lists(any_event | any_answer, max_size=30), st.booleans())
def test_every_audio_stop_gets_one_transcript(happenings: list[Any], hears: bool) -> None:
    """Whatever the client sends and the session says: one transcript per audio-stop, of its chunks, in order;
    sessions are begun one at a time, and hear nothing after their end (Client looks at that)."""
    client, stops = Client(hears=hears), 0
    for happening in happenings:
        if isinstance(happening, bytes):
            if not client.codec.pending:
                stops += b'"audio-stop"' in happening
                client.send(happening)
        elif client.codec.speaking:
            client.answer(happening)
    while client.codec.pending:
        client.answer(STOPPED)
    kinds = [e.type for e in client.said]
    assert kinds.count("transcript") == stops
    said = [e for e in client.said if e.type.startswith("transcript")]
    while any(e.type == "transcript-stop" for e in said):
        end = [e.type for e in said].index("transcript-stop") + 1
        check_answer(said[:end])
        said = said[end:]
    assert client.closed is None


@given(st.lists(st.binary(max_size=60) | any_event, max_size=8))
def test_no_bytes_make_it_raise(pieces: list[bytes]) -> None:
    """Understood, ignored, or the end."""
    client = Client()
    for piece in pieces:
        if not client.codec.pending:
            client.send(piece)
