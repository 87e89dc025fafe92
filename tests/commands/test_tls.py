"""`care-voice tls`: the local CA on the command line."""

import re
from pathlib import Path

from click.testing import CliRunner, Result

from gateway.commands.tls import tls


def run(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(tls, [*arguments, "--data-dir", str(directory)])


def test_it_makes_and_shows_the_ca(tmp_path: Path) -> None:
    """The same CA each time, with its fingerprint and names."""
    missing = run(tmp_path, "show")
    assert missing.exit_code == 1
    assert "care-voice tls make" in missing.stderr
    made = run(tmp_path, "make", "--name", "ward.example", "--name", "203.0.113.7")
    assert made.exit_code == 0, made.output
    assert re.search(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", made.stdout)
    assert "ward.example" in made.stdout
    assert "203.0.113.7" in made.stdout
    assert run(tmp_path, "show").stdout == made.stdout


def test_names_that_the_ca_does_not_allow_are_said(tmp_path: Path) -> None:
    """Exit 1, and what to do."""
    run(tmp_path, "make")
    for name in ("other.example", "no name"):
        result = run(tmp_path, "make", "--name", name)
        assert result.exit_code == 1
        assert "care-voice: " in result.stderr
        assert "Traceback" not in result.output
