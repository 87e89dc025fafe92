"""The GPUs' gauges in /metrics."""

import threading

from gateway.diagnosis.gauges import GAUGES, GpuGauges
from gateway.diagnosis.observed import Gpu
from gateway.metrics import Metrics
from tests.diagnosis.situations import CARD


def exposition(gauges: GpuGauges) -> str:
    metrics = Metrics()
    metrics.collect_from(gauges)
    return metrics.exposition().decode()


def settled(gauges: GpuGauges) -> GpuGauges:
    """The first reading is there."""
    assert gauges._reader is not None
    gauges._reader.join()
    return gauges


def test_each_gpu_has_its_values() -> None:
    """By its number; what a GPU does not tell has no line."""
    shown = exposition(settled(GpuGauges(lambda: (CARD, Gpu(1, memory_used_bytes=5)))))
    assert 'care_voice_gpu_temperature_celsius{gpu="0"} 45.0' in shown
    assert 'care_voice_gpu_power_watts{gpu="0"} 60.0' in shown
    assert 'care_voice_gpu_utilization_ratio{gpu="0"} 0.1' in shown
    assert 'care_voice_gpu_memory_used_bytes{gpu="1"} 5.0' in shown
    assert 'care_voice_gpu_power_watts{gpu="1"}' not in shown


def test_without_a_gpu_there_is_no_value() -> None:
    """Only the names, so that a page can tell what would be there."""
    shown = exposition(settled(GpuGauges(lambda: ())))
    lines = [line for line in shown.splitlines() if "care_voice_gpu" in line]
    assert len(lines) == 2 * len(GAUGES)
    assert all(line.startswith("#") for line in lines)


def test_a_driver_that_hangs_stops_nobody() -> None:
    """The metrics are given without it, it is asked only once at a time, and again when it has answered."""
    asked, go_on = [], threading.Event()

    def hang() -> tuple[Gpu, ...]:
        asked.append(1)
        go_on.wait(10)
        return (CARD,)

    gauges = GpuGauges(hang)
    for _ in range(3):
        assert 'gpu="0"' not in exposition(gauges)
    assert len(asked) == 1
    go_on.set()
    assert 'gpu="0"' in exposition(settled(gauges))
    settled(gauges)
    assert len(asked) == 2
