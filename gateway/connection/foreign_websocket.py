"""shell: a WebSocket in somebody else's protocol, from handshake to close."""

import asyncio
import time
import uuid

import structlog
from aiohttp import WSMsgType, hdrs, web

from gateway.connection.access import Principal, only_bed
from gateway.connection.admission import check_new
from gateway.connection.closing import CloseCode
from gateway.connection.foreign import Foreign
from gateway.connection.opening import Refused, check_bed
from gateway.connection.origin import split_list
from gateway.connection.ports import Ports
from gateway.connection.protocols.codec import Codec, Handshake, Rejected
from gateway.connection.protocols.dialects import Dialect
from gateway.connection.refusals import refusal
from gateway.connection.writing import Writer

MAX_WAITING_MESSAGES = 1000
PING_S = 20.0
"""These clients may be silent for as long as they like; one that answers no ping is gone."""
STATUS = {"bad_bed": 400, "forbidden_bed": 403}
log = structlog.get_logger()


OPEN = web.AppKey("foreign", set[Writer])
"""Of connections: those that have not begun a session would keep a gateway from stopping."""


async def hang_up(app: web.Application) -> None:
    """The gateway stops; sessions have ended before."""
    writers: set[Writer] = app[OPEN]
    for writer in list(writers):
        writer.close(CloseCode.GOING_AWAY, "the gateway stops")


def handshake_of(request: web.Request, ports: Ports, principal: Principal) -> Handshake:
    """What a codec needs to know of a request."""
    around = ports.surroundings()
    offered = ",".join(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()))
    return Handshake(
        connection=str(uuid.uuid4()),
        model=around.model,
        settings=around.settings,
        now=time.monotonic(),
        unix_s=time.time(),
        bed=request.query.get("bed") or only_bed(principal),
        query={name: request.query.getall(name) for name in request.query},
        headers={name.lower(): value for name, value in request.headers.items()},
        subprotocols=split_list(offered),
    )


def refuse(request: web.Request, status: int, code: str, message: str, connection: str) -> web.Response:
    """No, in the words of the route's protocol."""
    resource = request.match_info.route.resource
    route = resource.canonical if resource else ""
    said = refusal(route, status, code, message, connection)
    return web.json_response(said.body, status=said.status, headers=said.headers)


async def serve(
    request: web.Request, ports: Ports, principal: Principal, dialect: Dialect
) -> web.StreamResponse:
    """A speaker of this dialect, from upgrade to close."""
    if reason := ports.refusal() or ports.refusal_of_new():
        return refuse(request, 503, "overloaded", reason, str(uuid.uuid4()))
    handshake = handshake_of(request, ports, principal)
    try:
        codec = _open(handshake, ports, principal, dialect)
    except Rejected as no:
        ports.measure("refused", 1, no.code)
        return refuse(request, no.status, no.code, no.message, handshake.connection)
    server = ports.settings.server
    socket = web.WebSocketResponse(
        protocols=dialect.subprotocols,
        compress=False,
        max_msg_size=dialect.max_message_bytes + 1,
        timeout=5,
        heartbeat=PING_S,
    )
    if dialect.request_id_header:
        socket.headers[dialect.request_id_header] = handshake.connection
    writer = Writer(socket, request, MAX_WAITING_MESSAGES, server.send_timeout_s, server.max_unsent_bytes)
    foreign = Foreign(dialect.name, codec, writer, ports, principal)
    request.app[OPEN].add(writer)
    try:
        await socket.prepare(request)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.run())
            ticking = tasks.create_task(foreign.tick_forever())
            with ports.gate.guard(principal, foreign.close):
                foreign.open()
                await _read(socket, foreign)
            ticking.cancel()
            foreign.lose()
            writer.close(CloseCode.DONE, "")
    finally:
        request.app[OPEN].discard(writer)
        foreign.lose()
        code = int(socket.close_code or 0)
        log.info("client disconnected", session=foreign.session, protocol=foreign.protocol, code=code)
    return socket


def _open(handshake: Handshake, ports: Ports, principal: Principal, dialect: Dialect) -> Codec:
    """Raises Rejected."""
    try:
        check_bed(handshake.bed)
        check_new(ports, principal, handshake.bed)
    except Refused as no:
        raise Rejected(STATUS.get(no.code, 503), no.code, no.message) from None
    return dialect.codec(handshake)


async def _read(socket: web.WebSocketResponse, foreign: Foreign) -> None:
    async for message in socket:
        if message.type in {WSMsgType.BINARY, WSMsgType.TEXT}:
            await foreign.receive(message.data)
