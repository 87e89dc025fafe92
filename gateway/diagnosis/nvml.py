"""shell: driver and GPUs as NVML tells them; what it does not tell is None."""

from collections.abc import Callable
from typing import Any

import pynvml

from gateway.diagnosis.observed import Driver, Gpu

THROTTLE = {
    pynvml.nvmlClocksThrottleReasonSwThermalSlowdown: "sw_thermal",
    pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "hw_thermal",
    pynvml.nvmlClocksThrottleReasonHwSlowdown: "hw_slowdown",
    pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "power_brake",
    pynvml.nvmlClocksThrottleReasonSwPowerCap: "power_cap",
}


def read_driver() -> Driver:
    """Its versions, or why there are none."""
    try:
        pynvml.nvmlInit()
        level = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        return Driver(
            version=_text(pynvml.nvmlSystemGetDriverVersion()), cuda=(level // 1000, level % 1000 // 10)
        )
    except pynvml.NVMLError as error:
        return Driver(error=str(error))


def read_gpus() -> tuple[Gpu, ...]:
    """All that this process may see. Needs `read_driver` before, which opens NVML; else there are none."""
    count = _ask(pynvml.nvmlDeviceGetCount) or 0
    return tuple(_read(index) for index in range(count))


def memory_used_bytes(index: int) -> int:
    """On one GPU, by everybody; 0 where it is not told."""
    memory = _ask(lambda: pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(index)))
    return memory.used if memory else 0


def _read(index: int) -> Gpu:
    try:
        gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
        name = _text(pynvml.nvmlDeviceGetName(gpu))
        memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, gpu)
    except pynvml.NVMLError as error:
        return Gpu(index, error=str(error))
    return Gpu(
        index,
        name,
        _text(_ask(pynvml.nvmlDeviceGetUUID, gpu) or ""),
        capability=_pair(_ask(pynvml.nvmlDeviceGetCudaComputeCapability, gpu)),
        memory_bytes=memory and memory.total,
        memory_used_bytes=memory and memory.used,
        utilization=_scaled(_ask(lambda: pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu), 100),
        temperature_c=_ask(pynvml.nvmlDeviceGetTemperature, gpu, pynvml.NVML_TEMPERATURE_GPU),
        power_w=_scaled(_ask(pynvml.nvmlDeviceGetPowerUsage, gpu), 1000),
        power_limit_w=_scaled(_ask(pynvml.nvmlDeviceGetEnforcedPowerLimit, gpu), 1000),
        clock_mhz=_ask(pynvml.nvmlDeviceGetClockInfo, gpu, pynvml.NVML_CLOCK_SM),
        clock_limit_mhz=_ask(pynvml.nvmlDeviceGetMaxClockInfo, gpu, pynvml.NVML_CLOCK_SM),
        ecc=_flag(_ask(lambda: pynvml.nvmlDeviceGetEccMode(gpu)[0])),
        ecc_errors=_ask(
            pynvml.nvmlDeviceGetTotalEccErrors,
            gpu,
            pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
            pynvml.NVML_VOLATILE_ECC,
        ),
        repair_pending=_repair_pending(gpu),
        throttle=_throttle(_ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, gpu) or 0),
        mig=bool(_ask(lambda: pynvml.nvmlDeviceGetMigMode(gpu)[0])),
    )


def _repair_pending(gpu: Any) -> bool:
    """Of rows (since Ampere) or pages (before)."""
    rows = _ask(pynvml.nvmlDeviceGetRemappedRows, gpu)
    return bool(rows[2] if rows else _ask(pynvml.nvmlDeviceGetRetiredPagesPendingStatus, gpu))


def _throttle(bits: int) -> tuple[str, ...]:
    return tuple(name for bit, name in THROTTLE.items() if bits & bit)


def _ask(question: Callable[..., Any], *arguments: Any) -> Any:
    """None where this GPU, or this driver, does not know."""
    try:
        return question(*arguments)
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    """Older versions of the binding give bytes."""
    return value.decode() if isinstance(value, bytes) else value


def _scaled(value: int | None, unit: int) -> float | None:
    return None if value is None else value / unit


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _pair(value: tuple[int, int] | None) -> tuple[int, int] | None:
    return None if value is None else (value[0], value[1])
