"""shell: those who read: the viewers' WebSocket and the same captions as server-sent events."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import structlog
from aiohttp import WSMsgType, web

from gateway.connection.access import Principal, may_watch
from gateway.connection.closing import CloseCode
from gateway.connection.gate import PRINCIPAL
from gateway.connection.opening import Refused, check_bed
from gateway.connection.outbox import Outbox
from gateway.connection.ports import Ports
from gateway.connection.websocket import SUBPROTOCOL
from gateway.connection.writing import Writer
from gateway.ward import cursor as cursors
from gateway.ward.captions import (
    BedPartial,
    BedSnapshot,
    Caption,
    Heartbeat,
    ViewerError,
    ViewerMessage,
    Watch,
)
from gateway.ward.hub import EVERY_BED, Delivery

MAX_WATCH_BYTES = 65_536
MAX_KNOWN_BEDS = 1000
MAX_CATCH_UP = 20_000
"""Captions from the journal in the answer to one `watch`, over all its beds; about 6 MB."""
log = structlog.get_logger()
encoder = msgspec.json.Encoder()


class Inbox(Protocol):
    """Where a viewer's messages go."""

    def put(self, message: ViewerMessage, text: str) -> None: ...
    def close(self, code: int, reason: str) -> None: ...


@dataclass(slots=True)
class Watcher:
    """Where a viewer's messages go, and which they may be."""

    inbox: Inbox
    principal: Principal
    known: dict[str, bool] = field(default_factory=dict)
    """Bed -> may it see that? Asked for every message."""

    def may_see(self, bed: str) -> bool:
        if bed not in self.known:
            if len(self.known) >= MAX_KNOWN_BEDS:
                self.known.clear()
            self.known[bed] = may_watch(self.principal, bed)
        return self.known[bed]


class Viewers:
    """Everybody who watches; hands the hub's deliveries to their sockets, each message encoded once.

    Nothing passes here to somebody who may not see that bed, however it was asked for: `*` shows each viewer
    the beds it may see, those too that appear later.
    """

    def __init__(self, ports: Ports, demo: bool = False) -> None:
        self._ports = ports
        self._watchers: dict[int, Watcher] = {}
        self._last = 0
        self.demo = demo

    def __len__(self) -> int:
        return len(self._watchers)

    def join(self, inbox: Inbox, principal: Principal) -> int:
        self._last += 1
        self._watchers[self._last] = Watcher(inbox, principal)
        return self._last

    def leave(self, viewer: int) -> None:
        self._watchers.pop(viewer, None)
        self._ports.hub.forget(viewer)

    async def watch(self, viewer: int, watch: Watch) -> None:
        """Snapshots of the beds, then all that happens there. Raises Refused when they cannot be watched."""
        most, hub = self._ports.settings.ward.max_beds_per_viewer, self._ports.hub
        may_see = self._watchers[viewer].may_see
        if not 1 <= len(watch.beds) <= most:
            raise Refused("bad_beds", f'`beds` must name 1 to {most} beds, or be ["*"] for all.')
        for bed in watch.beds:
            if bed != EVERY_BED:
                check_bed(bed)
                if not may_see(bed):
                    raise Refused("forbidden_bed", f"This key may not read bed {bed}.", CloseCode.FORBIDDEN)
        known = watch.epoch is None or watch.epoch == hub.epoch
        # Numbers of another epoch mean nothing: after -1 comes all, and "not recovered".
        after = watch.after if known else dict.fromkeys(watch.after, -1)
        shown, history = set(watch.beds), dict[str, list[Caption]]()
        for bed in after:
            if (bed in shown or EVERY_BED in shown) and may_see(bed) and after[bed] >= 0:
                room = MAX_CATCH_UP - sum(map(len, history.values()))
                history[bed] = await self._history(bed, after[bed], room)
        self.deliver(hub.watch(viewer, watch.beds, after, history, time.time()))

    async def _history(self, bed: str, after: int, most: int) -> list[Caption]:
        """What the hub has not kept; asked again while captions go on leaving the hub meanwhile. Of more
        than `most` only the newest: the snapshot then says that it is not all."""
        found: list[Caption] = []
        after = max(after, self._ports.hub.missing(bed, after).stop - 1 - most)
        while missing := self._ports.hub.missing(bed, found[-1].number if found else after):
            more = await self._ports.history(bed, missing)
            if not more:
                break
            found += more
        return found

    def deliver(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            self._send(delivery.viewers, delivery.message)

    def beat(self) -> None:
        """A sign of life to everybody: a page that hears none says so in red."""
        self._send(tuple(self._watchers), Heartbeat(time.time(), self.demo))

    def close(self) -> None:
        for watcher in self._watchers.values():
            watcher.inbox.close(CloseCode.GOING_AWAY, "the gateway stops")

    def _send(self, viewers: tuple[int, ...], message: ViewerMessage) -> None:
        text = encoder.encode(message).decode()
        bed = None if isinstance(message, Heartbeat | ViewerError) else message.bed
        for viewer in viewers:
            watcher = self._watchers.get(viewer)
            if watcher and (bed is None or watcher.may_see(bed)):
                watcher.inbox.put(message, text)


def _partial_of(message: ViewerMessage) -> tuple[str, int] | None:
    return (message.bed, message.speaker) if isinstance(message, BedPartial) else None


class SocketInbox:
    """A viewer's WebSocket."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.close = writer.close

    def put(self, message: ViewerMessage, text: str) -> None:
        self._writer.put(text, _partial_of(message), asked=isinstance(message, BedSnapshot))


class EventInbox:
    """A viewer's stream of server-sent events."""

    def __init__(self, limit: int, limit_bytes: int, numbers: dict[str, int]) -> None:
        self._outbox = Outbox(limit, limit_bytes)
        self._numbers = numbers
        self._epoch = ""
        self._wake = asyncio.Event()
        self._closed = False

    def put(self, message: ViewerMessage, text: str) -> None:
        """Captions and snapshots carry the cursor that a browser gives back when it reconnects."""
        if isinstance(message, BedSnapshot):
            self._epoch = message.epoch
        newest = message.captions[-1:] if isinstance(message, BedSnapshot) else [message]
        self._numbers |= {c.bed: c.number for c in newest if isinstance(c, Caption)}
        cursor = f"id: {cursors.encode(self._epoch, self._numbers)}\n" if not _partial_of(message) else ""
        kind = message.__struct_config__.tag
        event = f"{cursor}event: {kind}\ndata: {text}\n\n"
        self._outbox.put(event, _partial_of(message), asked=isinstance(message, BedSnapshot))
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        self._closed = True
        self._wake.set()

    async def take(self) -> str | None:
        """The next event; None when the stream is over (or the reader too slow)."""
        while (event := self._outbox.take()) is None and not self._closed:
            self._wake.clear()
            await self._wake.wait()
        return None if self._outbox.overflowed else event


def full(ports: Ports, viewers: Viewers) -> web.Response | None:
    """The answer to one viewer too many."""
    if len(viewers) < ports.settings.server.max_viewers:
        return None
    error = {"error": "too many viewers; try again later"}
    return web.json_response(error, status=503, headers={"Retry-After": "5"})


async def captions(request: web.Request, ports: Ports, viewers: Viewers) -> web.StreamResponse:
    """GET /v1/captions: a viewer's WebSocket."""
    if refusal := full(ports, viewers):
        return refusal
    socket = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,), compress=False, max_msg_size=MAX_WATCH_BYTES + 1, heartbeat=30, timeout=5
    )
    await socket.prepare(request)
    server, backlog = ports.settings.server, ports.settings.ward.max_viewer_backlog
    writer = Writer(socket, request, backlog, server.send_timeout_s, server.max_unsent_bytes)
    no_watch = Refused("no_watch", "Send `watch` first.", CloseCode.IDLE)
    patience = asyncio.get_running_loop().call_later(server.start_timeout_s, _refuse, writer, no_watch)
    principal = request[PRINCIPAL]
    viewer = viewers.join(SocketInbox(writer), principal)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.run())
            with ports.gate.guard(principal, writer.close):
                async for message in socket:
                    if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                        patience.cancel()
                        await writer.answered()
                        await _read(message.data, viewer, viewers, writer)
            writer.close(CloseCode.DONE, "")
    finally:
        patience.cancel()
        viewers.leave(viewer)
    return socket


