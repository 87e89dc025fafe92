"""Rules of files for secrets."""

import os
import stat
from pathlib import Path

import pytest

from gateway.private_files import locked_dir, make_private_dir, write_private


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All or nothing, and no litter."""
    path = tmp_path / "x"
    write_private(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_only_the_owner_reads_them(tmp_path: Path) -> None:
    """Whatever the umask and whatever was there before; a directory that is there stays as it is."""
    before = os.umask(0)
    try:
        make_private_dir(tmp_path / "a" / "b")
        (tmp_path / "a" / "b" / "x").write_text("old")
        with locked_dir(tmp_path / "a" / "b"):
            write_private(tmp_path / "a" / "b" / "x", b"new")
        (tmp_path / "shared").mkdir(mode=0o755)
        make_private_dir(tmp_path / "shared")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "b" / "x").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_writes_belongs_to_the_directorys_owner(tmp_path: Path) -> None:
    """Else the gateway could not read it."""
    os.chown(tmp_path, 1234, 1234)
    write_private(tmp_path / "x", b"")
    assert ((tmp_path / "x").stat().st_uid, (tmp_path / "x").stat().st_gid) == (1234, 1234)
