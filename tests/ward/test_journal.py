import asyncio
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gateway.ward.journal import Journal, JournalError
from gateway.ward.records import Entry, SessionRow
from tests.ward.journals import journal
from tests.ward.rows import caption, said, session


class Held:
    """Another program that keeps the file locked."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("BEGIN EXCLUSIVE")

    def release(self) -> None:
        self.db.execute("COMMIT")
        self.db.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what is reported as durable: this machine may be as slow as it likes."""
    monkeypatch.setattr("gateway.ward.reports.HOLD_S", 20.0)


# --- as it should be ---


@pytest.mark.usefixtures("patient")
async def test_entries_are_reported_in_order_once_they_are_on_disk(tmp_path: Path) -> None:
    """When one is reported durable, another connection reads it."""
    path = tmp_path / "data" / "journal"
    seen: list[list[int]] = []

    async with journal(path) as told:
        told.say(count=50)
        await told.reported(1)
        db = sqlite3.connect(path)
        seen.append([number for (number,) in db.execute("SELECT number FROM captions ORDER BY number")])
        told.say(count=50)
        await told.reported(100)
        assert told.numbers(durable=True) == list(range(1, 101))
        assert await told.kept() == list(range(1, 101))
        assert told.journal.state.ok
        assert told.journal.state.backlog == 0
        assert told.states == []
        db.close()
    assert seen[0][: len(told.numbers())]
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_recording_never_waits(tmp_path: Path) -> None:
    """Nothing is reported inside record(), however fast the disk is."""
    async with journal(tmp_path / "journal") as told:
        told.say(count=3)
        assert told.written == []
        await told.reported(3)


async def test_without_retention_an_earlier_file_is_deleted(tmp_path: Path) -> None:
    """Who asks for memory only finds no caption on the disk; the lock of a running gateway protects its file."""
    path = tmp_path / "journal"
    async with journal(path) as told:
        told.say(text="CANARY")
        with pytest.raises(JournalError, match="Another gateway"):
            async with journal(path, retention_h=0.0):
                pass
    async with journal(path, retention_h=0.0):
        assert "CANARY" not in words_on(tmp_path)
        assert files_in(tmp_path) == [b"0"]


async def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    """Epoch, numbers of each bed, speakers' numbers and sessions outlive the process."""
    path = tmp_path / "journal"
    async with journal(path) as told:
        epoch, speaker = told.journal.epoch, told.journal.next_speaker()
        told.say("3A", count=3)
        told.say("3B")
    async with journal(path) as told:
        assert told.journal.epoch == epoch
        assert told.journal.last_numbers() == {"3A": 3, "3B": 1}
        assert told.journal.next_speaker() > speaker
        assert await told.journal.session("s1") == session(committed=1)
        told.say("3A")
        await told.reported(1)
        assert await told.kept("3A") == [1, 2, 3, 4]
    async with journal(path) as told:
        assert told.journal.last_numbers() == {"3A": 4, "3B": 1}


async def test_speakers_numbers_are_never_given_twice(tmp_path: Path) -> None:
    """Not after a crash either: they are on disk before the first caption that has them."""
    given: set[int] = set()
    for _ in range(3):
        async with journal(tmp_path / "journal") as told:
            for _ in range(4):
                number = told.journal.next_speaker()
                assert number not in given
                given.add(number)
            told.say()
            await told.reported(1)


@pytest.mark.usefixtures("patient")
async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    """Recorded is kept, though nobody waited for the answers."""
    async with journal(tmp_path / "journal") as told:
        told.say(count=500)
    assert told.numbers(durable=True) == list(range(1, 501))
    async with journal(tmp_path / "journal") as told:
        assert await told.kept() == list(range(1, 501))


