"""shell: the door of the house: who may connect at all, how long a handshake may take, who gets a seat.

A *connection* is a TCP one; too many of them are cut before a byte is read. A *seat* is a WebSocket or event
stream, which stays; one too many is told so with 503 or 429 and Retry-After. There are SPARE more connections
than seats, so that pages load and refusals can be said while all seats are taken.
"""

import asyncio
import errno
import ipaddress
import logging
import ssl
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import cast

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Middleware

from gateway.config import ServerSettings
from gateway.connection.limits import UNLIMITED, Limits, Quota, Refusal, Ticket
from gateway.connection.refusals import refusal

SPARE = 64
SHUTDOWN_S = 5.0
"""For requests that are still being answered at the end; then they are cut."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _is_ours(record: logging.LogRecord) -> bool:
    """A request that cannot be read is its sender's fault: it gets a 400 and no traceback in our log."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def serve(app: web.Application, settings: ServerSettings) -> web.AppRunner:
    """What answers at the door. A connection without a whole request is closed after a while."""
    logger = logging.getLogger("aiohttp.server")
    logger.addFilter(_is_ours)
    return web.AppRunner(
        app,
        access_log=None,
        logger=logger,
        keepalive_timeout=settings.handshake_timeout_s,
        shutdown_timeout=SHUTDOWN_S,
    )


def why_not(error: OSError) -> str:
    """Why a port cannot be had, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return "another program listens there. Stop it, or choose another port with --port."
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address. Give one of its own with --host."
    return f"{error.strerror or error}."


async def open_door(
    server: web.Server,
    settings: ServerSettings,
    trusted: Sequence[Network],
    context: ssl.SSLContext | None,
) -> asyncio.Server:
    """Listen. `trusted` proxies may open any share of the connections. Raises OSError."""
    per_address = settings.max_connections_per_address
    quota = Quota(settings.max_connections + SPARE, per_address + SPARE if per_address else UNLIMITED)
    limits = Limits(quota)
    return await asyncio.get_running_loop().create_server(
        lambda: Visitor(server, limits, trusted),
        settings.host,
        settings.port,
        ssl=context,
        ssl_handshake_timeout=settings.handshake_timeout_s if context else None,
    )


class Visitor(asyncio.Protocol):
    """One connection: cut off, or handed to the HTTP server."""

    def __init__(self, server: web.Server, limits: Limits, trusted: Sequence[Network]) -> None:
        self._server, self._limits, self._trusted = server, limits, trusted
        self._inner: web.RequestHandler | None = None
        self._ticket: Ticket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        ticket = self._limits.enter(_address(transport, self._trusted))
        if isinstance(ticket, Refusal):
            cast(asyncio.Transport, transport).abort()
            return
        self._ticket = ticket
        self._inner = self._server()
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ticket and self._inner:
            self._limits.leave(self._ticket)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._inner:
            self._inner.data_received(data)

    def eof_received(self) -> None:
        if self._inner:
            self._inner.eof_received()

    def pause_writing(self) -> None:
        if self._inner:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner:
            self._inner.resume_writing()


def _address(transport: asyncio.BaseTransport, trusted: Sequence[Network]) -> str:
    """Empty for a proxy that is trusted: it stands for many."""
    peer = transport.get_extra_info("peername")
    host = str(peer[0]) if isinstance(peer, tuple) and peer else ""
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return "" if any(ip in network for network in trusted if network.version == ip.version) else host


class Seats:
    """Places for what stays: WebSockets and event streams."""

    def __init__(self, settings: ServerSettings, refused: Callable[[str], None]) -> None:
        """`refused` is called with the code of each refusal."""
        quota = Quota(
            settings.max_connections, settings.max_connections_per_address, settings.max_connections_per_key
        )
        self._limits = Limits(quota)
        self._refused = refused

    async def seat(
        self, request: web.Request, address: str, key: str, handler: Handler
    ) -> web.StreamResponse:
        """Let the handler answer while there is a seat for this client."""
        ticket = self._limits.enter(address, key)
        if isinstance(ticket, Refusal):
            self._refused(ticket.code)
            return _say(request, ticket)
        try:
            return await handler(request)
        finally:
            self._limits.leave(ticket)


def _say(request: web.Request, no: Refusal) -> web.Response:
    resource = request.match_info.route.resource
    route = resource.canonical if resource else ""
    said = refusal(route, no.status, no.code, no.message, str(uuid.uuid4()))
    return web.json_response(said.body, status=said.status, headers=said.headers)


def hurry(timeout_s: float, except_at: Collection[str] = ()) -> Middleware:
    """A middleware: a request's body comes at once, or not at all; nobody holds a handler byte by byte.
    `except_at`: routes whose handlers read it themselves, and mind the time themselves."""

    @web.middleware
    async def read_first(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if request.can_read_body and not (resource and resource.canonical in except_at):
            try:
                async with asyncio.timeout(timeout_s):
                    await request.read()
            except TimeoutError:
                raise web.HTTPRequestTimeout from None
        return await handler(request)

    return read_first
