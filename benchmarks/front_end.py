"""What the gateway itself costs per stream: sockets, detection, features, captions; the engine is a fake.

    python -m benchmarks.front_end [--sessions 100] [--chunk-ms 20] [--duty 40] [--seconds 20] [--profile]

A gateway process with a fake engine (in a process of its own, as always), paced native sessions from other
processes on an absolute schedule with random phases. Counted is processor time, not time on the wall, so that
a busy machine changes little; the lag of the event loop is another matter. Figures: docs/performance.md.
"""

import asyncio
import cProfile
import gc
import json
import os
import pstats
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
import uvloop
from rich.console import Console

from benchmarks.fake_engine import FACTORY, MODEL, FakeEngine
from benchmarks.measures import percentile
from benchmarks.processes import rss_mb
from benchmarks.recordings import BYTES_PER_S, load, silence
from benchmarks.report import Figure, show
from gateway import logs
from gateway.app import Gateway
from gateway.config import DetectionSettings, Settings
from gateway.connection.effects import Submit
from gateway.connection.messages import Audio, Start
from gateway.connection.opening import Surroundings
from gateway.connection.resuming import Identity
from gateway.connection.session import Session
from gateway.detection.listener import Listener
from gateway.detection.silero import load_silero
from gateway.events import AudioFormat
from gateway.inference.load import LoadLevel
from gateway.inference.protocol import EngineSpec
from gateway.resources import static_dir
from tests.raw import Op, frame, say

GOALS = {100: 1000, 20: 400}
"""Sessions per core by chunk length."""
LAG_GOAL_MS = 20
IDLE_GOAL_KB, SPEAKING_GOAL_KB = 100, 1536
PROBE_S = 0.01
CLIENT_PROCESSES = 2
SEED = 20
MONOLOGUES = ("mono_en.wav", "mono_zh.wav")
SETTLE_S = 2.0
"""Between the last connection and the measuring."""


# --- what is said -------------------------------------------------------------------------------------------


def speech(duty: int) -> list[bytes]:
    """One recording per language: 100, monologues with pauses for breath; less, sentences and silence."""
    recordings = [load(name) for name in MONOLOGUES]
    if duty == 100:
        return [recording.pcm for recording in recordings]
    said = []
    for recording in recordings:
        pcm = b""
        for sentence in recording.sentences:
            first, last = (2 * round(at * BYTES_PER_S / 2) for at in (sentence.start, sentence.end))
            pcm += recording.pcm[first:last] + silence((sentence.end - sentence.start) * (100 / duty - 1))
        said.append(pcm)
    return said


# --- the gateway's process ----------------------------------------------------------------------------------


class Probe:
    """What the gateway's process can tell of itself. Answers `mark` with the figures since the last one."""

    def __init__(self, profile: bool) -> None:
        self._late: list[float] = []
        self._cpu_s = self._system_s = 0.0
        self._profile = cProfile.Profile() if profile else None

    async def watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PROBE_S
            await asyncio.sleep(PROBE_S)
            self._late.append(loop.time() - due)

    def mark(self) -> dict[str, float]:
        user, system, *_ = os.times()
        now = user + system
        late, self._late = self._late, []
        spent, self._cpu_s = now - self._cpu_s, now
        spent_system, self._system_s = system - self._system_s, system
        if self._profile:
            self._profile.enable()
        return {
            "cpu_s": spent,
            "system_s": spent_system,
            "lag_p50_ms": 1000 * percentile(late, 50),
            "lag_p99_ms": 1000 * percentile(late, 99),
            "rss_mb": rss_mb(os.getpid()),
        }

    def end(self) -> None:
        if self._profile:
            self._profile.disable()
            pstats.Stats(self._profile, stream=sys.stderr).sort_stats("tottime").print_stats(45)  # type: ignore[arg-type]


async def serve(data_dir: str, profile: bool) -> None:
    """Until its standard input is closed."""
    many = {"port": 0, "max_sessions": 10_000, "max_connections": 10_000, "max_connections_per_address": 0}
    settings = Settings.model_validate(
        {"server": many, "journal": {"data_dir": data_dir, "retention_h": 0}, "log": {"log_level": "error"}}
    )
    logs.configure(settings.log)
    gateway = Gateway(settings, EngineSpec("", MODEL.name, factory=FACTORY), static_dir())
    port = await gateway.listen()
    await gateway.warm_up()
    gc.freeze()  # as commands/serve.py does
    probe = Probe(profile)
    watching = asyncio.create_task(probe.watch())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    print(port, flush=True)
    while await reader.readline():
        level = LoadLevel[gateway.health()["load"].upper()]
        print(json.dumps(probe.mark() | {"load_level": level}), flush=True)
    probe.end()
    watching.cancel()
    await gateway.stop()


