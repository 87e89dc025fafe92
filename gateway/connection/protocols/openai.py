"""core: OpenAI's Realtime API, transcription sessions: their events <=> a session of ours.

The session begins with the first audio, so that its configuration may come before; what changes later changes
it in its course. A beta client is answered in the beta's shape. The page of it is docs/openai-realtime.md.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.connection import messages as m
from gateway.connection.closing import CloseCode, standard
from gateway.connection.opening import Refused, open_stream
from gateway.connection.protocols.codec import (
    WIDTHS,
    End,
    Handshake,
    Rejected,
    Say,
    Step,
    Tell,
    WholeSamples,
)
from gateway.connection.protocols.openai_events import Event, Events, Wrong, encode
from gateway.connection.protocols.openai_items import MIN_COMMIT_S, Items
from gateway.connection.protocols.openai_session import Terms

BETA_PROTOCOL = "openai-beta.realtime-v1"
MAX_EVENT_ID_CHARS = 512
KEEP_ALIVE = 1 / 3
"""Of the time after which a silent session is closed: these clients may be silent."""
NO_FLUSH = 0
"""The id of a flush after which nothing is said."""
UNSUPPORTED = ("response.", "conversation.item.", "output_audio_buffer.")
UPDATES = {
    "session.update": "session.updated",
    "transcription_session.update": "transcription_session.updated",
}
CODES = {
    "overloaded": "rate_limit_exceeded",
    "too_many_beds": "rate_limit_exceeded",
    "too_fast": "rate_limit_exceeded",
    "idle": "session_expired",
}
"""Our own errors' names, where OpenAI has one."""
EXPIRED = "This session is as long as one may be: open another connection and go on there."


class ClientEvent(Struct):
    """Any event of a client, as far as all of them are alike."""

    type: Any = UNSET
    event_id: Any = None
    audio: Raw | UnsetType = UNSET
    session: Raw | UnsetType = UNSET


