"""Both ends of an OpenAI Realtime codec, for its tests: a client that keeps what it hears, and a session that
says what a session may say, without any audio."""

import base64
import json
from collections import deque
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from gateway.config import Settings
from gateway.connection import messages as m
from gateway.connection.protocols.codec import End, Handshake, Say, Step, Tell
from gateway.connection.protocols.openai import Realtime
from gateway.events import ModelInfo

CONNECTION = "11111111-2222-4333-8444-555555555555"
MODEL = ModelInfo("demo", "cpu", "int8", 80, ("en", "zh"), demo=True)
TRANSCRIPTION = "conversation.item.input_audio_transcription"
BETA = {"openai-beta": "realtime=v1"}
WIDTHS = {"pcm_s16le": 2, "mulaw": 1, "alaw": 1}


def handshake(**fields: Any) -> Handshake:
    query = {name: [value] for name, value in fields.pop("query", {"intent": "transcription"}).items()}
    return Handshake(
        CONNECTION, MODEL, fields.pop("settings", Settings()), 100.0, 1_795_435_200.0, query=query, **fields
    )


class Session:
    """What the gateway's session does with what a codec tells it, and when it says what. Audio is silence; words
    come when a test says so."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self.told: list[m.ClientMessage] = []
        self.start: m.Start | None = None
        self.position_s = 0.0
        self.candidate_s: float | None = None
        """Speech that is too short as yet to be an utterance; a flush may hear enough of it."""
        self._flushed_s = 0.0
        self._speaking = False
        self._stable = ""
        self._newest = 0
        self._waiting: deque[int] = deque()
        self._behind: list[tuple[int, m.Flushed]] = []

    @property
    def speaking(self) -> bool:
        return self._speaking

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def tell(self, message: m.ClientMessage) -> None:
        self.told.append(message)
        match message:
            case m.Start():
                assert self.start is None, "a session begins once"
                self.start = message
            case m.Audio(payload):
                assert self.start is not None
                audio = self.start.audio
                assert len(payload) % WIDTHS[audio.encoding] == 0
                self.position_s += len(payload) / WIDTHS[audio.encoding] / audio.sample_rate
            case m.Configure():
                assert self.start is not None
            case m.Flush(number):
                assert self.start is not None
                if self.candidate_s is not None:
                    self.begin()
                self.stop()
                self._flushed_s = self.position_s
                self._behind.append((self._newest, m.Flushed(number)))
                self._settle()

    def hint(self) -> None:
        """Something is heard that may yet turn out to be speech."""
        if not self._speaking and self.position_s - self._flushed_s > 0.05:
            self.candidate_s = self.position_s - 0.05

    def begin(self) -> None:
        at, self.candidate_s = self.candidate_s, None
        if self._speaking or not self.position_s:
            return
        self._speaking, self._stable = True, ""
        self._newest += 1
        self._say(
            m.Speech("started", round(max(self._flushed_s, self.position_s - 0.2 if at is None else at), 3))
        )

    def grow(self, text: str) -> None:
        """More of the open utterance is stable."""
        if self._speaking:
            self._stable += text
            self._say(m.Partial(self._newest, len(self._stable), 0.0, 1.0, self._stable, " maybe"))

    def stop(self) -> None:
        if self._speaking:
            self._speaking = False
            self._waiting.append(self._newest)
            self._say(m.Speech("stopped", round(self.position_s, 3)))

    def answer(self, text: str, language: str = "en", suppressed: str | None = None) -> None:
        """The oldest utterance that is over gets its final."""
        if self._waiting:
            k = self._waiting.popleft()
            self._say(m.Final(k, k, 0.0, 1.0, text, language, 0.9, suppressed=suppressed))
            self._settle()

    def _settle(self) -> None:
        oldest = self._waiting[0] if self._waiting else None
        while self._behind and (oldest is None or self._behind[0][0] < oldest):
            self._say(self._behind.pop(0)[1])

    def _say(self, message: m.ServerMessage) -> None:
        self._client.perform(self._client.codec.send(message))


class Client:
    """What it sent is answered; what it heard is in `heard`."""

    def __init__(self, **fields: Any) -> None:
        self.codec = Realtime(handshake(**fields))
        self.session = Session(self)
        self.heard: list[dict[str, Any]] = []
        self.ended: End | None = None
        self.perform(self.codec.open())

    def perform(self, steps: list[Step]) -> None:
        """As the shell does: what the session answers at once is said before the steps that follow."""
        for step in steps:
            match step:
                case Say(frame):
                    self.heard.append(json.loads(frame))
                case Tell(message):
                    self.session.tell(message)
                case End():
                    self.ended = step

    def send(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """An event, and what is said at once."""
        return self.send_frame(json.dumps({"type": kind, **fields}))

    def send_frame(self, frame: str | bytes, now: float = 100.0) -> list[dict[str, Any]]:
        before = len(self.heard)
        self.perform(self.codec.receive(frame, now))
        return self.heard[before:]

    def append(self, seconds: float = 1.0, width: int = 2, rate: int = 24_000) -> list[dict[str, Any]]:
        audio = base64.b64encode(bytes(width * round(seconds * rate))).decode()
        return self.send("input_audio_buffer.append", audio=audio)

    def configure(self, **fields: Any) -> list[dict[str, Any]]:
        """`session.update` with these fields of `audio.input`."""
        return self.send("session.update", session={"type": "transcription", "audio": {"input": fields}})

    def said(self, *kinds: str) -> list[str]:
        """The types of what was heard, shortened; `kinds`: of these only."""
        short = [
            e["type"].removeprefix("input_audio_buffer.").removeprefix("conversation.item.")
            for e in self.heard
        ]
        short = [s.removeprefix("input_audio_transcription.") for s in short]
        return [s for s in short if not kinds or s in kinds]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [e for e in self.heard if e["type"].endswith(kind)]


@cache
def sdk_classes() -> dict[str, tuple[type[BaseModel], ...]]:
    """Type of an event -> OpenAI's own classes of it, GA's and the beta's."""
    from openai.types.beta.realtime import realtime_server_event as beta_union
    from openai.types.realtime import realtime_server_event as union

    found: dict[str, tuple[type[BaseModel], ...]] = {}
    for members in (union.RealtimeServerEvent, beta_union.RealtimeServerEvent):
        for kind in get_args(get_args(members)[0]):
            name = get_args(kind.model_fields["type"].annotation)[0]
            found[name] = (*found.get(name, ()), kind)
    return found


