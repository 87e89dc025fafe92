"""shell: how long `care-voice serve` with the demo model takes until it takes speakers."""

import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.report import Figure
from tests.running import RunningGateway

STARTS = 5
QUICK_STARTS = 2
LIMIT_S = 5.0
POLL_S = 0.01


def measure(quick: bool) -> list[Figure]:
    times = [_start_once() for _ in range(QUICK_STARTS if quick else STARTS)]
    note = f"the slowest of {len(times)}; the fastest {min(times):.2f} s"
    return [Figure("from start to /readyz 200", max(times), "s", LIMIT_S, note)]


def _start_once() -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        running = RunningGateway.start(Path(folder, "log"), ready=False)
        try:
            while not _is_ready(running.url):
                time.sleep(POLL_S)
            return time.monotonic() - began
        finally:
            running.stop()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError as refused:
        refused.close()
        return False
