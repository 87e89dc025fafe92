"""What the gateway's metrics say of a run."""

import math

import pytest

from gateway.loadtest.exposition import difference, parse, spread
from gateway.metrics import Metrics


def test_what_happened_in_between() -> None:
    """Counters over all labels, histograms with mean and percentiles inside their buckets."""
    metrics = Metrics()
    metrics.audio_s.labels("native").inc(5)
    metrics.queue_s.observe(3.0)
    before = parse(metrics.exposition().decode())
    metrics.audio_s.labels("native").inc(10)
    metrics.audio_s.labels("openai").inc(2)
    for _ in range(100):
        metrics.queue_s.observe(0.06)
    metrics.passed(4, 500, 0.1)
    between = difference(before, parse(metrics.exposition().decode()))
    assert between["audio_seconds_total"] == 12
    assert between["encoded_seconds_total"] == 20
    found = spread(between, "queue_seconds", 1000)
    assert (found.count, found.mean) == (100, pytest.approx(60))
    assert 50 < found.p50 < found.p95 < 100
    assert spread(between, "batch_size").mean == 4


def test_nothing_counted_is_no_figure() -> None:
    """NaN."""
    assert math.isnan(spread({}, "queue_seconds").mean)
