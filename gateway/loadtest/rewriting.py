"""shell: files that are replaced whole or not at all."""

import os
import secrets
from pathlib import Path

NEW_FILE_MODE = 0o644


def check_writable(path: Path) -> None:
    """Raises OSError, now rather than after the run."""
    folder = path.resolve().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{path}: its folder cannot be written")


def replace_file(path: Path, content: bytes) -> None:
    """Mode and owner stay; a link is followed. Raises OSError."""
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    before = path.stat() if path.exists() else None
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, NEW_FILE_MODE)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if before:
            temporary.chmod(before.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.chown(temporary, before.st_uid, before.st_gid)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
