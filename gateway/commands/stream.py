"""shell: `care-voice stream`: a bedside device on the command line."""

import asyncio
import contextlib
import math
import signal
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console

from gateway.client.bedside import Options
from gateway.client.door import Door, DoorError, stream_url, tls_context
from gateway.client.encoding import ENCODINGS
from gateway.client.printer import CaptionPrinter, JsonPrinter, clock
from gateway.client.sources import Source, SourceError, SourceOptions, open_source
from gateway.client.speaker import StreamError, Summary
from gateway.client.speaker import stream as run_stream
from gateway.connection.messages import Start

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
FIRST_RETRY_FILE_S, FIRST_RETRY_LIVE_S, RETRY_FILE_S = 5.0, 60.0, 60.0
HOW_TO_START = "Start one with: care-voice serve (or, to try it out: care-voice demo)"
IN_CLEAR = "the token and all that is said travel unencrypted: use https:// where others share the network"
Printer = CaptionPrinter | JsonPrinter


@click.command()
@click.argument("source", metavar="FILE|-|mic")
@click.option(
    "--url", default="ws://127.0.0.1:8001", show_default=True, help="The gateway (ws, wss, http, https)."
)
@click.option(
    "--token",
    envvar="CARE_VOICE_TOKEN",
    show_envvar=True,
    default="",
    help="What lets this device in. On the command line others of this machine can see it.",
)
@click.option(
    "--token-file", type=click.Path(dir_okay=False, path_type=Path), help="The same, read from a file."
)
@click.option(
    "--ca",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="ca.pem of a gateway with a certificate of its own.",
)
@click.option("--bed", help="Show the captions on this bed's page.")
@click.option("--language", default="auto", show_default=True, help="zh, en, ... or auto: detect it.")
@click.option(
    "--task",
    type=click.Choice(["transcribe", "translate"]),
    default="transcribe",
    show_default=True,
    help="translate: into English, with models that can.",
)
@click.option("--words", is_flag=True, help="Ask for word times (seen with --json).")
@click.option("--hotwords", default="", metavar="A,B", help="Names and terms to listen for.")
@click.option("--prompt", default="", help="What the talk is about.")
@click.option(
    "--script", type=click.Choice(["twp", "tw", "hk", "cn", "off"]), help="Chinese script of captions."
)
@click.option("--endpointing-ms", type=click.IntRange(100, 5000), help="Silence that ends an utterance.")
@click.option(
    "--encoding",
    type=click.Choice(ENCODINGS),
    default="pcm_s16le",
    show_default=True,
    help="How the audio travels; opus needs 24 kbit/s.",
)
@click.option(
    "--chunk-ms",
    type=click.IntRange(10, 1000),
    default=100,
    show_default=True,
    help="Audio in one message (opus: 20, or 60 from 60 on).",
)
@click.option(
    "--rate", type=click.IntRange(8000, 48000), default=16000, show_default=True, help="Hz, for - and mic."
)
@click.option("--channels", type=click.IntRange(1, 2), default=1, show_default=True, help="For - and mic.")
@click.option(
    "--fast", type=click.FloatRange(1, 16), default=1.0, show_default=True, help="Times real time, for files."
)
@click.option("--loop", is_flag=True, help="Stream the file again and again.")
@click.option(
    "--retry-s",
    type=click.FloatRange(0),
    show_default="60; a file's first connect: 5",
    help="How long to try to reach the gateway.",
)
@click.option(
    "--ring-s",
    type=click.FloatRange(1, 3600),
    default=120,
    show_default=True,
    help="Audio kept while the gateway is away; older audio is lost, and said to be.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--no-partials", is_flag=True, help="Only what is final.")
