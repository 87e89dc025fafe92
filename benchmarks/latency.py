"""shell: how long one speaker waits: for the first words, and for the final after the last one.

Counted from where speech truly begins and ends in the recording (refs.json) to the receipt of the message,
so the time that a chunk takes to be filled, the VAD's error, the hangover, the queue and the decode are all
in it.
"""

import asyncio
from dataclasses import dataclass, field

from benchmarks.measures import pair, percentile
from benchmarks.processes import counting, gateway
from benchmarks.recordings import Recording, joined, load, spoken
from benchmarks.report import Figure
from benchmarks.streams import Take, lateness_p99_ms, stream
from gateway.config import DetectionSettings
from tests.running import RunningGateway

HANGOVER_S = DetectionSettings().endpointing_ms / 1000
LIMIT_FIRST_S = 0.8
LIMIT_LATENESS_MS = 5.0
PAUSE_S = 0.8
"""Between two recordings of one stream, so that each ends by its own pause."""
QUICK = 5
"""Recordings of one sentence per language in a quick run."""


@dataclass(slots=True)
class Waits:
    """Seconds, one entry per sentence that could be matched."""

    first: list[float] = field(default_factory=list)
    """From the true start of speech to the first text."""
    final: list[float] = field(default_factory=list)
    """From the true end of speech to the final (TTFS)."""
    end_error: list[float] = field(default_factory=list)
    """The end that the gateway took, minus the true one."""
    after_end: list[float] = field(default_factory=list)
    """From the end that the gateway took to the final: hangover, queue, decode."""
    sentences: int = 0

    def add(self, take: Take) -> None:
        """Match what was heard with what was said: by where it began, and by where it ended."""
        said, finals = take.recording.sentences, take.finals
        self.sentences += len(said)
        for i, j in pair([s.end for s in said], [f.end for _, f in finals]):
            at, final = finals[j]
            self.final.append(at - said[i].end)
            self.end_error.append(final.end - said[i].end)
            self.after_end.append(at - final.end)
        for i, j in pair([s.start for s in said], [f.start for _, f in finals]):
            texts = [at for at, p in take.partials if p.utterance == finals[j][1].utterance]
            self.first.append(min([*texts, finals[j][0]]) - said[i].start)


def measure(quick: bool) -> list[Figure]:
    return [figure for chunk_ms in (100, 20) for figure in _measure(chunk_ms, quick)]


def _measure(chunk_ms: int, quick: bool) -> list[Figure]:
    with gateway() as running, counting(running) as cost:
        takes = [
            asyncio.run(stream(running.ws, recording, chunk_ms=chunk_ms))
            for recording in _recordings(chunk_ms, quick)
        ]
        explained = engine_means(running)
    waits = Waits()
    for take in takes:
        waits.add(take)
    figures = [
        *waits_figures(waits, HANGOVER_S + 0.15, HANGOVER_S + 0.3, LIMIT_FIRST_S),
        Figure("end of speech as the gateway took it, p95", percentile(waits.end_error, 95), "s off"),
        Figure("from that end to the final, p50", percentile(waits.after_end, 50), "s"),
        *explained,
        Figure(
            "faults",
            sum(len(take.faults) for take in takes),
            "",
            0,
            str([t.faults for t in takes if t.faults])[1:-1],
        ),
        *disturbance(takes, cost.others_percent),
    ]
    return [prefixed(figure, f"{chunk_ms} ms chunks, ") for figure in figures]


def _recordings(chunk_ms: int, quick: bool) -> list[Recording]:
    """One stream per language. The monologues only with large chunks: they take two minutes."""
    long = [] if quick else ["dialog", "mono"] if chunk_ms == 100 else ["dialog"]
    streams = []
    for language in ("en", "zh"):
        short = [r for r in spoken() if r.name.startswith(f"{language}_")]
        short = short[: QUICK if quick else None]
        streams.append(joined([*short, *(load(f"{kind}_{language}.wav") for kind in long)], PAUSE_S))
    return streams


def waits_figures(waits: Waits, p50_s: float | None, p95_s: float, first_s: float | None) -> list[Figure]:
    """The waits of people, beside their goals."""
    counted = f"{len(waits.final)} of {waits.sentences} sentences end in a final of their own"
    return [
        Figure(
            "first words after speech begins, p50",
            percentile(waits.first, 50),
            "s",
            note=f"n = {len(waits.first)}",
        ),
        Figure("first words after speech begins, p95", percentile(waits.first, 95), "s", first_s),
        Figure("final after speech ends (TTFS), p50", percentile(waits.final, 50), "s", p50_s, counted),
        Figure("final after speech ends (TTFS), p95", percentile(waits.final, 95), "s", p95_s),
    ]


def engine_means(running: RunningGateway) -> list[Figure]:
    """What the gateway says of its engine."""

    def mean(name: str) -> float:
        return running.metric(f"care_voice_{name}_sum") / max(1.0, running.metric(f"care_voice_{name}_count"))

    passes = running.metric("care_voice_batch_size_count")
    return [
        Figure("engine: wait for a pass, mean", 1000 * mean("queue_seconds"), "ms"),
        Figure("engine: one pass, mean", 1000 * mean("batch_seconds"), "ms", note=f"{passes:.0f} passes"),
        Figure("engine: jobs in a pass, mean", mean("batch_size")),
    ]


def disturbance(takes: list[Take], others_percent: float) -> list[Figure]:
    """Whether the measuring itself was disturbed."""
    return [
        Figure(
            "generator's own lateness, p99", lateness_p99_ms(takes), "ms", LIMIT_LATENESS_MS, invalidates=True
        ),
        Figure("processor time of others meanwhile", others_percent, "%"),
    ]


def prefixed(figure: Figure, prefix: str) -> Figure:
    return Figure(
        prefix + figure.name, figure.value, figure.unit, figure.limit, figure.note, figure.invalidates
    )
