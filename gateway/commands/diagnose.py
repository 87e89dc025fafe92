"""shell: `care-voice diagnose`: does this machine have what the gateway needs, and if not, what to do."""

import json
import shutil
import sys
from typing import Any

import click
from rich.console import Console

from gateway.commands.options import settings_from, with_settings
from gateway.diagnosis.examine import examine
from gateway.diagnosis.findings import Status, worst
from gateway.diagnosis.report import as_json, judge, lines, verdict

WIDEST = 110
COLOURS = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red", Status.ABSENT: "bright_black"}
SHOWN = {
    "config", "model", "device", "compute_type", "models_dir", "data_dir", "host", "port", "encoder",
    "cpu_threads", "retention_h",
}  # fmt: skip
"""Settings that change the answer; serve's others are taken too, and change nothing."""


@click.command(context_settings={"show_default": True})
@click.option("--json", "wants_json", is_flag=True, help="All findings and all that was seen, as JSON.")
@click.option("--quick", is_flag=True, help="Only look: load no model, multiply no matrices.")
@with_settings
@click.pass_context
def diagnose(context: click.Context, /, wants_json: bool, quick: bool, **values: Any) -> None:
    """Find out what works on this machine, what is missing, and how to mend it.

    Looks at driver, GPUs, libraries, container, model, disk, port and clock, then multiplies matrices on the
    GPU and decodes five seconds of speech, each in a process of its own. Give it the options, variables and
    file that you give `care-voice serve`: it answers for exactly that gateway. Nothing is changed.

    \b
      care-voice diagnose                        this machine, as `care-voice serve` would use it
      care-voice diagnose --device cuda          the GPU must work
      care-voice diagnose --config my.toml --json > diagnosis.json

    Exit status: 0 if all that is needed works (without a GPU too, unless it was asked for), 1 if something
    needed is broken, 2 for bad options.
    """
    settings = settings_from(values, context)
    console = Console(stderr=True)
    with console.status("looking") as status:
        seen = examine(settings, not quick, lambda what: status.update(what))
    findings = judge(seen)
    if wants_json:
        click.echo(json.dumps(as_json(seen, findings), indent=2, ensure_ascii=False))
    else:
        click.echo(f"Care Voice {seen.system.version}, Python {seen.system.python}, {seen.system.platform}")
        for status_of, text in lines(findings, min(WIDEST, shutil.get_terminal_size().columns - 1)):
            click.secho(text, fg=COLOURS[status_of] if status_of else None, bold=status_of is None)
        click.echo(f"\n{verdict(seen, findings)}")
    sys.exit(worst(findings) is Status.FAIL)


for _option in diagnose.params:
    if isinstance(_option, click.Option) and _option.name not in SHOWN | {"wants_json", "quick"}:
        _option.hidden = True
