"""A WebSocket client that may do everything wrong: frames are built and read by hand (RFC 6455 section 5)."""

import asyncio
import base64
import contextlib
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import urlsplit

WAIT_S = 20
MASK = b"\x37\xfa\x21\x3d"
"""The one of RFC 6455's examples."""


class Op(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: int = -1,
) -> bytes:
    """One frame. `length` lies about the payload's."""
    size = len(payload) if length < 0 else length
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))


def say(kind: str, **fields: object) -> bytes:
    """A text frame with a message of the protocol."""
    return frame(Op.TEXT, json.dumps({"type": kind, **fields}).encode())


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(Op.CLOSE, struct.pack("!H", code) + reason)


@dataclass(frozen=True)
class Frame:
    fin: bool
    rsv: int
    opcode: int
    masked: bool
    payload: bytes

    @property
    def close_code(self) -> int | None:
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None


@dataclass
class Raw:
    """A connection after (or without) the upgrade."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes = b""
    """Of the answer to the upgrade."""

    async def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))
        await self.writer.drain()

    async def read(self) -> Frame | None:
        """The next frame; None when the gateway has hung up."""
        try:
            async with asyncio.timeout(WAIT_S):
                first, second = await self.reader.readexactly(2)
                size = second & 0x7F
                if size == 126:
                    size = struct.unpack("!H", await self.reader.readexactly(2))[0]
                elif size == 127:
                    size = struct.unpack("!Q", await self.reader.readexactly(8))[0]
                payload = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return Frame(bool(first & 0x80), first >> 4 & 7, first & 0xF, bool(second & 0x80), payload)

    async def until(self, kind: str) -> dict[str, object]:
        """The next message of this type."""
        while (got := await self.read()) is not None:
            if got.opcode == Op.TEXT and (message := json.loads(got.payload))["type"] == kind:
                return dict(message)
        raise AssertionError(f"the gateway hung up without {kind}")

    async def until_close(self) -> int | None:
        """The close code; None: hung up without one."""
        while (got := await self.read()) is not None:
            if got.opcode == Op.CLOSE:
                return got.close_code
        return None

    async def gone(self) -> bool:
        """Wait for the end of the TCP stream, whatever comes before."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(WAIT_S):
                while await self.reader.read(65_536):
                    pass
        return True


def upgrade(path: str, *headers: str, key: bytes = b"the sample nonce", host: str = "localhost") -> bytes:
    """The request for a WebSocket."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(key).decode()}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@asynccontextmanager
async def connection(url: str, **options: object) -> AsyncIterator[Raw]:
    """A TCP connection to the gateway, nothing sent."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, **options)  # type: ignore[arg-type]
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def websocket(url: str, path: str, *headers: str, **options: object) -> AsyncIterator[Raw]:
    """After the upgrade; `head` has the status line and headers."""
    async with connection(url, **options) as raw:
        await raw.send(upgrade(path, "Sec-WebSocket-Protocol: care-voice.v1", *headers))
        async with asyncio.timeout(WAIT_S):
            raw.head = await raw.reader.readuntil(b"\r\n\r\n")
        yield raw
