"""Processes that die or hang, disks that are full, clocks that jump: what was said is captioned all the same."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.client.bedside import Resumed
from gateway.connection.messages import Notice
from tests.faults.ward import Bedside, Page, check, scaled, speaking
from tests.running import RunningGateway

pytestmark = pytest.mark.slow
SPEED = 2.0
"""Times real time: these tests wait for speech, not for networks."""


def port_of(running: RunningGateway) -> str:
    return str(urlsplit(running.url).port)


async def test_the_engine_is_killed_and_hangs(own) -> None:
    """kill -9, then SIGSTOP, which the watchdog notices: captions are late, none is lost, and it was said."""
    running = own("--pass-timeout-s", "1.5")
    bedsides = [Bedside.number(n, sentences=scaled(4, 20)) for n in range(4)]
    async with Page(bedsides).reading(running.url) as page:
        talk = asyncio.create_task(speaking(bedsides, running.url, scaled(60, 300), SPEED))
        for number in (signal.SIGKILL, signal.SIGSTOP) * scaled(1, 5):
            await asyncio.sleep(2.5)
            os.kill(running.worker_pid(), number)
        await talk
        await check(running, bedsides, page)
    for bedside in bedsides:
        codes = [notice.code for notice in bedside.of(Notice)]
        assert codes.count("engine_restarting") == 2 * scaled(1, 5)
        assert not bedside.of(Resumed), "no socket was lost"
    assert running.metric("care_voice_worker_restarts_total") == 2 * scaled(1, 5)


async def test_the_gateway_is_killed_and_all_come_back(own) -> None:
    """kill -9 under many speakers, and again: the clients come back with jitter, resume at the next process,
    and every caption is there, once, with the numbers that the page goes on from."""
    running = own("--max-sessions", "600", "--max-connections-per-address", "0")
    bedsides = [Bedside.number(n, sentences=1 if n > 6 else 4) for n in range(scaled(60, 500))]
    async with Page(bedsides).reading(running.url) as page:
        talk = asyncio.create_task(speaking(bedsides, running.url, scaled(100, 500)))
        for _ in range(scaled(2, 3)):
            await asyncio.sleep(scaled(2, 20))
            running.stop(signal.SIGKILL)
            running = await asyncio.to_thread(
                own, "--port", port_of(running), "--max-sessions", "600", "--max-connections-per-address", "0"
            )
        await talk
        await check(running, bedsides, page)
    back = [resumed for bedside in bedsides for resumed in bedside.of(Resumed)]
    assert len(back) >= len(bedsides)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A data directory of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("a small disk needs root")
    path = tmp_path / "disk"
    path.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path], capture_output=True)
    if made.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


async def test_the_disk_is_full_and_then_not(own, small_disk: Path) -> None:
    """Captions go on live and loud; when there is room again they are all written, and the numbers hold."""
    running = own("--data-dir", str(small_disk))
    bedsides = [Bedside.number(n, sentences=scaled(4, 20)) for n in range(3)]
    async with Page(bedsides).reading(running.url) as page:
        talk = asyncio.create_task(speaking(bedsides, running.url, scaled(60, 200), SPEED))
        await page.has(bedsides[0].bed, 1)
        ballast = small_disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        await page.has(bedsides[0].bed, 3)
        async with asyncio.timeout(10):
            while running.health()["status"] != "journal_failing":  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(0.1)
        ballast.unlink()
        await talk
        await check(running, bedsides, page)
    codes = [notice.code for notice in bedsides[0].of(Notice)]
    assert (codes[0], codes[-1]) == ("journal_failing", "journal_ok")
    assert running.health()["status"] in {"ok", "degraded"}
    assert running.health()["journal"]["lost"] == 0


@pytest.mark.skipif(shutil.which("faketime") is None, reason="clock jumps need faketime")
async def test_the_clock_jumps(own, tmp_path: Path) -> None:
    """An hour forward, then two back, between words: nobody is thrown out, nothing is lost or deleted."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    prefix = [
        "env",
        f"LD_PRELOAD={faketime_library()}",
        f"FAKETIME_TIMESTAMP_FILE={clock}",
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    ]
    running = own("--retention-h", "0.5", prefix=prefix)
    bedsides = [Bedside.number(n, sentences=3) for n in range(2)]
    async with Page(bedsides).reading(running.url) as page:
        talk = asyncio.create_task(speaking(bedsides, running.url, 40, SPEED))
        for number, jump in ((1, "+1h"), (2, "-1h")):
            await page.has(bedsides[0].bed, number)
            clock.write_text(jump)
        await talk
        await check(running, bedsides, page)
    assert page.captions[bedsides[0].bed][-1]["at"] < time.time() - 3000, "the clock has really jumped"
    assert not any(bedside.of(Resumed) for bedside in bedsides)


def faketime_library() -> str:
    """What faketime(1) preloads."""
    shown = subprocess.run(
        ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True
    )
    return shown.stdout.strip()
