"""core: what a codec of somebody else's wire protocol is: their frames <=> the messages of messages.py.

One codec per connection. It is told what the client sent and what the session says, and answers with steps
for the shell (connection/foreign.py) to take, in order. It keeps no clock and draws no lots: time and the
connection's id come in, and whatever needs an id is numbered.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.config import Settings
from gateway.connection.messages import ClientMessage, ServerMessage
from gateway.events import AudioFormat, ModelInfo

WIDTHS = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1, "opus": 1}
"""Bytes of a sample."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """What is known when a client connects."""

    connection: str
    """A UUID: the request's id, and the seed of all others."""
    model: ModelInfo
    settings: Settings
    now: float
    """Monotonic seconds."""
    unix_s: float
    """The same moment, on the calendar."""
    bed: str | None = None
    """Where the captions go besides: the query's `bed`, or the only one of the key."""
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Every value of every parameter."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    subprotocols: tuple[str, ...] = ()

    def ask(self, name: str, default: str = "") -> str:
        """The last value of a query parameter."""
        return next(reversed(self.query.get(name, ())), default)


class Rejected(Exception):
    """The handshake cannot be served as asked: answered with an HTTP status before the upgrade."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Say:
    """To the client. A frame with `partial_of` replaces a waiting one of the same name (Outbox.put)."""

    frame: str
    partial_of: Hashable = None


@dataclass(frozen=True, slots=True)
class Tell:
    """To the session. A Start when the last session has ended begins another one."""

    message: ClientMessage


@dataclass(frozen=True, slots=True)
class End:
    """Close the connection after what was said; an utterance that is open still gets its final."""

    code: int
    reason: str = ""


Step = Say | Tell | End


class Codec(Protocol):
    """One connection's translator. Nothing that a client sends makes it raise."""

    def open(self) -> list[Step]:
        """The connection is there: what is said before the client speaks."""

    def receive(self, frame: str | bytes, now: float) -> list[Step]:
        """A text or binary frame of the client, whole."""

    def send(self, message: ServerMessage) -> list[Step]:
        """What the session says. An Error that is fatal is followed by `close`."""

    def close(self, code: int, reason: str) -> tuple[int, str] | None:
        """The session has ended with this code of ours (closing.py) -> the protocol's own code and reason to
        close the connection with; None: it stays open, for another session."""

    def tick(self, now: float) -> list[Step]:
        """Called a few times a second."""


class WholeSamples:
    """Cuts bytes at samples: what is left of one goes before the next bytes."""

    def __init__(self, audio: AudioFormat) -> None:
        self._block_bytes = WIDTHS[audio.encoding] * audio.channels
        self._rest = b""

    def push(self, payload: bytes) -> bytes:
        """Whole samples of all channels, in order; nothing is lost but a last part of one."""
        payload = self._rest + payload
        whole = len(payload) - len(payload) % self._block_bytes
        self._rest = payload[whole:]
        return payload[:whole]
