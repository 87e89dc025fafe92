"""core: what an error of the journal's file means."""

import sqlite3

REASONS = {
    sqlite3.SQLITE_FULL: "disk_full",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_IOERR: "io_error",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_PERM: "read_only",
    sqlite3.SQLITE_CANTOPEN: "cannot_open",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
}
ERRNO_REASONS = {28: "disk_full", 122: "disk_full", 30: "read_only", 13: "read_only", 1: "read_only"}
"""ENOSPC, EDQUOT, EROFS, EACCES, EPERM."""
REFUSALS = (
    sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError, UnicodeError,
    OverflowError,
)  # fmt: skip
PRIMARY = 0xFF
"""The low byte of SQLite's extended error codes."""


class Fault(Exception):
    """A fault that we found ourselves."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def fault_of(error: Exception) -> str:
    """Its named reason: one of those above, or replaced, or unexpected."""
    if isinstance(error, Fault):
        return error.reason
    if isinstance(error, sqlite3.Error):
        return REASONS.get(getattr(error, "sqlite_errorcode", 0) & PRIMARY, "unexpected")
    if isinstance(error, OSError):
        return ERRNO_REASONS.get(error.errno or 0, "io_error")
    return "unexpected"


def is_refusal(error: Exception) -> bool:
    """The entry is at fault, not the file: a number that is taken, a text that is no Unicode."""
    return isinstance(error, REFUSALS)
