"""shell: the first look at the journal's file when a gateway starts; putting aside what cannot be used."""

import contextlib
import math
import secrets
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gateway.ward.faults import Fault, fault_of
from gateway.ward.ledger import Ledger, NewerFileError
from gateway.ward.lockfile import LockFile, LockHeldError
from gateway.ward.reader import EmptyFileError, read_start

log = structlog.get_logger()


class JournalError(Exception):
    """The journal cannot be opened, read or purged; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Start:
    """What earlier processes left."""

    epoch: str
    numbers: dict[str, int] = field(default_factory=dict)
    """The last number of each bed."""
    speaker: int = 0
    """The last number of a speaker."""
    set_aside: str = ""
    """Where a file that could not be used is now. Empty: there was none."""


def begin(path: Path, synchronous: str, now: float) -> tuple[LockFile, Start]:
    """Lock the journal, open or create it, read where it stands. Raises JournalError.

    A disk that only cannot write (full, read-only) is no reason not to start: the writer will say so.
    """
    lock = _lock(path)
    try:
        return lock, _load(path, synchronous, now, lock.owes)
    except BaseException:
        lock.release()
        raise


def forget(path: Path) -> None:
    """Nothing may be kept: overwrite and delete what an earlier run left. Raises JournalError."""
    if not path.exists():
        return
    lock = _lock(path)
    try:
        with contextlib.suppress(sqlite3.Error, NewerFileError), closing(Ledger(path, "full")) as ledger:
            while ledger.expire(math.inf, math.inf):
                pass
            ledger.truncate_log()
        for suffix in ("-wal", "-shm", ""):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    except OSError as error:
        raise JournalError(f"{path} holds captions and cannot be deleted: {error.strerror}.") from error
    finally:
        lock.release()
    log.warning("journal of an earlier run deleted, since nothing may be kept", path=str(path))


def _lock(path: Path) -> LockFile:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LockFile(path.with_name(path.name + ".lock"))
    except LockHeldError:
        raise JournalError(
            f"Another gateway keeps its journal in {path.parent}. Stop it, or choose another --data-dir."
        ) from None
    except OSError as error:
        raise JournalError(
            f"Cannot write in {path.parent}: {error.strerror}. Make it writable for this user, choose "
            "another --data-dir, or keep captions in memory only with --retention-h 0."
        ) from error


def _load(path: Path, synchronous: str, now: float, owes: bool) -> Start:
    try:
        with closing(Ledger(path, synchronous)) as ledger:
            if not ledger.is_sound():
                raise Fault("corrupt", "the check found damaged pages")
    except NewerFileError as error:
        raise JournalError(f"{error} Start that version, or move the file away.") from error
    except (sqlite3.Error, OSError, Fault) as error:
        log.error("journal cannot be opened", reason=fault_of(error), detail=str(error))
        if fault_of(error) == "corrupt":
            return _begin_anew(path, now)
    try:
        epoch, numbers, speaker = read_start(path)
    except EmptyFileError:
        return Start(secrets.token_hex(8))
    except (sqlite3.Error, OSError) as error:
        if fault_of(error) == "corrupt":
            return _begin_anew(path, now)
        raise JournalError(
            f"{path} cannot be read ({error}). Without it the captions of each bed cannot be numbered on. "
            "Make it readable for this user, or move it away to begin a new one."
        ) from error
    if owes:
        epoch = secrets.token_hex(8)
        log.error("journal misses captions that were shown while the disk failed", new_epoch=epoch)
    return Start(epoch, numbers, speaker)


def _begin_anew(path: Path, now: float) -> Start:
    try:
        set_aside = put_aside(path, now, "corrupt")
    except OSError as error:
        raise JournalError(f"{path} is damaged and cannot be renamed: {error.strerror}.") from error
    log.error("journal begun anew", set_aside=set_aside)
    return Start(secrets.token_hex(8), set_aside=set_aside)


def put_aside(path: Path, now: float, reason: str) -> str:
    """Rename the file and what belongs to it; nothing is deleted. Raises OSError. Empty: there was none."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    aside = path.with_name(f"{path.name}.{reason}-{stamp}")
    for number in range(2, 1000):
        if not aside.exists():
            break
        aside = path.with_name(f"{path.name}.{reason}-{stamp}-{number}")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return str(aside) if aside.exists() else ""
