"""shell: streams a source to a gateway over WebSockets as bedside.py decides, and hands back what it says.

A link counts as dead when a send is stuck or nothing is heard for a while, because neither the library's
keepalive nor TCP notices for minutes a peer that stopped reading, or a black hole; it is then aborted, not
closed politely.
"""

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidUpgrade,
    InvalidURI,
    NegotiationError,
)
from websockets.typing import Subprotocol

from gateway.client.bedside import Bedside, GiveUp, Options, Retry
from gateway.client.feed import Feed
from gateway.client.sources import Source, SourceError
from gateway.connection.messages import Audio, ClientMessage, ServerMessage
from gateway.connection.protocols.native import ProtocolError, decode_server, encode_client

SUBPROTOCOL = Subprotocol("care-voice.v1")
PATH = "/v1/stream"
SEND_TIMEOUT_S = 10.0
SILENT_TIMEOUT_S = 10.0
GRACE_S = 5.0
"""Time for the last final when the user has asked to stop."""
LOST = 1006

OnMessage = Callable[[ServerMessage], None]
OnRetry = Callable[[Retry], None]


class StreamError(Exception):
    """The stream did not come to its end. `refused`: the gateway said no; else it could not be reached."""

    def __init__(self, reason: str, refused: bool) -> None:
        super().__init__(reason)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Summary:
    seconds: float
    """Audio taken from the source."""
    finals: int
    reconnects: int
    lost_samples: int
    """Audio that fell out of the ring and was declared as a gap."""
    is_complete: bool
    """The gateway has said that everything is final."""


def stream_url(url: str) -> str:
    """http(s) or ws(s), with or without scheme and path -> the WebSocket address of a gateway's speakers.

    Raises ValueError for anything else.
    """
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"not the address of a gateway: {url} (example: ws://127.0.0.1:8001)")
    path = parts.path if parts.path.rstrip("/") else PATH
    return urlunsplit((schemes[parts.scheme], parts.netloc, path, parts.query, ""))


async def stream(
    url: str,
    source: Source,
    options: Options,
    on_message: OnMessage,
    on_retry: OnRetry = lambda retry: None,
    stopping: asyncio.Event | None = None,
) -> Summary:
    """Stream `source` at its own pace to the end, over as many connections as it takes.

    When `stopping` is set the source ends there; the last final is awaited for GRACE_S. Times in the messages
    handed to `on_message` count from the start of the source. Raises StreamError, SourceError.
    """
    start = msgspec.structs.replace(options.start, audio=source.format)
    speaker = _Speaker(stream_url(url), Bedside(replace(options, start=start)), on_message, on_retry)
    with Feed(source.chunks) as feed, _first_error():
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(speaker.pump(feed, source.is_live))]
            if stopping is not None:
                helpers.append(tasks.create_task(speaker.stop_when(stopping)))
            await speaker.keep_connected()
            for helper in helpers:
                helper.cancel()
    if speaker.failure is not None:
        raise speaker.failure
    return speaker.summary()


