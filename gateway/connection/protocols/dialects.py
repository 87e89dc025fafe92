"""core: which protocol is spoken at which address. A new one is a codec and a row here."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.connection.protocols.codec import Codec, Handshake
from gateway.connection.protocols.deepgram import Deepgram
from gateway.connection.protocols.nameless import Nameless
from gateway.connection.protocols.openai import Realtime
from gateway.connection.protocols.vosk import Vosk
from gateway.connection.protocols.whisperlive import WhisperLive

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Dialect:
    """A foreign protocol on WebSockets."""

    name: str
    """Label of the metrics."""
    codec: Callable[[Handshake], Codec]
    """Raises Rejected before the upgrade."""
    subprotocols: tuple[str, ...] = ()
    """The first of them that the client offers is answered."""
    max_message_bytes: int = 4 * MEBIBYTE
    request_id_header: str = ""
    """Of the answer to the handshake."""


DIALECTS: dict[str, Dialect] = {
    "/v1/listen": Dialect("deepgram", Deepgram, ("token", "bearer"), request_id_header="dg-request-id"),
    "/": Dialect("nameless", Nameless, subprotocols=("bearer",)),
    "/ws": Dialect("nameless", Nameless, subprotocols=("bearer",)),
    "/whisperlive": Dialect("whisperlive", WhisperLive, subprotocols=("bearer",)),
    "/vosk": Dialect("vosk", Vosk, subprotocols=("bearer",)),
    "/v1/realtime": Dialect(
        "openai_realtime", Realtime, ("realtime", "openai-beta.realtime-v1"), max_message_bytes=16 * MEBIBYTE
    ),
}
"""Route -> protocol."""
