"""What Care Voice does with the demo model on this machine, each figure beside its goal.

    python -m benchmarks.streaming [--quick] [--only accuracy] [--json FILE]

The goals, the predictions and the figures of past runs are in docs/benchmarks.md.
"""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from benchmarks import accuracy, latency, silence, speakers, starting
from benchmarks.report import Figure, show

SECTIONS: dict[str, Callable[[bool], list[Figure]]] = {
    "start": starting.measure,
    "accuracy": accuracy.measure,
    "latency": latency.measure,
    "speakers": speakers.measure,
    "silence": silence.measure,
}


@click.command()
@click.option(
    "--quick", is_flag=True, help="Shorter recordings, faster than real time where that changes little."
)
@click.option("--only", multiple=True, type=click.Choice(list(SECTIONS)), help="Just this; may be repeated.")
@click.option(
    "--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures there too."
)
def main(quick: bool, only: tuple[str, ...], path: Path | None) -> None:
    """Accuracy and latency of the demo model, each figure beside its goal."""
    console = Console()
    results: dict[str, list[Figure]] = {}
    machine = {
        "date": time.strftime("%Y-%m-%d %H:%M"), "cores": os.cpu_count(), "python": platform.python_version(),
        "load": os.getloadavg()[0], "quick": quick,
    }  # fmt: skip
    console.print(f"{machine['cores']} cores, load average {machine['load']:.2f} before the run")
    for name in only or SECTIONS:
        began = time.monotonic()
        results[name] = SECTIONS[name](quick)
        console.print(f"{name}: {time.monotonic() - began:.0f} s", style="dim")
    show(console, results)
    if path:
        figures = {name: [figure.as_json() for figure in found] for name, found in results.items()}
        path.write_text(json.dumps(machine | {"figures": figures}, ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    main()
