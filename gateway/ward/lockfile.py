"""shell: the file beside the journal that keeps a second gateway away, and remembers a debt.

The kernel drops the lock when the process ends, however it ends. The one byte in the file says whether
captions were shown that are not in the journal: it is overwritten in place, which works on a full disk too.
"""

import fcntl
import os
from pathlib import Path


class LockHeldError(Exception):
    """Another process holds it."""


class LockFile:
    def __init__(self, path: Path) -> None:
        """Raises LockHeldError, OSError."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.pread(self._fd, 1, 0):
                os.pwrite(self._fd, b"0", 0)
        except BlockingIOError:
            os.close(self._fd)
            raise LockHeldError(str(path)) from None
        except OSError:
            os.close(self._fd)
            raise

    @property
    def owes(self) -> bool:
        return os.pread(self._fd, 1, 0) == b"1"

    def note(self, owes: bool) -> None:
        """Raises OSError."""
        if self.owes != owes:
            os.pwrite(self._fd, b"1" if owes else b"0", 0)
            os.fsync(self._fd)

    def release(self) -> None:
        fd, self._fd = self._fd, -1  # never another file's number
        os.close(fd)
