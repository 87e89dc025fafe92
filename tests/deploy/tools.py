"""The programs that check deploy/: on this machine, or where scripts/deploy-tools.sh puts them."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.running import REPO

DEPLOY = REPO / "deploy"
TOOLS = REPO / ".venv" / "deploy-tools"
WHERE = [
    TOOLS / "venv/bin",
    TOOLS / "root/usr/bin",
    TOOLS / "root/usr/sbin",
    TOOLS / "root/usr/libexec/podman",
    TOOLS / "root/usr/libexec/docker/cli-plugins",
    Path("/usr/libexec/podman"),
    Path("/usr/lib/podman"),
    Path("/usr/sbin"),
]


def tool(name: str) -> str:
    """Its path; skips the test, by the tool's name, where it is not."""
    found = shutil.which(name, path=os.pathsep.join(map(str, WHERE))) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: scripts/deploy-tools.sh python3 .venv/deploy-tools")
    return found


def run(*command: str | Path, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], input=stdin, capture_output=True, text=True, timeout=120, cwd=DEPLOY,
        env=os.environ | variables,
    )  # fmt: skip


def passes(*command: str | Path, stdin: str = "", **variables: str) -> str:
    """What it printed, if it was content."""
    done = run(*command, stdin=stdin, **variables)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


def read_yaml(path: str) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text())
