import subprocess
import sys
from pathlib import Path

import pytest

from gateway.ward.lockfile import LockFile, LockHeldError

HOLDER = """
import sys
from pathlib import Path
from gateway.ward.lockfile import LockFile
lock = LockFile(Path(sys.argv[1]))
lock.note(owes=True)
print("held", flush=True)
sys.stdin.read()
"""


def test_one_at_a_time(tmp_path: Path) -> None:
    """The second is refused while the first holds it, in the same process too."""
    lock = LockFile(tmp_path / "lock")
    with pytest.raises(LockHeldError):
        LockFile(tmp_path / "lock")
    lock.release()
    LockFile(tmp_path / "lock").release()


def test_the_debt_outlives_the_process(tmp_path: Path) -> None:
    """Until it is paid. A new file owes nothing."""
    path = tmp_path / "lock"
    lock = LockFile(path)
    assert not lock.owes
    lock.note(owes=True)
    lock.release()
    lock = LockFile(path)
    assert lock.owes
    lock.note(owes=False)
    lock.release()
    assert path.read_bytes() == b"0"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_released_lock_touches_no_other_file(tmp_path: Path) -> None:
    """Its descriptor's number may be another file's by then."""
    lock = LockFile(tmp_path / "lock")
    lock.release()
    with pytest.raises(OSError):
        lock.note(owes=True)


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    """kill -9 leaves the debt, not the lock."""
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockHeldError):
            LockFile(path)
        holder.kill()
    lock = LockFile(path)
    assert lock.owes
    lock.release()
