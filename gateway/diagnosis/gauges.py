"""shell: the GPUs' gauges for /metrics; nothing where there is no GPU.

NVML is asked in a thread, one at a time: a driver that hangs must not stop the gateway. Who reads the metrics
waits for it a moment, then gets what was read last, if that is not old.
"""

import threading
import time
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.diagnosis.nvml import read_driver, read_gpus
from gateway.diagnosis.observed import Gpu

WAIT_S = 0.02
OLD_S = 90.0
"""Beyond this a reading says nothing any more."""
GAUGES: dict[str, tuple[str, Callable[[Gpu], float | None]]] = {
    "memory_used_bytes": ("Memory in use on the GPU, by everybody.", lambda gpu: gpu.memory_used_bytes),
    "memory_bytes": ("Memory of the GPU.", lambda gpu: gpu.memory_bytes),
    "utilization_ratio": ("Share of the last moments in which it worked.", lambda gpu: gpu.utilization),
    "temperature_celsius": ("Temperature of the GPU.", lambda gpu: gpu.temperature_c),
    "power_watts": ("Power that the GPU takes.", lambda gpu: gpu.power_w),
}


def ask_nvml() -> tuple[Gpu, ...]:
    """The GPUs now; none where there is no driver."""
    return () if read_driver().error else read_gpus()


class GpuGauges(Collector):
    """`read` may take long, and is never called twice at once."""

    def __init__(self, read: Callable[[], tuple[Gpu, ...]] = ask_nvml) -> None:
        self._read = read
        self._last: tuple[float, tuple[Gpu, ...]] = (0.0, ())
        self._reader: threading.Thread | None = None
        self._refresh()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        self._refresh().join(WAIT_S)
        at, gpus = self._last
        gpus = gpus if time.monotonic() - at < OLD_S else ()
        for name, (text, value_of) in GAUGES.items():
            family = GaugeMetricFamily(f"care_voice_gpu_{name}", text, labels=["gpu"])
            for gpu in gpus:
                if (value := value_of(gpu)) is not None:
                    family.add_metric([str(gpu.index)], value)
            yield family

    def _refresh(self) -> threading.Thread:
        if self._reader is None or not self._reader.is_alive():
            self._reader = threading.Thread(target=self._look, name="gpu gauges", daemon=True)
            self._reader.start()
        return self._reader

    def _look(self) -> None:
        self._last = (time.monotonic(), self._read())
