"""A ward for fault tests: bedside clients that speak known sentences, a page that writes everything down, and
the accounts that must balance whatever happened in between."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from gateway.client.bedside import Event, Options
from gateway.client.door import Door, stream_url
from gateway.client.ring import Chunk
from gateway.client.sources import Source
from gateway.client.speaker import Summary, stream
from gateway.connection.messages import Ack, Final, Start, Stopped
from gateway.events import AudioFormat
from tests.connection.speech import pcm16, silence
from tests.running import RunningGateway
from tests.talking import REFERENCES, error_rate

SOAK = bool(os.environ.get("SOAK"))
"""`make soak`: longer, and more of everything."""
CHUNK_BYTES = 3200
SENTENCES = [f"en_{n:02}.wav" for n in range(16) if n != 11]
HEARTBEATS_MISSED_S = 5.0
"""A page that hears nothing for so long looks for a better connection."""


def scaled(short: int, long: int) -> int:
    """For `make test`, for `make soak`."""
    return long if SOAK else short


def chunks(pcm: bytes) -> Generator[Chunk, None, None]:
    return (
        Chunk(pcm[i : i + CHUNK_BYTES], len(pcm[i : i + CHUNK_BYTES]) // 2)
        for i in range(0, len(pcm), CHUNK_BYTES)
    )


@dataclass
class Bedside:
    """A device with the client of the package, a live microphone before it."""

    bed: str
    names: list[str]
    """The sentences that are spoken."""
    events: list[Event] = field(default_factory=list)
    summary: Summary | None = None

    @classmethod
    def number(cls, n: int, sentences: int) -> "Bedside":
        """Every one speaks in another order."""
        names = [SENTENCES[(n * 4 + k) % len(SENTENCES)] for k in range(sentences)]
        return cls(f"bed-{n:03}", names)

    @property
    def pcm(self) -> bytes:
        return b"".join(pcm16(name) + silence(0.8) for name in self.names)

    async def speak(self, url: str, speed: float = 1.0, ring_s: float = 120) -> None:
        start = Start(bed=self.bed, language="en", partials=False)
        options = Options(start, speed=speed, ring_s=ring_s, first_retry_s=60, retry_s=120)
        source = Source(AudioFormat(), chunks(self.pcm), is_live=True)
        self.summary = await stream(Door(stream_url(url)), source, options, self.events.append)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def check(self) -> None:
        """Every sample arrived or was declared lost; every sentence was captioned once, in order."""
        assert self.summary is not None
        assert self.summary.is_complete
        assert self.summary.lost_s == 0
        assert self.of(Stopped)[-1].received == len(self.pcm) // 2
        assert all(ack.committed <= ack.received for ack in self.of(Ack))
        finals: list[Final] = self.of(Final)
        assert [final.number for final in finals] == list(range(1, len(finals) + 1))
        assert all(a.end <= b.start for a, b in pairwise(finals))
        spoken = " ".join(REFERENCES[name]["text"] for name in self.names)
        captioned = " ".join(final.text for final in finals)
        assert error_rate(spoken, captioned) <= 0.12, (self.bed, spoken, captioned)


class Page:
    """A caregiver's page: it comes back with the numbers that it has, as pages do."""

    def __init__(self, bedsides: list[Bedside]) -> None:
        self._beds = [bedside.bed for bedside in bedsides] if len(bedsides) <= 64 else ["*"]
        self.captions: dict[str, list[dict[str, Any]]] = {}
        self.epochs: set[str] = set()
        self.faults: list[str] = []
        self.connections = 0
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def reading(self, url: str) -> AsyncIterator["Page"]:
        task = asyncio.create_task(self._read_for_ever(url.replace("http", "ws") + "/v1/captions"))
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def has(self, bed: str, number: int, patience_s: float = 20) -> None:
        """Wait for a caption."""
        async with asyncio.timeout(patience_s), self._changed:
            await self._changed.wait_for(lambda: len(self.captions.get(bed, [])) >= number)

    async def _read_for_ever(self, url: str) -> None:
        while True:
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                await self._read_once(url)
            await asyncio.sleep(0.2)

    async def _read_once(self, url: str) -> None:
        subprotocols = [Subprotocol("care-voice.v1")]
        async with connect(url, subprotocols=subprotocols, open_timeout=3, close_timeout=0.1) as socket:
            self.connections += 1
            numbers = {bed: len(captions) for bed, captions in self.captions.items()}
            epoch = next(iter(self.epochs), None)
            await socket.send(
                json.dumps({"type": "watch", "beds": self._beds, "after": numbers, "epoch": epoch})
            )
            while True:
                async with asyncio.timeout(HEARTBEATS_MISSED_S):
                    message = json.loads(await socket.recv())
                async with self._changed:
                    self._take(message)
                    self._changed.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "snapshot":
            self.epochs.add(message["epoch"])
            if not message["recovered"]:
                self.faults.append(f"{message['bed']}: not recovered")
            for caption in message["captions"]:
                self._show(caption)
        elif message["type"] == "caption":
            self._show(message)

    def _show(self, caption: dict[str, Any]) -> None:
        shown = self.captions.setdefault(caption["bed"], [])
        if caption["number"] != len(shown) + 1:
            self.faults.append(f"{caption['bed']}: number {caption['number']} after {len(shown)}")
        shown.append(caption)


async def speaking(bedsides: list[Bedside], url: str, patience_s: float, speed: float = 1.0) -> None:
    """Until all of them have been told that everything is final."""
    async with asyncio.timeout(patience_s), asyncio.TaskGroup() as tasks:
        for bedside in bedsides:
            tasks.create_task(bedside.speak(url, speed))


async def check(gateway: RunningGateway, bedsides: list[Bedside], page: Page) -> None:
    """Audio sent = audio decoded; what the page has seen = the journal = what the speakers got."""
    for bedside in bedsides:
        bedside.check()
        texts = [final.text for final in bedside.of(Final)]
        await page.has(bedside.bed, len(texts))
        assert [caption["text"] for caption in page.captions[bedside.bed]] == texts
        kept = await asyncio.to_thread(gateway.get, f"/v1/beds/{quote(bedside.bed)}/captions")
        journal = json.loads(kept)["captions"]
        assert [(c["number"], c["text"]) for c in journal] == list(enumerate(texts, 1))
    assert page.faults == []
    assert len(page.epochs) <= 1
