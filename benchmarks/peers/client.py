"""shell: one and the same client for every server: paced on an absolute schedule, in this process alone.

A chunk leaves when its last sample would have been spoken, however slow the server is: the load is open. What
was due before the server was ready leaves right after, as a device would send what it kept.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Sequence

import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from benchmarks.peers.waits import Heard, Text
from benchmarks.peers.wires import Wire
from gateway.events import SAMPLE_RATE
from gateway.loadtest.schedule import Load, Plan, Turn, audio, due_s

CONNECT_AHEAD_S = 2.0
DRAIN_S = 5.0
"""Silence that each speaker goes on sending after his last sentence: captions that are so late are missed."""
READY_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 3.0
UNSENT_BYTES = 64 << 20
"""What a socket takes before a send would wait: more than any run has."""
OPENERS = 64
"""Handshakes at the same time, at most."""


def stream_all(
    url: str, wire: Callable[[str | None], Wire], load: Load, plans: Sequence[Plan], turns: Sequence[Turn]
) -> list[Heard]:
    """All speakers, to the end of their silence. Raises nothing that a server can cause: see Heard.faults."""
    gc.collect()
    gc.disable()  # a pause of the collector would make chunks late
    try:
        return uvloop.run(_all(url, wire, load, plans, turns))
    finally:
        gc.enable()


async def _all(
    url: str, wire: Callable[[str | None], Wire], load: Load, plans: Sequence[Plan], turns: Sequence[Turn]
) -> list[Heard]:
    origin = time.monotonic() + CONNECT_AHEAD_S
    opening = asyncio.Semaphore(OPENERS)
    speakers = (_Speaker(url, wire(plan.language), load, plan, turns, origin, opening) for plan in plans)
    return await asyncio.gather(*(speaker.run() for speaker in speakers))


class _Speaker:
    def __init__(
        self, url: str, wire: Wire, load: Load, plan: Plan, turns: Sequence[Turn], origin: float,
        opening: asyncio.Semaphore,
    ) -> None:  # fmt: skip
        self._url, self._wire, self._load, self._plan, self._turns = url, wire, load, plan, turns
        self._began = origin + plan.begins_s
        self._opening = opening
        self._heard = Heard(plan)
        self._ready = asyncio.Event()

    async def run(self) -> Heard:
        await asyncio.sleep(self._began - CONNECT_AHEAD_S - time.monotonic())
        try:
            async with self._opening:
                socket = await self._open()
            try:
                await self._talk(socket)
            finally:
                await self._close(socket)
        except (OSError, InvalidHandshake, TimeoutError) as error:
            self._heard.faults.append(f"no connection: {type(error).__name__}")
        except ConnectionClosed as closed:
            self._heard.faults.append(self._wire.fault or f"closed: {closed.code}")
        return self._heard

    async def _open(self) -> ClientConnection:
        return await connect(
            self._url + self._wire.path,
            subprotocols=[Subprotocol(name) for name in self._wire.subprotocols] or None,
            compression=None, proxy=None, open_timeout=READY_TIMEOUT_S, close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None, max_queue=None, max_size=None, write_limit=UNSENT_BYTES,
        )  # fmt: skip

    async def _talk(self, socket: ClientConnection) -> None:
        listening = asyncio.create_task(self._listen(socket))
        try:
            if hello := self._wire.hello():
                await socket.send(hello)
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._ready.wait()
            await self._send(socket, time.monotonic())
            await socket.send(self._wire.goodbye())
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
        if self._wire.fault:
            self._heard.faults.append(self._wire.fault)

    async def _send(self, socket: ClientConnection, ready: float) -> None:
        size = self._load.chunk_samples
        total = self._plan.samples + round(DRAIN_S * SAMPLE_RATE)
        for index in range(total // size):
            chunk = self._wire.audio(audio(self._plan, self._turns, index * size, (index + 1) * size))
            due = self._began + due_s(index, size)
            await asyncio.sleep(due - time.monotonic())
            self._heard.late_ms.append(1000 * (time.monotonic() - max(due, ready)))
            await socket.send(chunk)

    async def _listen(self, socket: ClientConnection) -> None:
        """Until the server closes, which the next send notices."""
        try:
            async for message in socket:
                at = time.monotonic() - self._began
                self._wire.receive(str(message))
                _note(self._heard.finals, at, self._wire.final)
                _note(self._heard.shown, at, self._wire.shown)
                if self._wire.ready:
                    self._ready.set()
        except ConnectionClosed:
            pass
        finally:
            self._ready.set()

    async def _close(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            await socket.close()


def _note(texts: list[Text], at: float, text: str) -> None:
    """Only what is new."""
    if text != (texts[-1][1] if texts else ""):
        texts.append((at, text))
