"""Both ends of a codec for tests: what the client sends, what its session says, and all that comes of it."""

import json
from dataclasses import dataclass, field
from typing import Any

from gateway.config import Settings
from gateway.connection.messages import Audio, ClientMessage, Error, Final, Partial, ServerMessage, Stopped
from gateway.connection.opening import Surroundings, started
from gateway.connection.protocols.codec import Codec, End, Handshake, Say, Step, Tell
from gateway.events import ModelInfo

MODEL = ModelInfo("demo", "cpu", "int8", 80, ("en", "zh"), demo=True)
SETTINGS = Settings()
STARTED = started("name", "token", 0, Surroundings(SETTINGS, MODEL))
STOPPED = Stopped(0, 0)


def handshake(**fields: Any) -> Handshake:
    return Handshake("11111111-1111-4111-8111-111111111111", MODEL, SETTINGS, now=0.0, unix_s=0.0, **fields)


def partial(utterance: int, text: str, start: float = 0.0, end: float = 1.0, language: str = "") -> Partial:
    return Partial(utterance, 1, start, end, "", text, language)


def final(utterance: int, text: str, start: float = 0.0, end: float = 1.0, **fields: Any) -> Final:
    fields = {"language": "en", "confidence": 0.9, **fields}
    return Final(utterance, utterance, start, end, text, **fields)


@dataclass
class Wire:
    codec: Codec
    said: list[dict[str, Any]] = field(default_factory=list)
    replaceable: list[bool] = field(default_factory=list)
    """Of each thing said: a newer one may take its place."""
    told: list[ClientMessage] = field(default_factory=list)
    closed: tuple[int, str] | None = None

    def client(self, *frames: str | bytes | dict[str, Any], now: float = 0.0) -> list[dict[str, Any]]:
        """It sends these; the answers."""
        before = len(self.said)
        for frame in frames:
            self._take(self.codec.receive(json.dumps(frame) if isinstance(frame, dict) else frame, now))
        return self.said[before:]

    def session(self, *messages: ServerMessage, code: int = 1000) -> list[dict[str, Any]]:
        """It says these; what of it reaches the client. It closes after its last words."""
        before = len(self.said)
        for message in messages:
            self._take(self.codec.send(message))
            if isinstance(message, Stopped) or (isinstance(message, Error) and message.fatal):
                self._close(self.codec.close(code, "done"))
        return self.said[before:]

    def tick(self, now: float) -> list[ClientMessage]:
        before = len(self.told)
        self._take(self.codec.tick(now))
        return self.told[before:]

    @property
    def audio(self) -> bytes:
        return b"".join(message.payload for message in self.told if isinstance(message, Audio))

    def _take(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Say(frame, partial_of) if self.closed is None:
                    self.said.append(json.loads(frame))
                    self.replaceable.append(partial_of is not None)
                case Tell(message):
                    self.told.append(message)
                case End(code, reason):
                    self._close((code, reason))

    def _close(self, closing: tuple[int, str] | None) -> None:
        self.closed = self.closed or closing
