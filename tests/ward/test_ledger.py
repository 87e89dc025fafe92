import itertools
import random
import re
import sqlite3
from pathlib import Path

import pytest

from gateway.ward import schema
from gateway.ward.backlog import Item
from gateway.ward.ledger import Ledger, NewerFileError
from gateway.ward.reader import EmptyFileError, read_beds, read_captions, read_session, read_start
from gateway.ward.records import Entry
from tests.ward.rows import caption, said, session

EVERY = {"after": 0, "since": None, "until": None, "limit": 10_000}
seqs = itertools.count(1)


def items(*entries: Entry, stored_at: float = 1000.0) -> list[Item]:
    return [Item(next(seqs), entry, stored_at) for entry in entries]


def opened(directory: Path, now: float = 1000.0) -> Ledger:
    ledger = Ledger(directory / "journal", "normal")
    ledger.adopt("epoch", {}, 0, now)
    return ledger


def words_on(disk: Path) -> set[str]:
    """The marked words in any byte of any file."""
    content = b"".join(path.read_bytes() for path in disk.iterdir())
    return {word.decode() for word in re.findall(rb"<[a-d]\d+>", content)}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Field by field, Chinese and gaps included; sessions keep their newest row."""
    gap = Entry(schema.CaptionRow("3A", 2, 1001.0, 7, 2, 3.0, 15.0, "", "", 0.0, gap_s=12.0), None)
    suppressed = schema.CaptionRow("3B", 1, 1001.5, 8, 1, 0.0, 1.0, "", "zh", 0.5, True, "known_phantom")
    ledger = opened(tmp_path)
    ledger.write(items(said(text="今天好一點嗎？"), gap, Entry(suppressed)), speaker=9)
    ledger.write(items(Entry(None, session(committed=99))), speaker=9)
    path = tmp_path / "journal"
    assert read_captions(path, "3A", **EVERY) == [caption(text="今天好一點嗎？"), gap.caption]
    assert read_captions(path, "3B", **EVERY) == [suppressed]
    assert read_session(path, "s1") == session(committed=99)
    assert read_session(path, "s2") is None
    assert read_beds(path) == ["3A", "3B"]
    assert read_start(path) == ("epoch", {"3A": 2, "3B": 1}, 9)
    ledger.close()


def test_captions_are_read_from_any_number_and_time(tmp_path: Path) -> None:
    """after < number, since <= at < until, oldest first, so many at most."""
    ledger = opened(tmp_path)
    ledger.write(items(*(said(number=n, at=1000.0 + n) for n in range(1, 21))), 0)

    def numbers(**asked: object) -> list[int]:
        return [row.number for row in read_captions(tmp_path / "journal", "3A", **EVERY | asked)]  # type: ignore[arg-type]

    assert numbers() == list(range(1, 21))
    assert numbers(after=18) == [19, 20]
    assert numbers(after=20) == []
    assert numbers(after=5, limit=3) == [6, 7, 8]
    assert numbers(since=1005.0, until=1008.0) == [5, 6, 7]
    ledger.close()


def test_files_are_the_gateways_only(tmp_path: Path) -> None:
    """Mode 0600, the log and the index of it too, and an old file that was open to others is closed."""
    (tmp_path / "journal").touch(0o644)
    ledger = opened(tmp_path)
    ledger.write(items(said()), 0)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "journal": 0o600,
        "journal-wal": 0o600,
        "journal-shm": 0o600,
    }
    ledger.close()


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """A number that is taken refuses the whole group: neither captions nor sessions nor last numbers move."""
    ledger = opened(tmp_path)
    ledger.write(items(said(number=1)), 0)
    with pytest.raises(sqlite3.IntegrityError):
        ledger.write(items(said(number=2), said(number=1, text="another")), 5)
    assert read_start(tmp_path / "journal") == ("epoch", {"3A": 1}, 0)
    assert read_session(tmp_path / "journal", "s1") == session(committed=1)
    assert ledger.has(caption(number=1))
    assert not ledger.has(caption(number=1, text="another"))
    assert not ledger.has(caption(number=2))
    assert not ledger.has(None)
    ledger.close()


def test_last_numbers_outlive_the_captions(tmp_path: Path) -> None:
    """Numbers of an epoch are never given again, though retention has deleted all that had them."""
    ledger = opened(tmp_path)
    ledger.write(items(said(number=41)), 3)
    while ledger.expire(2000.0, 2000.0):
        pass
    assert read_captions(tmp_path / "journal", "3A", **EVERY) == []
    assert read_session(tmp_path / "journal", "s1") is None
    assert read_start(tmp_path / "journal") == ("epoch", {"3A": 41}, 3)
    ledger.close()


def test_only_old_slices_are_deleted(tmp_path: Path) -> None:
    """Nothing younger than the retention time goes, and nothing stays longer than it and a slice."""
    retention, step = 240.0, 240.0 / schema.SLICES_KEPT
    ledger = opened(tmp_path, now=0.0)
    for n in range(1, 200):
        now = n * step / 2
        ledger.turn(now - step)
        ledger.write(items(said(number=n, at=now), stored_at=now), 0)
        while ledger.expire(now - retention, now - retention):
            pass
        ages = [now - row.at for row in read_captions(tmp_path / "journal", "3A", **EVERY)]
        assert max(ages) <= retention + 1.5 * step
        assert len(ages) >= min(n, retention / (step / 2))
    ledger.close()


def test_stamps_from_the_future_are_brought_back(tmp_path: Path) -> None:
    """After the clock was wrong by years, captions are still deleted a retention time from now."""
    ledger = opened(tmp_path)
    ledger.write(items(said(), stored_at=9e9), 0)
    ledger.adopt("epoch", {}, 0, now=2000.0)
    assert not ledger.expire(1999.0, 1999.0)
    assert ledger.expire(2001.0, 2001.0)
    assert read_session(tmp_path / "journal", "s1") is None
    ledger.close()


@pytest.mark.parametrize("seed", range(3))
def test_deleted_words_leave_no_trace(tmp_path: Path, seed: int) -> None:
    """No byte of an expired or purged caption is in the file or its log: also not a copy on another page."""
    rng = random.Random(seed)
    ledger = opened(tmp_path, now=0.0)
    numbers, now = dict.fromkeys("abcd", 0), 0.0
    for _ in range(25):
        entries = []
        for _ in range(rng.randrange(1, 60)):
            bed = rng.choice("abcd")
            numbers[bed] += 1
            text = f"<{bed}{numbers[bed]}>" + "z" * rng.choice([0, 20, 200, 900, 6000])
            entries.append(said(bed, numbers[bed], text))
        ledger.write(items(*entries, stored_at=now), 0)
        ledger.turn(now - 1)
        now += 1.0
        while ledger.expire(now - 5, now - 5):
            pass
        assert ledger.truncate_log()
        kept = {
            row.text.rstrip("z")
            for bed in "abcd"
            for row in read_captions(tmp_path / "journal", bed, **EVERY)
        }
        assert words_on(tmp_path) == kept
    ledger.close()


@pytest.mark.parametrize("seed", range(5, 8))
def test_purged_beds_leave_no_trace(tmp_path: Path, seed: int) -> None:
    """One after the other, though their captions lie among those of beds that stay."""
    rng = random.Random(seed)
    ledger = opened(tmp_path, now=0.0)
    numbers = dict.fromkeys("abcd", 0)
    entries = []
    for _ in range(400):
        bed = rng.choice("abcd")
        numbers[bed] += 1
        entries.append(said(bed, numbers[bed], f"<{bed}{numbers[bed]}>" + "z" * rng.choice([0, 20, 60, 200])))
    ledger.write(items(*entries, stored_at=0.0), 0)
    for bed, others in (("b", "acd"), ("c", "ad"), ("a", "d")):
        ledger.purge(bed)
        assert read_beds(tmp_path / "journal") == list(others)
        assert words_on(tmp_path) == {f"<{o}{n + 1}>" for o in others for n in range(numbers[o])}
    ledger.close()


def test_a_reader_in_the_way_is_told(tmp_path: Path) -> None:
    """The log cannot be emptied under somebody who reads from it: it is tried again later."""
    ledger = opened(tmp_path)
    ledger.write(items(said(number=1)), 0)
    reader = sqlite3.connect(tmp_path / "journal", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM captions").fetchone()
    ledger.write(items(said(number=2)), 0)
    assert not ledger.truncate_log()
    reader.close()
    assert ledger.truncate_log()
    assert (tmp_path / "journal-wal").stat().st_size == 0
    ledger.close()


def test_a_replaced_file_is_noticed(tmp_path: Path) -> None:
    """SQLite itself writes on into a file that has no name any more."""
    ledger = opened(tmp_path)
    assert ledger.is_in_place()
    (tmp_path / "journal").rename(tmp_path / "elsewhere")
    assert not ledger.is_in_place()
    (tmp_path / "journal").touch()
    assert not ledger.is_in_place()
    ledger.close()


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    """An older gateway does not guess what a newer one means."""
    opened(tmp_path).close()
    with sqlite3.connect(tmp_path / "journal") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(NewerFileError, match="version 99"):
        Ledger(tmp_path / "journal", "normal")


def test_a_file_is_brought_to_this_version_step_by_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step is a transaction of its own; a step that fails changes nothing."""
    ledger = opened(tmp_path)
    ledger.write(items(said()), 0)
    ledger.close()
    better = "ALTER TABLE sessions ADD COLUMN note TEXT;"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, better, "CREATE TABLE sessions (x);"))
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        Ledger(tmp_path / "journal", "normal")
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:2])
    Ledger(tmp_path / "journal", "full").close()
    with sqlite3.connect(tmp_path / "journal") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT note FROM sessions").fetchall() == [(None,)]
    db.close()
    assert read_captions(tmp_path / "journal", "3A", **EVERY) == [caption()]


def test_readers_say_when_there_is_nothing(tmp_path: Path) -> None:
    """No file, an empty file, a file without its first row: nothing was ever journalled."""
    path = tmp_path / "journal"
    with pytest.raises(EmptyFileError):
        read_beds(path)
    path.touch()
    with pytest.raises(EmptyFileError):
        read_captions(path, "3A", **EVERY)
    Ledger(path, "normal").close()
    with pytest.raises(EmptyFileError):
        read_start(path)


def test_readers_change_nothing(tmp_path: Path) -> None:
    """The file stays as it was, whoever reads; what SQLite puts beside it is the gateway's only, and empty."""
    ledger = opened(tmp_path)
    ledger.write(items(said()), 0)
    ledger.close()
    before = (tmp_path / "journal").read_bytes()
    assert read_captions(tmp_path / "journal", "3A", **EVERY) == [caption()]
    assert (tmp_path / "journal").read_bytes() == before
    assert (tmp_path / "journal-wal").stat().st_size == 0
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
