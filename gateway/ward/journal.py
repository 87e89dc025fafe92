"""shell: the journal as the event loop sees it: nothing here waits for the disk.

An entry is recorded, written by the writer's thread (ward/writer.py) and then reported, in order. When the
disk fails, entries are reported all the same, marked as not durable, so that live captions flow; they wait in
memory and are written when it recovers. Without a path, or with a retention of 0, there is no file at all.
"""

import asyncio
import contextlib
import secrets
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from gateway.ward import reader
from gateway.ward.backlog import Backlog, Item
from gateway.ward.faults import fault_of
from gateway.ward.founding import JournalError, Start, begin, forget
from gateway.ward.lockfile import LockFile
from gateway.ward.records import (
    CaptionRow,
    Check,
    Entry,
    ForgetSession,
    JournalState,
    Purge,
    SessionRow,
    Work,
    Written,
)
from gateway.ward.reports import HOLD_S, Reports
from gateway.ward.writer import Book, Done, Failed, Lost, Told, Well, Writer

__all__ = ["Journal", "JournalError"]
SLOW_S = 1.0
"""A disk that does nothing for so long, though captions are late, is a fault."""
CHECK_PATIENCE_S = 2.0
PURGE_PATIENCE_S = 5.0
CLOSE_PATIENCE_S = 5.0
MAX_BACKLOG_ENTRIES = 100_000
MAX_BACKLOG_BYTES = 64 << 20
Read = TypeVar("Read")
log = structlog.get_logger()


