"""shell: `care-voice models`: which models there are, downloading them, checking them."""

import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from gateway.inference.catalogue import Catalogue, CatalogueError, ModelEntry, ways_out
from gateway.inference.shelf import installed, load_catalogue, models_dir, verify

PLAIN_INTERVAL_S = 5.0
"""Between two lines of progress where there is no terminal."""

_kept_in = click.option(
    "--models-dir",
    "kept_in",
    default="",
    callback=lambda context, parameter, value: models_dir(value),
    envvar="CARE_VOICE_MODELS_DIR",
    help="Where models are kept. [default: /app/models if it exists, else ~/.cache/care-voice/models]",
)


@click.group(epilog="Start with one: care-voice serve --model NAME")
def models() -> None:
    """List, download and check speech models.

    \b
    care-voice models list                  what there is, how large, what for
    care-voice models pull breeze-asr-25    download (goes on after an interruption)
    care-voice models verify                are the files still what they should be?
    """


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@_kept_in
def list_models(as_json: bool, kept_in: Path) -> None:
    """Show the models that Care Voice knows, and which are here.

    Memory is what to expect on the GPU (float16) and on the CPU (int8).
    """
    catalogue, here = _catalogue_and_installed(kept_in)
    if as_json:
        rows = [_as_json(entry, here.get(name)) for name, entry in catalogue.models.items()]
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("speaks", no_wrap=True)
    for title in ("download", "GPU", "CPU"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    table.add_column("", overflow="fold")  # Chinese has no spaces to break at
    chinese = os.environ.get("LANG", "").startswith("zh")
    for name, entry in catalogue.models.items():
        table.add_row(
            name,
            _languages(entry),
            "built in" if not entry.repository else _size(entry.download_bytes),
            _size(entry.gpu_float16_mb * 1e6),
            _size(entry.cpu_int8_mb * 1e6),
            "here" if name in here else "",
            entry.description_zh_tw if chinese else entry.description,
        )
    Console().print(table)
    click.echo(f"\nKept in {kept_in}. Download one: care-voice models pull NAME")


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--revision", default="", help="Commit, tag or branch to take instead of the pinned one.")
@_kept_in
@click.pass_context
def pull(context: click.Context, names: tuple[str, ...], revision: str, kept_in: Path) -> None:
    """Download models.

    Every file is checked against its published checksum before it is used. An interrupted download goes on
    where it was: give the same command again. HF_ENDPOINT names another hub, HF_TOKEN a token for it.

    \b
    care-voice models pull breeze-asr-25           Taiwan Mandarin, also mixed with English
    care-voice models pull small large-v3-turbo    the defaults on CPU and GPU
    care-voice models pull small --models-dir ./m  somewhere else
    """
    from gateway.inference.download import DownloadError, pull
    from gateway.inference.hub import Hub

    catalogue, _ = _catalogue_and_installed(kept_in)
    entries = [_find(catalogue, name) for name in names]
    for entry in entries:
        try:
            with _Watch(entry) as watch:
                directory = pull(entry, kept_in, Hub(note=watch.note), watch.report, revision)
        except DownloadError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            click.echo("\nStopped. The same command goes on from here.", err=True)
            context.exit(130)
        click.echo(f"{entry.name} is in {directory}. Start with: care-voice serve --model {entry.name}")


@models.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_kept_in
@click.pass_context
def verify_models(context: click.Context, names: tuple[str, ...], kept_in: Path) -> None:
    """Read every file of a model and compare its sha256. Without NAME: every model that is here.

    Exit status 1 when a file is not what it should be.

    \b
    care-voice models verify
    care-voice models verify large-v3-turbo
    """
    catalogue, here = _catalogue_and_installed(kept_in)
    bad = False
    for name in names or here:
        entry = _find(catalogue, name)
        directory = here.get(entry.name) or kept_in / entry.name
        if not directory.is_dir():
            raise click.ClickException(f"{entry.name} is not here:\n{ways_out(entry)}")
        bad |= not _verify_one(entry, directory)
    if bad:
        context.exit(1)


@models.command()
@click.argument("name")
@_kept_in
def path(name: str, kept_in: Path) -> None:
    """Print the directory of a model that is here, to copy it or to give it to --model."""
    catalogue, here = _catalogue_and_installed(kept_in)
    entry = _find(catalogue, name)
    if entry.name not in here:
        raise click.ClickException(f"{entry.name} is not here:\n{ways_out(entry)}")
    click.echo(here[entry.name])


def _verify_one(entry: ModelEntry, directory: Path) -> bool:
    problems = unknown = 0
    try:
        for check in verify(directory, entry):
            unknown += not check.checked
            if check.problem:
                problems += 1
                click.echo(f"{entry.name}: {directory / check.name} {check.problem}", err=True)
    except CatalogueError as error:
        raise click.ClickException(str(error)) from error
    if problems:
        again = f"remove {directory} and run: care-voice models pull {entry.name}"
        cure = again if entry.repository else "install Care Voice again"
        click.echo(f"{entry.name}: do not use it; {cure}", err=True)
        return False
    note = f" ({unknown} files without a recorded checksum were not compared)" if unknown else ""
    click.echo(f"{entry.name}: all files are right{note}")
    return True


class _Watch:
    """Progress of one model: a bar on a terminal, else a line now and then."""

    def __init__(self, entry: ModelEntry) -> None:
        self._name = entry.name
        self._console = Console(stderr=True)
        self._tasks: dict[str, TaskID] = {}
        self._said_at = time.monotonic()
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> "_Watch":
        self._bars.start()
        return self

    def __exit__(self, *exc: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bars.stop()

    def note(self, text: str) -> None:
        self._console.print(f"{self._name}: {text}", highlight=False)

    def report(self, file: str, here: int, size: int) -> None:
        if file not in self._tasks:
            self._tasks[file] = self._bars.add_task(f"{self._name} {file}", total=size)
        self._bars.update(self._tasks[file], completed=here)
        now = time.monotonic()
        if not self._console.is_terminal and (here == size or now - self._said_at >= PLAIN_INTERVAL_S):
            self._said_at = now
            self.note(f"{file} {here / 1e6:.1f} of {size / 1e6:.1f} MB")


def _catalogue_and_installed(kept_in: Path) -> tuple[Catalogue, dict[str, Path]]:
    try:
        catalogue = load_catalogue()
    except CatalogueError as error:
        raise click.ClickException(str(error)) from error
    return catalogue, installed(catalogue, kept_in)


def _find(catalogue: Catalogue, name: str) -> ModelEntry:
    try:
        return catalogue.find(name)
    except CatalogueError as error:
        raise click.UsageError(str(error)) from error


def _languages(entry: ModelEntry) -> str:
    return "99 languages" if entry.languages == ("*",) else " + ".join(entry.languages)


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


def _as_json(entry: ModelEntry, directory: Path | None) -> dict[str, Any]:
    return {
        "name": entry.name,
        "repository": entry.repository,
        "revision": entry.revision,
        "pinned": entry.pinned,
        "languages": list(entry.languages),
        "download_bytes": entry.download_bytes,
        "gpu_float16_mb": entry.gpu_float16_mb,
        "cpu_int8_mb": entry.cpu_int8_mb,
        "license": entry.license,
        "directory": str(directory) if directory else None,
        "description": entry.description,
        "description_zh_tw": entry.description_zh_tw,
    }