@click.option("--quiet", is_flag=True, help="Captions and nothing else.")
def stream(**given: Any) -> None:
    """Stream FILE, raw s16le on standard input (-) or the microphone (mic), and print the captions.

    Audio goes out in real time, as from a microphone. When the link breaks, audio is kept (--ring-s) and the
    stream goes on exactly where it stopped as soon as the gateway is there again.

    \b
    care-voice stream visit.wav --bed 3A
    arecord -f S16_LE -r 16000 -t raw | care-voice stream - --bed 3A --language zh
    care-voice stream mic --bed 3A --encoding opus
    care-voice stream mic --bed 3A --url https://ward.local:8001 --ca ca.pem --token-file 3a.token

    Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted (Ctrl-C awaits the last caption).
    """
    try:
        door = _door(given)
        source = open_source(given["source"], _source_options(given))
    except (SourceError, DoorError) as error:
        raise click.UsageError(str(error)) from None
    try:
        with _printer(given) as printer:
            status = asyncio.run(_run(given, door, source, printer))
    except StreamError as error:
        click.echo(f"care-voice stream: {error}", err=True)
        if not error.refused:
            click.echo(f"Is a gateway running there? {HOW_TO_START}", err=True)
        status = EXIT_FAILED
    except SourceError as error:
        click.echo(f"care-voice stream: {error}", err=True)
        status = EXIT_FAILED
    except (asyncio.CancelledError, KeyboardInterrupt):
        status = EXIT_INTERRUPTED
    sys.exit(status)


async def _run(given: dict[str, Any], door: Door, source: Source, printer: Printer) -> int:
    asked = asyncio.Event()
    caught = on_signals(asked)
    if door.token and not door.is_encrypted and not door.is_local and isinstance(printer, CaptionPrinter):
        printer.note(IN_CLEAR, style="red")
    summary = await run_stream(door, source, _options(given, source.is_live), printer.show, asked)
    if isinstance(printer, CaptionPrinter):
        printer.note(_said(summary))
    return EXIT_INTERRUPTED if signal.SIGINT in caught else 0


def _printer(given: dict[str, Any]) -> Printer:
    console = Console(highlight=False)
    partials = not given["no_partials"]
    if given["as_json"]:
        return JsonPrinter(console, partials)
    notes = console if console.is_terminal else Console(stderr=True, highlight=False)
    return CaptionPrinter(console, notes, partials, given["quiet"])


def _said(summary: Summary) -> str:
    parts = [f"{clock(summary.seconds)} of audio", _count(summary.finals, "caption")]
    if summary.reconnects:
        parts.append(_count(summary.reconnects, "reconnect"))
    if summary.lost_s:
        parts.append(f"{summary.lost_s:.1f} s of audio lost")
    if not summary.is_complete:
        parts.append("the gateway did not confirm the last of it")
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def on_signals(asked: asyncio.Event) -> list[int]:
    """Ctrl-C, SIGTERM and SIGHUP set `asked` and are listed in the result; the second cancels this task."""
    caught: list[int] = []
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def catch(number: int) -> None:
        if caught and task is not None:
            task.cancel()
        caught.append(number)
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt ends it at once
            loop.add_signal_handler(number, catch, number)
    return caught


def _door(given: dict[str, Any]) -> Door:
    """Raises DoorError."""
    door = Door(stream_url(given["url"]), _token(given), given["ca"])
    if door.ca:
        tls_context(door.ca)
    return door


def _token(given: dict[str, Any]) -> str:
    """A file that is named counts more than the environment. Raises DoorError."""
    path: Path | None = given["token_file"]
    if path is None:
        return str(given["token"])
    if click.get_current_context().get_parameter_source("token") is ParameterSource.COMMANDLINE:
        raise DoorError("--token and --token-file: give one of them")
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DoorError(f"the token cannot be read: {error}") from None
    if not token:
        raise DoorError(f"there is no token in {path}")
    return token


def _source_options(given: dict[str, Any]) -> SourceOptions:
    return SourceOptions(
        given["encoding"], given["chunk_ms"], given["rate"], given["channels"], given["loop"]
    )


def _options(given: dict[str, Any], is_live: bool) -> Options:
    start = Start(
        language=None if given["language"] == "auto" else given["language"],
        bed=given["bed"],
        partials=not given["no_partials"],
        words=given["words"],
        hotwords=[word.strip() for word in given["hotwords"].split(",") if word.strip()],
        prompt=given["prompt"],
        script=given["script"],
        task=given["task"],
        endpointing_ms=given["endpointing_ms"],
    )
    asked_s: float | None = given["retry_s"]
    first_s, later_s = (FIRST_RETRY_LIVE_S, math.inf) if is_live else (FIRST_RETRY_FILE_S, RETRY_FILE_S)
    return Options(
        start,
        speed=1.0 if is_live else given["fast"],
        ring_s=given["ring_s"],
        first_retry_s=first_s if asked_s is None else asked_s,
        retry_s=later_s if asked_s is None else asked_s,
    )
