import errno
import sqlite3
from pathlib import Path

import pytest

from gateway.ward.faults import ERRNO_REASONS, Fault, fault_of, is_refusal


def error_of(*statements: object) -> Exception:
    """What SQLite really raises."""
    db = sqlite3.connect(":memory:")
    try:
        db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL) STRICT")
        with pytest.raises(Exception) as caught:
            db.execute(*statements)  # type: ignore[arg-type]
        return caught.value
    finally:
        db.close()


def test_sqlite_errors_have_names(tmp_path: Path) -> None:
    """An operator is told what is wrong with the disk, not a number."""
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"no database at all " * 100)
    db = sqlite3.connect(garbage)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        db.execute("SELECT * FROM t")
    db.close()
    assert fault_of(caught.value) == "corrupt"
    with pytest.raises(sqlite3.OperationalError) as cannot:
        sqlite3.connect(tmp_path / "no" / "such" / "place")
    assert fault_of(cannot.value) == "cannot_open"
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert fault_of(full) == "disk_full"
    extended = sqlite3.OperationalError("disk I/O error")
    extended.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    assert fault_of(extended) == "io_error"


def test_system_errors_have_names() -> None:
    """As those of SQLite."""
    assert set(ERRNO_REASONS) == {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
    assert fault_of(OSError(errno.ENOSPC, "full")) == "disk_full"
    assert fault_of(OSError(errno.EROFS, "read-only")) == "read_only"
    assert fault_of(OSError(errno.EIO, "io")) == "io_error"
    assert fault_of(Fault("replaced", "gone")) == "replaced"


def test_what_nobody_foresaw_is_unexpected() -> None:
    """It is a fault all the same."""
    assert fault_of(RuntimeError("?")) == "unexpected"
    assert fault_of(sqlite3.OperationalError("without a code")) == "unexpected"


@pytest.mark.parametrize(
    "statement",
    [
        ("INSERT INTO t VALUES (1, NULL)",),
        ("INSERT INTO t VALUES (1, ?)", ("\ud800",)),
        ("INSERT INTO t VALUES (?, 'x')", (1 << 70,)),
        ("INSERT INTO t VALUES (?, 'x')", (object(),)),
        ("INSERT INTO t VALUES ('x', 'x')",),
    ],
)
def test_an_entry_that_no_file_takes_is_refused(statement: tuple[object, ...]) -> None:
    """The file is well, and must not be tried again and again with it."""
    assert is_refusal(error_of(*statement))


def test_a_fault_of_the_file_is_no_refusal() -> None:
    """It is tried again."""
    assert not is_refusal(error_of("SELECT * FROM no_such_table"))
    assert not is_refusal(OSError(errno.ENOSPC, "full"))
    assert not is_refusal(RuntimeError("?"))
