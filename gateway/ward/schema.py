"""core: the tables of the journal's file.

Captions lie in a ring of tables, one for each slice of the retention time, and are only ever appended; a
slice is deleted whole. The reason is privacy: SQLite moves rows from page to page when single ones are
deleted, and leaves copies of them behind that secure_delete does not see, so that words would outlive their
deletion by hours. Pages of a table that is emptied are overwritten, all of them. The view `captions` is what
readers see.
"""

from dataclasses import fields

from gateway.ward.records import CaptionRow, SessionRow

SLICES_KEPT = 24
"""The retention time in slices: deletion is late by one of them at most."""
SLICES = [f"captions_{number}" for number in range(SLICES_KEPT + 2)]
CAPTION = [field.name for field in fields(CaptionRow)]
SESSION = [field.name for field in fields(SessionRow)]

_SLICE = """
CREATE TABLE {name} (id INTEGER PRIMARY KEY, bed TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL,
    speaker INTEGER NOT NULL, utterance INTEGER NOT NULL, start REAL NOT NULL, "end" REAL NOT NULL,
    text TEXT NOT NULL, language TEXT NOT NULL, confidence REAL NOT NULL, corrected INTEGER NOT NULL,
    suppressed TEXT, gap_s REAL NOT NULL, stored_at REAL NOT NULL) STRICT;
CREATE UNIQUE INDEX {name}_number ON {name} (bed, number);
"""
_OTHERS = """
CREATE TABLE about (one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL,
    last_speaker INTEGER NOT NULL) STRICT;
CREATE TABLE beds (bed TEXT PRIMARY KEY, last_number INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (name TEXT PRIMARY KEY, token_hash TEXT NOT NULL, principal TEXT NOT NULL, bed TEXT,
    encoding TEXT NOT NULL, sample_rate INTEGER NOT NULL, channels INTEGER NOT NULL,
    committed INTEGER NOT NULL, finals INTEGER NOT NULL, speaker INTEGER NOT NULL,
    updated_at REAL NOT NULL, stored_at REAL NOT NULL) STRICT, WITHOUT ROWID;
"""
_VIEW = "CREATE VIEW captions AS " + " UNION ALL ".join(f"SELECT * FROM {name}" for name in SLICES)  # noqa: S608

MIGRATIONS = ("".join(_SLICE.format(name=name) for name in SLICES) + _OTHERS + _VIEW + ";",)
"""MIGRATIONS[n] brings a file from version n (user_version) to n + 1. Released ones never change."""


def _insert(columns: list[str], into: str) -> str:
    names = ", ".join(f'"{column}"' for column in [*columns, "stored_at"])
    return f"{into} ({names}) VALUES ({', '.join('?' * (len(columns) + 1))})"


def insert_caption(slice_name: str) -> str:
    return _insert(CAPTION, f"INSERT INTO {slice_name}")


INSERT_SESSION = _insert(SESSION, "INSERT OR REPLACE INTO sessions")
SELECT_CAPTIONS = "SELECT " + ", ".join(f'"{name}"' for name in CAPTION) + " FROM captions "  # noqa: S608
SELECT_SESSION = "SELECT " + ", ".join(SESSION) + " FROM sessions WHERE name = ?"  # noqa: S608
SET_ABOUT = (
    "INSERT INTO about VALUES (1, ?, ?) ON CONFLICT DO UPDATE SET epoch = excluded.epoch, "
    "last_speaker = max(last_speaker, excluded.last_speaker)"
)
RAISE_NUMBER = (
    "INSERT INTO beds VALUES (?, ?) ON CONFLICT DO UPDATE "
    "SET last_number = max(last_number, excluded.last_number)"
)


def caption(values: tuple[object, ...]) -> CaptionRow:
    """A row of SELECT_CAPTIONS."""
    row = dict(zip(CAPTION, values, strict=True))
    return CaptionRow(**row | {"corrected": bool(row["corrected"])})  # type: ignore[arg-type]  # STRICT tables
