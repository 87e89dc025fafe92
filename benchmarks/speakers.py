"""shell: eight people speak at once, without pausing longer than to draw breath."""

import asyncio
import random
from itertools import pairwise

from benchmarks.latency import HANGOVER_S, Waits, disturbance, engine_means, waits_figures
from benchmarks.measures import census, percentile
from benchmarks.processes import counting, gateway, rss_mb
from benchmarks.recordings import Recording, load, looped
from benchmarks.report import Figure
from benchmarks.streams import Take, stream
from gateway.loadtest.text import Errors

SPEAKERS = 8
SEED = 20
SECONDS = 60
QUICK_SECONDS = 20
HARMLESS = {"degraded_slower", "recovered"}
"""Notices that only announce a stretched partial interval, and its end."""


def measure(quick: bool) -> list[Figure]:
    recordings = _speakers(QUICK_SECONDS if quick else SECONDS)
    with gateway() as running, counting(running) as cost:
        takes = asyncio.run(_stream_together(running.ws, recordings))
        engine, memory = engine_means(running), (rss_mb(running.process.pid), rss_mb(running.worker_pid()))
    seconds = sum(recording.seconds for recording in recordings)
    waits = Waits()
    for take in takes:
        waits.add(take)
    return [
        *_complete(takes),
        *waits_figures(waits, None, HANGOVER_S + 0.6, None),
        *_partials(takes),
        *engine,
        Figure("gateway: processor time per stream-second", 1000 * cost.gateway_s / seconds, "ms"),
        Figure("engine: processor time per stream-second", 1000 * cost.engine_s / seconds, "ms"),
        Figure("gateway: resident memory at the end", memory[0], "MB"),
        Figure("engine: resident memory at the end", memory[1], "MB"),
        *disturbance(takes, cost.others_percent),
    ]


def _speakers(seconds: float) -> list[Recording]:
    chance = random.Random(SEED)
    monologues = [load(f"mono_{('en', 'zh')[n % 2]}.wav") for n in range(SPEAKERS)]
    return [looped(mono, chance.uniform(0, mono.seconds), seconds) for mono in monologues]


async def _stream_together(url: str, recordings: list[Recording]) -> list[Take]:
    chance = random.Random(SEED)
    return await asyncio.gather(*(stream(url, r, delay_s=chance.uniform(0, 0.5)) for r in recordings))


def _complete(takes: list[Take]) -> list[Figure]:
    counts = [census(take.recording.sentences, take.spans) for take in takes]
    lost = [text for count in counts for text in count.lost]
    doubled = [text for count in counts for text in count.doubled]
    said = sum(len(take.recording.sentences) for take in takes)
    faults = [fault for take in takes for fault in take.faults]
    notices = [code for take in takes for code in take.notices]
    rate = sum((count.errors for count in counts), Errors())
    return [
        Figure("sentences lost", len(lost), f"of {said}", 0, " ".join(lost)),
        Figure("sentences doubled", len(doubled), f"of {said}", 0, " ".join(doubled)),
        Figure("errors of these sentences", rate.percent, "%", note="where each was found"),
        Figure("streams with a fault", len(faults), f"of {len(takes)}", 0, "; ".join(faults)),
        Figure(
            "degraded beyond slower partials",
            len(set(notices) - HARMLESS),
            "",
            0,
            " ".join(sorted(set(notices))),
        ),
    ]


def _partials(takes: list[Take]) -> list[Figure]:
    latency, interval = [], []
    for take in takes:
        latency += [at - partial.end for at, partial in take.partials]
        for (before, first), (after, second) in pairwise(take.partials):
            if first.utterance == second.utterance:
                interval.append(after - before)
    return [
        Figure(
            "partial after its newest audio, p50", percentile(latency, 50), "s", note=f"n = {len(latency)}"
        ),
        Figure("partial after its newest audio, p95", percentile(latency, 95), "s"),
        Figure("between two partials, p50", percentile(interval, 50), "s"),
        Figure("between two partials, p95", percentile(interval, 95), "s"),
    ]
