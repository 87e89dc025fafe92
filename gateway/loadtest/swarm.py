"""shell: the synthetic speakers of a run in several processes, each an event loop; results come over pipes.

The parent waits until all processes are up, then gives them one origin on the monotonic clock they share.
A process collects no garbage during its run: a pause of the collector would make it late.
"""

import asyncio
import gc
import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import uvloop

from gateway.connection.messages import Final, ServerMessage
from gateway.events import SAMPLE_RATE
from gateway.loadtest.caller import CONNECT_AHEAD_S, PATIENCE_S, Target, speak
from gateway.loadtest.observe import Guide, Observation, Record, Steady, nearest_end, observe, turn_ends_s
from gateway.loadtest.schedule import Load, Plan, Turn

TICK_S = 0.5
START_TIMEOUT_S = 60.0
MARGIN_S = 60.0
"""Beyond the plan and its patience, for a process to sum up."""


class SwarmError(Exception):
    """The generator itself failed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one process is to do."""

    target: Target
    load: Load
    plans: tuple[Plan, ...]
    turns: tuple[Turn, ...]
    guides: tuple[Guide, ...]
    steady: Steady
    process: int = 0


@dataclass(slots=True)
class Tick:
    """News of a process since its last tick."""

    process: int = 0
    speaking: int = 0
    ttfs_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    failures: int = 0


def run(jobs: Sequence[Job], on_tick: Callable[[Tick], None]) -> list[Observation]:
    """Run all of them at once, to the end; `on_tick` is called about twice a second and process.

    Raises SwarmError.
    """
    context = multiprocessing.get_context("spawn")
    children: dict[Connection, BaseProcess] = {}
    process: BaseProcess
    try:
        for job in jobs:
            ours, theirs = context.Pipe()
            process = context.Process(target=child, args=(theirs, job), daemon=True)
            process.start()
            theirs.close()
            children[ours] = process
        for connection in children:
            _await_up(connection)
        origin = time.monotonic() + CONNECT_AHEAD_S + TICK_S
        for connection in children:
            connection.send(origin)
        return _collect(list(children), _deadline(origin, jobs), on_tick)
    except (EOFError, OSError) as error:
        raise SwarmError(f"a process of the load generator died ({error or 'out of memory?'})") from None
    finally:
        for connection, process in children.items():
            connection.close()
            process.terminate()
            process.join()


def _await_up(connection: Connection) -> None:
    if not connection.poll(START_TIMEOUT_S):
        raise SwarmError("a process of the load generator did not start: fewer --processes")
    connection.recv()


def _deadline(origin: float, jobs: Sequence[Job]) -> float:
    longest_s = max(plan.begins_s + plan.samples / SAMPLE_RATE for job in jobs for plan in job.plans)
    return origin + longest_s + PATIENCE_S + MARGIN_S


def _collect(
    open_ones: list[Connection], deadline: float, on_tick: Callable[[Tick], None]
) -> list[Observation]:
    found: list[Observation] = []
    while open_ones:
        ready = wait(open_ones, timeout=deadline - time.monotonic())
        if not ready:
            raise SwarmError("a process of the load generator hangs")
        for connection in ready:
            assert isinstance(connection, Connection)
            news = connection.recv()
            if isinstance(news, Tick):
                on_tick(news)
            else:
                found += news
                open_ones.remove(connection)
    return sorted(found, key=lambda seen: seen.stream)


# --- in the child ---


def child(connection: Connection, job: Job) -> None:
    """The life of one process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it ends us
    gc.collect()
    gc.freeze()
    gc.disable()
    connection.send("up")
    origin = float(connection.recv())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        records = runner.run(_speak_all(connection, job, origin))
    connection.send(
        [
            observe(job.load, plan, job.turns, job.guides, record, job.steady)
            for plan, record in zip(job.plans, records, strict=True)
        ]
    )


async def _speak_all(connection: Connection, job: Job, origin: float) -> list[Record]:
    records = [Record(plan.stream, plan.begins_s) for plan in job.plans]
    pulse = _Pulse(job, records)
    telling = asyncio.create_task(pulse.tell(connection))
    try:
        return await asyncio.gather(
            *(
                speak(
                    job.target, job.load, plan, job.turns, origin,
                    tell=pulse.listener(plan), record=record,
                )
                for plan, record in zip(job.plans, records, strict=True)
            )
        )  # fmt: skip
    finally:
        telling.cancel()


class _Pulse:
    """What is going on, for the progress shown in the terminal."""

    def __init__(self, job: Job, records: list[Record]) -> None:
        self._job, self._records = job, records
        self._tick = Tick(job.process)
        self._told = [0] * len(records)

    def listener(self, plan: Plan) -> Callable[[float, ServerMessage], None]:
        ends_s = turn_ends_s(plan, self._job.turns)

        def heard(at_s: float, message: ServerMessage) -> None:
            if isinstance(message, Final):
                turn = nearest_end(ends_s, message.end)
                if turn is not None:
                    self._tick.ttfs_ms.append(1000 * (at_s - ends_s[turn]))

        return heard

    async def tell(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            tick, self._tick = self._tick, Tick(self._job.process)
            for i, record in enumerate(self._records):
                tick.late_ms += record.late_ms[self._told[i] :]
                self._told[i] = len(record.late_ms)
                tick.speaking += 0 < record.sent_samples < self._job.plans[i].samples
                tick.failures += len(record.failures)
            connection.send(tick)  # a few kilobytes: the pipe takes them at once
