"""shell: the one connection that writes the journal's file. It blocks: for the writer's thread only."""

import os
import sqlite3
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from gateway.ward import schema
from gateway.ward.backlog import Item
from gateway.ward.records import CaptionRow, Entry
from gateway.ward.schema import SLICES

BUSY_TIMEOUT_S = 0.1
"""A lock held for longer is a fault: live captions must not wait for it."""
_caption_values, _session_values = attrgetter(*schema.CAPTION), attrgetter(*schema.SESSION)


class NewerFileError(Exception):
    """A newer Care Voice wrote this file."""


class Ledger:
    """Methods raise sqlite3.Error and OSError."""

    def __init__(self, path: Path, synchronous: str) -> None:
        """Open or create it, and bring it to this version. Raises NewerFileError too."""
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        self._path = path
        self._speaker = 0
        self._db = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(f"PRAGMA synchronous = {synchronous}")
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute("PRAGMA temp_store = MEMORY")  # no word in a temporary file
            _migrate(self._db, path)
            self._inode = path.stat().st_ino
            ends = [(self._stored_at(name, "DESC") or 0.0, name) for name in SLICES]
            self._current = max(ends)[1]
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def is_in_place(self) -> bool:
        """Is our file still the one that has the name?"""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def is_sound(self) -> bool:
        """Every page is read. Corruption of the first page raises sqlite3.DatabaseError instead."""
        return bool(self._db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")

    def adopt(self, epoch: str, numbers: dict[str, int], speaker: int, now: float) -> None:
        """Go on with these, and count the age of what is stamped with a time yet to come from now."""
        with _Transaction(self._db) as db:
            db.execute(schema.SET_ABOUT, (epoch, speaker))
            db.executemany(schema.RAISE_NUMBER, numbers.items())
            for table in (*SLICES, "sessions"):
                db.execute(
                    f"UPDATE {table} SET stored_at = ? WHERE stored_at > ?",  # noqa: S608  # our own names
                    (now, now),
                )

    def write(self, items: Sequence[Item], speaker: int) -> None:
        """Entries, all or none, and the last speaker's number. sqlite3.IntegrityError: a number is taken."""
        captions, sessions = [], {}
        numbers: dict[str, int] = {}
        for item in items:
            assert isinstance(item.work, Entry)
            if row := item.work.caption:
                captions.append((*_caption_values(row), item.stored_at))
                numbers[row.bed] = max(row.number, numbers.get(row.bed, 0))
            if session := item.work.session:
                sessions[session.name] = (*_session_values(session), item.stored_at)
        with _Transaction(self._db) as db:
            db.executemany(schema.insert_caption(self._current), captions)
            db.executemany(schema.INSERT_SESSION, sessions.values())
            db.executemany(schema.RAISE_NUMBER, numbers.items())
            if speaker > self._speaker:
                db.execute("UPDATE about SET last_speaker = max(last_speaker, ?)", (speaker,))
        self._speaker = speaker

    def has(self, row: CaptionRow | None) -> bool:
        """Is exactly this caption there already? After a commit that failed when it had succeeded."""
        if row is None:
            return False
        found = self._db.execute(
            schema.SELECT_CAPTIONS + "WHERE bed = ? AND number = ?", (row.bed, row.number)
        )
        return any(schema.caption(values) == row for values in found)

    def forget_session(self, name: str) -> None:
        self._db.execute("DELETE FROM sessions WHERE name = ?", (name,))

    def purge(self, bed: str) -> None:
        """Delete a bed's captions and rewrite the file, so that no byte of them stays (see schema.py)."""
        with _Transaction(self._db) as db:
            for name in SLICES:
                db.execute(f"DELETE FROM {name} WHERE bed = ?", (bed,))  # noqa: S608  # our own names
        self._db.execute("VACUUM")
        self.truncate_log()

    def turn(self, before: float) -> None:
        """Begin a new slice if the current one began before this time, and another one is free."""
        first = self._stored_at(self._current, "ASC")
        if first is not None and first < before:
            free = (name for name in SLICES if self._stored_at(name, "ASC") is None)
            self._current = next(free, self._current)

    def expire(self, captions_before: float, sessions_before: float) -> bool:
        """Delete one slice that is older, and old sessions. True: there may be more."""
        self._db.execute("DELETE FROM sessions WHERE stored_at < ?", (sessions_before,))
        for name in SLICES:
            newest = self._stored_at(name, "DESC")
            if newest is not None and newest < captions_before:
                self._db.execute(f"DELETE FROM {name}")  # noqa: S608  # our own names
                return True
        return False

    def truncate_log(self) -> bool:
        """Bring the write-ahead log into the file and empty it. False: a reader was in the way."""
        return bool(self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)

    def _stored_at(self, table: str, order: str) -> float | None:
        """Of its first (ASC) or last (DESC) row."""
        row = self._db.execute(
            f"SELECT stored_at FROM {table} ORDER BY id {order} LIMIT 1"  # noqa: S608  # our own names
        ).fetchone()
        return None if row is None else float(row[0])


class _Transaction:
    """BEGIN IMMEDIATE ... COMMIT, or ROLLBACK."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> sqlite3.Connection:
        self._db.execute("BEGIN IMMEDIATE")
        return self._db

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(schema.MIGRATIONS):
        raise NewerFileError(f"{path} was written by a newer Care Voice (version {version} of the file).")
    for number in range(version, len(schema.MIGRATIONS)):
        try:
            db.executescript(
                f"BEGIN IMMEDIATE; {schema.MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT"
            )
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
