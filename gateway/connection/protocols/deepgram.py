"""core: Deepgram's live protocol, /v1/listen, on a session."""

import hashlib
from enum import Enum, auto
from typing import Any

import msgspec
from msgspec import Struct, structs

from gateway.connection.closing import CloseCode, standard
from gateway.connection.messages import (
    Ack,
    Audio,
    Configure,
    Error,
    Final,
    Flush,
    Flushed,
    Partial,
    Ping,
    ServerMessage,
    Speech,
    Start,
    Stop,
    Stopped,
)
from gateway.connection.opening import Refused, open_stream
from gateway.connection.protocols.codec import WIDTHS, End, Handshake, Say, Step, Tell, WholeSamples
from gateway.connection.protocols.deepgram_query import read_query
from gateway.connection.protocols.deepgram_results import Results
from gateway.connection.protocols.deepgram_shapes import Shapes
from gateway.connection.protocols.deepgram_wave import UnreadableAudio, WaveHeader
from gateway.detection.opus import DECODED_RATE, MAX_PACKET_SAMPLES, packet_samples
from gateway.events import AudioFormat

IDLE_S = 10.0
"""A client that sends no frame for so long is closed. Pings of the WebSocket do not count."""
IDLE = End(CloseCode.INTERNAL, "NET-0001")
BAD_AUDIO = End(CloseCode.BAD_MESSAGE, "DATA-0000")
MAX_ECHO_CHARS = 1000
KEYTERM_LIMITS = ("too_many_hotwords", "prompt_too_long")
TYPES = "KeepAlive, Finalize, CloseStream, Configure"


class Control(Struct, frozen=True):
    """A text frame."""

    type: str
    keyterms: list[str] | None = None
    """Of a Configure: all of them, from now on. None: those that there are."""
    features: dict[str, Any] | None = None
    """Numerals and the like: nothing that we could change."""


class State(Enum):
    LISTENING = auto()
    CLOSING = auto()
    """CloseStream came: the last finals are waited for."""
    CLOSED = auto()
    """Metadata was said."""
    FAILED = auto()


