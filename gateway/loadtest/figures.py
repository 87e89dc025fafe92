"""core: everything that is reported of one run, from the observations of its streams.

These dataclasses are, field by field, the JSON that `--json` writes (docs/loadtest.md).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.loadtest.exposition import Metrics, Spread, spread
from gateway.loadtest.observe import Observation, Steady
from gateway.loadtest.schedule import Load
from gateway.loadtest.statistics import Drift, Summary, Window, drift, quantiles, summary, windows
from gateway.loadtest.text import BY_CHARACTER, Errors


@dataclass(frozen=True, slots=True)
class Split:
    """Where the time to a final goes, ms. hangover + vad + chunk + answer is TTFS, for each turn."""

    hangover_ms: float
    vad_ms: Summary
    """By how much the gateway takes speech to last longer than it does."""
    chunk_ms: Summary
    """Until the chunk with the end of the hangover is full."""
    answer_ms: Summary
    """From when that chunk was due to the final."""
    network_ms: Summary
    """ping to pong on the same sockets: both ways, and the event loop's lag."""
    queue_ms: Spread | None
    """Of all jobs, by the gateway's own count; mostly hidden in the hangover. None: not to be had."""
    batch_ms: Spread | None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Of the finals of one language."""

    measure: str
    """WER (words) or CER (characters)."""
    units: int
    against_references: float
    """Percent."""
    against_unloaded: float | None
    """Percent by which finals differ from those of one stream alone. None: there was no unloaded run."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What the run cost. None where it cannot be seen from here."""

    gateway_cpu_s_per_stream_hour: float | None = None
    engine_cpu_s_per_stream_hour: float | None = None
    gateway_memory_mb: float | None = None
    """The most while it ran."""
    engine_memory_mb: float | None = None
    memory_per_connection_kb: float | None = None
    """The gateway's process: the most while it ran less what it was before, per stream."""
    machine_cpu_share: float | None = None
    """Of all cores of this machine, everything that ran on it."""
    passes: int | None = None
    mean_batch: float | None = None
    reencode_factor: float | None = None
    """Seconds of audio encoded, padding included, per second received."""
    partials_dropped_share: float | None = None
    """Partials not decoded because a newer one came, of those asked for."""


@dataclass(frozen=True, slots=True)
class Curves:
    """For the plots: quantiles 0, 1 ... 100 % in ms, and the run in windows."""

    ttfs: tuple[float, ...]
    word_first: tuple[float, ...]
    word_stable: tuple[float, ...]
    lateness: tuple[float, ...]
    ttfs_over_time: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run. Latencies are ms, of what was said after all streams had begun."""

    streams: int
    duration_s: float
    settled_s: float
    """From here on latencies count."""
    speech_share: float
    audio_h: float
    turns: int
    ttfs_ms: Summary
    split: Split
    word_first_ms: Summary
    word_stable_ms: Summary
    partial_latency_ms: Summary
    partial_interval_ms: Summary
    partials: int
    finals: int
    suppressed_share: float
    """Of finals: their text was suppressed."""
    flicker: float
    """Units erased per unit of the finals (normalised erasure)."""
    accuracy: dict[str, Accuracy]
    faults: dict[str, int]
    notices: dict[str, int]
    lost_samples: int
    uncommitted_samples: int
    unmatched_turns: int
    unanswered_turns: int
    invented_finals: int
    drift: Drift
    lateness_ms: Summary
    """The generator's own."""
    cost: Cost
    curves: Curves

    @property
    def errors(self) -> int:
        """All that must not happen."""
        return sum(self.faults.values()) + self.unanswered_turns


def figures(
    load: Load, steady: Steady, share: float, seen: Sequence[Observation], between: Metrics | None, cost: Cost
) -> Figures:
    """`share`: of speech, as planned. `between`: what the gateway's metrics counted meanwhile."""
    start_s, end_s = _bounds(load, steady, seen)
    curves = _curves(seen, start_s, end_s)
    finals, units = _sum(seen, "finals"), _sum(seen, "final_units")
    return Figures(
        streams=load.streams,
        duration_s=load.duration_s,
        settled_s=start_s,
        speech_share=share,
        audio_h=sum(one.audio_s for one in seen) / 3600,
        turns=_sum(seen, "turns"),
        ttfs_ms=summary(_ttfs_ms(seen)),
        split=_split(load, seen, between),
        word_first_ms=summary(_ms(seen, "first_s")),
        word_stable_ms=summary(_ms(seen, "stable_s")),
        partial_latency_ms=summary(_ms(seen, "partial_latency_s")),
        partial_interval_ms=summary(_ms(seen, "partial_interval_s")),
        partials=_sum(seen, "partials"),
        finals=finals,
        suppressed_share=_sum(seen, "suppressed") / max(1, finals),
        flicker=_sum(seen, "erased_units") / max(1, units),
        accuracy=_accuracy(seen),
        faults=dict(Counter(name for one in seen for name in one.failures)),
        notices=dict(sum((Counter(one.notices) for one in seen), Counter())),
        lost_samples=_sum(seen, "lost_samples"),
        uncommitted_samples=_sum(seen, "uncommitted_samples"),
        unmatched_turns=_sum(seen, "unmatched"),
        unanswered_turns=_sum(seen, "unanswered"),
        invented_finals=_sum(seen, "invented"),
        drift=drift(curves.ttfs_over_time, end_s - start_s),
        lateness_ms=summary(value for one in seen for value in one.late_ms),
        cost=cost,
        curves=curves,
    )