def check_event(event: dict[str, Any]) -> None:
    """It is what OpenAI's own class of its type takes, strictly: nothing missing, no wrong type."""
    kind = event["type"]
    if kind == "transcription_session.created":
        kind = "transcription_session.updated"  # the SDK has no class of it
        event = event | {"type": kind}
    if kind == "transcription_session.updated":
        secret = {"value": "ek", "expires_at": 1}
        assert event["session"]["client_secret"] is None
        event = event | {"session": event["session"] | {"client_secret": secret}}
    ga, *beta = sdk_classes()[kind]
    flat = "input_audio_format" in event.get("session", {}) or kind == "conversation.item.created"
    cls = beta[0] if flat and beta else ga
    cls.model_validate_json(json.dumps(event), strict=True)


def check_conversation(events: list[dict[str, Any]]) -> None:
    """Event ids are unique; of each item: started < stopped < committed < its items < the transcript, which comes
    exactly once for each commit, in their order, and after all deltas; ids are a chain; audio never goes back."""
    assert len({e["event_id"] for e in events}) == len(events)
    committed = [e["item_id"] for e in events if e["type"].endswith("buffer.committed")]
    assert len(set(committed)) == len(committed)
    ended = [e["item_id"] for e in events if e["type"].endswith((".completed", ".failed"))]
    assert ended == committed
    for event, previous in zip(
        (e for e in events if e["type"].endswith("buffer.committed")), [None, *committed], strict=False
    ):
        assert event["previous_item_id"] == previous
    position = 0
    for id_ in committed:
        kinds = [
            e["type"].rsplit(".", 1)[-1]
            for e in events
            if (e.get("item_id") or e.get("item", {}).get("id")) == id_
        ]
        order = [k for k in kinds if k != "delta"]
        started = order[:1] == ["speech_started"]
        assert order[0] == ("speech_started" if started else "committed")
        assert [k for k in order if "speech" not in k][:-1] in (
            ["committed", "created"],
            ["committed", "added", "done"],
        )
        assert kinds[-1] in {"completed", "failed"}
        if "speech_stopped" in order:
            assert order[1] == "speech_stopped"
    for event in events:
        for name in ("audio_start_ms", "audio_end_ms"):
            if name in event:
                assert event[name] >= position
                position = event[name] if name == "audio_end_ms" else position
        if event["type"].endswith(".completed"):
            assert event["usage"]["seconds"] >= 0
