"""shell: the two ceilings of this device: its fastest matrix product and its fastest copy, measured.

On a CPU numpy multiplies float32 on as many threads as the engine gets; on a GPU PyTorch multiplies float16.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np

from gateway.benchmark.roofline import Ceilings

CPU_SIDE = 1024
CPU_COPY_BYTES = 128 << 20
GPU_SIDE = 8192
GPU_COPY_BYTES = 2 << 30
REPEATS = 5


def measure_ceilings(device: str, threads: int) -> Ceilings | None:
    """None where nothing here can tell: a GPU without PyTorch."""
    if device == "cpu":
        return _of_cpu(threads)
    return _of_gpu() if find_spec("torch") else None


def _of_cpu(threads: int) -> Ceilings:
    random = np.random.default_rng(0)
    operands = [random.standard_normal((2, CPU_SIDE, CPU_SIDE), np.float32) for _ in range(threads)]
    source = np.ones(CPU_COPY_BYTES, np.uint8)
    target = np.empty_like(source)
    with ThreadPoolExecutor(threads) as pool:
        product_s = _best(lambda: list(pool.map(lambda pair: pair[0] @ pair[1], operands)))
        parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
        copy_s = _best(lambda: list(pool.map(lambda part: np.copyto(*part), parts)))
    return Ceilings(threads * 2 * CPU_SIDE**3 / product_s, 2 * CPU_COPY_BYTES / copy_s)


def _of_gpu() -> Ceilings | None:
    import torch

    if not torch.cuda.is_available():
        return None
    matrices = torch.randn(2, GPU_SIDE, GPU_SIDE, device="cuda").half()
    buffers = torch.empty(2, GPU_COPY_BYTES, device="cuda", dtype=torch.uint8)

    def multiply() -> None:
        torch.matmul(matrices[0], matrices[1])
        torch.cuda.synchronize()

    def copy() -> None:
        buffers[0].copy_(buffers[1])
        torch.cuda.synchronize()

    return Ceilings(2 * GPU_SIDE**3 / _best(multiply), 2 * GPU_COPY_BYTES / _best(copy))


def _best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some runs: a ceiling is what can be done."""
    work()
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)
