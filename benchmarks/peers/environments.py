"""shell: each peer in an environment of its own, made from pinned packages on first use."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.running import REPO

FOLDER = REPO / ".venv" / "peers"
PINNED = Path(__file__).parent / "environments"
ALONE = {
    "whisperlive": REPO / "tests" / "peers" / "whisper-live.lock",
    "whisperlivekit": PINNED / "whisperlivekit-alone.txt",
}
"""The package itself, installed without its dependencies: they include PyAudio, OpenVINO, cuDNN and others
that its server does not import for faster-whisper on a CPU."""


class CannotInstall(Exception):
    """It cannot be made; the message says why."""


def python_of(name: str) -> Path:
    """The interpreter of a peer's environment, made if it is missing or its pins have changed.

    Raises CannotInstall.
    """
    folder, pins = FOLDER / name, PINNED / f"{name}.txt"
    digest = hashlib.sha256(pins.read_bytes() + ALONE[name].read_bytes()).hexdigest()
    stamp = folder / ".made-from"
    if not (stamp.exists() and stamp.read_text() == digest):
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([*_pip(folder), "-r", str(pins)])
        _run([*_pip(folder), "--no-deps", "--require-hashes", "-r", str(ALONE[name])])
        stamp.write_text(digest)
    return folder / "bin" / "python"


def _pip(folder: Path) -> list[str]:
    return [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise CannotInstall(f"`{' '.join(command[-3:])}` failed: {last}")
