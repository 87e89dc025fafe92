"""shell: `care-voice benchmark`: how fast an engine is on this machine, and how fast it could be."""

import json
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.benchmark.measure import Cell, Failed, Measured, Plan, run
from gateway.benchmark.random_model import write_random_model
from gateway.benchmark.report import Report, Row, make_report
from gateway.benchmark.roofline import Profile
from gateway.benchmark.shapes import SHAPES
from gateway.config import InferenceSettings, ModelSettings
from gateway.inference.catalogue import BUNDLED, CatalogueError
from gateway.inference.protocol import EngineSpec
from gateway.inference.shelf import choose_model, models_dir
from gateway.resources import bundled_models_dir

RANDOM = "shape:"
COMPUTE_TYPES = get_args(ModelSettings.model_fields["compute_type"].annotation)
NO_CEILINGS = (
    "ceilings unknown: those of int8 are not measured, those of a GPU by PyTorch (care-voice\\[torch])"
)
COLUMNS = (
    ("length", "s"), ("batch", ""), ("encode", "ms"), ("decode", "ms"), ("whole", "ms"), ("floor", "ms"),
    ("windows", "/s"), ("audio", "x real"), ("matmul", "share"), ("copy", "share"), ("memory", "MiB"),
)  # fmt: skip
ENCODERS = get_args(InferenceSettings.model_fields["encoder"].annotation)


class Listed(click.ParamType[tuple[Any, ...]]):
    """Values between commas, each converted and at least one."""

    name = "list"

    def __init__(self, each: click.ParamType[Any]) -> None:
        self._each = each

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(self._each.convert(part.strip(), param, ctx) for part in str(value).split(","))


@click.command(context_settings={"show_default": True})
@click.option(
    "--model", "models", multiple=True, default=("demo",), metavar="NAME|DIR|shape:NAME",
    help="Of `care-voice models list`, a directory, a shape with random weights, or `shapes`, all of them.",
)  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cuda", "cpu"]), default="auto",
    help="`auto` takes the GPU when there is one.",
)  # fmt: skip
@click.option("--compute-type", "compute_types", type=Listed(click.Choice(COMPUTE_TYPES)), default="auto",
    help="One or more of " + ", ".join(COMPUTE_TYPES) + ".", metavar="TYPE,...",
)  # fmt: skip
@click.option("--encoder", "wanted_encoders", type=Listed(click.Choice(ENCODERS)), default="auto",
    help="One or more of " + ", ".join(ENCODERS) + ".", metavar="NAME,...",
)  # fmt: skip
@click.option("--lengths", type=Listed(click.FloatRange(0.1, 30)), default="5,10,15,30",
    metavar="SECONDS,...", help="Windows of audio.",
)  # fmt: skip
@click.option("--batches", type=Listed(click.IntRange(1, 512)), default="1,8,32", metavar="N,...",
    help="Windows in one pass.",
)  # fmt: skip
@click.option("--beam", type=click.IntRange(1, 10), default=1, help="1 is greedy, as partials are.")
@click.option("--repeats", type=click.IntRange(1), default=5, help="Passes of each kind; the median counts.")
@click.option(
    "--cpu-threads", type=click.IntRange(0), default=0, help="0: all cores, one for the demo model."
)
@click.option(
    "--duty", type=click.FloatRange(0.01, 1), default=0.4, help="Share of the time a stream speaks."
)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="All figures, too."
)
def benchmark(models: tuple[str, ...], json_file: Path | None, duty: float, **chosen: Any) -> None:
    """Measure the engine alone: milliseconds a window, and how near that is to what the device can do.

    A model without weights on this machine is measured by its shape: random weights cost what real ones do.
    Every window gets as many tokens as its speech would have, 3.5 a second.

    \b
      care-voice benchmark                                        the demo model on this machine
      care-voice benchmark --model small --batches 1,4,8          a model that you pulled
      care-voice benchmark --model shape:large-v3-turbo --encoder ctranslate2,torch
      care-voice benchmark --model shapes --lengths 5,30 --json figures.json

    Streams: how many speakers one device could serve if it did nothing else, with utterances of 5 s, a
    partial every 500 ms and a final, who speak 40 % of the time (--duty). `care-voice loadtest` measures what
    the whole gateway really serves. Exit status: 0, or 1 if something could not be measured.
    """
    console, profile = Console(), Profile(duty=duty)
    reports = []
    with tempfile.TemporaryDirectory(prefix="care-voice-benchmark-") as folder:
        for name, plan in _plans(models, Path(folder), chosen):
            report = make_report(name, _measure(name, plan, console), profile)
            if isinstance(report, Failed):
                click.echo(f"{name}: {report.message}", err=True)
            else:
                reports.append(report)
                _print(report, console)
    if json_file:
        content = [report.as_json() for report in reports]
        json_file.write_text(json.dumps(content, indent=2), encoding="utf-8")
    if not reports or any(report.failure for report in reports):
        sys.exit(1)