async def test_sessions_are_kept_without_captions_and_forgotten(tmp_path: Path) -> None:
    """Silence moves `committed` too; a session that ended cannot be resumed by a later process."""
    async with journal(tmp_path / "journal") as told:
        told.journal.record(Entry(None, session(committed=5)))
        told.journal.record(Entry(None, session(committed=9)))
        await told.reported(2)
        assert await told.journal.session("s1") == session(committed=9)
        await told.journal.forget_session("s1")
        assert await told.journal.session("s1") is None


async def test_a_failing_listener_keeps_nobody_else_from_hearing(tmp_path: Path) -> None:
    """Its error goes to the event loop's handler; the next entries are reported."""
    errors: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    async with journal(tmp_path / "journal") as told:
        good = told.journal._reports._on_written

        def listen(written: object) -> None:
            good(written)  # type: ignore[arg-type]
            if len(told.written) == 1:
                raise RuntimeError("listener")

        told.journal._reports._on_written = listen
        told.say(count=3)
        await told.reported(3)
    assert [str(error["exception"]) for error in errors] == ["listener"]


# --- without a file ---


@pytest.mark.parametrize(("named", "retention_h"), [(False, 24.0), (True, 0.0)])
async def test_memory_only_leaves_no_file(tmp_path: Path, named: bool, retention_h: float) -> None:
    """Entries count as durable at once, by the operator's decision; nothing can be read back."""
    path = tmp_path / "journal" if named else None
    async with journal(path, retention_h=retention_h) as told:
        told.say(count=3)
        assert told.written == []
        await told.reported(3)
        assert told.numbers(durable=True) == [1, 2, 3]
        assert told.journal.last_numbers() == {"3A": 3}
        assert told.journal.next_speaker() == 1
        assert await told.kept() == []
        assert await told.journal.session("s1") is None
        await told.journal.forget_session("s1")
        await told.journal.purge("3A")
        assert told.journal.state.ok
    assert files_in(tmp_path) == []


# --- reading ---


async def test_catching_up_by_pages_gives_each_caption_once(tmp_path: Path) -> None:
    """10 000 captions, read in pages of 1000 while more are written, in order and without gap."""
    async with journal(tmp_path / "journal") as told:
        told.say(count=10_000)
        await told.reported(10_000)
        got: list[int] = []
        while len(got) < 10_045:
            page = await told.journal.captions("3A", after=got[-1] if got else 0)
            got += [row.number for row in page]
            if len(got) < 10_000:
                told.say(count=5)
        assert got == list(range(1, 10_046))


async def test_many_read_at_the_same_time(tmp_path: Path) -> None:
    """A reconnect storm reads while the gateway writes; everybody gets whole rows in order."""
    async with journal(tmp_path / "journal") as told:
        told.say(count=300)
        await told.reported(300)
        reading = [asyncio.create_task(told.kept()) for _ in range(50)]
        told.say(count=300)
        for numbers in await asyncio.gather(*reading):
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) >= 300
        assert told.journal.state.ok


async def test_what_was_shown_is_read_also_while_it_is_not_on_disk(tmp_path: Path) -> None:
    """A page that reconnects while the disk fails misses nothing, and is shown nothing too early."""
    async with journal(tmp_path / "journal") as told:
        told.say(count=2)
        await told.reported(2)
        held = Held(tmp_path / "journal")
        told.say(count=3)
        assert await told.kept() == [1, 2]
        await told.reported(5)
        assert await told.kept() == [1, 2, 3, 4, 5]
        rows = await told.journal.captions("3A", after=3, since=999.0, until=1001.0, limit=1)
        assert [row.number for row in rows] == [4]
        assert await told.journal.captions("3A", since=1001.0) == []
        assert await told.journal.captions("3A", until=1000.0) == []
        held.release()


# --- deletion ---