async def _read(data: str | bytes, viewer: int, viewers: Viewers, writer: Writer) -> None:
    try:
        await viewers.watch(viewer, msgspec.json.decode(data, type=Watch))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        _refuse(writer, Refused("bad_message", 'Send {"type": "watch", "beds": ["3A"]}.'))
    except Refused as refused:
        _refuse(writer, refused)


def _refuse(writer: Writer, refused: Refused) -> None:
    writer.put(encoder.encode(ViewerError(refused.code, refused.message, fatal=True)).decode())
    writer.close(refused.close_code, refused.code)


async def events(request: web.Request, ports: Ports, viewers: Viewers) -> web.StreamResponse:
    """GET /v1/captions/events?beds=a,b: the same captions as server-sent events."""
    if refusal := full(ports, viewers):
        return refusal
    epoch, after = cursors.decode(request.headers.get("Last-Event-ID", ""))
    beds = [bed for bed in request.query.get("beds", "").split(",") if bed]
    server = ports.settings.server
    inbox = EventInbox(ports.settings.ward.max_viewer_backlog, server.max_unsent_bytes, dict(after))
    principal = request[PRINCIPAL]
    viewer = viewers.join(inbox, principal)
    try:
        await viewers.watch(viewer, Watch(beds, after, epoch or None))
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        with ports.gate.guard(principal, inbox.close):
            while (event := await inbox.take()) is not None:
                async with asyncio.timeout(server.send_timeout_s):
                    await response.write(event.encode())
    except Refused as refused:
        status = 403 if refused.close_code == CloseCode.FORBIDDEN else 400
        return web.json_response({"error": refused.message, "code": refused.code}, status=status)
    except (TimeoutError, ConnectionError):
        if request.transport:
            request.transport.abort()
    finally:
        viewers.leave(viewer)
    return response
