"""shell: reads the journal's file. It blocks. A connection each time, so that no file put aside is held.

Functions raise EmptyFileError and sqlite3.Error.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.ward.records import CaptionRow, SessionRow
from gateway.ward.schema import SELECT_CAPTIONS, SELECT_SESSION, caption

FILE_NAME = "captions.sqlite3"
"""In the data directory."""
TIMEOUT_S = 5.0


class EmptyFileError(Exception):
    """There is no journal, or nothing was ever written to it."""


def read_start(path: Path) -> tuple[str, dict[str, int], int]:
    """Epoch, last number of each bed, last speaker."""
    with closing(_connect(path)) as db:
        about = db.execute("SELECT epoch, last_speaker FROM about").fetchone()
        if about is None:  # it was created, and then the disk was full
            raise EmptyFileError(path)
        return about[0], dict(db.execute("SELECT bed, last_number FROM beds")), about[1]


def read_captions(
    path: Path, bed: str, after: int, since: float | None, until: float | None, limit: int
) -> list[CaptionRow]:
    """A bed's captions with number > after and since <= at < until, by number."""
    with closing(_connect(path)) as db:
        found = db.execute(
            SELECT_CAPTIONS + "WHERE bed = ? AND number > ? AND at >= ? AND at < ? ORDER BY number LIMIT ?",
            (bed, after, -1e308 if since is None else since, 1e308 if until is None else until, limit),
        )
        return [caption(values) for values in found]


def read_beds(path: Path) -> list[str]:
    """The beds that have captions."""
    with closing(_connect(path)) as db:
        return [bed for (bed,) in db.execute("SELECT DISTINCT bed FROM captions ORDER BY bed")]


def read_session(path: Path, name: str) -> SessionRow | None:
    with closing(_connect(path)) as db:
        values = db.execute(SELECT_SESSION, (name,)).fetchone()
        return SessionRow(*values) if values else None


def _connect(path: Path) -> sqlite3.Connection:
    """On a full disk SQLite cannot make its shared memory; a file without a log can be read without it."""
    if not path.exists():
        raise EmptyFileError(path)
    log = path.with_name(path.name + "-wal")
    queries = ["mode=ro"] if log.exists() and log.stat().st_size else ["mode=ro", "mode=ro&immutable=1"]
    for query in queries:
        uri = f"{path.absolute().as_uri()}?{query}"
        db = sqlite3.connect(uri, uri=True, timeout=TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA temp_store = MEMORY")  # no word in a temporary file
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
