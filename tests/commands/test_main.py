"""`care-voice` itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.commands.main import COMMANDS, main
from tests.running import REPO, command


@pytest.mark.parametrize("arguments", [["--help"], ["models", "--help"], ["no-such-command"]])
def test_usage_names_the_command_that_people_know(arguments: list[str]) -> None:
    """Not `python -m gateway`, which only a checkout has."""
    done = subprocess.run(command(*arguments), cwd=REPO, capture_output=True, text=True, timeout=60)
    assert f"Usage: care-voice {'models ' if 'models' in arguments else ''}" in done.stdout + done.stderr
    assert "python -m" not in done.stdout + done.stderr


def test_the_installed_command_and_the_module_say_the_same() -> None:
    """Both entry points are one."""
    installed = Path(sys.executable).with_name("care-voice")
    if not installed.exists():
        pytest.skip("not installed here")
    outputs = [
        subprocess.run(
            [*start, "models", "--help"], cwd=REPO, capture_output=True, text=True, timeout=60
        ).stdout
        for start in ([str(installed)], command())
    ]
    assert outputs[0] == outputs[1]


def test_help_loads_no_engine() -> None:
    """What is not used is not imported: help comes at once."""
    code = "import sys, gateway.commands.main as m; assert not {'numpy', 'ctranslate2'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], cwd=REPO, timeout=60, check=True)


def test_an_unknown_command_is_a_usage_error() -> None:
    """Exit 2, naming it; --help names those that there are."""
    assert CliRunner().invoke(main, ["sing"]).exit_code == 2
    shown = CliRunner().invoke(main, ["--help"]).output
    assert all(name in shown for name in COMMANDS)


def test_no_library_calls_home(tmp_path: Path) -> None:
    """Silero runs on onnxruntime, which would leave a device identifier and report: it must not even begin."""
    code = "import gateway.commands.main; from gateway.detection.silero import load_silero; load_silero()"
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    places = dict.fromkeys(["HOME", "TMPDIR", "XDG_CACHE_HOME"], str(tmp_path))
    subprocess.run([sys.executable, "-c", code], cwd=REPO, env=kept | places, timeout=60, check=True)
    assert not [*tmp_path.rglob("*")]
