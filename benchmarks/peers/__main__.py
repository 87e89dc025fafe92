"""How many speakers this gateway and other Whisper gateways hold: same machine, model, clips and pacing.

    python -m benchmarks.peers [--quick] [--peers whisperlive,whisperlive-batch,whisperlivekit] [--json FILE]

The method, and the figures of past runs, are in docs/benchmarks.md.
"""

import json
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from benchmarks.peers.environments import CannotInstall
from benchmarks.peers.report import Result, as_json, describe, show
from benchmarks.peers.servers import CONTENDERS, Contender, running
from benchmarks.peers.sweep import ALONE, LEVELS, Effort, measure, sweep, warm_up
from benchmarks.peers.waits import Run

PEERS = [name for name, contender in CONTENDERS.items() if not contender.is_ours]
FULL = Effort(seconds=25, sentences=24, tries=2, precision=0.1, most=1024)
QUICK = Effort(seconds=12, sentences=8, tries=1, precision=0.5, most=1024)
FILE_WIDTH = 140
"""Of the tables where no terminal has one."""
FIRST = {True: 16, False: 2}
"""The first number tried of ours, and of others."""


def _names(_: click.Context, __: click.Parameter, text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if unknown := sorted(set(names) - set(CONTENDERS)):
        raise click.BadParameter(f"no {', '.join(unknown)}; there are {', '.join(CONTENDERS)}")
    ours = [name for name, contender in CONTENDERS.items() if contender.is_ours]
    return [name for name in CONTENDERS if name in names or (name in ours and not set(names) & set(ours))]


@click.command(epilog="Example: python -m benchmarks.peers --quick --peers whisperlive")
@click.option(
    "--quick", is_flag=True, help="Short runs, coarse search, one size of chunks (about 10 minutes)."
)
@click.option(
    "--peers", "names", default=",".join(PEERS), callback=_names, show_default=True,
    help="Whom to compare with; Care Voice is measured too, by two protocols, unless you name one of them.",
)  # fmt: skip
@click.option(
    "--chunk-ms", "chunks", multiple=True, type=click.IntRange(20, 1000),
    help="Audio per message; may be repeated. [default: 256 and 100; 256 with --quick]",
)  # fmt: skip
@click.option(
    "--threads", default="", metavar="N", help="OMP_NUM_THREADS of the peers. [default: 1 for WhisperLive]"
)
@click.option("--most", type=click.IntRange(1), default=1024, show_default=True, help="Never more speakers.")
@click.option(
    "--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write every run there too."
)
def main(
    quick: bool, names: list[str], chunks: tuple[int, ...], threads: str, most: int, path: Path | None
) -> None:
    """Speakers held by Care Voice and by other Whisper gateways: same machine, model, clips and pacing."""
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    effort = replace(QUICK if quick else FULL, most=most)
    sizes = chunks or ((256,) if quick else (256, 100))
    before = {
        "date": time.strftime("%Y-%m-%d %H:%M"), "cores": os.cpu_count(), "python": platform.python_version(),
        "load": os.getloadavg()[0], "quick": quick, "threads": threads,
    }  # fmt: skip
    console.print(f"{before['cores']} cores, load average {before['load']:.2f} before the run")
    results: dict[str, Result] = {}
    for name in names:
        contender = CONTENDERS[name]
        if threads and not contender.is_ours:
            contender = replace(contender, threads=threads)
        results[name] = _measure(console, contender, sizes, effort)
    show(console, results)
    if path:
        path.write_text(
            json.dumps(before | {"load_after": os.getloadavg()[0]} | {"servers": as_json(results)}, indent=2)
            + "\n"
        )


def _measure(console: Console, contender: Contender, chunks: tuple[int, ...], effort: Effort) -> Result:
    """The second size of chunks is searched from where the first one ended."""
    result, first = Result(contender), FIRST[contender.is_ours]

    def tell(run: Run, alone: Run) -> None:
        console.print(f"  {describe(run, alone)}", highlight=False, soft_wrap=True)

    console.print(f"[bold]{contender.title}[/]: starting (the first time its environment is installed)")
    try:
        with running(contender) as server:
            warm_up(contender, server)
            alone = measure(contender, server, ALONE, chunks[0], effort)
            console.print("  without load:", style="dim")
            tell(alone, alone)
            for chunk_ms in chunks:
                console.print(f"  {chunk_ms} ms chunks:", style="dim")
                found = sweep(contender, server, alone, chunk_ms, effort, first, tell)
                result.sweeps[chunk_ms] = found
                first = max(1, found.capacity(LEVELS[1]))
    except (CannotInstall, RuntimeError, OSError) as error:
        result.trouble = str(error)
        console.print(f"  not measured: {error}", style="yellow")
    return result


if __name__ == "__main__":
    main()
