"""The journal on disks that are full, and through any order of faults."""

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.ward.journals import Told, journal


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """1 MB of a disk of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(512)):
            pass
    return ballast


async def test_captions_flow_on_a_full_disk(small_disk: Path) -> None:
    """Live ones go on; when there is room again all of them are written, in order, in the same epoch."""
    async with journal(small_disk / "journal") as told:
        epoch = told.journal.epoch
        told.say(count=20)
        await told.reported(20)
        ballast = fill(small_disk)
        told.say(count=400, text="x" * 1000)
        await told.reported(420)
        await told.until(lambda: told.journal.state.reason == "disk_full")
        assert told.numbers(durable=False)
        ballast.unlink()
        await told.until(lambda: told.journal.state.ok)
        assert told.journal.epoch == epoch
        assert told.journal.state.lost == 0
        assert told.numbers() == list(range(1, 421))
        assert await told.kept() == list(range(1, 421))


async def test_a_gateway_starts_on_a_full_disk(small_disk: Path) -> None:
    """It knows its numbers from the file that it can only read, says that it fails, and recovers."""
    async with journal(small_disk / "journal") as told:
        epoch = told.journal.epoch
        told.say(count=20)
    ballast = fill(small_disk)
    async with journal(small_disk / "journal") as told:
        assert told.journal.epoch == epoch
        assert told.journal.last_numbers() == {"3A": 20}
        assert await told.kept() == list(range(1, 21))
        told.say(count=5)
        await told.reported(5)
        assert told.numbers(durable=False) == [21, 22, 23, 24, 25]
        await told.until(lambda: told.journal.state.reason not in {"", "slow"})
        ballast.unlink()
        await told.until(lambda: told.journal.state.ok)
        assert told.journal.epoch == epoch
        assert await told.kept() == list(range(1, 26))


async def test_a_first_start_on_a_full_disk(small_disk: Path) -> None:
    """There is no file yet: it is made when there is room."""
    (small_disk / "journal.lock").write_bytes(b"0")
    ballast = fill(small_disk)
    async with journal(small_disk / "journal") as told:
        told.say(count=5)
        await told.reported(5)
        assert told.numbers(durable=True) == []
        assert await told.kept() == [1, 2, 3, 4, 5]
        ballast.unlink()
        await told.until(lambda: told.journal.state.ok)
        assert await told.kept() == [1, 2, 3, 4, 5]


LIMITED = """
import asyncio, json, resource, sys, time
from pathlib import Path
from tests.ward.journals import journal

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    async with journal(Path(sys.argv[1])) as told:
        told.say(count=600, text="x" * 1000)
        await told.reported(600)
        await told.until(lambda: not told.journal.state.ok)
        reason = told.journal.state.reason
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await told.until(lambda: told.journal.state.ok)
        print(json.dumps({"reason": reason, "reported": told.numbers(), "kept": await told.kept()}))

asyncio.run(main())
"""


def test_a_file_that_may_not_grow_fails_and_recovers(tmp_path: Path) -> None:
    """As a full disk, for those who cannot mount one."""
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "journal")], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["reason"] in {"disk_full", "io_error"}
    assert found["reported"] == found["kept"] == list(range(1, 601))


class Interleavings(RuleBasedStateMachine):
    """Any order of captions, locks and restarts: reported once and in order, kept once and without gap."""

    directory: Path

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.path = Path(tempfile.mkdtemp(dir=self.directory)) / "journal"
        self.holder: sqlite3.Connection | None = None
        self.said: dict[str, int] = {}
        self.reported: dict[str, list[int]] = {}

    @initialize()
    def begin(self) -> None:
        self.start()
        self.epoch = self.told.journal.epoch

    @rule(beds=st.lists(st.sampled_from(["3A", "3B"]), min_size=1, max_size=5))
    def say(self, beds: list[str]) -> None:
        for bed in beds:
            self.told.say(bed)
            self.said[bed] = self.said.get(bed, 0) + 1

    @precondition(lambda self: not self.holder)
    @rule()
    def lock(self) -> None:
        self.holder = sqlite3.connect(self.path, isolation_level=None, timeout=5)
        self.holder.execute("BEGIN EXCLUSIVE")

    @precondition(lambda self: self.holder)
    @rule()
    def unlock(self) -> None:
        assert self.holder
        self.holder.close()
        self.holder = None

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.03]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @precondition(lambda self: not self.holder)
    @rule()
    def restart(self) -> None:
        self.end()
        self.start()
        assert self.told.journal.epoch == self.epoch
        assert self.told.journal.last_numbers() == self.said

    def start(self) -> None:
        self.context = journal(self.path)
        self.told: Told = self.loop.run_until_complete(self.context.__aenter__())

    def end(self) -> None:
        self.loop.run_until_complete(self.context.__aexit__(None, None, None))
        for written in self.told.written:
            assert written.entry.caption
            self.reported.setdefault(written.entry.caption.bed, []).append(written.entry.caption.number)

    def teardown(self) -> None:
        if self.holder:
            self.unlock()
        self.loop.run_until_complete(self.told.until(lambda: self.told.journal.state.backlog == 0))
        expected = {bed: list(range(1, count + 1)) for bed, count in self.said.items()}
        for bed, numbers in expected.items():
            assert self.loop.run_until_complete(self.told.kept(bed)) == numbers
        self.end()
        assert self.reported == expected
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


@pytest.mark.slow
def test_any_order_of_faults_keeps_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pauses shortened, so that many orders are tried."""
    monkeypatch.setattr("gateway.ward.ledger.BUSY_TIMEOUT_S", 0.005)
    monkeypatch.setattr("gateway.ward.writer.FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr("gateway.ward.writer.LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr("gateway.ward.reports.HOLD_S", 0.01)
    Interleavings.directory = tmp_path
    checks = settings(
        max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(Interleavings, settings=checks)
