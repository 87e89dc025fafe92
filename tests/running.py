"""A real gateway in its own process, for tests that talk to it as clients do."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPO = Path(__file__).parent.parent
LOGS: list[Path] = []
"""Of every gateway that this test run started (tests/conftest.py looks through them at the end)."""
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "gateway", *args]


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """This process's, without settings that would change what a test means."""
    ours = ("CARE_VOICE_", "WHISPER_", "ENABLE_FP16")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)} | (extra or {})


@dataclass
class RunningGateway:
    """`care-voice serve` with the demo model on a free port."""

    process: subprocess.Popen[str]
    log_path: Path
    url: str = ""
    """http://127.0.0.1:PORT"""
    options: list[str] = field(default_factory=list)

    @classmethod
    def start(
        cls, log_path: Path, *options: str, ready: bool = True, prefix: Sequence[str] = ()
    ) -> "RunningGateway":
        """`prefix`: a command that runs it, by exec."""
        LOGS.append(log_path)
        with log_path.open("w") as log:
            process = subprocess.Popen(
                [*prefix, *command(
                    "serve", "--model", "demo", "--port", "0", "--log-format", "json",
                    "--data-dir", str(log_path.parent / "data"), *options,
                )],
                stderr=log, stdout=log, text=True, cwd=REPO, env=environment(),
            )  # fmt: skip
        gateway = cls(process, log_path)
        gateway.url = gateway.wait_for_log("listening")["url"]
        if ready:
            gateway.wait_for_log("ready")
        return gateway

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws")

    def log(self) -> str:
        return self.log_path.read_text()

    def wait_for_log(self, event: str) -> dict[str, Any]:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            for line in self.log().splitlines():
                if line.startswith("{") and json.loads(line)["event"] == event:
                    return dict(json.loads(line))
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"the gateway never said {event!r}:\n{self.log()}")

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            return str(response.read().decode())

    def health(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/health")))

    def metric(self, name: str) -> float:
        """The sum over all labels."""
        lines = [line for line in self.get("/metrics").splitlines() if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def rss_bytes(self) -> int:
        """Memory of the gateway's own process."""
        [line] = [
            ln for ln in Path(f"/proc/{self.process.pid}/status").read_text().splitlines() if "VmRSS" in ln
        ]
        return int(line.split()[1]) * 1024

    def open_files(self) -> int:
        """File descriptors of the gateway's own process."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def worker_pid(self) -> int:
        """The engine's process, when there is one (again)."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            for child in children:
                with contextlib.suppress(OSError):
                    if b"inference" in Path(f"/proc/{child}/cmdline").read_bytes():
                        return int(child)
            time.sleep(0.02)
        raise AssertionError(f"no engine process:\n{self.log()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