def _curves(seen: Sequence[Observation], start_s: float, end_s: float) -> Curves:
    points = [(answer.at_s, 1000 * answer.ttfs_s) for one in seen for answer in one.answers]
    first = _ms(seen, "first_s")
    return Curves(
        ttfs=quantiles(_ttfs_ms(seen)),
        word_first=quantiles(first),
        word_stable=quantiles(_ms(seen, "stable_s")),
        lateness=quantiles(value for one in seen for value in one.late_ms),
        ttfs_over_time=tuple(windows(points, start_s, end_s)),
    )


def _bounds(load: Load, steady: Steady, seen: Sequence[Observation]) -> tuple[float, float]:
    """The steady part of the run; of an unloaded run, all of it."""
    longest_s = max((one.audio_s for one in seen), default=load.duration_s)
    return max(0.0, steady.from_s), min(longest_s, steady.to_s)


def _ttfs_ms(seen: Sequence[Observation]) -> list[float]:
    return [1000 * answer.ttfs_s for one in seen for answer in one.answers]


def _sum(seen: Sequence[Observation], name: str) -> int:
    return sum(getattr(one, name) for one in seen)


@dataclass(frozen=True, slots=True)
class Resources:
    """Processor seconds and bytes of a process, before and after (or at most)."""

    cpu_s: float
    rss_before_bytes: int
    rss_most_bytes: int

    @property
    def grown_bytes(self) -> int:
        return max(0, self.rss_most_bytes - self.rss_before_bytes)


def cost(
    load: Load,
    seen: Sequence[Observation],
    between: Metrics | None,
    gateway: Resources | None,
    engine: Resources | None,
    machine_cpu_share: float | None,
) -> Cost:
    """What a run cost, from what could be seen of it."""
    hours = max(1e-9, sum(one.audio_s for one in seen) / 3600)
    counted = between or {}
    dropped, shown = counted.get("dropped_partials", 0.0), counted.get("partials_total", 0.0)
    batches = spread(counted, "batch_size")
    encoded_s = counted.get("encoded_seconds_total")
    return Cost(
        gateway_cpu_s_per_stream_hour=gateway.cpu_s / hours if gateway else None,
        engine_cpu_s_per_stream_hour=engine.cpu_s / hours if engine else None,
        gateway_memory_mb=gateway.rss_most_bytes / 1e6 if gateway else None,
        engine_memory_mb=engine.rss_most_bytes / 1e6 if engine else None,
        memory_per_connection_kb=gateway.grown_bytes / 1e3 / load.streams if gateway else None,
        machine_cpu_share=machine_cpu_share,
        passes=batches.count if between else None,
        mean_batch=batches.mean if between else None,
        reencode_factor=None if encoded_s is None else encoded_s / (3600 * hours),
        partials_dropped_share=dropped / max(1.0, dropped + shown) if between else None,
    )


def _split(load: Load, seen: Sequence[Observation], between: Metrics | None) -> Split:
    answers = [answer for one in seen for answer in one.answers]
    return Split(
        hangover_ms=float(load.hangover_ms),
        vad_ms=summary(1000 * answer.vad_s for answer in answers),
        chunk_ms=summary(1000 * answer.chunk_s for answer in answers),
        answer_ms=summary(1000 * answer.answer_s for answer in answers),
        network_ms=summary(_ms(seen, "round_trips_s")),
        queue_ms=spread(between, "queue_seconds", 1000) if between else None,
        batch_ms=spread(between, "batch_seconds", 1000) if between else None,
    )


def _accuracy(seen: Sequence[Observation]) -> dict[str, Accuracy]:
    references = _total(one.against_references for one in seen)
    unloaded = _total(one.against_unloaded for one in seen)
    return {
        language: Accuracy(
            "CER" if language in BY_CHARACTER else "WER",
            total.units,
            total.percent,
            unloaded[language].percent if language in unloaded else None,
        )
        for language, total in sorted(references.items())
    }


def _total(parts: Iterable[dict[str, Errors]]) -> dict[str, Errors]:
    found: dict[str, Errors] = {}
    for part in parts:
        for language, more in part.items():
            found[language] = found.get(language, Errors()) + more
    return found


def _ms(seen: Sequence[Observation], name: str) -> list[float]:
    return [1000 * value for one in seen for value in getattr(one, name)]
