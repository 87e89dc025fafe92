"""Keys for gateways that ask for them."""

import subprocess
from pathlib import Path

from tests.running import REPO, command, environment
from tests.talking import SECRETS


def make_key(data: Path, role: str, bed: str) -> str:
    """As an operator makes one. It is a secret: no log may have it."""
    done = subprocess.run(
        command("token", "create", "--role", role, "--bed", bed, "--data-dir", str(data)),
        cwd=REPO, env=environment(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    key = done.stdout.strip()
    SECRETS.add(key.rsplit("_", 1)[1])
    return key