async def test_purged_words_are_gone_from_the_disk(tmp_path: Path) -> None:
    """Of that bed only, those recorded just before included; its numbers go on."""
    async with journal(tmp_path / "journal") as told:
        told.say("3A", 40, "CANARY")
        told.say("3B", 40, "PIGEON")
        await told.journal.purge("3A")
        assert words_on(tmp_path) & {"CANARY", "PIGEON"} == {"PIGEON"}
        assert await told.kept("3A") == []
        assert len(await told.kept("3B")) == 40
        told.say("3A")
        await told.reported(81)
        assert await told.kept("3A") == [41]


async def test_old_words_are_gone_from_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the retention time no byte of them is in the file or its log, while the gateway runs."""
    monkeypatch.setattr("gateway.ward.writer.TIDY_INTERVAL_S", 0.01)
    elapsed = [0.0]
    async with journal(tmp_path / "journal", retention_h=1.0, elapsed_s=lambda: elapsed[0]) as told:
        told.say(count=50, text="CANARY")
        await told.reported(50)
        assert "CANARY" in words_on(tmp_path)
        elapsed[0] = 1800.0
        await asyncio.sleep(0.1)
        told.say(text="PIGEON")
        await told.reported(51)
        elapsed[0] = 4000.0
        await told.until(lambda: "CANARY" not in words_on(tmp_path))
        assert [row.text for row in await told.rows()] == ["PIGEON"]


def files_in(directory: Path, pattern: str = "*") -> list[bytes]:
    return [path.read_bytes() for path in directory.glob(pattern)]


def remove(*files: Path) -> None:
    for file in files:
        file.unlink()


def words_on(disk: Path) -> set[str]:
    """The words in capitals in any byte of any file."""
    return {word.decode() for word in re.findall(rb"[A-Z]{6}", b"".join(files_in(disk)))}


async def test_a_clock_that_jumps_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Age is counted by a clock that never jumps: set by a day, forth or back, the wall clock changes nothing."""
    monkeypatch.setattr("gateway.ward.writer.TIDY_INTERVAL_S", 0.01)
    wall = [1e9]
    async with journal(tmp_path / "journal", now=lambda: wall[0], elapsed_s=lambda: 5.0) as told:
        for jump in (0.0, 90_000.0, -200_000.0):
            wall[0] += jump
            told.say()
            await asyncio.sleep(0.05)
        assert await told.kept() == [1, 2, 3]
    async with journal(tmp_path / "journal", now=lambda: 5e8) as told:
        await asyncio.sleep(0.05)
        assert await told.kept() == [1, 2, 3]


# --- a disk that fails ---


async def test_captions_flow_while_the_file_is_locked(tmp_path: Path) -> None:
    """Reported as not durable, told loudly, written when the lock is gone; nothing is reported twice."""
    async with journal(tmp_path / "journal") as told:
        told.say(count=2)
        await told.reported(2)
        held = Held(tmp_path / "journal")
        told.say(count=3)
        await told.reported(5)
        await told.until(lambda: told.journal.state.reason == "locked")
        assert told.journal.state.backlog == 3
        told.say()
        await told.reported(6)
        held.release()
        await told.until(lambda: told.journal.state.ok)
        told.say()
        await told.reported(7)
        assert told.numbers() == [1, 2, 3, 4, 5, 6, 7]
        assert not {3, 4, 5} & set(told.numbers(durable=True))
        assert await told.kept() == [1, 2, 3, 4, 5, 6, 7]
        reasons = [state.reason for state in told.states]
        assert reasons[-1] == ""
        assert set(reasons) <= {"slow", "locked", ""}
        assert "locked" in reasons


