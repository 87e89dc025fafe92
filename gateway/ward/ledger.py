"""shell: the journal's SQLite file. All of it blocks: it is for the writer's thread and for readers'.

Captions are only ever appended (rowid order), and deleted oldest first: deleted text is then overwritten by
secure_delete, page by page. Their numbers are in an index, and the last number of each bed in a table of its
own, which outlives the captions.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import fields
from operator import attrgetter
from pathlib import Path

from gateway.ward.backlog import Item
from gateway.ward.records import CaptionRow, Entry, SessionRow

BUSY_TIMEOUT_S = 0.1
"""Of the writer: a lock held for longer is a fault, and live captions must not wait for it."""
READ_TIMEOUT_S = 5.0
SLICE_ROWS = 500
"""Deleted in one transaction, so that captions never wait long behind the broom."""
MIGRATIONS = (
    """
    CREATE TABLE about (one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL,
        last_speaker INTEGER NOT NULL) STRICT;
    CREATE TABLE beds (bed TEXT PRIMARY KEY, last_number INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE captions (id INTEGER PRIMARY KEY, bed TEXT NOT NULL, number INTEGER NOT NULL,
        at REAL NOT NULL, speaker INTEGER NOT NULL, utterance INTEGER NOT NULL, start REAL NOT NULL,
        "end" REAL NOT NULL, text TEXT NOT NULL, language TEXT NOT NULL, confidence REAL NOT NULL,
        corrected INTEGER NOT NULL, suppressed TEXT, gap_s REAL NOT NULL, stored_at REAL NOT NULL) STRICT;
    CREATE UNIQUE INDEX captions_number ON captions (bed, number);
    CREATE INDEX captions_stored_at ON captions (stored_at);
    CREATE TABLE sessions (name TEXT PRIMARY KEY, token_hash TEXT NOT NULL, principal TEXT NOT NULL, bed TEXT,
        encoding TEXT NOT NULL, sample_rate INTEGER NOT NULL, channels INTEGER NOT NULL,
        committed INTEGER NOT NULL, finals INTEGER NOT NULL, speaker INTEGER NOT NULL,
        updated_at REAL NOT NULL, stored_at REAL NOT NULL) STRICT, WITHOUT ROWID;
    """,
)
"""MIGRATIONS[n] brings a file from version n (user_version) to n + 1."""
CAPTION = [field.name for field in fields(CaptionRow)]
SESSION = [field.name for field in fields(SessionRow)]
_caption_values, _session_values = attrgetter(*CAPTION), attrgetter(*SESSION)


def _insert(table: str, columns: list[str]) -> str:
    names = ", ".join(f'"{column}"' for column in [*columns, "stored_at"])
    marks = ", ".join("?" * (len(columns) + 1))
    return f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608  # names of this file


INSERT_CAPTION = _insert("captions", CAPTION)
INSERT_SESSION = _insert("sessions", SESSION).replace("INSERT", "INSERT OR REPLACE", 1)
SELECT_CAPTIONS = "SELECT " + ", ".join(f'"{name}"' for name in CAPTION) + " FROM captions "  # noqa: S608
SELECT_SESSION = "SELECT " + ", ".join(SESSION) + " FROM sessions WHERE name = ?"  # noqa: S608


class NewerFileError(Exception):
    """A newer Care Voice wrote this file."""


class EmptyFileError(Exception):
    """There is no journal, or nothing was ever written to it."""


class Ledger:
    """The one connection that writes. Methods raise sqlite3.Error and OSError."""

    def __init__(self, path: Path, synchronous: str) -> None:
        """Open or create it, and bring it to this version. Raises NewerFileError too."""
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        self._path = path
        self._speaker = 0
        self._connection = _connect(path, "mode=rw", BUSY_TIMEOUT_S)
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._connection.execute("PRAGMA secure_delete = ON")
            _migrate(self._connection, path)
            self._inode = path.stat().st_ino
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def is_in_place(self) -> bool:
        """Is our file still the one that has the name?"""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def is_sound(self) -> bool:
        """Every page is read. Corruption of the first page raises sqlite3.DatabaseError instead."""
        return bool(self._connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")

    def adopt(self, epoch: str, numbers: dict[str, int], speaker: int, now: float) -> None:
        """Go on with these, and count the age of what is stamped with a time yet to come from now."""
        with _Transaction(self._connection) as db:
            db.execute(
                "INSERT INTO about VALUES (1, ?, ?) ON CONFLICT DO UPDATE SET epoch = excluded.epoch, "
                "last_speaker = max(last_speaker, excluded.last_speaker)",
                (epoch, speaker),
            )
            _raise_numbers(db, numbers)
            db.execute("UPDATE captions SET stored_at = ? WHERE stored_at > ?", (now, now))
            db.execute("UPDATE sessions SET stored_at = ? WHERE stored_at > ?", (now, now))

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
        with _Transaction(self._connection) as db:
            db.executemany(INSERT_CAPTION, captions)
            db.executemany(INSERT_SESSION, sessions.values())
            _raise_numbers(db, numbers)
            if speaker > self._speaker:
                db.execute("UPDATE about SET last_speaker = max(last_speaker, ?)", (speaker,))
        self._speaker = speaker

    def has(self, row: CaptionRow | None) -> bool:
        """Is exactly this caption there already? After a commit that failed when it had succeeded."""
        if row is None:
            return False
        found = self._connection.execute(
            SELECT_CAPTIONS + "WHERE bed = ? AND number = ?", (row.bed, row.number)
        )
        return any(_caption(values) == row for values in found)

    def forget_session(self, name: str) -> None:
        self._connection.execute("DELETE FROM sessions WHERE name = ?", (name,))

    def purge(self, bed: str) -> None:
        """Delete a bed's captions and rewrite the file, so that no byte of them stays."""
        self._connection.execute("DELETE FROM captions WHERE bed = ?", (bed,))
        self._connection.execute("VACUUM")
        self.truncate_log()

    def expire(self, captions_before: float, sessions_before: float) -> int:
        """Delete a slice of what is older. Returns how many rows went: 0 when there is no more."""
        with _Transaction(self._connection) as db:
            gone = 0
            for table, key, before in (
                ("captions", "id", captions_before),
                ("sessions", "name", sessions_before),
            ):
                gone += db.execute(
                    f"DELETE FROM {table} WHERE {key} IN "  # noqa: S608  # names of this file
                    f"(SELECT {key} FROM {table} WHERE stored_at < ? ORDER BY stored_at LIMIT ?)",
                    (before, SLICE_ROWS),
                ).rowcount
            return gone

    def truncate_log(self) -> bool:
        """Bring the write-ahead log into the file and empty it. False: a reader was in the way."""
        return bool(self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)


# --- readers: a connection each, so that a file that was put aside is never held.
# They raise sqlite3.Error, EmptyFileError ---


def read_start(path: Path) -> tuple[str, dict[str, int], int]:
    """Epoch, last number of each bed, last speaker."""
    with closing(_connect_to_read(path)) as db:
        about = db.execute("SELECT epoch, last_speaker FROM about").fetchone()
        if about is None:  # it was created, and then the disk was full
            raise EmptyFileError(path)
        return about[0], dict(db.execute("SELECT bed, last_number FROM beds")), about[1]


def read_captions(
    path: Path, bed: str, after: int, since: float | None, until: float | None, limit: int
) -> list[CaptionRow]:
    """A bed's captions with number > after and since <= at < until, by number."""
    with closing(_connect_to_read(path)) as db:
        found = db.execute(
            SELECT_CAPTIONS + "WHERE bed = ? AND number > ? AND at >= ? AND at < ? ORDER BY number LIMIT ?",
            (bed, after, -1e308 if since is None else since, 1e308 if until is None else until, limit),
        )
        return [_caption(values) for values in found]


def read_beds(path: Path) -> list[str]:
    """The beds that have captions."""
    with closing(_connect_to_read(path)) as db:
        return [bed for (bed,) in db.execute("SELECT DISTINCT bed FROM captions ORDER BY bed")]


def read_session(path: Path, name: str) -> SessionRow | None:
    with closing(_connect_to_read(path)) as db:
        values = db.execute(SELECT_SESSION, (name,)).fetchone()
        return SessionRow(*values) if values else None


# --- small ---


class _Transaction:
    """BEGIN IMMEDIATE ... COMMIT, or ROLLBACK."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> sqlite3.Connection:
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _connect(path: Path, query: str, timeout_s: float) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{query}",
        uri=True,
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """On a full disk SQLite cannot make its shared memory; a file without a log can be read without it."""
    if not path.exists():
        raise EmptyFileError(path)
    log = path.with_name(path.name + "-wal")
    queries = ["mode=ro"] if log.exists() and log.stat().st_size else ["mode=ro", "mode=ro&immutable=1"]
    for query in queries:
        db = _connect(path, query, READ_TIMEOUT_S)
        try:
            version = db.execute("PRAGMA user_version").fetchone()[0]
        except BaseException as error:
            db.close()
            if query == queries[-1] or not isinstance(error, sqlite3.OperationalError):
                raise
        else:
            if version:
                return db
            db.close()
    raise EmptyFileError(path)


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise NewerFileError(f"{path} was written by a newer Care Voice (version {version} of the file).")
    for number in range(version, len(MIGRATIONS)):
        try:
            db.executescript(
                f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT"
            )
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")


def _raise_numbers(db: sqlite3.Connection, numbers: dict[str, int]) -> None:
    db.executemany(
        "INSERT INTO beds VALUES (?, ?) ON CONFLICT DO UPDATE "
        "SET last_number = max(last_number, excluded.last_number)",
        numbers.items(),
    )


def _caption(values: Sequence[object]) -> CaptionRow:
    row = dict(zip(CAPTION, values, strict=True))
    return CaptionRow(**row | {"corrected": bool(row["corrected"])})  # type: ignore[arg-type]  # STRICT tables
