"""core: the gateway's /metrics before and after a run -> what happened in between."""

import math
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

PREFIX = "care_voice_"
Metrics = dict[str, float]
"""Sample name without prefix -> value, summed over its labels; a histogram's buckets as `name_bucket{le}`."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Of a histogram; percentiles are interpolated inside its buckets. NaN when nothing was counted."""

    count: int
    mean: float
    p50: float
    p95: float


def parse(text: str) -> Metrics:
    """Prometheus text. Raises ValueError for what is none."""
    found: Metrics = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith(PREFIX):
                name = sample.name.removeprefix(PREFIX)
                if le := sample.labels.get("le"):
                    name += f"{{{float(le):g}}}"
                found[name] = found.get(name, 0.0) + sample.value
    return found


def difference(before: Metrics, after: Metrics) -> Metrics:
    """Of counters and histograms."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def spread(between: Metrics, name: str, scale: float = 1.0) -> Spread:
    """The histogram `name`, its values times `scale`."""
    count = between.get(f"{name}_count", 0.0)
    if not count:
        return Spread(0, math.nan, math.nan, math.nan)
    head = f"{name}_bucket{{"
    buckets = sorted(
        (float(key[len(head) : -1]), value) for key, value in between.items() if key.startswith(head)
    )
    p50, p95 = (_quantile(buckets, share * count) * scale for share in (0.5, 0.95))
    return Spread(int(count), between.get(f"{name}_sum", 0.0) / count * scale, p50, p95)


def _quantile(buckets: list[tuple[float, float]], rank: float) -> float:
    """Linear inside the bucket; the last finite bound for what lies above it."""
    low, below = 0.0, 0.0
    for bound, cumulated in buckets:
        if cumulated >= rank:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (rank - below) / max(cumulated - below, 1e-12)
        low, below = bound, cumulated
    return low
