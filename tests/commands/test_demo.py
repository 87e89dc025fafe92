"""`care-voice demo` as a new user runs it: the pages' addresses, captions in two languages, a clean end."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.commands.demo import DIALOGS, _answers, _free_port, _options, _reachable, demo
from gateway.resources import bundled_models_dir
from tests.running import environment

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="needs Linux's /proc to find the gateway"
)
REFS = Path(__file__).parent.parent / "data" / "audio" / "refs.json"


@contextlib.asynccontextmanager
async def running(*arguments: str, **variables: str) -> AsyncIterator[Process]:
    """The demo on a free port; ended with its gateway whatever the test does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "demo", "--port", "0", *arguments,
        stdout=PIPE, stderr=STDOUT, env=environment(variables),
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def read_until(process: Process, part: str) -> str:
    """The output up to the first line with `part` in it."""
    assert process.stdout is not None
    text = ""
    async for line in process.stdout:
        text += line.decode()
        if part in text:
            return text
    raise AssertionError(f"no {part!r} in: {text}")


def address(text: str) -> str:
    """The gateway's address as the welcome names it."""
    pages = [word for word in text.split() if word.startswith("http") and word.endswith("/beds/demo")]
    return pages[0].removesuffix("/beds/demo")


def children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def first_child(pid: int) -> int:
    return children(pid)[0]


def is_running(pid: int) -> bool:
    """There, and not only waiting for somebody to take its exit status."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


@pytest.mark.slow
async def test_it_plays_a_conversation_in_both_languages(tmp_path: Path) -> None:
    """The real gateway with the demo model captions both dialogues; exit code 0, and nothing stays behind."""
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    async with running("--once", "--fast", "16", HOME=str(home), TMPDIR=str(scratch)) as process:
        text = (await process.communicate())[0].decode()
    assert process.returncode == 0, text
    assert not [*home.iterdir(), *scratch.iterdir()]
    for part in ("/beds/demo", "/microphone?bed=3A", "demo model", "care-voice models pull", "Ctrl-C"):
        assert part in text
    references = json.loads(REFS.read_text(encoding="utf-8"))
    for _, name in DIALOGS:
        said = [segment["text"] for segment in references[name]["segments"]]
        assert sum(sentence in text for sentence in said) >= len(said) // 2, text


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_stops_both(number: int) -> None:
    """Ctrl-C or SIGTERM ends the demo and its gateway; exit code 0."""
    async with running() as process:
        url = address(await read_until(process, "speaker connected"))
        assert await asyncio.to_thread(_answers, f"{url}/healthz")
        process.send_signal(number)
        rest = (await process.communicate())[0].decode()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert not await asyncio.to_thread(_answers, f"{url}/healthz")


@pytest.mark.slow
@needs_proc
async def test_a_gateway_that_ends_ends_the_demo() -> None:
    """Without its gateway the demo says so and exits 1, rather than wait."""
    async with running() as process:
        await read_until(process, "speaker connected")
        os.kill(first_child(process.pid), signal.SIGTERM)
        rest = (await process.communicate())[0].decode()
    assert process.returncode == 1
    assert "the gateway has ended" in rest


@pytest.mark.slow
@needs_proc
async def test_no_gateway_outlives_a_demo_that_is_killed() -> None:
    """SIGKILL leaves no time to say goodbye: the gateway notices, and ends with its engine."""
    async with running() as process:
        text = await read_until(process, "speaker connected")
        gateway = first_child(process.pid)
        family = [gateway, *children(gateway)]
        assert len(family) == 2
        process.kill()
        await process.communicate()
    deadline = time.monotonic() + 30
    while alive := [pid for pid in family if is_running(pid)]:
        assert time.monotonic() < deadline, alive
        await asyncio.sleep(0.05)
    assert not _answers(f"{address(text)}/healthz")


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    """No gateway is started where one cannot listen."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(demo, ["--port", str(port)])
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.output
    assert "care-voice demo --port" in result.output


def test_port_0_is_any_free_one() -> None:
    """A given port is kept; for 0 the system chooses."""
    port = _free_port("127.0.0.1", 0)
    assert port > 0
    assert _free_port("127.0.0.1", port) == port


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
        ("ward", "ward"),
    ],
)
def test_the_address_shown_can_be_opened(host: str, local: str) -> None:
    """A gateway that listens everywhere is found on this machine."""
    assert _reachable(host) == local


@pytest.mark.parametrize(("host", "open_to_all"), [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True)])
def test_a_demo_has_no_keys(host: str, open_to_all: bool) -> None:
    """Whoever gives it an address beyond this machine means it so; the gateway warns."""
    assert ("--insecure" in _options(host, 1, "data")) == open_to_all


@pytest.mark.parametrize("name", [name for _, name in DIALOGS])
def test_the_conversation_is_bundled(name: str) -> None:
    """It lies beside the demo model, so that it is in the wheel too."""
    assert (bundled_models_dir() / "demo" / "audio" / name).is_file()