class Realtime:
    """One connection's codec."""

    def __init__(self, handshake: Handshake) -> None:
        """Raises Rejected."""
        self._bed = handshake.bed
        self._terms = Terms(handshake.settings, handshake.model, handshake.bed)
        self._config = self._terms.default(_printable(handshake.ask("model")))
        try:
            open_stream(
                self._config.start(self._bed, handshake.settings), handshake.settings, handshake.model
            )
        except Refused as no:
            raise Rejected(400, no.code, no.message) from None
        header = "realtime=v1" in handshake.headers.get("openai-beta", "")
        beta = header or BETA_PROTOCOL in handshake.subprotocols
        self._created = "session.created"
        if beta and handshake.ask("intent") == "transcription":
            self._created = "transcription_session.created"
        self._events = Events(handshake.connection, beta)
        self._items = Items(self._events)
        self._received = 0
        """Samples of audio."""
        self._arrange()
        server = handshake.settings.server
        lasts_s = server.max_session_h * 3600
        self._expires_at = int(handshake.unix_s + lasts_s)
        self._over_at = handshake.now + lasts_s
        self._ping_s = server.idle_timeout_s * KEEP_ALIVE
        self._pinged_at = handshake.now
        self._samples: WholeSamples | None = None
        """None: the session has not begun."""
        self._ending = False

    # --- the client ---

    def open(self) -> list[Step]:
        return [self._say_session(self._created)]

    def receive(self, frame: str | bytes, now: float) -> list[Step]:
        event_id = None
        try:
            event = _decode(frame)
            event_id = event.event_id if isinstance(event.event_id, str) else None
            if event_id and len(event_id) > MAX_EVENT_ID_CHARS:
                event_id = None
            return self._dispatch(event)
        except Wrong as wrong:
            return _said([self._events.error(wrong.code, wrong.message, wrong.param, event_id)])

    def tick(self, now: float) -> list[Step]:
        if self._samples is None:
            if now < self._over_at:
                return []
            expired = self._events.error("session_expired", EXPIRED)
            return [*_said([expired]), End(CloseCode.GOING_AWAY, "session_expired")]
        if now - self._pinged_at < self._ping_s:
            return []
        self._pinged_at = now
        return [Tell(m.Ping())]

    def _dispatch(self, event: ClientEvent) -> list[Step]:
        match event.type:
            case "input_audio_buffer.append":
                return self._append(_audio(event.audio))
            case "input_audio_buffer.commit":
                return self._commit()
            case "input_audio_buffer.clear":
                return self._clear()
            case "session.update" | "transcription_session.update" as kind:
                return self._update(kind, event.session)
            case str(kind) if kind.startswith(UNSUPPORTED):
                raise Wrong("unsupported_event", f"{kind[:60]!r}: this gateway only transcribes.", "type")
            case str(kind):
                raise Wrong("invalid_value", f"{kind[:60]!r} is no event of a transcription session.", "type")
        raise Wrong("missing_required_parameter", "`type`: every event has one, a string.", "type")

    def _append(self, payload: bytes) -> list[Step]:
        audio = self._config.audio
        begun: list[Step] = []
        if self._samples is None:
            self._samples = WholeSamples(audio)
            begun = [Tell(self._config.start(self._bed, self._terms.settings))]
        whole = self._samples.push(payload)
        self._received += len(whole) // WIDTHS[audio.encoding]
        return [*begun, Tell(m.Audio(whole))] if whole else begun

    def _commit(self) -> list[Step]:
        buffered_s = self._items.buffered_s(self._position_s)
        if buffered_s < MIN_COMMIT_S:
            raise Wrong(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {buffered_s * 1000:.2f}ms of audio.",
            )
        return self._commit_open()

    def _clear(self) -> list[Step]:
        cleared = _said([self._events.cleared()])
        if self._samples is None:
            return cleared
        return [*cleared, Tell(m.Flush(self._items.clear(self._position_s)))]

    def _update(self, kind: str, session: Raw | UnsetType) -> list[Step]:
        if session is UNSET:
            raise Wrong("missing_required_parameter", "`session`: what is to change.", "session")
        config = self._terms.merged(self._config, bytes(session))
        if self._samples and config.audio != self._config.audio:
            raise Wrong(
                "invalid_value",
                "The format cannot change once there was audio: open another connection.",
                "session.audio.input.format",
            )
        self._config = config
        steps: list[Step] = self._arrange()
        if self._samples:
            steps.append(Tell(m.Configure(config.start(self._bed, self._terms.settings))))
        return [*steps, self._say_session(UPDATES[kind])]

    def _arrange(self) -> list[Step]:
        """What the configuration means for the items. Another way to end turns ends the one that is open."""
        items, turns, steps = self._items, self._config.turns, list[Step]()
        if items.manual != (turns is None):
            if items.open:
                steps = self._commit_open() if items.manual else [Tell(m.Flush(NO_FLUSH))]
            items.switch(turns is None, self._position_s)
        items.pre_roll_s = turns.prefix_padding_ms / 1000 if turns else 0.0
        items.endpointing_s = self._config.endpointing_ms / 1000
        return steps

    def _commit_open(self) -> list[Step]:
        number, said = self._items.commit(self._position_s)
        return [*_said(said), Tell(m.Flush(number))]

    @property
    def _position_s(self) -> float:
        return self._received / self._config.audio.sample_rate

    # --- the session ---

    def send(self, message: m.ServerMessage) -> list[Step]:
        items = self._items
        match message:
            case m.Speech("started", at):
                return _said(items.started(at))
            case m.Speech(_, at):
                return _said(items.stopped(at, self._position_s))
            case m.Partial():
                return _said(items.partial(message))
            case m.Final():
                return _said(items.final(message))
            case m.Flushed(number):
                return _said(items.flushed(number))
            case m.Notice("session_ending"):
                self._ending = True
            case m.Error(code, text):
                return _said([self._events.error(CODES.get(code, code), text)])
            case m.Stopped():
                expired = [self._events.error("session_expired", EXPIRED)] if self._ending else []
                return _said([*items.end(self._position_s), *expired])
        return []

    def close(self, code: int, reason: str) -> tuple[int, str]:
        return (CloseCode.GOING_AWAY if code == CloseCode.RESTART else standard(code)), reason

    # --- saying ---

    def _say_session(self, kind: str) -> Step:
        flat = self._events.beta or kind.startswith("transcription_session.")
        session = self._config.said(self._events.session_id, self._expires_at, flat)
        return Say(encode(self._events.session(kind, session)))


def _said(events: list[Event]) -> list[Step]:
    return [Say(encode(event)) for event in events]


def _decode(frame: str | bytes) -> ClientEvent:
    try:
        return msgspec.json.decode(frame, type=ClientEvent)
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise Wrong("invalid_value", "An event is a text frame that holds one JSON object.") from None


def _audio(value: Raw | UnsetType) -> bytes:
    """There may be much of it: read in one go, from JSON's string to bytes."""
    if value is UNSET:
        raise Wrong("missing_required_parameter", "`audio`: the samples, in base64.", "audio")
    try:
        return msgspec.json.decode(value, type=bytes)
    except (msgspec.DecodeError, ValueError):
        raise Wrong("invalid_value", "`audio` is no base64.", "audio") from None


def _printable(text: str) -> str:
    return text[:MAX_EVENT_ID_CHARS].encode("utf-8", "replace").decode()
