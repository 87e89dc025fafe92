"""core: the native protocol v1: JSON text frames <=> the messages of messages.py.

Audio is not seen here: a binary frame is its own payload. The gateway uses decode_client and encode_server; a
client (gateway/client) uses the other two. Unknown fields are ignored, so that either side may be newer.
Nothing a peer sends raises anything but ProtocolError.
"""

import json
from typing import NoReturn, TypeVar

import msgspec
from msgspec import Struct

from gateway.connection.messages import Control, ServerMessage

T = TypeVar("T")
BAD_MESSAGE_CLOSE = 1008
"""RFC 6455: the endpoint received a message that violates its policy."""
MAX_INTEGER = 2**53
"""Above it a JSON number is not exact in a browser; no position or count comes near."""


class ProtocolError(Exception):
    """What a peer sent cannot be understood.

    `code` is the named reason of the wire's `error` message (bad_json, unknown_type, bad_message), `message`
    says it in words; when `fatal`, the connection closes with `close_code`.
    """

    def __init__(
        self, code: str, message: str, fatal: bool = True, close_code: int = BAD_MESSAGE_CLOSE
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fatal = fatal
        self.close_code = close_code


class _Typed(Struct):
    type: str


_CLIENT_TYPES = ("start", "flush", "gap", "stop", "ping")
_SERVER_TYPES = (
    "started", "ack", "speech", "partial", "final", "flushed", "notice", "error", "pong", "stopped",
)  # fmt: skip

_client_decoder: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)
_server_decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)
_type_decoder = msgspec.json.Decoder(_Typed)
_encoder = msgspec.json.Encoder()


def decode_client(text: str) -> Control:
    """One text frame of a speaker.

    Raises ProtocolError: bad_json (not JSON), unknown_type (no `type` or none we know; not fatal, so that an
    older gateway survives a newer client), bad_message (a field is missing, of a wrong type or out of range).
    """
    message = _decode(_client_decoder, text, _CLIENT_TYPES)
    number = getattr(message, "samples", getattr(message, "id", None))
    if isinstance(number, int) and abs(number) > MAX_INTEGER:
        raise ProtocolError("bad_message", "number out of range: more than 2^53")
    return message


def decode_server(text: str) -> ServerMessage:
    """One text frame of a gateway. Raises ProtocolError as decode_client does."""
    return _decode(_server_decoder, text, _SERVER_TYPES)


def encode_client(message: Control) -> str:
    """The text frame that says `message`."""
    return _encode(message)


def encode_server(message: ServerMessage) -> str:
    """The text frame that says `message`."""
    return _encode(message)


def _decode(decoder: "msgspec.json.Decoder[T]", text: str, types: tuple[str, ...]) -> T:
    try:
        try:
            return decoder.decode(text)
        except msgspec.ValidationError as error:
            _refuse(text, types, str(error))
    except msgspec.DecodeError as error:
        raise ProtocolError("bad_json", str(error)) from None
    except (RecursionError, UnicodeError, ValueError) as error:
        raise ProtocolError("bad_json", f"not acceptable JSON: {type(error).__name__}") from None


def _refuse(text: str, types: tuple[str, ...], why: str) -> NoReturn:
    """No message of ours, as far as it was read: say what is wrong. DecodeError: no JSON at all."""
    known = ", ".join(types)
    try:
        given = _type_decoder.decode(text).type
    except msgspec.ValidationError as error:
        if "Expected `object`" in str(error):
            raise ProtocolError("bad_message", f"a message is a JSON object: {error}") from None
        raise ProtocolError("unknown_type", f"`type` must be one of: {known}", fatal=False) from None
    if given not in types:
        raise ProtocolError("unknown_type", f"unknown type {given[:40]!r}; known: {known}", fatal=False)
    raise ProtocolError("bad_message", f"{given}: {why.replace('$.', '')}")


def _encode(message: Control | ServerMessage) -> str:
    try:
        return _encoder.encode(message).decode()
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot carry
        text = json.dumps(msgspec.to_builtins(message), ensure_ascii=False)
        return text.encode("utf-8", "replace").decode()
