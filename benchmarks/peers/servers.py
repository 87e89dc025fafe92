"""shell: each contender's server on the same model directory, on a free port of this machine."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.environments import python_of
from benchmarks.peers.wires import Native, WhisperLive, WhisperLiveKit, Wire
from benchmarks.processes import cpu_s, rss_mb
from tests.running import REPO, command, environment

MODEL = REPO / "models" / "demo"
SPEECH = REPO / "tests" / "data" / "audio" / "en_01.wav"
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 15.0
IDLE_CORES = 0.1
IDLE_TIMEOUT_S = 30.0
LOG_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Contender:
    """A server with the protocol that it is spoken to in."""

    name: str
    title: str
    wire: Callable[[str | None], Wire]
    arguments: Callable[[int, Path], list[str]]
    """(port, scratch folder) -> its command line. Raises environments.CannotInstall."""
    is_ours: bool = False
    threads: str = ""
    """OMP_NUM_THREADS, where its own start script sets it."""


def _ours(port: int, scratch: Path) -> list[str]:
    """As it comes; the doors are opened wide, since all speakers come from one address."""
    return command(
        "serve", "--model", "demo", "--host", "127.0.0.1", "--port", str(port), "--data-dir", str(scratch),
        "--max-sessions", "5000", "--max-connections", "5000", "--max-connections-per-address", "0",
    )  # fmt: skip


def _whisperlive(mode: str) -> Callable[[int, Path], list[str]]:
    program = str(Path(__file__).parent / "whisperlive_server.py")
    return lambda port, _: [str(python_of("whisperlive")), program, str(port), str(MODEL), mode]


def _whisperlivekit(port: int, _: Path) -> list[str]:
    """LocalAgreement, the policy that decodes with faster-whisper; PCM, so that it starts no FFmpeg."""
    server = python_of("whisperlivekit").with_name("whisperlivekit-server")
    return [
        str(server), "--host", "127.0.0.1", "--port", str(port), "--backend", "faster-whisper",
        "--backend-policy", "localagreement", "--model_dir", str(MODEL), "--pcm-input",
        "--warmup-file", str(SPEECH), "--log-level", "WARNING",
    ]  # fmt: skip


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("care-voice", "Care Voice", Native, _ours, is_ours=True),
        Contender("care-voice-whisperlive", "Care Voice, WhisperLive's protocol", WhisperLive, _ours, True),
        Contender("whisperlive", "WhisperLive 0.10.0", WhisperLive, _whisperlive("single"), threads="1"),
        Contender(
            "whisperlive-batch",
            "WhisperLive 0.10.0 --batch_inference",
            WhisperLive,
            _whisperlive("batch"),
            threads="1",
        ),
        Contender("whisperlivekit", "WhisperLiveKit 0.2.26", WhisperLiveKit, _whisperlivekit),
    )
}


@dataclass(frozen=True, slots=True)
class Server:
    """A running one."""

    url: str
    process: subprocess.Popen[bytes]

    def cpu_s(self) -> float:
        """Of all its processes."""
        return sum(cpu_s(pid) for pid in _family(self.process.pid))

    def memory_mb(self) -> float:
        return sum(rss_mb(pid) for pid in _family(self.process.pid))

    def wait_until_idle(self) -> None:
        """Until nothing of the run before is left to do, or IDLE_TIMEOUT_S."""
        until = time.monotonic() + IDLE_TIMEOUT_S
        while time.monotonic() < until:
            before = self.cpu_s()
            time.sleep(1)
            if self.cpu_s() - before < IDLE_CORES:
                return


@contextmanager
def running(contender: Contender) -> Iterator[Server]:
    """Raises environments.CannotInstall, or RuntimeError with the end of its log when it does not start."""
    with tempfile.TemporaryDirectory(prefix="care-voice-peers-") as folder:
        port, log = _free_port(), Path(folder, "log")
        line = contender.arguments(port, Path(folder))
        with log.open("wb") as output:
            process = subprocess.Popen(
                line, stdout=output, stderr=output, cwd=folder, env=_environment(contender)
            )
        try:
            _wait_for(port, process, log)
            yield Server(f"ws://127.0.0.1:{port}", process)
        finally:
            _stop(process)


def _environment(contender: Contender) -> dict[str, str]:
    """Offline: nobody looks for updates."""
    threads = {"OMP_NUM_THREADS": contender.threads} if contender.threads else {}
    return environment(
        {"HF_HUB_OFFLINE": "1", **threads} | ({"PYTHONPATH": str(REPO)} if contender.is_ours else {})
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"it did not start:\n{log.read_text(errors='replace')[-LOG_CHARACTERS:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:  # the thread has ended
                continue
    return [pid for pid in found if os.path.exists(f"/proc/{pid}/stat")]
