"""Rules of the key files: private, replaced at once, noticed when they change, never open again when lost."""

import os
import stat
import threading
import time
from pathlib import Path

import pytest

from gateway.connection.access import AccessError, Principal
from gateway.connection.credentials import SIGNING_DAYS, check_key, check_secret, make_token
from gateway.connection.keys import ApiKeys, KeyFileError, SigningKeys

NURSE = Principal("", "viewer", ("3*",), "夜班")


def test_a_key_is_kept_without_its_secret(tmp_path: Path) -> None:
    """Another process reads the file and knows whose key it is."""
    record, secret = ApiKeys(tmp_path).create(NURSE)
    text = (tmp_path / "keys.json").read_text()
    assert secret.rsplit("_", 1)[1] not in text
    assert check_key(secret, ApiKeys(tmp_path).items, time.time()).id == record.id


def test_only_the_owner_reads_the_files(tmp_path: Path) -> None:
    """0600 in a directory of 0700, whatever the umask."""
    before = os.umask(0)
    try:
        ApiKeys(tmp_path / "new" / "data").create(NURSE)
        SigningKeys(tmp_path / "new" / "data").current()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "data").stat().st_mode) == 0o700
    for name in ("keys.json", "signing.json"):
        assert stat.S_IMODE((tmp_path / "new" / "data" / name).stat().st_mode) == 0o600
    assert sorted(p.name for p in (tmp_path / "new" / "data").iterdir()) == ["keys.json", "signing.json"]


def test_a_running_gateway_notices_changes(tmp_path: Path) -> None:
    """Created and revoked elsewhere; nothing changed is nothing read."""
    gateway = ApiKeys(tmp_path)
    assert not gateway.exists
    assert not gateway.refresh()
    record, secret = ApiKeys(tmp_path).create(NURSE)
    assert gateway.refresh()
    assert gateway.exists
    assert check_key(secret, gateway.items, time.time())
    assert not gateway.refresh()
    ApiKeys(tmp_path).revoke(record.id)
    assert gateway.refresh()
    with pytest.raises(AccessError):
        check_key(secret, gateway.items, time.time())


def test_a_lost_file_lets_nobody_in(tmp_path: Path) -> None:
    """It had keys: it stays locked, without keys."""
    gateway = ApiKeys(tmp_path)
    gateway.create(NURSE)
    (tmp_path / "keys.json").unlink()
    assert gateway.refresh()
    assert gateway.exists
    assert gateway.items == []


@pytest.mark.parametrize(
    "text", ["", "{", "[{}]", '[{"id": "x"}]', "\udcff".encode("utf-8", "surrogateescape")]
)
def test_a_damaged_file_changes_nothing_while_running(tmp_path: Path, text) -> None:
    """The last known keys stay; starting with it is refused, without quoting it."""
    gateway = ApiKeys(tmp_path)
    _, secret = gateway.create(NURSE)
    (tmp_path / "keys.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert not gateway.refresh()
    assert check_key(secret, gateway.items, time.time())
    with pytest.raises(KeyFileError, match=r"keys\.json: it is damaged"):
        ApiKeys(tmp_path)


def test_a_damaged_file_is_not_overwritten(tmp_path: Path) -> None:
    """Somebody may still mend it."""
    keys = ApiKeys(tmp_path)
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(KeyFileError):
        keys.create(NURSE)
    assert (tmp_path / "keys.json").read_text() == "{"


def test_revoking_and_purging(tmp_path: Path) -> None:
    """A revoked key stays listed until it is purged; unknown ones are said; twice is once."""
    keys = ApiKeys(tmp_path)
    first, _ = keys.create(NURSE)
    second, _ = keys.create(NURSE)
    third, _ = keys.create(Principal("", "admin", ("*",), expires_at=time.time() - 1))
    assert keys.revoke("nobody") is None
    revoked = keys.revoke(first.id)
    assert revoked is not None
    assert keys.revoke(first.id) == revoked
    assert {record.id for record in keys.purge()} == {first.id, third.id}
    assert [record.id for record in ApiKeys(tmp_path).items] == [second.id]
    keys.revoke(second.id)
    keys.purge()
    assert ApiKeys(tmp_path).exists, "an empty file still locks"


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    """Eight at once, each with its own idea of the file."""
    stores = [ApiKeys(tmp_path) for _ in range(8)]
    threads = [threading.Thread(target=store.create, args=(NURSE,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({record.id for record in ApiKeys(tmp_path).items}) == 8


def test_signing_keys_change_with_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same until it is old; then a new one, shared by all who use the directory."""
    now = time.time()
    api = ApiKeys(tmp_path)
    _, secret = api.create(NURSE)
    first = SigningKeys(tmp_path).current()
    signing = SigningKeys(tmp_path)
    assert signing.current() == first
    token, _ = make_token(check_key(secret, api.items, now), 60, first, "t", now)
    monkeypatch.setattr(time, "time", lambda: now + SIGNING_DAYS * 86_400)
    second = signing.current()
    assert second != first
    assert SigningKeys(tmp_path).current() == second
    assert check_secret(token, SigningKeys(tmp_path).items, api.items, now)


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A file in its place."""
    (tmp_path / "data").write_text("")
    with pytest.raises(KeyFileError, match=r"Cannot (read|write)"):
        ApiKeys(tmp_path / "data").create(NURSE)
