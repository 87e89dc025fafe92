"""A TCP proxy that does to connections what networks do: cuts, stalls, delays, outages.

    async with CuttingProxy(gateway.url).run() as proxy:
        ... connect to proxy.url or proxy.ws ...
        await proxy.carried(100_000)   # bytes from clients, over all connections
        proxy.cut()

Bytes are handed on as they come: it knows nothing of what it carries.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

BLOCK_BYTES = 16 << 10
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: closing sends RST instead of FIN."""


@dataclass(eq=False)
class _Pair:
    """One client's connection, and ours to the gateway for it."""

    writers: list[asyncio.StreamWriter]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def end(self, reset: bool) -> None:
        for writer in self.writers:
            raw = writer.get_extra_info("socket")
            if reset and raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort() if reset else writer.close()
        for task in self.tasks:
            task.cancel()


class CuttingProxy:
    """Stands before the server at `target` (any URL with host and port)."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._scheme = parts.scheme
        self._target = (parts.hostname, parts.port)
        self._pairs: set[_Pair] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._moved = asyncio.Condition()
        self._refusing = False
        self.delay_s = 0.0
        """Each block is held for so long before the next one is read, in both directions."""
        self.port = 0
        self.bytes_up = 0
        """From clients towards the server."""
        self.bytes_down = 0
        self.connections = 0
        """How many there have been."""

    @property
    def url(self) -> str:
        """As `target`, but through the proxy."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws", 1)

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator["CuttingProxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            tasks = [task for pair in self._pairs for task in pair.tasks]
            self.cut()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- faults ---

    def cut(self, reset: bool = True) -> None:
        """End all connections: with RST, or (not `reset`) with FIN after what is on its way."""
        for pair in list(self._pairs):
            pair.end(reset)

    def stall(self) -> None:
        """Nothing moves any more, connections stay open: half-open links. New ones are taken, and stall."""
        self._flowing.clear()

    def flow(self) -> None:
        """The end of a stall: what has waited moves on."""
        self._flowing.set()

    def refuse(self, refusing: bool = True) -> None:
        """New connections are reset at once."""
        self._refusing = refusing

    async def carried(self, bytes_up: int) -> None:
        """Wait until so many bytes from clients have been handed on, over all connections."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.bytes_up >= bytes_up)

    async def connected(self, connections: int) -> None:
        """Wait until there have been so many connections."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.connections >= connections)

    # --- bytes ---

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair([writer])
        if self._refusing:
            pair.end(reset=True)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            pair.end(reset=True)
            return
        pair.writers.append(far_writer)
        pair.tasks = [
            asyncio.create_task(self._carry(reader, far_writer, up=True)),
            asyncio.create_task(self._carry(far_reader, writer, up=False)),
        ]
        self._pairs.add(pair)
        await self._count(connections=1)
        await asyncio.gather(*pair.tasks, return_exceptions=True)
        self._pairs.discard(pair)
        pair.end(reset=False)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while block := await reader.read(BLOCK_BYTES):
                await asyncio.sleep(self.delay_s)
                await self._flowing.wait()
                writer.write(block)
                await writer.drain()
                await self._count(**{"up" if up else "down": len(block)})
            writer.write_eof()

    async def _count(self, up: int = 0, down: int = 0, connections: int = 0) -> None:
        async with self._moved:
            self.bytes_up += up
            self.bytes_down += down
            self.connections += connections
            self._moved.notify_all()
