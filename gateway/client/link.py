"""shell: one connection to a gateway: sends what bedside.py decides and hands it what comes, until it ends.

A link that is dead is aborted, not closed politely: neither TCP nor a close handshake notices for minutes a
peer that stopped reading, or a black hole.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gateway.client.bedside import AudioLost, Bedside, Event
from gateway.connection.messages import Audio, Control, Gap, Start
from gateway.connection.protocols.native import ProtocolError, decode_server, encode_client

LOST = 1006
"""Close code of a link that ended without one."""
UNACKNOWLEDGED_MS = 5000
"""TCP gives up after so long without an acknowledgement (on Linux), not after 15 minutes."""


class NoGateway(Exception):
    """Somebody answers who speaks something else."""


class Link:
    def __init__(
        self, ws: ClientConnection, bedside: Bedside, changed: asyncio.Event, show: Callable[[Event], None]
    ) -> None:
        """`changed` is set whenever there may be something new to send."""
        self._ws = ws
        self._bedside = bedside
        self._changed = changed
        self._show = show
        self._now = asyncio.get_running_loop().time

    async def talk(self) -> tuple[int, str]:
        """To its end: close code and reason. Raises (in a group) NoGateway and what `show` raises."""
        _limit_unacknowledged(self._ws)
        try:
            why = await self._talk(self._bedside.connected(self._now()))
        except BaseException:
            self._ws.transport.abort()  # whoever cancels does not wait for a polite close
            raise
        if why:
            self._ws.transport.abort()
        frame = self._ws.protocol.close_rcvd
        return (frame.code, frame.reason or f"{why} ({frame.code})") if frame else (LOST, why)

    async def _talk(self, start: Start) -> str:
        """Why the link was lost; empty: it was not."""
        why = ""
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [tasks.create_task(self._send(start)), tasks.create_task(self._watch())]
                await self._receive()
                for helper in helpers:
                    helper.cancel()
        except* ConnectionClosed:
            why = "the link to the gateway was lost"
        except* TimeoutError:
            why = "the gateway does not answer any more"
        return why

    async def _send(self, start: Control) -> None:
        await self._say(start)
        while True:
            self._changed.clear()
            todo = self._bedside.take(self._now())
            if todo is None or isinstance(todo, float):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(todo):  # wait_for of 3.11 may swallow a cancellation
                        await self._changed.wait()
            elif isinstance(todo, AudioLost):
                self._show(todo)
                await self._say(Gap(todo.samples))
            else:
                await self._say(todo)

    async def _say(self, message: Control | Audio) -> None:
        """May wait for ever on a dead link; the source does not, and _watch ends it."""
        await self._ws.send(message.payload if isinstance(message, Audio) else encode_client(message))

    async def _watch(self) -> None:
        """Raises TimeoutError when the gateway counts as dead."""
        while (left_s := self._bedside.dead_at() - self._now()) > 0:  # noqa: ASYNC110 (a deadline that moves)
            await asyncio.sleep(left_s)
        raise TimeoutError

    async def _receive(self) -> None:
        while not self._bedside.is_done:
            text: Any = await self._ws.recv()
            try:
                message = decode_server(text if isinstance(text, str) else "")
            except ProtocolError as error:
                if error.fatal:
                    raise NoGateway(f"not a care-voice gateway: {error}") from None
                continue  # a newer gateway says something that we need not know
            for event in self._bedside.receive(message, self._now()):
                self._show(event)
            self._changed.set()


def _limit_unacknowledged(ws: ClientConnection) -> None:
    raw = ws.transport.get_extra_info("socket")
    if raw is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
