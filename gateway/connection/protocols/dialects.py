"""core: which protocol is spoken at which address. A new one is a codec and a row here."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.connection.protocols.codec import Codec, Handshake

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


DIALECTS: dict[str, Dialect] = {}
"""Route -> protocol."""
