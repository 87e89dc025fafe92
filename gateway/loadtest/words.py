"""core: figures in words: for the terminal's table and the report's."""

import math

from gateway.loadtest.exposition import Spread
from gateway.loadtest.figures import Accuracy, Figures
from gateway.loadtest.level import Criterion
from gateway.loadtest.statistics import Summary

UNKNOWN = "–"


def amount(value: float | None, digits: int = 0) -> str:
    """A number for people; a dash for what is not known."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if digits == 0 and 0 < abs(value) < 10:
        digits = 1
    return f"{value:,.{digits}f}"


def percent(share: float | None) -> str:
    return UNKNOWN if share is None or math.isnan(share) else f"{100 * share:.1f} %"


def criterion_row(criterion: Criterion) -> tuple[str, str, str]:
    """(name, measured, limit)"""
    unit = f" {criterion.unit}" if criterion.unit else ""
    limit = "none" if criterion.limit == 0 else f"≤ {amount(criterion.limit)}{unit}"
    return criterion.name, f"{amount(criterion.value)}{unit}", limit


def figure_rows(figures: Figures) -> list[tuple[str, str, str, str]]:
    """(name, p50, p95, p99) of everything that has percentiles, in ms."""
    split = figures.split
    rows: list[tuple[str, Summary | Spread | None]] = [
        ("TTFS: end of speech to its final", figures.ttfs_ms),
        ("  its end as the gateway takes it", split.vad_ms),
        ("  until the chunk is full", split.chunk_ms),
        ("  answer after the hangover", split.answer_ms),
        ("queue (all jobs)", split.queue_ms),
        ("batch (all passes)", split.batch_ms),
        ("network, both ways", split.network_ms),
        ("word first seen", figures.word_first_ms),
        ("word stable", figures.word_stable_ms),
        ("partial behind its newest audio", figures.partial_latency_ms),
        ("between two partials", figures.partial_interval_ms),
        ("generator's own lateness", figures.lateness_ms),
    ]
    found = [_row(name, value) for name, value in rows]
    found.insert(1, ("  hangover", *(amount(split.hangover_ms),) * 3))
    return found


def _row(name: str, value: Summary | Spread | None) -> tuple[str, str, str, str]:
    if value is None:
        return name, UNKNOWN, UNKNOWN, UNKNOWN
    p99 = amount(value.p99) if isinstance(value, Summary) else UNKNOWN
    return name, amount(value.p50), amount(value.p95), p99


def cost_rows(figures: Figures) -> list[tuple[str, str]]:
    """(name, value) of everything that is one number."""
    cost, drift = figures.cost, figures.drift
    slope = (
        f"{amount(drift.slope_ms_per_min, 1)} ms a minute (95 %: {amount(drift.low_ms_per_min, 1)} to "
        f"{amount(drift.high_ms_per_min, 1)})"
    )
    cpu = (cost.gateway_cpu_s_per_stream_hour, cost.engine_cpu_s_per_stream_hour)
    memory = (cost.gateway_memory_mb, cost.engine_memory_mb)
    return [
        ("streams", f"{figures.streams}, {figures.duration_s:.0f} s, {percent(figures.speech_share)} speech"),
        *((f"{one.measure} {language}", _accuracy(one)) for language, one in figures.accuracy.items()),
        ("errors", _counts(figures.faults) or "none"),
        ("notices", _counts(figures.notices) or "none"),
        ("lost samples", f"{figures.lost_samples}, not committed {figures.uncommitted_samples}"),
        ("turns", str(figures.turns)),
        ("turns without a final of their own end", str(figures.unmatched_turns)),
        ("turns without any final", str(figures.unanswered_turns)),
        ("finals where nobody spoke", str(figures.invented_finals)),
        ("finals suppressed", percent(figures.suppressed_share)),
        ("partials dropped for newer ones", percent(cost.partials_dropped_share)),
        ("flicker: erased per final word", amount(figures.flicker, 3)),
        ("drift of TTFS", slope if drift.known else UNKNOWN),
        ("CPU seconds per stream-hour", "gateway {}, engine {}".format(*map(amount, cpu))),
        ("memory", "gateway {} MB, engine {} MB".format(*map(amount, memory))),
        ("memory per connection", f"{amount(cost.memory_per_connection_kb)} kB"),
        ("all processors of this machine", percent(cost.machine_cpu_share)),
        ("mean batch", f"{amount(cost.mean_batch, 2)} jobs ({amount(cost.passes)} passes)"),
        ("re-encode factor", f"{amount(cost.reencode_factor, 1)} s encoded per second received"),
    ]


def _accuracy(one: Accuracy) -> str:
    beside = "" if one.against_unloaded is None else f"; {one.against_unloaded:.1f} % other than without load"
    return f"{one.against_references:.1f} % of {one.units}{beside}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} × {count}" for name, count in sorted(counts.items()))