async def test_commands_wait_for_the_disk_without_hanging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A purge that cannot be done now says so, and is done when it can; a session is forgotten later."""
    monkeypatch.setattr("gateway.ward.journal.PURGE_PATIENCE_S", 0.3)
    async with journal(tmp_path / "journal") as told:
        told.say(count=2)
        await told.reported(2)
        held = Held(tmp_path / "journal")
        await told.journal.forget_session("s1")
        purge = asyncio.create_task(told.journal.purge("3A"))
        with pytest.raises(JournalError, match="not deleted yet"):
            await purge
        held.release()
        await told.until(lambda: told.journal.state.ok)
        assert await told.kept() == []
        assert await told.journal.session("s1") is None


async def test_the_backlog_is_bounded_and_says_what_it_gave_up(tmp_path: Path) -> None:
    """The oldest go first, every entry is reported all the same, the numbering holds."""
    async with journal(tmp_path / "journal", max_backlog=(10, 1 << 20)) as told:
        told.say()
        await told.reported(1)
        held = Held(tmp_path / "journal")
        told.say(count=5)
        await told.until(lambda: not told.journal.state.ok)
        told.say(count=25)
        await told.reported(31)
        lost = told.journal.state.lost
        assert lost == 20
        assert told.journal.state.backlog == 10
        held.release()
        await told.until(lambda: told.journal.state.ok)
        assert told.numbers() == list(range(1, 32))
        assert await told.kept() == [1, *range(22, 32)]
        assert told.journal.last_numbers() == {"3A": 31}


@pytest.mark.usefixtures("patient")
async def test_an_entry_that_no_file_takes_harms_no_other(tmp_path: Path) -> None:
    """It is reported as not durable and counted; its neighbours in the transaction are kept."""
    async with journal(tmp_path / "journal") as told:
        told.say()
        told.journal.record(said(number=2, text="\ud800"))
        told.journal.record(said(number=1, text="the number is taken"))
        told.journal.record(said(number=3))
        await told.reported(4)
        assert [w.durable for w in told.written] == [True, False, False, True]
        assert told.journal.state.lost == 2
        assert told.journal.state.ok
        assert await told.kept() == [1, 3]
        told.journal.record(said(number=3))
        await told.reported(5)
        assert told.written[-1].durable, "the same caption again is there: nothing is lost"


async def test_an_error_that_nobody_foresaw_does_not_end_the_thread(tmp_path: Path) -> None:
    """It becomes a fault like any other, and the next attempt succeeds."""
    async with journal(tmp_path / "journal") as told:
        told.say()
        await told.reported(1)
        writer = told.journal._writer
        assert writer
        broken = [RuntimeError("a bug"), MemoryError()]
        good = writer._perform

        def perform(*arguments: object) -> frozenset[int]:
            if broken:
                raise broken.pop()
            return good(*arguments)  # type: ignore[arg-type]

        writer._perform = perform  # type: ignore[method-assign]
        told.say()
        await told.until(lambda: "unexpected" in [state.reason for state in told.states])
        await told.until(lambda: told.journal.state.ok)
        assert await told.kept() == [1, 2]


async def test_a_disk_that_hangs_holds_no_caption_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any error, after 0.2 s captions go on; soon the state says `slow`, until all is written."""
    monkeypatch.setattr("gateway.ward.journal.SLOW_S", 0.1)
    async with journal(tmp_path / "journal") as told:
        writer = told.journal._writer
        assert writer
        go_on = threading.Event()
        good = writer._perform

        def perform(*arguments: object) -> frozenset[int]:
            go_on.wait(20)
            return good(*arguments)  # type: ignore[arg-type]

        writer._perform = perform  # type: ignore[method-assign]
        told.say(count=2)
        await told.reported(2)
        assert told.numbers(durable=False) == [1, 2]
        assert told.journal.state.ok, "a short pause is no fault"
        await told.until(lambda: told.journal.state.reason == "slow")
        go_on.set()
        told.say()
        await told.until(lambda: told.journal.state.ok)
        assert await told.kept() == [1, 2, 3]


async def test_a_fault_survived_by_waiting_is_no_loss_after_a_restart(tmp_path: Path) -> None:
    """Once all is written the epoch holds: pages go on where they were."""
    async with journal(tmp_path / "journal") as told:
        epoch = told.journal.epoch
        held = Held(tmp_path / "journal")
        told.say(count=3)
        await told.reported(3)
        held.release()
        await told.until(lambda: told.journal.state.ok)
    async with journal(tmp_path / "journal") as told:
        assert told.journal.epoch == epoch
        assert told.journal.last_numbers() == {"3A": 3}


