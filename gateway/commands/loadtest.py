"""shell: `care-voice loadtest`: how many streams this gateway holds, and how well."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from gateway.client.door import DoorError, stream_url, tls_context
from gateway.loadtest.calibrate import CalibrationError, with_limit
from gateway.loadtest.caller import Target
from gateway.loadtest.figures import Figures
from gateway.loadtest.level import CAPACITY_S
from gateway.loadtest.material import BUNDLED, MaterialError, load_clips
from gateway.loadtest.report_html import render
from gateway.loadtest.results import Document, RunResult, to_json, typed
from gateway.loadtest.rewriting import check_writable, replace_file
from gateway.loadtest.runs import Tester
from gateway.loadtest.schedule import PROFILES, Load
from gateway.loadtest.search import Search
from gateway.loadtest.server import Server, ServerError, machine
from gateway.loadtest.speech import turns
from gateway.loadtest.swarm import SwarmError
from gateway.loadtest.terminal import Progress, show, step_line

TRIES = 2
"""Of a step whose first run was invalid: something else may have disturbed the machine."""
EXIT_BROKEN = 1
EXIT_INVALID = 2
EXIT_INTERRUPTED = 130
FILE = click.Path(dir_okay=False, path_type=Path)


@dataclass(slots=True)
class Outcome:
    """Of the runs that were asked for."""

    result: RunResult
    unloaded: Figures | None = None
    steps: tuple[RunResult, ...] = ()
    capacity: int | None = None
    at_least: bool = False
    invalid: str | None = None


@click.command()
@click.option(
    "--url", default="ws://127.0.0.1:8001", show_default=True, help="The gateway (ws, wss, http, https)."
)
@click.option(
    "--key",
    envvar="CARE_VOICE_KEY",
    show_envvar=True,
    default="",
    help="API key, if the gateway asks for one: an admin's, so that its metrics can be read too.",
)
@click.option("--ca", type=FILE, help="ca.pem of a gateway with a certificate of its own.")
@click.option("--streams", type=click.IntRange(1, 100_000), metavar="N", help="Hold so many streams.")
@click.option("--ramp", is_flag=True, help="Look for the largest number of streams that holds the level.")
@click.option(
    "--start",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="With --ramp: streams of the first step.",
)
@click.option(
    "--max-streams", type=click.IntRange(1), default=2000, show_default=True, help="With --ramp: never more."
)
@click.option(
    "--step-s",
    type=click.FloatRange(1),
    default=30,
    show_default=True,
    help="With --ramp: seconds of one step.",
)
@click.option(
    "--duration",
    type=click.FloatRange(1),
    default=180,
    show_default=True,
    help="Seconds. A capacity asks for 180: drift shows late.",
)
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="turns",
    show_default=True,
    help="monologue: speech without pause; turns: 40 % speech, as in a conversation.",
)
@click.option(
    "--audio",
    default=BUNDLED,
    show_default=True,
    metavar="DIR",
    help="WAV files with refs.json or .txt beside them; or `bundled`; or `espeak` (synthesised anew).",
)
@click.option(
    "--chunk-ms", type=click.IntRange(20, 100), default=100, show_default=True, help="Audio in one message."
)
@click.option(
    "--endpointing-ms",
    type=click.IntRange(100, 5000),
    default=500,
    show_default=True,
    help="The hangover that each stream asks for.",
)
@click.option(
    "--processes",
    type=click.IntRange(0, 256),
    default=0,
    show_default=True,
    help="Of the load generator. 0: as many as it takes.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="Another one, other phases."
)
@click.option(
    "--unloaded/--no-unloaded",
    default=True,
    show_default=True,
    help="Play all sentences in one stream first: texts and word times to compare with.",
)
@click.option(
    "--json", "json_path", type=FILE, metavar="FILE", help="Write every figure there (docs/loadtest.md)."
)
@click.option("--report", type=FILE, metavar="FILE.html", help="Write a report with plots there.")
@click.option(
    "--calibrate", is_flag=True, help="With --ramp: write the capacity as max_sessions into --config."
)
@click.option(
    "--config", type=FILE, metavar="FILE.toml", help="The gateway's configuration, for --calibrate."
)
def loadtest(**given: Any) -> None:
    """Stream many synthetic speakers into a gateway, and say how long they waited for their captions.

    The level: a final 500 ms after the hangover for 95 % of all turns and 1 s after it for 99 %, half of all
    words on the screen 700 ms after they were said, no growth over the run, no error, no sample lost. Best
    from another machine than the gateway's.

    \b
    care-voice loadtest --streams 8 --duration 60
    care-voice loadtest --ramp --profile monologue --report capacity.html --json capacity.json
    care-voice loadtest --ramp --calibrate --config /etc/care-voice.toml

    Exit codes: 0 the level holds, 1 it does not, 2 the run says nothing (late generator) or wrong use.
    """
    _check(given)
    console = Console(highlight=False)
    try:
        document, invalid = _measure(given, console)
    except (DoorError, MaterialError, ServerError, SwarmError) as error:
        raise click.UsageError(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    _write(given, document, console)
    if invalid:
        console.print(f"INVALID: {invalid}", style="bold yellow")
        sys.exit(EXIT_INVALID)
    holds = document.run.verdict.holds and document.capacity != 0
    if holds and given["calibrate"]:
        _calibrate(given["config"], document.capacity or 0, console)
    sys.exit(0 if holds else EXIT_BROKEN)


def _check(given: dict[str, Any]) -> None:
    """Raises click.UsageError before anything takes time."""
    if given["ramp"] == (given["streams"] is not None):
        raise click.UsageError("give --streams N, or --ramp to look for the capacity")
    if given["calibrate"] and not (given["ramp"] and given["config"]):
        raise click.UsageError("--calibrate needs --ramp, and --config FILE.toml to write into")
    if given["ramp"] and given["start"] > given["max_streams"]:
        raise click.UsageError("--start is more than --max-streams")
    try:
        if given["calibrate"]:
            with_limit(_read(given["config"]), 1)
        for name in ("json_path", "report", "config"):
            if given[name]:
                check_writable(given[name])
    except (CalibrationError, OSError) as error:
        raise click.UsageError(str(error)) from None


def _measure(given: dict[str, Any], console: Console) -> tuple[Document, str | None]:
    """All runs. Raises DoorError, MaterialError, ServerError, SwarmError."""
    target = Target(stream_url(given["url"]), given["key"], given["ca"])
    if target.ca:
        tls_context(target.ca)
    clips, what = load_clips(given["audio"])
    server = Server.find(target)
    tester = Tester(target, server, tuple(turns(clips, PROFILES[given["profile"]])), given["processes"])
    outcome = _run(given, tester, console)
    document = Document(
        at=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        command=typed(sys.argv[1:]),
        gateway={"url": target.door.shown, **_known(server.health())},
        machine=machine(),
        conditions={
            "profile": given["profile"], "chunk_ms": given["chunk_ms"],
            "hangover_ms": given["endpointing_ms"],
            "seed": given["seed"], "audio": what, "duration_s": given["duration"],
        },
        run=outcome.result,
        unloaded=outcome.unloaded,
        steps=outcome.steps,
        capacity=outcome.capacity,
        at_least=outcome.at_least,
        notes=(*server.notes, *_too_short(given)),
    )  # fmt: skip
    return document, outcome.invalid


def _run(given: dict[str, Any], tester: Tester, console: Console) -> Outcome:
    progress = Progress(console)
    unloaded = None
    if given["unloaded"]:
        load = _load(given, 1, given["duration"])
        with progress.of("without load", tester.recital_s(load)):
            unloaded = tester.unloaded(load, progress.tick)
    if not given["ramp"]:
        load = _load(given, given["streams"], given["duration"])
        with progress.of(f"{load.streams} streams", load.duration_s):
            result = tester.load(load, progress.tick)
        show(console, result)
        return Outcome(result, unloaded, invalid=result.verdict.invalid)
    return _ramp(given, tester, progress, unloaded, console)


def _ramp(
    given: dict[str, Any], tester: Tester, progress: Progress, unloaded: Figures | None, console: Console
) -> Outcome:
    search = Search(given["start"], given["max_streams"])
    steps: list[RunResult] = []
    while step := search.next():
        load = _load(given, step.streams, given["duration"] if step.full else given["step_s"])
        for _ in range(TRIES):
            with progress.of(f"{step.streams} streams", load.duration_s):
                result = tester.load(load, progress.tick, step.full)
            steps.append(result)
            console.print(step_line(result), soft_wrap=True)
            tester.settle()
            if not result.verdict.invalid:
                break
        search.record(result.verdict.holds and not result.verdict.invalid)
    return _found(search, steps, unloaded, console)


def _found(search: Search, steps: list[RunResult], unloaded: Figures | None, console: Console) -> Outcome:
    """The last step is the run that held for the whole duration, if there is a capacity."""
    show(console, steps[-1])
    broken = [step for step in steps if step.figures.streams == search.broke_at]
    limited = broken[-1].verdict.invalid if broken else None
    capacity, at_least = search.capacity or 0, not broken or bool(limited)
    if capacity or not limited:
        console.print(f"capacity: {capacity} streams{' or more' if at_least else ''}", style="bold")
    return Outcome(steps[-1], unloaded, tuple(steps), capacity, at_least, limited)


def _load(given: dict[str, Any], streams: int, duration_s: float) -> Load:
    profile = PROFILES[given["profile"]]
    return Load(streams, duration_s, profile, given["chunk_ms"], given["endpointing_ms"], given["seed"])


def _too_short(given: dict[str, Any]) -> list[str]:
    if given["duration"] >= CAPACITY_S:
        return []
    return [f"drift over {CAPACITY_S:g} s, which a capacity asks for: this run was shorter"]


def _known(health: dict[str, Any]) -> dict[str, Any]:
    names = ("model", "demo_model", "device", "compute_type")
    return {name: health[name] for name in names if name in health}


def _write(given: dict[str, Any], document: Document, console: Console) -> None:
    for path, content in ((given["json_path"], to_json), (given["report"], render)):
        if path:
            replace_file(path, content(document))
            console.print(f"wrote {path}", style="dim")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _calibrate(path: Path, capacity: int, console: Console) -> None:
    replace_file(path, with_limit(_read(path), capacity).encode())
    console.print(f"wrote {path}: [server] max_sessions = {capacity} (from the gateway's next start on)")
