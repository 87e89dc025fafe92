"""shell: the one thread that writes the journal: take what waits -> one transaction -> tell.

While a transaction runs the next entries gather, so that a busy ward shares its commits and a quiet one does
not wait. Whatever fails is told, given back and tried again after a pause that grows; the file is opened anew
for it. A file that is corrupt, or gone, is put aside and a new one begun.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway.ward.backlog import Backlog, Item
from gateway.ward.faults import Fault, fault_of, is_refusal
from gateway.ward.founding import put_aside
from gateway.ward.ledger import Ledger
from gateway.ward.lockfile import LockFile
from gateway.ward.records import Check, Entry, ForgetSession, Purge
from gateway.ward.schema import SLICES_KEPT

GROUP_ENTRIES = 1000
"""In one transaction at most."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
"""Between attempts while the disk fails."""
TIDY_INTERVAL_S = 60.0
TIDY_RETRY_S = 5.0
"""When a reader was in the way."""
SESSION_AGE_S = 86_400.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Done:
    """Everything up to this number is on disk, except for what the file refuses."""

    seq: int
    refused: frozenset[int]


@dataclass(frozen=True, slots=True)
class Failed:
    reason: str


@dataclass(frozen=True, slots=True)
class Well:
    """The file works, and nothing waits."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The file was lost; this is the new one's epoch."""

    epoch: str
    set_aside: str
    """Where the lost one is. Empty: nowhere."""


Told = Done | Failed | Well | Lost


@dataclass(frozen=True, slots=True)
class Book:
    """Where the journal is, and what its owner alone knows."""

    path: Path
    synchronous: str
    retention_s: float
    now: Callable[[], float]
    """Unix seconds that never jump while the process lives."""
    numbers: Callable[[], dict[str, int]]
    """The last number given in each bed."""
    speaker: Callable[[], int]
    """The last number given to a speaker."""
    new_epoch: Callable[[], str]


