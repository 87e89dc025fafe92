"""shell: Wyoming's own port: TCP connections, each a codec between a client and its sessions."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Hashable

import structlog

from gateway.connection.closing import CloseCode
from gateway.connection.foreign import Foreign
from gateway.connection.limits import Limits, Quota, Refusal, Ticket
from gateway.connection.messages import ServerMessage
from gateway.connection.outbox import Outbox
from gateway.connection.ports import Ports
from gateway.connection.protocols.codec import Handshake
from gateway.connection.protocols.wyoming import Wyoming
from gateway.connection.protocols.wyoming_frames import encode
from gateway.connection.wyoming_guests import Guests

READ_BYTES = 1 << 16
MAX_WAITING_MESSAGES = 1000
STOP_S = 5.0
"""For what was said last to be written when the gateway stops."""
PROTOCOL = "wyoming"
log = structlog.get_logger()


class WyomingServer:
    """Its connections are bounded like WebSockets, but counted apart."""

    def __init__(self, ports: Ports) -> None:
        """Raises ValueError: the text says what to do."""
        self._ports = ports
        self._settings = ports.settings.wyoming
        self._guests = Guests(self._settings)
        server = ports.settings.server
        self._limits = Limits(Quota(server.max_connections, server.max_connections_per_address))
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], Link] = {}

    async def open(self) -> int:
        """Listen. Returns the port. Raises OSError."""
        host, port = self._settings.wyoming_host, self._settings.wyoming_port
        self._server = await asyncio.start_server(self._accept, host, port, limit=READ_BYTES)
        port = int(self._server.sockets[0].getsockname()[1])
        if warning := self._guests.exposure:
            log.warning("access", warning=warning)
        log.info("wyoming listening", url=f"tcp://{host}:{port}")
        return port

    def drain(self) -> None:
        """Take no more connections, and end those on which nobody speaks."""
        if self._server:
            self._server.close()
        for link in self._links.values():
            link.hang_up()

    async def close(self) -> None:
        """End what is left; the sessions were drained before."""
        links = dict(self._links)
        if links:
            await asyncio.wait(links, timeout=STOP_S)
        for link in links.values():
            link.cut()
        await asyncio.gather(*links, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection: cut off before a byte is read, or served."""
        address = str((writer.get_extra_info("peername") or ("",))[0])
        ticket = self._limits.enter(address) if self._guests.admits(address) else None
        if not isinstance(ticket, Ticket):
            code = ticket.code if isinstance(ticket, Refusal) else "foreign_address"
            self._ports.measure("refused", 1, code)
            log.info("refused", code=code, route=PROTOCOL, address=address)
            writer.transport.abort()
            return
        link = Link(self._ports, self._guests, reader, writer)
        task = asyncio.create_task(link.run())
        self._links[task] = link
        task.add_done_callback(lambda done: self._leave(done, ticket))

    def _leave(self, task: asyncio.Task[None], ticket: Ticket) -> None:
        del self._links[task]
        self._limits.leave(ticket)
        if not task.cancelled() and (error := task.exception()):
            log.error("connection failed", protocol=PROTOCOL, error=type(error).__name__)


