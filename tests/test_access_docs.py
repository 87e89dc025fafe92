"""docs/access.md says what the gateway does: its commands are run, its codes are the code's."""

import ast
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from gateway.connection.access import ROLES
from gateway.connection.credentials import MAX_TOKEN_S, SIGNING_DAYS
from gateway.local_ca import CERTIFICATE_AGE
from tests.running import REPO, RunningGateway, command, environment
from tests.talking import SECRETS

PAGE = (REPO / "docs" / "access.md").read_text()


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def refusals() -> set[str]:
    """The codes of every AccessError in the source."""
    calls = [
        node
        for path in (REPO / "gateway" / "connection").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "AccessError"
        and len(node.args) == 3
    ]
    return {code.value for call in calls if isinstance(code := call.args[1], ast.Constant)}


def test_every_refusal_is_explained() -> None:
    """But those of a question that makes no sense, which name their field: bad_*."""
    told = set(re.findall(r"`(\w+)`", section("What is refused, and how")))
    missing = {code for code in refusals() if not code.startswith("bad_")} - told
    assert not missing


def test_its_figures_are_the_codes() -> None:
    """Roles, and how long things last."""
    assert set(re.findall(r"^\| `(\w+)` \|", section("Roles and beds"), re.M)) == set(ROLES)
    assert f"{MAX_TOKEN_S}" in section("Short-lived tokens")
    assert f"every {SIGNING_DAYS} days" in section("Short-lived tokens")
    assert f"{CERTIFICATE_AGE.days} days" in section("HTTPS")


@pytest.mark.slow
def test_the_five_commands_work(tmp_path: Path) -> None:
    """As they stand there, with the demo model: the gateway runs, asks for keys and speaks HTTPS."""
    lines = re.findall(r"^\$ care-voice (.+)$", section("On a ward, in five commands"), re.M)
    assert len(lines) == 5
    data = tmp_path / "data"
    for line in lines[:4]:
        done = subprocess.run(
            command(*shlex.split(line)),
            cwd=REPO, env=environment({"CARE_VOICE_DATA_DIR": str(data)}), capture_output=True, text=True,
            timeout=60, check=True,
        )  # fmt: skip
        SECRETS.update(key.rsplit("_", 1)[1] for key in re.findall(r"cv_\w+", done.stdout))
    options = shlex.split(lines[4])[1:]
    gateway = RunningGateway.start(tmp_path / "log", *options)
    try:
        assert gateway.url.startswith("https://0.0.0.0:")
        health = subprocess.run(
            ["curl", "-s", "--cacert", data / "tls" / "ca.pem", gateway.url.replace("0.0.0.0", "localhost") + "/health"],
            env=os.environ | {"NO_PROXY": "localhost"}, capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        assert health.stdout == '{"status": "ok"}'
    finally:
        assert gateway.stop() == 0
