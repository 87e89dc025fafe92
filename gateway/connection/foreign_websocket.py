"""shell: a WebSocket in somebody else's protocol, from handshake to close."""

import asyncio
import contextlib
import socket as sockets
import time
import uuid

import structlog
from aiohttp import WSMsgType, hdrs, web

from gateway.connection.access import Principal, only_bed
from gateway.connection.admission import check_new
from gateway.connection.backlog import Backlog
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
ANSWER_S = 30.0
"""So long nothing came, no answer to a ping either. Counted while the gateway reads: when it does not, the
answer may be waiting behind audio."""
MAX_BACKLOG_BYTES = 16 << 20
RECEIVE_BYTES = 1 << 16
"""What the system may take in before it is read. Clients give up when a ping of theirs stays unanswered for
20 s or so: not much may wait before one."""
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
        receive_timeout=ANSWER_S,
    )
    if dialect.request_id_header:
        socket.headers[dialect.request_id_header] = handshake.connection
    writer = Writer(socket, request, MAX_WAITING_MESSAGES, server.send_timeout_s, server.max_unsent_bytes)
    foreign = Foreign(dialect.name, codec, writer, ports, principal)
    request.app[OPEN].add(writer)
    try:
        _receive_little(request)
        await socket.prepare(request)
        with ports.gate.guard(principal, foreign.close):
            await _converse(socket, writer, foreign)
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


async def _converse(socket: web.WebSocketResponse, writer: Writer, foreign: Foreign) -> None:
    """Until both sides are done."""
    backlog = Backlog(MAX_BACKLOG_BYTES)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(writer.run())
        tasks.create_task(_read(socket, backlog))
        besides = [tasks.create_task(foreign.tick_forever()), tasks.create_task(_ping(socket))]
        foreign.open()
        while (frame := await backlog.take()) is not None:
            await foreign.receive(frame)
        for task in besides:
            task.cancel()
        foreign.lose()
        writer.close(CloseCode.DONE, "")


def _receive_little(request: web.Request) -> None:
    if request.transport and (raw := request.transport.get_extra_info("socket")):
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, RECEIVE_BYTES)


async def _ping(socket: web.WebSocketResponse) -> None:
    """Cancel it when the connection ends."""
    with contextlib.suppress(ConnectionError):
        while True:
            await asyncio.sleep(PING_S)
            await socket.ping()


async def _read(socket: web.WebSocketResponse, backlog: Backlog) -> None:
    """Until the client closes, or is gone."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async for message in socket:
            if message.type in {WSMsgType.BINARY, WSMsgType.TEXT}:
                await backlog.put(message.data)
    backlog.end()