class Deepgram:
    """One client. Raises Rejected when it asks for what cannot be served."""

    def __init__(self, handshake: Handshake) -> None:
        self._handshake = handshake
        self._asked = read_query(handshake)
        self._start: Start = self._asked.start
        self._shapes = Shapes(handshake)
        self._results = Results(self._asked, self._shapes)
        self._header = WaveHeader()
        self._whole: WholeSamples | None = None
        """None: the session has not begun, a container's header is waited for."""
        self._samples = 0
        """Of each channel, told to the session."""
        self._sha256 = hashlib.sha256()
        self._state = State.LISTENING
        self._frame_at = handshake.now
        self._received = 0
        self._hearing = False
        """The session has heard more since the last tick."""

    def open(self) -> list[Step]:
        return [] if self._asked.container else self._begin(self._start.audio)

    def receive(self, frame: str | bytes, now: float) -> list[Step]:
        if self._state is not State.LISTENING:
            return []
        self._frame_at = now
        if isinstance(frame, str):
            return self._results.advance(self._sent_s) + self._obey(frame)
        return self._hear(frame) if frame else self._close_stream()

    def send(self, message: ServerMessage) -> list[Step]:
        match message:
            case Speech():
                return self._results.speech(message)
            case Partial():
                return self._results.partial(message)
            case Final():
                return self._results.final(message)
            case Flushed(id=int(samples)):
                return self._results.flushed(self._seconds(samples))
            case Ack(received=received):
                self._hearing |= received > self._received
                self._received = received
            case Stopped() | Error(fatal=True):
                return self._results.release() + self._take_leave()
        return []

    def close(self, code: int, reason: str) -> tuple[int, str]:
        """After CloseStream 1000, whatever happened: a client would begin again at any other code."""
        if self._state in {State.CLOSING, State.CLOSED}:
            return CloseCode.DONE, ""
        self._state = State.FAILED
        match code:
            case CloseCode.BAD_MESSAGE:
                return BAD_AUDIO.code, BAD_AUDIO.reason
            case CloseCode.IDLE:
                return IDLE.code, IDLE.reason
        return standard(code), reason

    def tick(self, now: float) -> list[Step]:
        if self._hearing:  # a long frame takes its time
            self._frame_at, self._hearing = now, False
        if self._state is not State.LISTENING or now - self._frame_at < IDLE_S:
            return []
        return self._end(IDLE)

    # --- audio ---

    def _begin(self, audio: AudioFormat) -> list[Step]:
        self._start = structs.replace(self._start, audio=audio)
        self._whole = WholeSamples(audio)
        return [Tell(self._start)]

    def _hear(self, payload: bytes) -> list[Step]:
        self._sha256.update(payload)
        if self._whole:
            return self._tell(payload)
        try:
            found = self._header.push(payload)
        except UnreadableAudio:
            return self._end(BAD_AUDIO)
        return [*self._begin(found[0]), *self._tell(found[1])] if found else []

    def _tell(self, payload: bytes) -> list[Step]:
        audio = self._start.audio
        if audio.encoding == "opus":
            samples = packet_samples(payload)
            played = samples if samples <= MAX_PACKET_SAMPLES else 0
            self._samples += played * audio.sample_rate // DECODED_RATE
        elif self._whole:
            payload = self._whole.push(payload)
            self._samples += len(payload) // (WIDTHS[audio.encoding] * audio.channels)
        due = self._results.advance(self._sent_s)
        return [*due, Tell(Audio(payload))] if payload else due

    @property
    def _sent_s(self) -> float:
        return self._seconds(self._samples)

    def _seconds(self, samples: int) -> float:
        return round(samples / self._start.audio.sample_rate, 3)

    # --- what the client says ---

    def _obey(self, text: str) -> list[Step]:
        try:
            control = msgspec.json.decode(text, type=Control)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            return self._schema_error(str(error), text)
        match control.type:
            case "KeepAlive":
                return [Tell(Ping())] if self._whole else []
            case "Finalize":
                self._results.finalize()
                return [Tell(Flush(self._samples))] if self._whole else self._results.flushed(0.0)
            case "CloseStream":
                return self._close_stream()
            case "Configure":
                return self._configure(control.keyterms)
        return self._schema_error(f"`type` must be one of: {TYPES}", text)

    def _schema_error(self, why: str, text: str) -> list[Step]:
        return [Say(self._shapes.schema_error(why[:MAX_ECHO_CHARS], text[:MAX_ECHO_CHARS]))]

    def _configure(self, keyterms: list[str] | None) -> list[Step]:
        """Keyterms from the next snapshot on."""
        if keyterms is None:
            return [Say(self._shapes.configured(None))]
        start = structs.replace(self._start, hotwords=[*keyterms, *self._asked.keywords])
        try:
            open_stream(start, self._handshake.settings, self._handshake.model)
        except Refused as no:
            why = "KEYTERM_LIMIT_EXCEEDED" if no.code in KEYTERM_LIMITS else "KEYTERMS_NOT_SUPPORTED"
            return [Say(self._shapes.not_configured(f"CONFIGURE_{why}", no.message))]
        self._start = start
        told: list[Step] = [Tell(Configure(start))] if self._whole else []
        return [*told, Say(self._shapes.configured(keyterms))]

    # --- the end ---

    def _close_stream(self) -> list[Step]:
        self._state = State.CLOSING
        if self._whole:
            return [Tell(Stop())]
        return [*self._take_leave(), End(CloseCode.DONE)]

    def _take_leave(self) -> list[Step]:
        """What comes last, once."""
        if self._state is not State.CLOSING:
            return []
        self._state = State.CLOSED
        metadata = self._shapes.metadata(self._sha256.hexdigest(), self._sent_s, self._start.audio.channels)
        return [*self._results.finish(), Say(metadata)]

    def _end(self, end: End) -> list[Step]:
        self._state = State.FAILED
        return [end]