class Link:
    """One connection, from its first byte to its last."""

    def __init__(
        self, ports: Ports, guests: Guests, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._ports, self._guests, self._reader = ports, guests, reader
        server = ports.settings.server
        self._way = StreamWay(writer, server.send_timeout_s, server.max_unsent_bytes)
        self._conversation: Conversation | None = None

    async def run(self) -> None:
        """Serve it. It does not outlive the writing: what nobody can be told needs not be heard."""
        writing = asyncio.create_task(self._way.run())
        try:
            if reason := self._closed_because():
                self._way.put(encode("error", {"text": reason, "code": reason.partition(":")[0]}))
            else:
                await self._converse(writing)
        finally:
            if self._conversation:
                self._conversation.lose()
            self._way.close(CloseCode.DONE, "")
            await writing

    def hang_up(self) -> None:
        """Close it, unless somebody speaks there."""
        if not (self._conversation and self._conversation.codec.speaking):
            self._way.close(CloseCode.GOING_AWAY, "the gateway stops")

    def cut(self) -> None:
        """End it without ceremony."""
        self._way.abort()

    def _closed_because(self) -> str | None:
        """The gateway starts or stops. One that is full still says what it is; it refuses to listen."""
        reason = self._ports.refusal()
        return reason if reason != self._ports.refusal_of_new() else None

    async def _converse(self, writing: asyncio.Task[None]) -> None:
        self._conversation = conversation = Conversation(self._ports, self._guests, self._way)
        reading = asyncio.create_task(conversation.read(self._reader))
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            log.info("client disconnected", session=conversation.session, protocol=PROTOCOL, code=0)
        with contextlib.suppress(asyncio.CancelledError):
            await reading


class Conversation(Foreign):
    """Reads a connection as fast as its sessions listen."""

    def __init__(self, ports: Ports, guests: Guests, way: "StreamWay") -> None:
        around = ports.surroundings()
        self.codec = Wyoming(
            Handshake(
                connection=str(uuid.uuid4()),
                model=around.model,
                settings=around.settings,
                now=time.monotonic(),
                unix_s=time.time(),
                bed=guests.bed,
            )
        )
        super().__init__(PROTOCOL, self.codec, way, ports, guests.principal)
        self._server = ports.settings.server
        self._told = asyncio.Event()
        self._begun_at = time.monotonic()
        """When the event that is awaited began, or could have begun."""
        self._greeted = False

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Until the client ends, or sends no whole event in time."""
        while data := await self._more(reader):
            await self.receive(data)
            while not self.codec.hungry:
                self._greeted = True
                await self._answered()
                await self.receive(b"")
                self._begun_at = time.monotonic()

    def say(self, message: ServerMessage) -> None:
        super().say(message)
        self._told.set()

    async def _answered(self) -> None:
        """Wait for the transcript that the client waits for."""
        while self.codec.pending:
            self._told.clear()
            await self._told.wait()

    async def _more(self, reader: asyncio.StreamReader) -> bytes:
        patient = self._greeted and not self.codec.inside
        wait_s = self._server.idle_timeout_s if patient else self._server.handshake_timeout_s
        if patient:
            self._begun_at = time.monotonic()
        left_s = self._begun_at + wait_s - time.monotonic()
        try:
            async with asyncio.timeout(left_s):
                data = await reader.read(READ_BYTES)
        except OSError:  # also: too late
            return b""
        if patient:
            self._begun_at = time.monotonic()
        return data


class StreamWay:
    """Writes to one connection in order; never lets a caller wait."""

    def __init__(self, writer: asyncio.StreamWriter, timeout_s: float, limit_bytes: int) -> None:
        """`limit_bytes`: what may wait for a slow reader."""
        self._writer = writer
        self._timeout_s = timeout_s
        self._outbox = Outbox(MAX_WAITING_MESSAGES, limit_bytes)
        self._wake = asyncio.Event()
        self._ended = False

    def put(self, text: str, partial_of: Hashable = None) -> None:
        """Queue a message; nothing is taken after close(). A client that reads too slowly is cut."""
        if not self._ended:
            self._outbox.put(text, partial_of)
            self._ended = self._outbox.overflowed
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close the connection after what was put before. TCP has no words for why."""
        self._ended = True
        self._wake.set()

    async def run(self) -> None:
        """Write until closed. Ends by itself when the peer is gone or does not read."""
        try:
            while await self._write_one():
                pass
            self._writer.close()
            async with asyncio.timeout(self._timeout_s):
                await self._writer.wait_closed()
        except OSError:  # also: too late
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Cut the connection without ceremony."""
        self._ended = True
        self._wake.set()
        self._writer.transport.abort()

    async def _write_one(self) -> bool:
        """False when everything is written and the end has come."""
        text = self._outbox.take()
        if text is not None:
            self._writer.write(text.encode())
            async with asyncio.timeout(self._timeout_s):
                await self._writer.drain()
            return True
        if self._ended:
            return False
        self._wake.clear()
        await self._wake.wait()
        return True
