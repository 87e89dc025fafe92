"""shell: the API keys and signing keys on disk: keys.json and signing.json, readable by their owner only.

Written by the command line while the gateway runs, so every change is an atomic replacement under a lock,
and the gateway looks for changes (`refresh`). Losing the file must not open a gateway that had keys.
"""

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import structlog

from gateway.connection.access import Principal
from gateway.connection.credentials import (
    ID_BYTES,
    SECRET_BYTES,
    KeyRecord,
    SigningKey,
    is_over,
    is_stale,
    make_key,
    rotate,
)
from gateway.private_files import locked_dir, make_private_dir, write_private

T = TypeVar("T", KeyRecord, SigningKey)
log = structlog.get_logger()


class KeyFileError(Exception):
    """A file of keys cannot be used; the message says which and what to do."""


class KeyFile(Generic[T]):
    """A list of keys in a JSON file, the newest known content of it in `items`."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        """Reads it if it is there. Raises KeyFileError."""
        self.path = path
        self._decoder = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]  # T is bound at run time
        self._seen: object = None
        self.items: list[T] = []
        self.exists = False
        """It is or was there. It never turns false again: a file that vanishes must let nobody in."""
        self._load()

    def refresh(self) -> bool:
        """Look whether it has changed on disk. A file that cannot be read changes nothing, and says so."""
        if self._stamp() == self._seen:
            return False
        try:
            self._load()
        except KeyFileError as error:
            self._seen = self._stamp()
            log.error("keys unreadable, the last known ones stay", reason=str(error))
            return False
        return True

    @contextlib.contextmanager
    def change(self) -> Iterator[list[T]]:
        """The list as it is on disk now, to be changed; written when the block ends. One writer at a time."""
        try:
            make_private_dir(self.path.parent)
            with locked_dir(self.path.parent):
                self._load()
                yield self.items
                self.exists = True
                write_private(self.path, msgspec.json.format(msgspec.json.encode(self.items)) + b"\n")
                self._seen = self._stamp()
        except OSError as error:
            raise KeyFileError(f"Cannot write {self.path}: {error.strerror}.") from error

    def _load(self) -> None:
        stamp = self._stamp()
        try:
            self.items = self._decoder.decode(self.path.read_bytes())
            self.exists = True
        except FileNotFoundError:
            self.items = []
        except (OSError, msgspec.MsgspecError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is damaged"
            raise KeyFileError(
                f"Cannot read {self.path}: {why}. It must belong to the gateway's user; restore it, or move "
                "it away and make new keys (care-voice token create)."
            ) from None  # the decoder's message may quote the file
        self._seen = stamp

    def _stamp(self) -> object:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_size, status.st_ino)


class ApiKeys(KeyFile[KeyRecord]):
    """keys.json."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir / "keys.json", KeyRecord)

    def create(self, principal: Principal) -> tuple[KeyRecord, str]:
        """A new key and its secret, which is kept nowhere."""
        record, secret = make_key(principal, secrets.token_bytes(ID_BYTES + SECRET_BYTES), time.time())
        with self.change() as records:
            records.append(record)
        return record, secret

    def revoke(self, key_id: str) -> KeyRecord | None:
        """None when there is no such key."""
        with self.change() as records:
            for i, record in enumerate(records):
                if record.id == key_id:
                    if record.revoked_at is None:
                        records[i] = msgspec.structs.replace(record, revoked_at=time.time())
                    return records[i]
        return None

    def purge(self) -> list[KeyRecord]:
        """Forget the keys that are revoked or expired; returns them."""
        now = time.time()
        with self.change() as records:
            over = [record for record in records if is_over(record, now)]
            records[:] = [record for record in records if not is_over(record, now)]
        return over


class SigningKeys(KeyFile[SigningKey]):
    """signing.json; its last key signs."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir / "signing.json", SigningKey)

    def current(self) -> SigningKey:
        """The key to sign with, a new one when it is time. Raises KeyFileError."""
        now = time.time()
        if is_stale(self.items, now):
            with self.change() as keys:
                if is_stale(keys, now):  # another process may have been quicker
                    keys[:] = rotate(keys, SigningKey(secrets.token_hex(8), secrets.token_bytes(32), now))
        return self.items[-1]
