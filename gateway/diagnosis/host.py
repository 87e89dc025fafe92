"""shell: what the gateway needs of its machine: its model's files, its directory, its port, the time."""

import ctypes
import errno
import json
import os
import shutil
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from gateway.diagnosis.observed import Clock, Model, Port, Storage
from gateway.inference.catalogue import CatalogueError, Choice
from gateway.inference.shelf import choose_model, verify

PROBE_BYTES = b"\0" * 65_536
ANSWER_TIMEOUT_S = 2.0
ANSWER = {"status": "alive"}
"""Of /healthz."""
LISTED = 50
TIMEX_BYTES = 1024
"""More than struct timex has; all zero it asks and changes nothing."""
TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronized."""
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 # to ask, not to listen


def read_model(
    wanted: str, cuda: bool, kept_in: Path, note: Callable[[str], None]
) -> tuple[Model, Choice | None]:
    """The model that is meant, every byte of it read; `note` hears of each file."""
    lying_there = tuple(sorted(path.name for path in kept_in.glob("*"))[:LISTED])
    try:
        choice = choose_model(wanted, cuda, kept_in)
        entry, directory = choice.entry, Path(choice.directory)
        damaged, recorded = [], entry is not None
        for check in verify(directory, entry) if entry else ():
            note(f"reading {choice.name}: {check.name}")
            recorded = recorded and check.checked
            if check.problem:
                damaged.append(f"{check.name} {check.problem}")
    except (CatalogueError, OSError) as error:
        return Model(wanted, problem=str(error), kept_in=str(kept_in), lying_there=lying_there), None
    memory = (entry.gpu_float16_mb * 10**6, entry.cpu_int8_mb * 10**6) if entry else (0, 0)
    files = (tuple(damaged), recorded, str(kept_in), lying_there)
    return Model(choice.name, choice.directory, "", *files, *memory), choice


def read_storage(directory: Path) -> Storage:
    """Can it be written? If it is not there yet: could it be made?"""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    exists = there == directory
    try:
        free_bytes = shutil.disk_usage(there).free
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "not a directory")
        probe = there / f".care-voice-probe-{os.getpid()}"
        try:
            with probe.open("xb") as file:
                file.write(PROBE_BYTES)
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        free = shutil.disk_usage("/").free if not there.exists() else shutil.disk_usage(there).free
        return Storage(str(directory), exists, errno.errorcode.get(error.errno or 0, str(error)), free)
    return Storage(str(directory), exists, "", free_bytes)


def read_port(host: str, port: int) -> Port:
    """Could the gateway listen there?"""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        said = error.strerror or str(error)
        return Port(host, port, said, taken, taken and _is_ours(host, port))
    return Port(host, port)


def _is_ours(host: str, port: int) -> bool:
    """A Care Voice gateway answers there."""
    name = ANYWHERE.get(host, host)
    name = f"[{name}]" if ":" in name else name
    unverified = ssl._create_unverified_context()  # noqa: S323 # nosec B323 # only to see who is there
    for scheme in ("http", "https"):
        try:
            request = urllib.request.Request(f"{scheme}://{name}:{port}/healthz")  # noqa: S310 # of this machine
            with urllib.request.urlopen(  # noqa: S310 # nosec B310
                request, timeout=ANSWER_TIMEOUT_S, context=unverified
            ) as answer:
                if json.loads(answer.read(256)) == ANSWER:
                    return True
        except (OSError, ValueError):
            continue
    return False


def read_clock() -> Clock:
    """The time of day, and whether the kernel says that somebody keeps it right."""
    newest = max(path.stat().st_mtime for path in Path(__file__).parent.parent.glob("*.py"))
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    return Clock(time.time(), newest, None if state < 0 else state != TIME_ERROR)
