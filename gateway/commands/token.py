"""shell: `care-voice token`: the API keys of a gateway: create, list, revoke, forget."""

import json
import re
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click
from msgspec import structs
from rich.console import Console
from rich.table import Table

from gateway import resources
from gateway.connection.access import ALL_BEDS, ROLES, AccessError, Principal, check_patterns
from gateway.connection.credentials import KeyRecord, is_over
from gateway.connection.keys import ApiKeys, KeyFileError

SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
MAX_NAME_CHARS = 80
Command = Callable[..., Any]
T = TypeVar("T")


class SpanType(click.ParamType[float]):
    """90d, 12h, 2w."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if not (found := re.fullmatch(r"(\d{1,6})([mhdw])", str(value))):
            self.fail(f"{value!r} is no time: 90d, 12h, 30m, 2w.", param, ctx)
        return int(found[1]) * SECONDS[found[2]]


def stored(command: Command) -> Command:
    """Options of every subcommand."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="For programs."),
        click.option(
            "--data-dir",
            default="",
            envvar="CARE_VOICE_DATA_DIR",
            help="Where they are kept. [default: /app/data if it exists, else ~/.local/share/care-voice]",
        ),
    ):
        command = option(command)
    return command


@click.group()
def token() -> None:
    """Make and revoke the keys that devices, pages and people log in with.

    A gateway with keys asks everybody for one. A running gateway notices changes by itself; connections of a
    revoked key are closed within seconds.
    """


@token.command()
@click.option("--role", type=click.Choice(ROLES), required=True, help="What its holder may do.")
@click.option("--bed", "beds", multiple=True, help="Bed or pattern (3A, '3*', '*'); repeat for more.")
@click.option("--name", default="", help="Whose it is, for `token list` and the log.")
@click.option("--expires", type=SpanType(), help="When it ends: 90d, 12h, 2w. [default: when it is revoked]")
@stored
def create(
    role: Any, beds: tuple[str, ...], name: str, expires: float | None, data_dir: str, as_json: bool
) -> None:
    """Make a key. It is shown once, and kept nowhere.

    \b
    care-voice token create --role speaker --bed 3A --name "tablet of bed 3A"
    care-voice token create --role viewer --bed '3*' --name "nurses of ward 3" --expires 90d
    care-voice token create --role admin --name "me"
    """
    if role == "admin" and beds:
        raise click.UsageError("An admin may do everything everywhere: leave out --bed.")
    if role != "admin" and not beds:
        raise click.UsageError(f"Which beds may this {role} use? --bed 3A, --bed '3*', or --bed '*' for all.")
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise click.UsageError(f"--name: at most {MAX_NAME_CHARS} printable characters.")
    try:
        check_patterns(beds or ALL_BEDS)
    except AccessError as error:
        raise click.UsageError(f"--bed: {error.message}") from None
    expires_at = None if expires is None else time.time() + expires
    keys = _open(data_dir)
    first = not keys.exists
    record, secret = _changing(lambda: keys.create(Principal("", role, beds or ALL_BEDS, name, expires_at)))
    if as_json:
        click.echo(json.dumps(_plain(record) | {"key": secret}, ensure_ascii=False))
        return
    click.echo(secret)
    until = "until it is revoked" if expires_at is None else f"until {_date(expires_at)}"
    click.echo(f"Key {record.id}: {_rights(record)}, {until}. It is not shown again.", err=True)
    if first:
        click.echo("The first key: from now on the gateway asks everybody for one.", err=True)


@token.command("list")
@stored
def list_keys(data_dir: str, as_json: bool) -> None:
    """Show the keys, without their secrets."""
    records = _open(data_dir).items
    if as_json:
        click.echo(json.dumps([_plain(record) for record in records], ensure_ascii=False))
        return
    if not records:
        click.echo("No keys. Make one: care-voice token create --role admin", err=True)
        return
    table = Table("id", "role", "beds", "name", "created", "ends", box=None, pad_edge=False)
    for record in records:
        beds = "all" if record.beds == ALL_BEDS else ", ".join(record.beds)
        row = (record.id, record.role, beds, record.name, _date(record.created_at), _end(record))
        table.add_row(*row, style="dim" if is_over(record, time.time()) else None)
    Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False).print(table)


@token.command()
@click.argument("key_id", metavar="ID")
@stored
def revoke(key_id: str, data_dir: str, as_json: bool) -> None:
    """End a key now, with all tokens made from it."""
    if key_id.startswith("cv_"):
        key_id = key_id.split("_")[1]  # somebody pasted the whole key
    keys = _open(data_dir)
    if (record := _changing(lambda: keys.revoke(key_id))) is None:
        raise click.ClickException(f"No key {key_id}. `care-voice token list` shows them.")
    click.echo(
        json.dumps(_plain(record), ensure_ascii=False)
        if as_json
        else f"Key {record.id} is revoked. Its connections are closed within seconds."
    )


@token.command("purge-expired")
@stored
def purge_expired(data_dir: str, as_json: bool) -> None:
    """Forget keys that are revoked or have expired."""
    keys = _open(data_dir)
    gone = _changing(keys.purge)
    said = [_plain(record) for record in gone]
    click.echo(json.dumps(said, ensure_ascii=False) if as_json else f"{len(gone)} keys forgotten.")


def _open(data_dir: str) -> ApiKeys:
    return _changing(lambda: ApiKeys(resources.data_dir(data_dir)))


def _changing(change: Callable[[], T]) -> T:
    try:
        return change()
    except KeyFileError as error:
        raise click.ClickException(str(error)) from None


def _plain(record: KeyRecord) -> dict[str, Any]:
    return {name: value for name, value in structs.asdict(record).items() if name != "hash"}


def _rights(record: KeyRecord) -> str:
    beds = "all beds" if record.beds == ALL_BEDS else f"bed {', '.join(record.beds)}"
    return f"{record.role} of {beds}" + (f" ({record.name})" if record.name else "")


def _end(record: KeyRecord) -> str:
    if record.revoked_at is not None:
        return f"revoked {_date(record.revoked_at)}"
    return "never" if record.expires_at is None else _date(record.expires_at)


def _date(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "minutes")
