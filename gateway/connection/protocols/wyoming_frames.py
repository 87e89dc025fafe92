"""core: the framing of Wyoming: bytes in any split -> events, and events -> text.

An event is a header (JSON on one line), then `data_length` bytes of more JSON, then `payload_length` bytes.
All three are bounded before they are kept.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

MAX_HEADER_BYTES = 1 << 16
MAX_DATA_BYTES = 1 << 18
Bytes = Annotated[int, Meta(ge=0)]
T = TypeVar("T")


class Malformed(Exception):
    """What comes is no Wyoming, and nothing after it can be understood. `code` names why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Event:
    """One message of a client, whole."""

    type: str
    data: dict[str, Any]
    payload: bytes


class _Header(Struct, frozen=True):
    type: str
    data: dict[str, Any] | None = None
    data_length: Bytes | None = None
    payload_length: Bytes | None = None


class Frames:
    """What of a connection was not understood yet: at most one event's start and what was pushed last."""

    def __init__(self, max_payload_bytes: int) -> None:
        self._max_payload_bytes = max_payload_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._header: _Header | None = None

    def __repr__(self) -> str:
        return f"<Frames {len(self._buffer)} bytes, header={self._header is not None}>"

    @property
    def inside(self) -> bool:
        """An event has begun that was not taken."""
        return bool(self._buffer) or self._header is not None

    def push(self, data: bytes) -> None:
        """Bytes as they came. To be followed by take() until there is nothing."""
        self._buffer += data

    def take(self) -> Event | None:
        """The next event; None: more bytes are needed. Raises Malformed."""
        self._header = self._header or self._take_header()
        if (header := self._header) is None:
            return None
        data_bytes, payload_bytes = header.data_length or 0, header.payload_length or 0
        if len(self._buffer) < data_bytes + payload_bytes:
            return None
        block, payload = self._cut(data_bytes), self._cut(payload_bytes)
        self._header = None
        more = _decode(block, dict[str, Any]) if block else {}
        return Event(header.type, (header.data or {}) | more, payload)

    def _take_header(self) -> _Header | None:
        end = self._buffer.find(b"\n", self._searched, MAX_HEADER_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_HEADER_BYTES:
                raise Malformed("too_big", f"A header is one line of at most {MAX_HEADER_BYTES} bytes.")
            self._searched = len(self._buffer)
            return None
        self._searched = 0
        header = _decode(self._cut(end + 1), _Header)
        for size, most in (
            (header.data_length, MAX_DATA_BYTES),
            (header.payload_length, self._max_payload_bytes),
        ):
            if size and size > most:
                raise Malformed("too_big", f"{size} bytes in one event: at most {most}. Send shorter chunks.")
        return header

    def _cut(self, size: int) -> bytes:
        cut = bytes(self._buffer[:size])
        del self._buffer[:size]
        return cut


def _decode(text: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError) as error:
        why = str(error)[:200] or type(error).__name__
        raise Malformed("bad_event", f"This is no Wyoming event: {why}") from None


def encode(kind: str, data: Mapping[str, Any]) -> str:
    """An event without payload, ready to be written. What UTF-8 cannot carry becomes a question mark."""
    block = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace") if data else b""
    length = f',"data_length":{len(block)}' if block else ""
    return f'{{"type":{json.dumps(kind)}{length}}}\n{block.decode()}'
