"""shell: what the gateway says of itself (/health, /metrics), and what this machine says of it (/proc)."""

import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from gateway.client.door import tls_context
from gateway.loadtest.caller import Target
from gateway.loadtest.exposition import Metrics, parse

TIMEOUT_S = 10.0
LISTEN = "0A"
"""State of a listening socket in /proc/net/tcp."""
PROC = Path("/proc")


class ServerError(Exception):
    """The gateway does not answer; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process, or of several."""

    cpu_s: float = 0.0
    rss_bytes: int = 0


@dataclass(slots=True)
class Server:
    """One gateway, looked at from outside."""

    target: Target
    pid: int | None = None
    """Of its process, when it runs on this machine and may be seen."""
    notes: list[str] = field(default_factory=list)
    """Why some figure cannot be had."""

    @classmethod
    def find(cls, target: Target) -> "Server":
        """Raises ServerError when nobody answers there."""
        server = cls(target)
        server.health()
        parts = urlsplit(target.url)
        if target.door.is_local:
            port = parts.port or (443 if parts.scheme == "wss" else 80)
            server.pid = _listener(port)
        if server.pid is None:
            server.notes.append("processor time and memory: the gateway's process cannot be seen from here")
        if server.metrics() is None:
            server.notes.append(
                "queue, batch and re-encode factor: /metrics was not given; use an admin's key (--key)"
            )
        return server

    def health(self) -> dict[str, Any]:
        """Raises ServerError."""
        try:
            return dict(json.loads(self._get("/health")))
        except (OSError, HTTPException, ValueError) as error:
            raise ServerError(
                f"no gateway answers at {self.target.door.shown}: {error}. "
                "Start one with `care-voice serve --model demo`, or name yours with --url."
            ) from None

    def metrics(self) -> Metrics | None:
        """None: we may not see them."""
        try:
            return parse(self._get("/metrics"))
        except (OSError, HTTPException, ValueError):
            return None

    def gateway_usage(self) -> Usage | None:
        """The process with the sockets."""
        return _usage(self.pid) if self.pid else None

    def engine_usage(self) -> Usage | None:
        """The processes that it started."""
        if not self.pid:
            return None
        found = [usage for pid in _descendants(self.pid) if (usage := _usage(pid))]
        return Usage(sum(usage.cpu_s for usage in found), sum(usage.rss_bytes for usage in found))

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Until nobody speaks, nothing waits and the load level is normal again."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            metrics = self.metrics()
            if metrics is None:
                time.sleep(min(timeout_s, 5.0))
                return True
            if not any(metrics.get(name, 0) for name in ("sessions_open", "queue_depth", "load_level")):
                return True
            time.sleep(0.25)
        return False

    def _get(self, path: str) -> str:
        parts = urlsplit(self.target.url)
        scheme = {"ws": "http", "wss": "https"}[parts.scheme]
        url = urlunsplit((scheme, parts.netloc.rpartition("@")[2], path, "", ""))
        request = urllib.request.Request(url)  # noqa: S310 (http or https: door.stream_url allows no other)
        if self.target.token:
            request.add_header("Authorization", f"Bearer {self.target.token}")
        context: ssl.SSLContext | None = tls_context(self.target.ca) if scheme == "https" else None
        handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
        if self.target.door.is_local:
            handlers.append(urllib.request.ProxyHandler({}))
        with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_S) as answer:
            return str(answer.read().decode())


def machine() -> dict[str, Any]:
    """This machine: of the load generator, and of the gateway if that is local."""
    model = ""
    with suppress(OSError):
        lines = (PROC / "cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": round(memory / 2**30, 1)}


def cpu_busy_s() -> float:
    """Seconds that all processors together have worked, since the machine started; NaN where unknown."""
    with suppress(OSError, ValueError, IndexError):
        user, nice, system, _idle, _iowait, irq, softirq, *_ = (
            int(x) for x in (PROC / "stat").read_text().splitlines()[0].split()[1:]
        )
        return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    return float("nan")


def _usage(pid: int) -> Usage | None:
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return Usage(cpu_s, int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))


def _descendants(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for task in (PROC / str(pid) / "task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _descendants(int(child))


def _listener(port: int) -> int | None:
    """The process that listens on a port of this machine."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                _, local, _, state, *rest = line.split()
                if state == LISTEN and int(local.rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{rest[5]}]")
    if not inodes:
        return None
    for process in PROC.glob("[0-9]*"):
        with suppress(OSError):
            if any(os.readlink(link) in inodes for link in (process / "fd").iterdir()):
                return int(process.name)
    return None