class Writer:
    """push() and close() from any thread; `tell` is called in the writer's."""

    def __init__(
        self, book: Book, epoch: str, lock: LockFile, backlog: Backlog, tell: Callable[[Told], None]
    ) -> None:
        self._book, self._epoch, self._lock, self._backlog, self._tell = book, epoch, lock, backlog, tell
        self._ledger: Ledger | None = None
        self._changed = threading.Condition()
        self._closing_at: float | None = None
        self._tidy_at = 0.0
        self._failing = lock.owes
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def push(self, item: Item) -> list[Item]:
        """Never waits for the disk. Returns what was given up to make room."""
        with self._changed:
            shed = self._backlog.push(item)
            self._changed.notify()
        return shed

    def waiting(self) -> list[Item]:
        """What is not on disk, as far as known."""
        with self._changed:
            return list(self._backlog)

    @property
    def depth(self) -> int:
        return len(self._backlog)

    def close(self, patience_s: float) -> bool:
        """Write what waits, for so long at most. Blocks. False: the thread hangs in the disk."""
        with self._changed:
            self._closing_at = time.monotonic() + patience_s
            self._changed.notify()
        self._thread.join(patience_s + 1)
        return not self._thread.is_alive()

    # --- the thread ---

    def _run(self) -> None:
        pause_s = 0.0
        while (items := self._next(pause_s)) is not None:
            try:
                self._work(items)
                pause_s = 0.0
            except Exception as error:  # whatever it is: the thread must live, and say so
                pause_s = min(max(FIRST_PAUSE_S, 2 * pause_s), LONGEST_PAUSE_S)
                self._recover(error)
        if self._ledger:
            self._ledger.close()

    def _next(self, pause_s: float) -> list[Item] | None:
        """Sleep until there is work: items, none when it is time to tidy up, None: the end."""
        with self._changed:
            if pause_s and self._closing_at is None:
                self._changed.wait_for(lambda: self._closing_at is not None, pause_s)
            elif pause_s:
                self._changed.wait(FIRST_PAUSE_S)
            else:
                until_tidy_s = max(0.0, self._tidy_at - time.monotonic())
                self._changed.wait_for(lambda: self._closing_at is not None or self._backlog, until_tidy_s)
            if self._closing_at is not None and (not self._backlog or time.monotonic() > self._closing_at):
                return None
            return self._backlog.take(GROUP_ENTRIES)

    def _work(self, items: Sequence[Item]) -> None:
        if self._ledger and not self._ledger.is_in_place():
            raise Fault("replaced", "another file has the journal's name, or none")
        ledger = self._ledger = self._ledger or self._open()
        if items:
            refused = self._perform(ledger, items)
            with self._changed:
                self._backlog.done()
            self._tell(Done(items[-1].seq, refused))
        if time.monotonic() >= self._tidy_at:
            self._tidy(ledger)
        if self._failing and not self._backlog:
            self._lock.note(owes=False)
            self._failing = False
            self._tell(Well())

    def _open(self) -> Ledger:
        book = self._book
        ledger = Ledger(book.path, book.synchronous)
        try:
            ledger.adopt(self._epoch, book.numbers(), book.speaker(), book.now())
        except BaseException:
            ledger.close()
            raise
        return ledger

    def _perform(self, ledger: Ledger, items: Sequence[Item]) -> frozenset[int]:
        match items[0].work:
            case ForgetSession(name):
                ledger.forget_session(name)
            case Purge(bed):
                ledger.purge(bed)
            case Check():
                if not ledger.is_sound():
                    raise Fault("corrupt", "the journal's file is damaged")
            case Entry():
                return self._write(ledger, items)
        return frozenset()

    def _write(self, ledger: Ledger, items: Sequence[Item]) -> frozenset[int]:
        """One entry that the file cannot take must not keep the others out."""
        try:
            ledger.write(items, self._book.speaker())
        except Exception as error:
            if not is_refusal(error):
                raise
            if len(items) > 1:
                return frozenset().union(*(self._write(ledger, [item]) for item in items))
            if isinstance(items[0].work, Entry) and ledger.has(items[0].work.caption):
                return frozenset()
            log.error("journal refuses an entry", seq=items[0].seq, error=type(error).__name__)
            return frozenset({items[0].seq})
        return frozenset()

    def _tidy(self, ledger: Ledger) -> None:
        """Delete a slice of what is too old; at the end empty the log, which must not keep deleted text."""
        now, retention_s = self._book.now(), self._book.retention_s
        ledger.turn(now - retention_s / SLICES_KEPT)
        if not ledger.expire(now - retention_s, now - SESSION_AGE_S):
            emptied = ledger.truncate_log()
            self._tidy_at = time.monotonic() + (TIDY_INTERVAL_S if emptied else TIDY_RETRY_S)

    def _recover(self, error: Exception) -> None:
        with self._changed:
            self._backlog.give_back()
        ledger, self._ledger = self._ledger, None
        reason = fault_of(error)
        if not self._failing or reason == "unexpected":
            log.error("journal fails", reason=reason, error=type(error).__name__, detail=str(error))
        self._failing = True
        self._tell(Failed(reason))
        with contextlib.suppress(OSError):  # the disk fails: it is tried as long as it does
            self._lock.note(owes=True)
        try:
            if ledger:
                ledger.close()
            if reason in {"corrupt", "replaced"}:
                self._begin_anew(reason)
        except Exception as worse:
            log.error("journal cannot be put aside", error=type(worse).__name__, detail=str(worse))

    def _begin_anew(self, reason: str) -> None:
        set_aside = put_aside(self._book.path, self._book.now(), reason)
        self._epoch = self._book.new_epoch()
        log.error("journal begun anew", reason=reason, set_aside=set_aside, epoch=self._epoch)
        self._tell(Lost(self._epoch, set_aside))