class GatewayProcess:
    def __init__(self, profile: bool) -> None:
        self._folder = tempfile.TemporaryDirectory()
        arguments = ["serve", self._folder.name, *(["--profile"] if profile else [])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.front_end", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.port = int(self._read())

    def mark(self) -> dict[str, float]:
        assert self._process.stdin
        self._process.stdin.write("mark\n")
        self._process.stdin.flush()
        return dict(json.loads(self._read()))

    def stop(self) -> None:
        with self._folder:
            self._process.communicate(timeout=30)

    def _read(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise click.ClickException("The gateway's process has ended: see its message above.")
        return line


# --- the speakers' processes --------------------------------------------------------------------------------


async def speak(port: int, sessions: int, chunk_ms: int, duty: int, seed: int) -> None:
    """Until the process is ended. duty 0: connected and started, and not a sample sent."""
    chance = random.Random(seed)
    frames = [_frames(pcm, chunk_ms) for pcm in speech(duty or 100)]
    kept: list[object] = []
    """Tasks, and writers, which close their sockets when nobody has them any more."""
    late: list[float] = []
    lost: list[bytes] = []
    for n in range(sessions):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: care-voice.v1\r\n\r\n"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(say("start", language=("en", "zh")[n % 2]))
        await reader.readexactly(2)
        kept += [writer, asyncio.create_task(_discard(reader, lost))]
        if duty:
            said = frames[n % len(frames)]
            first = chance.randrange(len(said))
            pace = _pace(writer, said, first, chunk_ms / 1000, chance.random() * chunk_ms / 1000, late)
            kept.append(asyncio.create_task(pace))
    print("speaking", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    if lost:
        print(lost[0][-200:], file=sys.stderr)
    print(json.dumps({"late_p99_ms": 1000 * percentile(late or [0.0], 99), "lost": len(lost)}), flush=True)
    os._exit(0)


def _frames(pcm: bytes, chunk_ms: int) -> list[bytes]:
    size = chunk_ms * BYTES_PER_S // 1000
    return [frame(Op.BINARY, pcm[at : at + size]) for at in range(0, len(pcm) - size, size)]


async def _discard(reader: asyncio.StreamReader, lost: list[bytes]) -> None:
    """Read until the gateway closes, which it should not; keep what it said last."""
    said = b""
    while more := await reader.read(1 << 16):
        said = more
    lost.append(said)


async def _pace(
    writer: asyncio.StreamWriter,
    frames: list[bytes],
    at: int,
    chunk_s: float,
    phase_s: float,
    late: list[float],
) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + phase_s
    while True:
        await asyncio.sleep(due - loop.time())
        late.append(loop.time() - due)
        writer.write(frames[at % len(frames)])
        at, due = at + 1, due + chunk_s


class Speakers:
    """Sessions from processes of their own."""

    def __init__(self, port: int, sessions: int, chunk_ms: int, duty: int) -> None:
        self._processes = []
        for n in range(CLIENT_PROCESSES):
            share = sessions // CLIENT_PROCESSES + (n < sessions % CLIENT_PROCESSES)
            arguments = ["speak", *map(str, (port, share, chunk_ms, duty, SEED + n))]
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.front_end", *arguments],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
            )  # fmt: skip
        for process in self._processes:
            assert process.stdout
            assert process.stdout.readline() == "speaking\n"

    def stop(self) -> tuple[float, int]:
        """How late the later of them was, p99 in ms; sessions that the gateway closed."""
        told = [json.loads(process.communicate("\n", timeout=30)[0]) for process in self._processes]
        return max(one["late_p99_ms"] for one in told), sum(one["lost"] for one in told)


# --- one process, no sockets --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loop:
    """Processor ms per stream-second of the parts, without sockets and without pacing."""

    detection: float
    without_silero: float
    session: float


def pure(chunk_ms: int, duty: int) -> Loop:
    silero = load_silero()
    around = Surroundings(Settings(), MODEL, silero)
    payloads = [list(_chunks(pcm, chunk_ms)) for pcm in speech(duty)]
    seconds = sum(len(chunks) for chunks in payloads) * chunk_ms / 1000

    def listen(settings: DetectionSettings) -> None:
        for chunks in payloads:
            listener = Listener(AudioFormat(), settings, MODEL.mel_bands, silero)
            for payload in chunks:
                listener.receive(payload)

    def converse() -> None:
        for chunks in payloads:
            _converse(Session(1, Identity("name", "token", "who"), around, 0.0), chunks, chunk_ms / 1000)

    def cost(run: Any) -> float:
        run()
        spent = []
        for _ in range(5):
            gc.collect()
            began = time.process_time()
            run()
            spent.append(time.process_time() - began)
        return 1000 * min(spent) / seconds

    return Loop(
        cost(lambda: listen(DetectionSettings())),
        cost(lambda: listen(DetectionSettings(silero=False))),
        cost(converse),
    )


def _chunks(pcm: bytes, chunk_ms: int) -> Iterator[bytes]:
    size = chunk_ms * BYTES_PER_S // 1000
    return (pcm[at : at + size] for at in range(0, len(pcm) - size, size))


def _converse(session: Session, chunks: list[bytes], chunk_s: float) -> None:
    engine, now = FakeEngine(), 0.0
    session.receive(Start(language="en"), now)
    for payload in chunks:
        now += chunk_s
        for effect in session.receive(Audio(payload), now):
            if isinstance(effect, Submit):
                session.receive_hypothesis(engine.transcribe([effect.job])[0], now)


# --- all together -------------------------------------------------------------------------------------------


def with_sockets(sessions: int, chunk_ms: int, duty: int, seconds: float, profile: bool) -> list[Figure]:
    gateway = GatewayProcess(profile)
    empty_mb = gateway.mark()["rss_mb"]
    silent = Speakers(gateway.port, sessions, chunk_ms, 0)
    time.sleep(SETTLE_S)
    idle_mb = gateway.mark()["rss_mb"]
    _, idle_lost = silent.stop()
    time.sleep(SETTLE_S)
    speakers = Speakers(gateway.port, sessions, chunk_ms, duty)
    time.sleep(SETTLE_S)
    gateway.mark()
    began = time.monotonic()
    time.sleep(seconds)
    seen = gateway.mark()
    streamed_s = sessions * (time.monotonic() - began)
    late_ms, lost = speakers.stop()
    gateway.stop()
    cost_ms = 1000 * seen["cpu_s"] / streamed_s
    speaking_kb = 1024 * (seen["rss_mb"] - empty_mb) / sessions
    return [
        Figure("processor time per stream-second", cost_ms, "ms", 1000 / GOALS.get(chunk_ms, 1000)),
        Figure("of it in the kernel", 1000 * seen["system_s"] / streamed_s, "ms"),
        Figure("sessions per core", 1000 / cost_ms, ""),
        Figure("lag of the event loop p50", seen["lag_p50_ms"], "ms"),
        Figure("lag of the event loop p99", seen["lag_p99_ms"], "ms", LAG_GOAL_MS),
        Figure("memory per idle session", 1024 * (idle_mb - empty_mb) / sessions, "KB", IDLE_GOAL_KB),
        Figure("memory per speaking session", speaking_kb, "KB", SPEAKING_GOAL_KB),
        Figure("gateway: resident memory", seen["rss_mb"], "MB"),
        Figure("load level (1: partials stretched)", seen["load_level"], "", 0, invalidates=True),
        Figure("sessions that were closed", lost + idle_lost, "", 0, invalidates=True),
        Figure("generator's lateness p99", late_ms, "ms", 5.0, invalidates=True),
    ]


@click.group(invoke_without_command=True)
@click.option("--sessions", default=100, show_default=True, help="Paced sessions at the same time.")
@click.option("--chunk-ms", multiple=True, type=int, default=(100, 20), help="May be repeated.")
@click.option(
    "--duty", multiple=True, type=int, default=(100, 40), help="Per cent of speech; may be repeated."
)
@click.option("--seconds", default=10.0, show_default=True, help="Measured, per level.")
@click.option("--profile", is_flag=True, help="Show in which functions the gateway's time goes.")
@click.option("--pure", "only_pure", is_flag=True, help="Only the parts, without sockets.")
@click.pass_context
def main(
    context: click.Context,
    sessions: int,
    chunk_ms: tuple[int, ...],
    duty: tuple[int, ...],
    seconds: float,
    profile: bool,
    only_pure: bool,
) -> None:
    """The front end alone, each figure beside its goal."""
    if context.invoked_subcommand:
        return
    results: dict[str, list[Figure]] = {}
    for percent in duty:
        for length in chunk_ms:
            parts = pure(length, percent)
            found = [
                Figure("Silero", parts.detection - parts.without_silero, "ms"),
                Figure("the rest of detection, features", parts.without_silero, "ms"),
                Figure("session and captions", parts.session - parts.detection, "ms"),
            ]
            if not only_pure:
                found += with_sockets(sessions, length, percent, seconds, profile)
            results[f"{percent} % speech, {length} ms"] = found
    show(Console(), results)


@main.command("serve", hidden=True)
@click.argument("data_dir")
@click.option("--profile", is_flag=True)
def serve_command(data_dir: str, profile: bool) -> None:
    uvloop.run(serve(data_dir, profile))


@main.command("speak", hidden=True)
@click.argument("numbers", nargs=-1, type=int)
def speak_command(numbers: tuple[int, ...]) -> None:
    port, sessions, chunk_ms, duty, seed = numbers
    uvloop.run(speak(port, sessions, chunk_ms, duty, seed))


if __name__ == "__main__":
    main()