async def test_captions_shown_but_never_written_end_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their numbers will be given again: pages that saw them must be told that numbers begin anew."""
    monkeypatch.setattr("gateway.ward.journal.CLOSE_PATIENCE_S", 0.2)
    async with journal(tmp_path / "journal") as told:
        epoch = told.journal.epoch
        told.say(count=2)
        await told.reported(2)
        held = Held(tmp_path / "journal")
        told.say(count=3)
        await told.reported(5)
    held.release()
    async with journal(tmp_path / "journal") as told:
        assert told.journal.epoch != epoch
        assert told.journal.last_numbers() == {"3A": 2}
        assert await told.kept() == [1, 2]
        newer = told.journal.epoch
        await told.until(lambda: (tmp_path / "journal.lock").read_bytes() == b"0")
    async with journal(tmp_path / "journal") as told:
        assert told.journal.epoch == newer


# --- files that are damaged, gone, somebody else's ---


async def test_a_second_gateway_is_refused(tmp_path: Path) -> None:
    """Two writers would give the same numbers."""
    async with journal(tmp_path / "journal"):
        with pytest.raises(JournalError, match="Another gateway keeps its journal"):
            async with journal(tmp_path / "journal"):
                pass
    async with journal(tmp_path / "journal"):
        pass


async def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """At the start somebody is there to mend it."""
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="Cannot write in"):
        async with journal(tmp_path / "file" / "journal"):
            pass


@pytest.mark.parametrize("damage", ["header", "middle", "garbage"])
async def test_a_damaged_file_is_put_aside_at_the_start(tmp_path: Path, damage: str) -> None:
    """Never deleted; numbers begin anew in a new epoch."""
    path = tmp_path / "journal"
    async with journal(path) as told:
        epoch = told.journal.epoch
        told.say(count=300, text="x" * 300)
    content = bytearray(path.read_bytes())
    if damage == "garbage":
        content = bytearray(b"garbage" * 1000)
    at = 0 if damage == "header" else len(content) // 2
    content[at : at + 5000] = bytes(reversed(range(250))) * 20
    path.write_bytes(content)
    async with journal(path, now=lambda: 1e9) as told:
        assert told.journal.epoch != epoch
        assert told.journal.last_numbers() == {}
        aside = Path(told.journal.state.set_aside)
        assert aside.name == "journal.corrupt-20010909T014640Z"
        assert files_in(tmp_path, aside.name) == [content]
        told.say()
        await told.reported(1)
        assert await told.kept() == [1]


@pytest.mark.parametrize("damage", ["header", "middle"])
async def test_a_file_damaged_while_the_gateway_runs_is_put_aside(tmp_path: Path, damage: str) -> None:
    """The reader that stumbles over it reads the new file; numbers go on, so that no page is confused."""
    path = tmp_path / "journal"
    async with journal(path) as told:
        epoch = told.journal.epoch
        told.say(count=300, text="x" * 300)
        await told.reported(300)
        assert told.journal._writer
        sqlite3_checkpoint(path)
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(0 if damage == "header" else size // 4)
            file.write(b"\xa5" * (100 if damage == "header" else size // 2))
        assert await told.kept() == []
        await told.until(lambda: told.journal.epoch != epoch and told.journal.state.ok)
        told.say(count=2)
        await told.reported(302)
        assert await told.kept() == [301, 302]
        assert len(files_in(tmp_path, Path(told.journal.state.set_aside).name)) == 1
        assert "corrupt" in [state.reason for state in told.states]
        newer = told.journal.epoch
    async with journal(path) as told:
        assert told.journal.epoch == newer
        assert told.journal.last_numbers() == {"3A": 302}


def sqlite3_checkpoint(path: Path) -> None:
    """All of it into the file itself."""
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    db.close()


async def test_a_file_that_was_deleted_is_begun_anew(tmp_path: Path) -> None:
    """Else captions would go into a file without a name, and be gone with the process."""
    path = tmp_path / "journal"
    async with journal(path) as told:
        epoch = told.journal.epoch
        told.say("3A", 5)
        told.say("3B", 2)
        await told.reported(7)
        remove(path, Path(f"{path}-wal"), Path(f"{path}-shm"))
        told.say("3A")
        await told.until(lambda: told.journal.epoch != epoch and told.journal.state.ok)
        assert await told.kept("3A") == [6]
    async with journal(path) as told:
        assert told.journal.last_numbers() == {"3A": 6, "3B": 2}


async def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """It is not put aside as damaged."""
    async with journal(tmp_path / "journal"):
        pass
    db = sqlite3.connect(tmp_path / "journal")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(JournalError, match="newer Care Voice"):
        async with journal(tmp_path / "journal"):
            pass


# --- kill -9 ---

WRITER = """
import asyncio, sys, time
from pathlib import Path
from gateway.ward import reports
from gateway.ward.journal import Journal
from tests.ward.rows import said

