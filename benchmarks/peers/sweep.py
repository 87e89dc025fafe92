"""shell: more and more speakers against one server, until each level has broken."""

import functools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.measures import percentile
from benchmarks.peers.client import CONNECT_AHEAD_S, DRAIN_S, stream_all
from benchmarks.peers.servers import Contender, Server
from benchmarks.peers.waits import Heard, Level, Run, capacity, next_try, summed, waits_for
from benchmarks.recordings import load as recording
from gateway.config import DetectionSettings
from gateway.loadtest.schedule import PROFILES, Load, Turn, plans
from gateway.loadtest.server import cpu_busy_s
from gateway.loadtest.speech import clips, turns
from gateway.loadtest.text import units
from gateway.transcript.script import Script
from tests.detection.clips import REFERENCES

HANGOVER_S = DetectionSettings().endpointing_ms / 1000
LEVELS = (
    Level("final", True, HANGOVER_S + 0.5, HANGOVER_S + 1.0),
    Level("shown", False, HANGOVER_S + 0.5, HANGOVER_S + 1.0),
    Level("final, 3 s", True, 3.0, 5.0),
    Level("shown, 3 s", False, 3.0, 5.0),
)
"""The service level of this gateway, on final text and on any; and one that is three times as lax."""
PROFILE = PROFILES["turns"]
WARM_UP_TRIES = 10
ALONE = 2
"""Speakers of the run without load: one of each language."""
Tell = Callable[[Run, Run], None]
"""Hears of each run, and of the one without load."""
SEED = 5


@dataclass(frozen=True, slots=True)
class Effort:
    """How long, how often, how exactly."""

    seconds: float
    """Of a run, at least."""
    sentences: int
    """In a run, about, at least: few speakers speak for longer."""
    tries: int
    """Of a number of speakers that breaks a level: the best counts."""
    precision: float
    most: int


@dataclass(slots=True)
class Sweep:
    """All runs against one server with one size of chunks."""

    chunk_ms: int
    alone: Run
    """The same server without load."""
    runs: list[Run] = field(default_factory=list)

    def held(self, level: Level) -> dict[int, bool]:
        tried: dict[int, bool] = {}
        for run in self.runs:
            tried[run.speakers] = tried.get(run.speakers, False) or level.held_by(run, self.alone)
        return tried

    def capacity(self, level: Level) -> int:
        return capacity(self.held(level))


@functools.cache
def material() -> tuple[Turn, ...]:
    """The single sentences that the demo model, left alone, understands without an error."""
    chosen = [
        name for name, said in REFERENCES.items()
        if said["kind"] == "single" and said["demo_model"]["error_rate"] == 0
    ]  # fmt: skip
    found = []
    for name in chosen:
        sound = recording(name)
        samples = (np.frombuffer(sound.pcm, "<i2") / 32768).astype(np.float32)
        found += clips(samples, [(s.start, s.end, s.text) for s in sound.sentences], sound.language)
    return tuple(turns(found, PROFILE))


def warm_up(contender: Contender, server: Server) -> None:
    """The first speaker of a server may wait for the model. Raises RuntimeError when no words come."""
    said = material()
    for _ in range(WARM_UP_TRIES):
        load = Load(1, 6.0, PROFILE, 256, round(1000 * HANGOVER_S), SEED)
        [heard] = stream_all(server.url, contender.wire, load, plans(load, said), said)
        if heard.shown and not heard.faults:
            return
        time.sleep(1)
    raise RuntimeError(f"it says nothing: {', '.join(heard.faults) or 'no text'}")


def sweep(
    contender: Contender, server: Server, alone: Run, chunk_ms: int, effort: Effort, first: int, tell: Tell
) -> Sweep:
    """Search the capacity at each of LEVELS, the lax ones by doubling only."""
    found = Sweep(chunk_ms, alone)
    while wanted := _next(found, effort, first):
        for _ in range(effort.tries):
            run = measure(contender, server, wanted, chunk_ms, effort)
            found.runs.append(run)
            tell(run, alone)
            server.wait_until_idle()
            if all(level.held_by(run, alone) for level in LEVELS[:2]):
                break
    return found


def _next(found: Sweep, effort: Effort, first: int) -> int | None:
    exact = (next_try(found.held(level), first, effort.most, effort.precision) for level in LEVELS[:2])
    rough = (next_try(found.held(level), first, effort.most, 1.0) for level in LEVELS[2:])
    return next((number for number in (*exact, *rough) if number), None)


def measure(contender: Contender, server: Server, speakers: int, chunk_ms: int, effort: Effort) -> Run:
    """One number of speakers, once."""
    said = material()
    cycle_s = sum(turn.samples for turn in said) / len(said) / 16_000 / PROFILE.speech_share
    seconds = max(effort.seconds, effort.sentences * cycle_s / speakers)
    load = Load(speakers, seconds, PROFILE, chunk_ms, round(1000 * HANGOVER_S), SEED)
    before = time.monotonic(), cpu_busy_s(), server.cpu_s(), time.process_time()
    heard = stream_all(server.url, contender.wire, load, plans(load, said), said)
    after = time.monotonic(), cpu_busy_s(), server.cpu_s(), time.process_time()
    took, busy, own, ours = (b - a for a, b in zip(before, after, strict=True))
    read = _reader()
    shown = [wait for one in heard for wait in waits_for(one, one.shown, said, DRAIN_S, read)]
    final = [wait for one in heard for wait in waits_for(one, one.finals, said, DRAIN_S, read)]
    return Run(
        speakers, round(took - CONNECT_AHEAD_S, 1), summed(shown), summed(final),
        dict(Counter(fault for one in heard for fault in one.faults)), _lateness_ms(heard),
        own / took, ours / took, max(0.0, busy - own - ours) / took, server.memory_mb(),
    )  # fmt: skip


def _lateness_ms(heard: Sequence[Heard]) -> float:
    return percentile([late for one in heard for late in one.late_ms], 99)


def _reader() -> Callable[[str], Sequence[str]]:
    """Text -> words and characters, Chinese in one script whoever wrote it."""
    script = Script("twp")
    return functools.cache(lambda text: units(script.convert(text)))
