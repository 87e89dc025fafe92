"""shell: what each server holds and how many times as much this gateway does, as tables and JSON."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers.servers import Contender
from benchmarks.peers.sweep import LEVELS, Sweep
from benchmarks.peers.waits import Level, Run, Waits

LATENESS_LIMIT_MS = 50.0
"""Of the generator, p99: a twentieth of the second that the level allows. Above it a run is doubtful."""


@dataclass(slots=True)
class Result:
    """Of one contender."""

    contender: Contender
    sweeps: dict[int, Sweep] = field(default_factory=dict)
    """By size of chunks, ms."""
    trouble: str = ""
    """Why it could not be measured, or not to the end."""


def ratio(ours: int, theirs: int) -> str:
    if theirs:
        return f"{ours / theirs:.1f}×"
    return f"{ours} : 0" if ours else "—"


def describe(run: Run, alone: Run) -> str:
    """A line for each run, as it goes."""
    doubtful = " [yellow]late generator[/]" if run.lateness_p99_ms > LATENESS_LIMIT_MS else ""
    faults = f" [red]{', '.join(f'{n} × {what}' for what, n in run.faults.items())}[/]" if run.faults else ""
    marks = " ".join(
        ("[green]✓" if level.held_by(run, alone) else "[red]✗") + f" {level.name}[/]" for level in LEVELS
    )
    cores = f"{run.server_cores:.2f}, generator {run.generator_cores:.2f}, others {run.others_cores:.2f}"
    return (
        f"{run.speakers:5} speakers  shown {_waits(run.shown)}  final {_waits(run.final)}  "
        f"cores: server {cores}; late {run.lateness_p99_ms:.0f} ms  {marks}{doubtful}{faults}"
    )


def _waits(waits: Waits) -> str:
    seconds = f"{waits.p50_s:.2f}/{waits.p95_s:.2f}/{waits.p99_s:.2f} s"
    return f"{seconds}, {waits.missed} of {waits.sentences} missed, {waits.error_percent:.0f} % errors"


def show(console: Console, results: Mapping[str, Result]) -> None:
    """Capacities, then ratios: our final text against whatever the other shows counts as the harder way."""
    for chunk_ms in sorted({size for result in results.values() for size in result.sweeps}, reverse=True):
        table = Table(title=f"Speakers held, {chunk_ms} ms chunks")
        table.add_column("server")
        for level in LEVELS:
            table.add_column(f"{level.name}\np95 {level.p95_s:g} s", justify="right")
        table.add_column("shown there\np50 / p95", justify="right")
        table.add_column("server\ncores", justify="right")
        table.add_column("ours ÷ it\nfinal ÷ shown", justify="right")
        table.add_column("\nfinal ÷ final", justify="right")
        ours = ours_on_final(results, chunk_ms)
        for result in results.values():
            table.add_row(*_row(result, chunk_ms, ours))
        console.print(table)


def ours_on_final(results: Mapping[str, Result], chunk_ms: int) -> int:
    """The smaller of our two rows: the ratio must not depend on the protocol."""
    rows = [r.sweeps[chunk_ms] for r in results.values() if r.contender.is_ours and chunk_ms in r.sweeps]
    return min((row.capacity(LEVELS[0]) for row in rows), default=0)


def _row(result: Result, chunk_ms: int, ours: int) -> list[str]:
    sweep = result.sweeps.get(chunk_ms)
    if sweep is None:
        return [result.contender.title, result.trouble or "not measured"]
    final, shown = sweep.capacity(LEVELS[0]), sweep.capacity(LEVELS[1])
    best = [run for run in sweep.runs if run.speakers == max(1, shown)]
    run = min(best, key=lambda run: run.shown.p95_s) if best else None
    return [
        result.contender.title, *(_number(sweep, level) for level in LEVELS),
        f"{run.shown.p50_s:.2f} / {run.shown.p95_s:.2f} s" if run else "",
        f"{run.server_cores:.2f}" if run else "",
        "" if result.contender.is_ours else ratio(ours, shown),
        "" if result.contender.is_ours else ratio(ours, final),
    ]  # fmt: skip


def _number(sweep: Sweep, level: Level) -> str:
    """≥: no number that was tried broke it."""
    held = sweep.held(level)
    return f"{'≥ ' if all(held.values()) else ''}{sweep.capacity(level)}"


def as_json(results: Mapping[str, Result]) -> dict[str, Any]:
    return {
        name: {
            "title": result.contender.title, "trouble": result.trouble,
            "chunks": {
                str(size): {
                    "capacity": {level.name: sweep.capacity(level) for level in LEVELS},
                    "alone": _finite(asdict(sweep.alone)),
                    "runs": [_finite(asdict(run)) for run in sweep.runs],
                }
                for size, sweep in result.sweeps.items()
            },
        }
        for name, result in results.items()
    }  # fmt: skip


def _finite(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