async def main():
    reports.HOLD_S = 20.0

    def told(written):
        assert written.durable
        print(written.entry.caption.number, flush=True)
    journal = await Journal.open(
        Path(sys.argv[1]), synchronous="normal", retention_h=24, now=time.time, on_written=told, on_state=print
    )
    print("epoch", journal.epoch, flush=True)
    number = journal.last_numbers().get("3A", 0)
    while True:
        for number in range(number + 1, number + 4):
            journal.record(said(number=number))
        await asyncio.sleep(0.001)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_no_caption_that_was_reported_is_lost_by_kill_9(tmp_path: Path) -> None:
    """At ten random moments: every number that was printed is there, numbers go on, the epoch stays."""
    rng = random.Random(9)
    path = tmp_path / "journal"
    epochs, last_kept = set(), 0
    for _ in range(10):
        lines = await asyncio.to_thread(run_and_kill, path, rng.uniform(0.02, 0.2))
        epochs.add(lines[0])
        printed = [int(line) for line in lines[1:]]
        assert printed[0] == last_kept + 1
        async with journal(path) as told:
            kept = await told.kept()
            assert kept == list(range(1, len(kept) + 1))
            assert len(kept) >= printed[-1]
            assert await told.journal.session("s1") == session(committed=len(kept))
            assert told.journal.last_numbers() == {"3A": len(kept)}
            last_kept = len(kept)
    assert len(epochs) == 1


def run_and_kill(path: Path, after_s: float) -> list[str]:
    """The whole lines that the writer printed. Time runs from its first caption."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout
        lines = [writer.stdout.readline(), writer.stdout.readline()]
        time.sleep(after_s)
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read()
    lines += rest[: rest.rfind("\n") + 1].splitlines()
    return [line.strip() for line in lines]


async def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    """A session's row and a caption's, whatever the bed: also none."""
    row = SessionRow("s9", "h", "p", None, "opus", 48_000, 2, 1 << 40, 12, 3, 5.5)
    async with journal(tmp_path / "journal") as told:
        told.journal.record(Entry(caption(bed="三A床 '\"; --", text="'); DROP TABLE captions_0; --"), row))
        await told.reported(1)
        assert await told.journal.session("s9") == row
        assert await told.rows("三A床 '\"; --") == [
            caption("三A床 '\"; --", text="'); DROP TABLE captions_0; --")
        ]


async def test_open_says_what_it_is() -> None:
    """Journal is made by open() only, from a running loop."""
    opened = await Journal.open(
        None, synchronous="full", retention_h=1, now=time.time, on_written=print, on_state=print
    )
    assert len(opened.epoch) == 16
    await opened.close()
