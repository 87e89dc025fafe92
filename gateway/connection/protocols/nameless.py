"""core: an address where several protocols are spoken: `/`, where their clients can name no path.

In all of them the client speaks first, so nothing is said before that, and its first frame tells which.
"""

import msgspec

from gateway.connection.closing import standard
from gateway.connection.messages import ServerMessage
from gateway.connection.protocols.codec import Codec, End, Handshake, Step
from gateway.connection.protocols.vosk import Vosk
from gateway.connection.protocols.whisperlive import WhisperLive

BAD_MESSAGE = 1008
ADVICE = "Begin with a `uid` (WhisperLive), or a `config` or audio (Vosk)."
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Nameless:
    """Waits for the first frame, and is from then on the codec that it calls for."""

    def __init__(self, handshake: Handshake) -> None:
        self._shake = handshake
        self._codec: Codec | None = None
        self._closed = False

    @property
    def protocol(self) -> str:
        """Empty until it is known."""
        return getattr(self._codec, "protocol", "")

    def open(self) -> list[Step]:
        return []

    def receive(self, frame: str | bytes, now: float) -> list[Step]:
        self._codec = self._codec or self._choose(frame)
        return self._codec.receive(frame, now) if self._codec else self._end()

    def send(self, message: ServerMessage) -> list[Step]:
        return self._codec.send(message) if self._codec else []

    def close(self, code: int, reason: str) -> tuple[int, str] | None:
        return self._codec.close(code, reason) if self._codec else (standard(code), reason)

    def tick(self, now: float) -> list[Step]:
        if self._codec:
            return self._codec.tick(now)
        waited_s = now - self._shake.now
        return self._end() if waited_s >= self._shake.settings.server.idle_timeout_s else []

    def _end(self) -> list[Step]:
        first, self._closed = not self._closed, True
        return [End(BAD_MESSAGE, ADVICE)] if first else []

    def _choose(self, frame: str | bytes) -> Codec | None:
        if self._closed:
            return None
        if isinstance(frame, bytes):
            return Vosk(self._shake)
        try:
            named = _decoder.decode(frame).keys()
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            return None
        if "uid" in named:
            return WhisperLive(self._shake)
        return Vosk(self._shake) if named & {"config", "eof", "reset"} else None
