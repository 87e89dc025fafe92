"""shell: the `care-voice` command line: one subcommand a file, imported only when it is used."""

import importlib
import os
from typing import Any

import click

import gateway

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
"""numpy sees only small products here, which threads make slower; must be said before it is imported."""
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
"""onnxruntime would leave a device identifier at home and report to its maker; the engine inherits this."""
COMMANDS = (
    "serve",
    "demo",
    "stream",
    "models",
    "token",
    "tls",
    "export",
    "loadtest",
    "benchmark",
    "diagnose",
)


class LazyGroup(click.Group):
    """`care-voice --help` must not load a speech engine."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Usage lines say care-voice, whether that or `python -m gateway` was typed."""
        return super().__call__(*args, **{"prog_name": "care-voice", **kwargs})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"gateway.commands.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="First steps: `care-voice demo` shows it all on this machine with a synthetic conversation.",
)
@click.version_option(gateway.__version__, prog_name="care-voice")
def main() -> None:
    """Care Voice: bedside microphones in, live captions out.

    A gateway listens for speakers (WebSocket, /v1/stream), finds the speech, decodes the utterances of all of
    them in shared batches, and sends partial and final captions back to each speaker and to every caregiver
    page that watches that bed.
    """
