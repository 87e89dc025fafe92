"""A client's side of the native protocol for tests: says messages, collects answers."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.typing import Subprotocol

REFERENCES: dict[str, Any] = json.loads((Path(__file__).parent / "data/audio/refs.json").read_text())
SECRETS: set[str] = set()
"""Tokens that gateways gave out in this test run."""
WAIT_S = 30
PATIENCE = 30


@dataclass
class Peer:
    """One WebSocket, speaker's or viewer's."""

    socket: ClientConnection
    again: Callable[[], Awaitable[ClientConnection]] | None = None
    """Connects once more, for a start that came while the gateway was busy."""
    messages: list[dict[str, Any]] = field(default_factory=list)

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def start(self, **fields: Any) -> dict[str, Any]:
        for _ in range(PATIENCE):
            try:
                await self.say("start", **fields)
                started = await self.until("started")
                break
            except ConnectionClosedError:
                if not (self.again and self.socket.close_code == 1013):
                    raise
                await asyncio.sleep(0.5)
                self.socket, self.messages = await self.again(), []
        SECRETS.add(started["token"])
        return started

    async def speak(self, pcm: bytes, chunk: int = 3200, pause_s: float = 0) -> None:
        """As fast as it goes, or with a pause after each chunk."""
        for i in range(0, len(pcm), chunk):
            await self.socket.send(pcm[i : i + chunk])
            if pause_s:
                await asyncio.sleep(pause_s)

    async def until(self, kind: str, **having: Any) -> dict[str, Any]:
        """The next message of this type (with these fields)."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = json.loads(await self.socket.recv())
                self.messages.append(message)
                if message["type"] == kind and all(message.get(k) == v for k, v in having.items()):
                    return dict(message)

    async def end(self) -> tuple[int, str]:
        """Read on until the socket closes: (code, reason)."""
        async with asyncio.timeout(WAIT_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    self.messages.append(json.loads(await self.socket.recv()))
        return self.socket.close_code or 0, self.socket.close_reason or ""

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [m for m in self.messages if m["type"] == kind]

    def text(self) -> str:
        return " ".join(m["text"] for m in self.of("final") if m["text"])


@asynccontextmanager
async def peer(url: str, path: str, patient: bool = True, **options: Any) -> AsyncIterator[Peer]:
    """Connect; when `patient`, come back while the gateway is busy with what other tests left (503, 1013)."""

    async def enter() -> ClientConnection:
        for attempt in range(PATIENCE):
            try:
                return await connect(
                    url + path, subprotocols=[Subprotocol("care-voice.v1")], compression=None, **options
                )
            except InvalidStatus as refused:
                if refused.response.status_code != 503 or not patient or attempt == PATIENCE - 1:
                    raise
                await asyncio.sleep(0.5)
        raise AssertionError("unreachable")

    speaker = Peer(await enter(), enter if patient else None)
    try:
        yield speaker
    finally:
        await speaker.socket.close()


async def transcribe(url: str, pcm: bytes, pause_s: float = 0, **start: Any) -> Peer:
    """Stream all of it, stop, and collect everything that was said."""
    async with peer(url, "/v1/stream") as speaker:
        await speaker.start(**start)
        reading = asyncio.create_task(speaker.end())
        await speaker.speak(pcm, pause_s=pause_s)
        await speaker.say("stop")
        assert (await reading)[0] == 1000
        return speaker


def units(text: str) -> list[str]:
    """Words, or characters of Chinese, without punctuation and case."""
    return re.findall(r"[a-z0-9']+|[\u4e00-\u9fff]", text.lower())


def error_rate(reference: str, text: str) -> float:
    """Word (or character) error rate by edit distance."""
    wanted, got = units(reference), units(text)
    row = list(range(len(got) + 1))
    for i, a in enumerate(wanted, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(got, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1] / max(1, len(wanted))
