"""shell: one WebSocket's way out: an outbox, the task that empties it, a deadline for readers that stall."""

import asyncio
import socket
from collections.abc import Hashable

from aiohttp import web

from gateway.connection.closing import CloseCode
from gateway.connection.outbox import Outbox

TCP_USER_TIMEOUT_MS = 15_000
"""A peer that acknowledges nothing for so long is gone. (Pings do not notice: they queue behind.)"""


class Writer:
    """Writes to one socket in order; never lets a caller wait."""

    def __init__(
        self,
        socket_: web.WebSocketResponse,
        request: web.Request,
        limit: int,
        timeout_s: float,
        limit_bytes: int,
    ) -> None:
        """`limit`, `limit_bytes`: what may wait for a slow reader."""
        self._socket = socket_
        self._transport = request.transport
        self._timeout_s = timeout_s
        self._outbox = Outbox(limit, limit_bytes)
        self._wake = asyncio.Event()
        self._answered = asyncio.Event()
        self._answered.set()
        self._ending: tuple[int, str] | None = None
        if self._transport and (raw := self._transport.get_extra_info("socket")):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)

    @property
    def dropped_partials(self) -> int:
        return self._outbox.dropped_partials

    def put(self, text: str, partial_of: Hashable = None, asked: bool = False) -> None:
        """Queue a message (see Outbox.put); nothing is taken after close()."""
        if self._ending is None:
            self._outbox.put(text, partial_of, asked)
            if self._outbox.has_asked:
                self._answered.clear()
            if self._outbox.overflowed:
                self.close(CloseCode.OVERLOADED, "reading too slowly")
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close the socket after what was put before."""
        if self._ending is None:
            self._ending = (code, reason)
            self._wake.set()

    async def answered(self) -> None:
        """Wait until the peer has read what it asked for, or is gone."""
        await self._answered.wait()

    async def run(self) -> None:
        """Write until closed. Ends by itself when the peer is gone or does not read."""
        try:
            while await self._write_one():
                pass
            code, reason = self._ending or (CloseCode.DONE, "")
            async with asyncio.timeout(self._timeout_s):
                await self._socket.close(code=code, message=reason.encode()[:120])
        except (TimeoutError, ConnectionError):
            self.abort()
        finally:
            self._answered.set()

    async def _write_one(self) -> bool:
        """False when everything is written and the end has come."""
        text = self._outbox.take()
        if text is not None:
            async with asyncio.timeout(self._timeout_s):
                await self._socket.send_str(text)
            if not self._outbox.has_asked:
                self._answered.set()
            return True
        if self._ending is not None:
            return False
        self._wake.clear()
        await self._wake.wait()
        return True

    def abort(self) -> None:
        """Cut the connection without ceremony."""
        self._ending = self._ending or (CloseCode.GOING_AWAY, "")
        if self._transport:
            self._transport.abort()