def steady_s() -> float:
    """Seconds that go on while the machine sleeps and never jump."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Journal:
    """Use from one event loop only. `on_written` and `on_state` are called on it."""

    epoch: str

    def __init__(
        self,
        start: Start,
        clock: Callable[[], float],
        on_written: Callable[[Written], None],
        on_state: Callable[[JournalState], None],
    ) -> None:
        """Use open()."""
        self.epoch = start.epoch
        self._numbers, self._speaker = dict(start.numbers), start.speaker
        self._clock, self._on_state = clock, on_state
        self._loop = asyncio.get_running_loop()
        self._path: Path | None = None
        self._lock: LockFile | None = None
        self._writer: Writer | None = None
        self._reports = Reports(self._loop, on_written, self._be_late)
        self._seq = self._done = self._lost = 0
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._reason = ""
        self._set_aside = start.set_aside

    @classmethod
    async def open(
        cls,
        path: Path | None,
        *,
        synchronous: str,
        retention_h: float,
        now: Callable[[], float],
        on_written: Callable[[Written], None],
        on_state: Callable[[JournalState], None],
        elapsed_s: Callable[[], float] = steady_s,
        max_backlog: tuple[int, int] = (MAX_BACKLOG_ENTRIES, MAX_BACKLOG_BYTES),
    ) -> "Journal":
        """Open or create the file. `synchronous`: normal | full. Raises JournalError.

        Without a path, or with a retention of 0, there is none; what an earlier run left there is deleted.
        """
        origin = now() - elapsed_s()

        def clock() -> float:
            return origin + elapsed_s()

        if path is None or retention_h <= 0:
            if path:
                await asyncio.to_thread(forget, path)
            log.info("journal in memory only: a restart forgets all captions")
            return cls(Start(secrets.token_hex(8)), clock, on_written, on_state)
        lock, start = await asyncio.to_thread(begin, path, synchronous, now())
        journal = cls(start, clock, on_written, on_state)
        journal._path, journal._lock = path, lock
        book = Book(
            path,
            synchronous,
            retention_h * 3600,
            clock,
            numbers=lambda: dict(journal._numbers),
            speaker=lambda: journal._speaker,
            new_epoch=partial(secrets.token_hex, 8),
        )
        journal._writer = Writer(book, start.epoch, lock, Backlog(*max_backlog), journal._tell)
        return journal

    @property
    def state(self) -> JournalState:
        backlog = self._writer.depth if self._writer else 0
        return JournalState(self.epoch, self._reason, backlog, self._lost, self._set_aside)

    def last_numbers(self) -> dict[str, int]:
        """The last number of each bed: this process's and all earlier ones'."""
        return dict(self._numbers)

    def next_speaker(self) -> int:
        """A number that no speaker in the journal has."""
        self._speaker += 1
        return self._speaker

    # --- writing ---

    def record(self, entry: Entry) -> None:
        """Take it; the answer comes through on_written, in order. Never waits."""
        if entry.caption:
            bed = entry.caption.bed
            self._numbers[bed] = max(self._numbers.get(bed, 0), entry.caption.number)
        item = self._push(entry)
        self._reports.add(item)
        if self._writer is None or self._reason:
            self._loop.call_soon(self._reports.tell_up_to, item.seq, self._writer is None)

    async def forget_session(self, name: str) -> None:
        """Nobody resumes it any more. While the disk fails this is done later."""
        if self._writer:
            await self._command(ForgetSession(name), HOLD_S)

    async def purge(self, bed: str) -> None:
        """Delete every caption of a bed that was recorded until now. Raises JournalError: only later."""
        if self._writer and not await self._command(Purge(bed), PURGE_PATIENCE_S):
            raise JournalError(
                f"The captions of {bed} are not deleted yet, because the journal cannot write "
                f"({self._reason or 'slow'}). They will be as soon as it can."
            )

    async def close(self) -> None:
        """Write what waits, for some seconds at most, and let go of the file."""
        ended = not self._writer or await asyncio.to_thread(self._writer.close, CLOSE_PATIENCE_S)
        await asyncio.sleep(0)  # what the thread told last
        if self._writer and (unwritten := self._writer.depth):
            log.error("journal closed with captions unwritten", entries=unwritten, reason=self._reason)
        self._reports.tell_up_to(self._seq, self._writer is None)
        self._reports.close()
        if self._lock and ended:  # a thread that hangs in the disk still uses it
            self._lock.release()

    # --- reading ---

    async def captions(
        self,
        bed: str,
        after: int = 0,
        since: float | None = None,
        until: float | None = None,
        limit: int = 1000,
    ) -> list[CaptionRow]:
        """A bed's captions with number > after and since <= at < until, by number; what waits in memory too.

        Raises JournalError when the file cannot be read.
        """
        if self._writer is None or self._path is None:
            return []
        waiting = self._shown_but_unwritten(self._writer)
        read = partial(reader.read_captions, self._path, bed, after, since, until, limit)
        rows: list[CaptionRow] = await self._read(read, [])
        last = rows[-1].number if rows else after
        rows += [
            row
            for row in waiting
            if row.bed == bed
            and row.number > last
            and (since is None or row.at >= since)
            and (until is None or row.at < until)
        ]
        return rows[:limit]

    async def session(self, name: str) -> SessionRow | None:
        """What is kept of a session. Raises JournalError when the file cannot be read."""
        if self._path is None:
            return None
        return await self._read(partial(reader.read_session, self._path, name), None)

    async def _read(self, read: Callable[[], Read], nothing: Read) -> Read:
        """In a thread. When the file is damaged the writer puts it aside, and the new one is read."""
        try:
            try:
                return await asyncio.to_thread(read)
            except (sqlite3.Error, OSError) as error:
                if fault_of(error) != "corrupt":
                    raise
                await self._command(Check(), CHECK_PATIENCE_S)
                return await asyncio.to_thread(read)
        except reader.EmptyFileError:
            return nothing
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"The journal cannot be read ({fault_of(error)}: {error}).") from error

    # --- the way to the thread and back ---

    def _push(self, work: Work) -> Item:
        self._seq += 1
        item = Item(self._seq, work, self._clock())
        if self._writer and (shed := self._writer.push(item)):
            self._lost += len(shed)
            log.error("journal gives up entries", entries=len(shed), lost=self._lost, reason=self._reason)
            self._reports.tell_up_to(shed[-1].seq, False)
        return item

    async def _command(self, work: Work, patience_s: float) -> bool:
        """True: done. False: not yet; it stays in the queue."""
        answer = self._answers[self._push(work).seq] = self._loop.create_future()
        done, _ = await asyncio.wait({answer}, timeout=patience_s)
        return bool(done)

    def _tell(self, told: Told) -> None:
        """In the writer's thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._hear, told)

    def _hear(self, told: Told) -> None:
        match told:
            case Done(seq, refused):
                self._done = seq
                self._lost += len(refused)
                self._reports.tell_up_to(seq, True, refused)
                for asked in [asked for asked in self._answers if asked <= seq]:
                    self._answers.pop(asked).set_result(None)
                if self._reason == "slow" and not self._reports and not self.state.backlog:
                    self._set_reason("")
            case Failed(reason):
                self._set_reason(reason)
            case Well():
                self._set_reason("")
            case Lost(epoch, set_aside):
                self.epoch, self._set_aside = epoch, set_aside
                self._on_state(self.state)

    def _be_late(self) -> None:
        if not self._reason:
            self._loop.call_later(SLOW_S, self._expect_progress, self._done)

    def _expect_progress(self, done: int) -> None:
        if self._done == done and self.state.backlog:
            self._set_reason(self._reason or "slow")

    def _set_reason(self, reason: str) -> None:
        if reason != self._reason:
            self._reason = reason
            (log.error if reason else log.info)("journal state", reason=reason or "ok")
            self._on_state(self.state)

    def _shown_but_unwritten(self, writer: Writer) -> list[CaptionRow]:
        works = [item.work for item in writer.waiting() if item.seq <= self._reports.last]
        return [work.caption for work in works if isinstance(work, Entry) and work.caption]
