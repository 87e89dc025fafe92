"""A journal on a real file, and what it told."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.ward.journal import Journal
from gateway.ward.records import CaptionRow, JournalState, Written
from tests.ward.rows import said


@dataclass
class Told:
    journal: Journal = field(init=False)
    written: list[Written] = field(default_factory=list)
    states: list[JournalState] = field(default_factory=list)

    def numbers(self, bed: str = "3A", durable: bool | None = None) -> list[int]:
        """Of the captions of a bed that were reported."""
        return [
            w.entry.caption.number
            for w in self.written
            if w.entry.caption and w.entry.caption.bed == bed and durable in (None, w.durable)
        ]

    def say(self, bed: str = "3A", count: int = 1, text: str = "good morning") -> None:
        """Record the next captions of a bed, as the hub numbers them."""
        for _ in range(count):
            self.journal.record(said(bed, self.journal.last_numbers().get(bed, 0) + 1, text))

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():  # noqa: ASYNC110  # the thread tells in its own time
                await asyncio.sleep(0.005)

    async def reported(self, count: int) -> None:
        await self.until(lambda: len(self.written) >= count)

    async def kept(self, bed: str = "3A") -> list[int]:
        return [row.number for row in await self.rows(bed)]

    async def rows(self, bed: str = "3A") -> list[CaptionRow]:
        return await self.journal.captions(bed, limit=1 << 30)


@asynccontextmanager
async def journal(
    path: Path | None, now: Callable[[], float] = time.time, **options: Any
) -> AsyncIterator[Told]:
    told = Told()
    settings: dict[str, Any] = {"synchronous": "normal", "retention_h": 24.0} | options
    told.journal = await Journal.open(
        path, now=now, on_written=told.written.append, on_state=told.states.append, **settings
    )
    try:
        yield told
    finally:
        await told.journal.close()