@contextlib.contextmanager
def _first_error() -> Iterator[None]:
    """A group of errors is one error to the caller: the first."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


class _Speaker:
    def __init__(self, url: str, bedside: Bedside, on_message: OnMessage, on_retry: OnRetry) -> None:
        self._url = url
        self._bedside = bedside
        self._on_message = on_message
        self._on_retry = on_retry
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._started = asyncio.Event()
        self._heard = asyncio.Event()
        self._limit = asyncio.timeout(None)
        self.failure: SourceError | None = None

    def summary(self) -> Summary:
        bedside = self._bedside
        return Summary(
            bedside.position_s,
            bedside.finals,
            max(0, bedside.sessions - 1),
            bedside.lost_samples,
            bedside.is_done,
        )

    # --- the source ---

    async def pump(self, feed: Feed, is_live: bool) -> None:
        """Source to ring, until it ends or fails; what was heard before a failure still gets its finals."""
        try:
            await self._pump(feed, is_live)
        except SourceError as error:
            self.failure = error
        self._finish()

    async def _pump(self, feed: Feed, is_live: bool) -> None:
        """In real time. A file waits for the gateway; a microphone does not."""
        if not is_live:
            await self._started.wait()
        began = self._loop.time()
        async for chunk in feed:
            await asyncio.sleep(began + self._bedside.due_s() - self._loop.time())
            while not is_live and self._bedside.is_full:
                self._heard.clear()
                await self._heard.wait()
            if self._bedside.is_finished:
                return
            self._bedside.push(chunk)
            self._changed.set()

    async def stop_when(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._finish()
        self._limit.reschedule(self._loop.time() + GRACE_S)

    def _finish(self) -> None:
        self._bedside.finish()
        self._changed.set()

    # --- the link ---

    async def keep_connected(self) -> None:
        """Connects until everything is final. Raises StreamError."""
        with contextlib.suppress(TimeoutError):
            async with self._limit:
                while (verdict := await self._connect_once()) is not None:
                    if isinstance(verdict, GiveUp):
                        raise StreamError(verdict.reason, verdict.refused)
                    self._on_retry(verdict)
                    await asyncio.sleep(verdict.delay_s)

    async def _connect_once(self) -> Retry | GiveUp | None:
        jitter = random.random()  # noqa: S311 (not for secrets)
        try:
            async with self._connection() as link:
                try:
                    code, why = await self._talk(link)
                except asyncio.CancelledError:
                    link.transport.abort()  # whoever cancels does not wait for a polite close
                    raise
        except InvalidStatus as error:
            return self._bedside.refused(error.response.status_code, self._loop.time(), jitter)
        except (InvalidURI, InvalidUpgrade, NegotiationError, ssl.SSLError) as error:
            return GiveUp(f"{self._url} is no care-voice gateway: {error}", refused=True)
        except (OSError, InvalidHandshake) as error:
            code, why = LOST, f"cannot connect to {self._url}: {error or 'no answer'}"
        return self._bedside.lost(code, why, self._loop.time(), jitter)

    def _connection(self) -> connect:
        is_local = urlsplit(self._url).hostname in {"localhost", "127.0.0.1", "::1"}
        return connect(
            self._url,
            subprotocols=[SUBPROTOCOL],
            compression=None,
            proxy=None if is_local else True,
            ping_interval=5,
            ping_timeout=SILENT_TIMEOUT_S,
            close_timeout=2,
        )

    async def _talk(self, link: ClientConnection) -> tuple[int, str]:
        """One session, to its end: close code and reason."""
        _limit_unacknowledged(link)
        why = ""
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(self._send(link))
                await self._receive(link)
                sending.cancel()
        except* ConnectionClosed as closed:
            why = (
                str(closed.exceptions[0]) if link.protocol.close_rcvd else "the link to the gateway was lost"
            )
        except* TimeoutError:
            why = "the gateway does not answer any more"
        if why:
            link.transport.abort()
        frame = link.protocol.close_rcvd
        return (frame.code, frame.reason or why) if frame else (LOST, why)

    async def _send(self, link: ClientConnection) -> None:
        await self._say(link, self._bedside.connected(self._loop.time()))
        while True:
            self._changed.clear()
            todo = self._bedside.take(self._loop.time())
            if todo is None or isinstance(todo, float):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(todo):  # wait_for of 3.11 may swallow a cancellation
                        await self._changed.wait()
            else:
                await self._say(link, todo)

    async def _say(self, link: ClientConnection, message: ClientMessage) -> None:
        data = message.payload if isinstance(message, Audio) else encode_client(message)
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await link.send(data)

    async def _receive(self, link: ClientConnection) -> None:
        while not self._bedside.is_done:
            async with asyncio.timeout(SILENT_TIMEOUT_S):
                text: Any = await link.recv()
            try:
                message = decode_server(text if isinstance(text, str) else "")
            except ProtocolError as error:
                if error.fatal:
                    raise StreamError(f"not a care-voice gateway: {error}", refused=True) from None
                continue  # a newer gateway says something that we need not know
            message = self._bedside.receive(message, self._loop.time())
            self._changed.set()
            self._heard.set()
            self._on_message(message)
            if self._bedside.sessions:
                self._started.set()


def _limit_unacknowledged(link: ClientConnection) -> None:
    """TCP gives up after SEND_TIMEOUT_S without an acknowledgement (on Linux), not after 15 minutes."""
    raw = link.transport.get_extra_info("socket")
    if raw is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(SEND_TIMEOUT_S * 1000))
