"""shell: `care-voice demo`: a gateway with the bundled model, and a synthetic conversation for it to hear."""

import asyncio
import contextlib
import itertools
import socket
import sys
import tempfile
import urllib.request
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator

import click
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from gateway.client.bedside import Options
from gateway.client.door import Door, stream_url
from gateway.client.printer import CaptionPrinter
from gateway.client.sources import SourceError, SourceOptions, open_source
from gateway.client.speaker import StreamError
from gateway.client.speaker import stream as run_stream
from gateway.commands.child import STOP_TIMEOUT_S
from gateway.commands.stream import on_signals
from gateway.connection.access import is_loopback
from gateway.connection.messages import Start
from gateway.resources import bundled_models_dir

DIALOGS = (("zh", "dialog_zh.wav"), ("en", "dialog_en.wav"))
BED = "demo"
PAUSE_S = 3.0
READY_TIMEOUT_S = 120.0
WELCOME = """\
captions of the bed 字幕   {url}/beds/demo
all beds 病房總覽          {url}/
microphone 床邊麥克風      {url}/microphone?bed=3A

A synthetic conversation, Chinese and English in turn, streams into bed demo.
This is the demo model: it understands clear synthetic speech only.
For people's voices get a real one:
  care-voice models list
  care-voice models pull small
  care-voice serve
Ctrl-C stops everything. 按 Ctrl-C 結束。"""


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; there are no keys."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8001, show_default=True, help="0: any free one."
)
@click.option("--once", is_flag=True, help="Play the conversation once, then stop.")
@click.option("--fast", type=click.FloatRange(1, 16), default=1.0, show_default=True, help="Times real time.")
def demo(host: str, port: int, once: bool, fast: float) -> None:
    """Show it all on this machine: a gateway, and a conversation to read on its pages.

    Starts `care-voice serve` with the bundled demo model and streams a synthetic conversation into bed `demo`
    until Ctrl-C.
    """
    try:
        asyncio.run(_run(host, _free_port(host, port), once, fast))
    except (DemoError, SourceError) as error:
        click.echo(f"care-voice demo: {error}", err=True)
        sys.exit(1)
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit(130)


def _free_port(host: str, port: int) -> int:
    """`port`, or any free one for 0. Raises DemoError when it is taken."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.create_server((str(address[0]), port), family=family) as listener:
            return int(listener.getsockname()[1])
    except OSError as error:
        raise DemoError(
            f"cannot listen on {host}:{port}: {error.strerror or error}.\n"
            f"Perhaps another gateway runs there: look at http://{_reachable(host)}:{port}/ or stop it; "
            f"or take another port: care-voice demo --port {port + 1 if port < 65535 else 0}"
        ) from None


def _reachable(host: str) -> str:
    """Where a client on this machine finds a gateway that listens on `host`."""
    local = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 (compared)
    return f"[{local}]" if ":" in local and not local.startswith("[") else local


async def _run(host: str, port: int, once: bool, fast: float) -> None:
    asked = asyncio.Event()
    caught = on_signals(asked)
    console = Console(highlight=False)
    url = f"http://{_reachable(host)}:{port}"
    async with _gateway(host, port, console) as process:
        ended = asyncio.create_task(process.wait())
        ended.add_done_callback(lambda _: asked.set())
        if await _is_ready(url, asked, console):
            console.print(Panel(Text(WELCOME.format(url=url)), title="Care Voice", expand=False))
            await _converse(url, once, fast, console, asked)
        if ended.done() and not caught:
            raise DemoError(f"the gateway has ended (exit code {ended.result()}); its last words are above")
    if caught:
        console.print("stopped")


@contextlib.asynccontextmanager
async def _gateway(host: str, port: int, console: Console) -> AsyncIterator[Process]:
    """A gateway as a child process, its output shown; stopped politely at the end, then by force.

    It has a session of its own, so that Ctrl-C reaches only us and it can give the last captions, and a pipe
    from us, so that it does not live on when we are killed.
    """
    with tempfile.TemporaryDirectory(prefix="care-voice-demo-") as data_dir:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.commands.child", *_options(host, port, data_dir),
            stdin=PIPE, stdout=PIPE, stderr=STDOUT, start_new_session=True, limit=1 << 20,
        )  # fmt: skip
        showing = asyncio.create_task(_show_output(process, console))
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            await showing


def _options(host: str, port: int, data_dir: str) -> list[str]:
    """Nothing is kept, and a gateway in use on this machine shares neither journal nor keys with the demo."""
    listening = ["--host", host, "--port", str(port), *([] if is_loopback(host) else ["--insecure"])]
    keeping = ["--data-dir", data_dir, "--retention-h", "0"]
    return ["--model", "demo", "--device", "cpu", "--log-format", "console", *listening, *keeping]


async def _show_output(process: Process, console: Console) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        console.print(Text.from_ansi(line.decode(errors="replace").rstrip()), style="dim", soft_wrap=True)


async def _is_ready(url: str, asked: asyncio.Event, console: Console) -> bool:
    """Wait for the model; False when asked to stop (or the gateway has ended) before."""
    with console.status("starting the gateway and loading the demo model ..."):
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while not asked.is_set():
                    if await asyncio.to_thread(_answers, f"{url}/readyz"):
                        return True
                    await _pause(asked, 0.2)
        except TimeoutError:
            raise DemoError(f"the gateway is not ready after {READY_TIMEOUT_S:.0f} s") from None
    return False


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


async def _pause(asked: asyncio.Event, seconds: float) -> None:
    """`seconds`, or until asked to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asked.wait()


async def _converse(url: str, once: bool, fast: float, console: Console, asked: asyncio.Event) -> None:
    audio = bundled_models_dir() / "demo" / "audio"
    with CaptionPrinter(console, console, partials=True, quiet=True) as printer:
        for number, (language, name) in enumerate(DIALOGS if once else itertools.cycle(DIALOGS)):
            await _pause(asked, PAUSE_S / fast if number else 0)
            if asked.is_set():
                return
            source = open_source(str(audio / name), SourceOptions())
            options = Options(Start(bed=BED, language=language), speed=fast)
            try:
                await run_stream(Door(stream_url(url)), source, options, printer.show, asked)
            except StreamError as error:
                if not asked.is_set():
                    raise DemoError(f"the conversation ended: {error}") from None
