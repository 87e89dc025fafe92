"""shell: `care-voice export`: the captions of a bed as subtitles, text or JSON."""

import os
import re
import sqlite3
import sys
import time
from datetime import datetime
from pathlib import Path

import click

from gateway import resources
from gateway.ward import export as formats
from gateway.ward.reader import FILE_NAME, EmptyFileError, read_beds, read_captions
from gateway.ward.records import CaptionRow

SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
EVERYTHING = 1 << 40


class TimeType(click.ParamType[float]):
    """An ISO time (local if it names no zone), or how long ago."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Unix seconds."""
        text = str(value).strip()
        if re.fullmatch(r"(\d+(\.\d+)?[dhms])+", text):
            parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", text)
            return time.time() - sum(float(number) * SECONDS[unit] for number, unit in parts)
        today = datetime.now().date().isoformat()
        try:
            return datetime.fromisoformat(f"{today}T{text}" if re.match(r"\d\d:", text) else text).timestamp()
        except ValueError:
            self.fail(f"{text!r} is no time: 2026-11-23T14:00, 14:00 of today, or 2h, 1h30m ago.", param, ctx)


@click.command()
@click.option("--bed", help="Whose captions. Without it, the beds that have some are named.")
@click.option("--since", type=TimeType(), help="From then on: 2026-11-23T14:00, or 2h (ago).")
@click.option("--until", type=TimeType(), help="Before then.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["srt", "vtt", "txt", "json"]),
    help="[default: what the name of --output ends in, else txt]",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="File, instead of the terminal."
)
@click.option(
    "--data-dir",
    default="",
    envvar="CARE_VOICE_DATA_DIR",
    help="Where the gateway keeps it. [default: /app/data if it exists, else ~/.local/share/care-voice]",
)
def export(
    bed: str | None,
    since: float | None,
    until: float | None,
    kind: str | None,
    output: Path | None,
    data_dir: str,
) -> None:
    """Write the captions of a bed, as far as they are kept (see --retention-h of `serve`).

    The journal is only read, so a gateway may run meanwhile. Times of srt and vtt count from --since, or from
    the first caption. Suppressed captions are in json only. Exit status 1: no journal, or it cannot be read.

    \b
    care-voice export --bed 3A                                  to the terminal
    care-voice export --bed 3A --since 2h --output 3A.srt       the last two hours as subtitles
    care-voice export --bed 3A --since 2026-11-23T08:00 --until 2026-11-23T16:00 --format json
    """
    path = resources.data_dir(data_dir) / FILE_NAME
    rows = _rows(path, bed, since, until)
    if not rows:
        click.echo(f"No captions of {bed} in that time.", err=True)
    text = _formatted(rows, kind or _kind_of(output), since)
    if output is None:
        sys.stdout.buffer.write(text.encode())  # UTF-8 whatever the terminal's locale
        return
    try:
        _write(output, text)
    except OSError as error:
        raise click.ClickException(f"Cannot write {output}: {error.strerror}.") from error
    click.echo(f"{len(rows)} captions of {bed} in {output}", err=True)


def _rows(path: Path, bed: str | None, since: float | None, until: float | None) -> list[CaptionRow]:
    try:
        beds = read_beds(path)
        if bed not in beds:
            named = ", ".join(beds) or "none yet"
            raise click.BadParameter(f"beds with captions: {named}.", param_hint=f"--bed {bed or ''}".strip())
        return read_captions(path, bed, 0, since, until, EVERYTHING)
    except EmptyFileError:
        raise click.ClickException(
            f"There is no journal at {path}. Name its directory with --data-dir. (With --retention-h 0 a "
            "gateway keeps none.)"
        ) from None
    except (sqlite3.Error, OSError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}.") from error


def _kind_of(output: Path | None) -> str:
    ending = output.suffix.removeprefix(".").lower() if output else ""
    return ending if ending in {"srt", "vtt", "json"} else "txt"


def _formatted(rows: list[CaptionRow], kind: str, since: float | None) -> str:
    match kind:
        case "srt":
            return formats.as_srt(rows, since)
        case "vtt":
            return formats.as_vtt(rows, _clock, since)
        case "json":
            return formats.as_json(rows, _clock)
    return formats.as_txt(rows, _clock)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")


def _write(output: Path, text: str) -> None:
    """What patients said is nobody else's: the file is the caller's only."""
    with open(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(text.encode())
