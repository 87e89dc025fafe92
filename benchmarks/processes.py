"""shell: the gateway under test, and what it and the rest of the machine cost."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.running import RunningGateway

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@contextmanager
def gateway(*options: str) -> Iterator[RunningGateway]:
    """`care-voice serve` with the demo model in its own process, ready."""
    with tempfile.TemporaryDirectory() as folder:
        running = RunningGateway.start(Path(folder, "log"), *options)
        try:
            yield running
        finally:
            status = running.stop()
            assert status == 0, running.log()


def cpu_s(pid: int) -> float:
    """Processor time of a process so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@dataclass(slots=True)
class Cost:
    """Processor seconds spent while measuring."""

    gateway_s: float = 0.0
    engine_s: float = 0.0
    others_percent: float = 0.0
    """Of all cores, by processes that are no part of the measurement (stolen time included)."""


@contextmanager
def counting(running: RunningGateway) -> Iterator[Cost]:
    """Fills in the cost at the end."""
    cost, engine = Cost(), running.worker_pid()
    before = _machine(), cpu_s(running.process.pid), cpu_s(engine), cpu_s(os.getpid())
    yield cost
    after = _machine(), cpu_s(running.process.pid), cpu_s(engine), cpu_s(os.getpid())
    cost.gateway_s, cost.engine_s = after[1] - before[1], after[2] - before[2]
    busy, total = (b - a for a, b in zip(before[0], after[0], strict=True))
    ours = cost.gateway_s + cost.engine_s + after[3] - before[3]
    cost.others_percent = 100 * max(0.0, busy - ours) / max(total, 0.01)


def _machine() -> tuple[float, float]:
    """(busy, all) processor seconds of all cores since the start of the machine."""
    with Path("/proc/stat").open() as file:
        user, nice, system, idle, wait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    busy = user + nice + system + irq + softirq + steal
    return busy / TICKS_PER_S, (busy + idle + wait) / TICKS_PER_S
