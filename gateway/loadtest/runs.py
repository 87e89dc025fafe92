"""shell: the runs of a load test: one stream alone, then N of them; and what gateway and machine used."""

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.connection.messages import Final
from gateway.events import SAMPLE_RATE
from gateway.loadtest.caller import CONNECT_AHEAD_S, Target, speak
from gateway.loadtest.exposition import difference
from gateway.loadtest.figures import Cost, Figures, Resources, cost, figures
from gateway.loadtest.guide import guide
from gateway.loadtest.level import judge
from gateway.loadtest.observe import Guide, Observation, Steady, nearest_turn, observe
from gateway.loadtest.results import RunResult
from gateway.loadtest.schedule import (
    Load,
    Plan,
    Turn,
    begin_spread_s,
    languages,
    plans,
    recital,
    speech_share,
)
from gateway.loadtest.server import Server, Usage, cpu_busy_s
from gateway.loadtest.swarm import Job, Tick, run

CHUNKS_PER_PROCESS = 1000.0
"""A second, that one process of the generator sends without being late."""
IDLE_TIMEOUT_S = 60.0
LOOK_EVERY_S = 0.5
ALWAYS = Steady(-math.inf, math.inf)


@dataclass(slots=True)
class Tester:
    """Runs against one gateway. Its methods block; `on_tick` hears how a run goes."""

    target: Target
    server: Server
    turns: tuple[Turn, ...]
    processes: int
    """0: as many as it takes."""
    guides: tuple[Guide, ...] = ()

    def __post_init__(self) -> None:
        self.guides = self.guides or tuple(guide(turn, "", (), 0.0) for turn in self.turns)

    def unloaded(self, load: Load, on_tick: Callable[[Tick], None]) -> Figures:
        """One stream alone says each turn once, language after language: what the texts are without load.

        From it come the guides of the runs after it.
        """
        watch = _Watch(self.server)
        recitals = [recital(load, self.turns, language) for language in languages(self.turns)]
        found = []
        for plan in recitals:
            observation, own = asyncio.run(_recite(self.target, load, plan, self.turns, self.guides, on_tick))
            found.append(observation)
            self.guides = tuple(own.get(number, old) for number, old in enumerate(self.guides))
        return figures(load, ALWAYS, speech_share(recitals, self.turns), found, *watch.end(load, found))

    def load(self, load: Load, on_tick: Callable[[Tick], None], full: bool = True) -> RunResult:
        """All streams of a load. Raises SwarmError."""
        everyone = plans(load, self.turns)
        steady = Steady(begin_spread_s(load, self.turns), load.duration_s)
        watch = _Watch(self.server)
        seen = run(self._jobs(load, everyone, steady), on_tick)
        share = speech_share(everyone, self.turns)
        found = figures(load, steady, share, seen, *watch.end(load, seen))
        return RunResult(full, found, judge(found, full))

    def settle(self) -> None:
        """Wait until the gateway has nothing left of the run before."""
        self.server.wait_until_idle(IDLE_TIMEOUT_S)

    def recital_s(self, load: Load) -> float:
        """How long the unloaded run takes."""
        return sum(turn.samples + load.pause_samples for turn in self.turns) / SAMPLE_RATE

    def _jobs(self, load: Load, everyone: Sequence[Plan], steady: Steady) -> list[Job]:
        per_stream = 1000 / load.chunk_ms
        wanted = min(os.cpu_count() or 1, round(load.streams * per_stream / CHUNKS_PER_PROCESS + 0.5))
        count = min(load.streams, self.processes or max(1, wanted))
        return [
            Job(self.target, load, tuple(everyone[i::count]), self.turns, self.guides, steady, i)
            for i in range(count)
        ]


async def _recite(
    target: Target, load: Load, plan: Plan, turns: tuple[Turn, ...], guides: Sequence[Guide],
    on_tick: Callable[[Tick], None],
) -> tuple[Observation, dict[int, Guide]]:  # fmt: skip
    origin = time.monotonic() + CONNECT_AHEAD_S
    on_tick(Tick(speaking=1))
    record = await speak(target, load, plan, turns, origin, words=True)
    finals = [message for _, message in record.heard if isinstance(message, Final)]
    own: dict[int, Guide] = {}
    for number, placed in enumerate(plan.placed):
        said = [final for final in finals if nearest_turn(plan, turns, final) == number]
        words = [word for final in said for word in final.words or ()]
        text = " ".join(final.text for final in said)
        own[placed.turn] = guide(turns[placed.turn], text, words, placed.at / SAMPLE_RATE)
    merged = [own.get(number, old) for number, old in enumerate(guides)]
    return observe(load, plan, turns, merged, record, ALWAYS), own


class _Watch:
    """What gateway and machine used between its making and `end`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._metrics = server.metrics()
        self._gateway, self._engine = server.gateway_usage(), server.engine_usage()
        self._most = [usage.rss_bytes if usage else 0 for usage in (self._gateway, self._engine)]
        self._busy_s, self._began = cpu_busy_s(), time.monotonic()
        self._ended = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)
        self._looking.start()

    def end(self, load: Load, seen: Sequence[Observation]) -> "tuple[dict[str, float] | None, Cost]":
        """What the metrics counted, and the cost."""
        self._ended.set()
        self._looking.join()
        after = self._server.metrics()
        between = None if self._metrics is None or after is None else difference(self._metrics, after)
        gateway = self._resources(0, self._gateway, self._server.gateway_usage())
        engine = self._resources(1, self._engine, self._server.engine_usage())
        capacity_s = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        busy = (cpu_busy_s() - self._busy_s) / capacity_s
        return between, cost(load, seen, between, gateway, engine, busy)

    def _resources(self, which: int, before: Usage | None, after: Usage | None) -> Resources | None:
        if before is None or after is None:
            return None
        return Resources(after.cpu_s - before.cpu_s, before.rss_bytes, self._most[which])

    def _look(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            for which, usage in enumerate((self._server.gateway_usage(), self._server.engine_usage())):
                self._most[which] = max(self._most[which], usage.rss_bytes if usage else 0)