def _plans(models: tuple[str, ...], folder: Path, chosen: dict[str, Any]) -> Iterator[tuple[str, Plan]]:
    """Random models are written when their turn comes, and are gone when the next one's has."""
    every_shape = [RANDOM + shape for shape in SHAPES]
    for name in [part for model in models for part in (every_shape if model == "shapes" else [model])]:
        with tempfile.TemporaryDirectory(dir=folder) as room:
            spec = _spec(name, Path(room), chosen)
            for compute_type, encoder in product(chosen["compute_types"], chosen["wanted_encoders"]):
                wanted = replace(spec, compute_type=compute_type, settings=InferenceSettings(encoder=encoder))
                yield (
                    name,
                    Plan(wanted, chosen["lengths"], chosen["batches"], chosen["beam"], chosen["repeats"]),
                )


def _spec(name: str, room: Path, chosen: dict[str, Any]) -> EngineSpec:
    options = {"device": chosen["device"], "cpu_threads": chosen["cpu_threads"]}
    if name.startswith(RANDOM):
        shape = SHAPES.get(name.removeprefix(RANDOM))
        if shape is None:
            raise click.UsageError(f"{name}: there are {', '.join(RANDOM + known for known in SHAPES)}.")
        write_random_model(shape, room, bundled_models_dir() / "demo")
        return EngineSpec(str(room), name, **options)
    try:
        choice = choose_model(name, chosen["device"] != "cpu", models_dir())
    except CatalogueError as error:
        raise click.ClickException(str(error)) from error
    demo = choice.entry is not None and choice.entry.revision == BUNDLED
    return EngineSpec(choice.directory, choice.name, **options, demo=demo)


def _measure(name: str, plan: Plan, console: Console) -> list[Measured]:
    """All that the process says."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=run, args=(plan, there), daemon=True)
    process.start()
    there.close()
    measured: list[Measured] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task(name, total=len(plan.lengths_s) * len(plan.batches))
        try:
            while True:
                measured.append(here.recv())
                bar.advance(task, isinstance(measured[-1], Cell))
        except EOFError:
            process.join()
    if process.exitcode:
        measured.append(Failed(f"the process ended with {process.exitcode}"))
    return measured


def _print(report: Report, console: Console) -> None:
    started, ceilings = report.started, report.ceilings
    console.print(
        f"\n[bold]{report.model}[/]  {started.device}, {started.compute_type}, encoder {started.encoder}\n"
        f"start: import {started.import_s:.2f} s, load {started.load_s:.2f} s, "
        f"warm-up {started.warm_up_s:.2f} s, first batch {started.first_batch_s * 1000:.0f} ms"
    )
    if ceilings:
        console.print(
            f"ceilings: {ceilings.flops / 1e12:.3g} TFLOP/s, {ceilings.bytes_per_s / 1e12:.3g} TB/s"
        )
    else:
        console.print(NO_CEILINGS)
    console.print(_table(report.rows))
    for capacity in report.capacities:
        roofline = f", {capacity.roofline:.0f} by the roofline" if capacity.roofline else ""
        console.print(f"streams in batches of {capacity.batch}: {capacity.measured:.1f} measured{roofline}")
    if report.failure:
        console.print(f"[red]ended early:[/] {report.failure}")


def _table(rows: tuple[Row, ...]) -> Table:
    """Shares are of the ceilings."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for title, unit in COLUMNS:
        table.add_column(f"{title}\n[dim]{unit}[/]", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"{row.length_s:g}",
            str(row.batch),
            *(f"{ms:.2f}" for ms in (row.encode_ms, row.decode_ms, row.window_ms)),
            "?" if row.floor_ms is None else f"{row.floor_ms:.2f}",
            f"{row.windows_per_s:.1f}",
            f"{row.real_time_factor:.0f}",
            _percent(row.matmul_share),
            _percent(row.copy_share),
            str(row.memory_mib),
        )
    return table


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{share:.0%}"
