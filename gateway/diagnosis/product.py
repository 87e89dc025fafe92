"""shell: one FP16 matrix product on the GPU, timed and checked, with the very library that CTranslate2 opens.

The driver's and cuBLAS' C interfaces by ctypes: nothing else needs to be installed. For a child process only:
a fault of CUDA may end it.
"""

import ctypes
import time
from collections.abc import Callable, Mapping
from typing import Any

from gateway.diagnosis.libraries import NAME
from gateway.inference.device import preload_cublas

SIDE = 4096
"""Rows and columns: 96 MiB on the GPU, 137 GFLOP a product."""
REPEATS = 20
HALF_ONE = 0x3C00
HALF_SIDE = 0x6C00
"""4096 in FP16: what each element of ones times ones is, exactly."""
CUDA_R_16F = 2
CUBLAS_COMPUTE_32F = 68
CUBLAS_GEMM_DEFAULT = -1
CUBLAS_ERRORS = {
    1: "NOT_INITIALIZED",
    3: "ALLOC_FAILED",
    13: "EXECUTION_FAILED",
    14: "INTERNAL_ERROR",
    15: "NOT_SUPPORTED",
}


class ProductError(RuntimeError):
    """What CUDA or cuBLAS said."""


def multiply(report: Callable[[str], None]) -> Mapping[str, float]:
    """flops_per_s of a product of two square matrices of ones. Raises ProductError, OSError."""
    report("opening the driver")
    cuda = _Cuda()
    report(f"loading {NAME}")
    cublas = _Cublas()
    report("taking memory")
    left, right, out = (cuda.ones(SIDE * SIDE) for _ in range(3))
    report("multiplying")
    seconds = _timed(lambda: cublas.multiply(left, right, out), cuda.wait)
    if cuda.differs(out, SIDE * SIDE, HALF_SIDE):
        raise ProductError("the product is wrong: this GPU does not compute right")
    return {"flops_per_s": 2 * SIDE**3 / seconds}


def _timed(work: Callable[[], None], wait: Callable[[], None]) -> float:
    """Seconds of one, the first not counted."""
    work()
    wait()
    started = time.perf_counter()
    for _ in range(REPEATS):
        work()
    wait()
    return (time.perf_counter() - started) / REPEATS


class _Cublas:
    """cuBLAS, on what the driver's interface made current."""

    def __init__(self) -> None:
        preload_cublas()
        self._library = ctypes.CDLL(NAME)
        self._handle = ctypes.c_void_p()
        self._check(self._library.cublasCreate_v2(ctypes.byref(self._handle)))

    def multiply(self, left: ctypes.c_uint64, right: ctypes.c_uint64, out: ctypes.c_uint64) -> None:
        """out = left x right, summed in FP32 as Whisper's products are. Returns before it is done."""
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        shape, half = (SIDE, SIDE, SIDE), CUDA_R_16F
        self._check(
            self._library.cublasGemmEx(
                self._handle, 0, 0, *shape, ctypes.byref(one), left, half, SIDE, right, half, SIDE,
                ctypes.byref(zero), out, half, SIDE, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT,
            )
        )  # fmt: skip

    @staticmethod
    def _check(status: int) -> None:
        if status:
            name = CUBLAS_ERRORS.get(status, status)
            raise ProductError(f"cuBLAS failed with status CUBLAS_STATUS_{name}")


class _Cuda:
    """The driver's interface, on the first GPU that CUDA shows."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)

    def ones(self, count: int) -> ctypes.c_uint64:
        """A new array of `count` ones in FP16."""
        pointer = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(2 * count))
        self._call("cuMemsetD16_v2", pointer, ctypes.c_ushort(HALF_ONE), ctypes.c_size_t(count))
        return pointer

    def differs(self, pointer: ctypes.c_uint64, count: int, wanted: int) -> bool:
        """Whether any of `count` elements is not `wanted` (FP16 bits)."""
        host = bytearray(2 * count)
        buffer = (ctypes.c_char * len(host)).from_buffer(host)
        self._call("cuMemcpyDtoH_v2", buffer, pointer, ctypes.c_size_t(len(host)))
        return host != wanted.to_bytes(2, "little") * count

    def wait(self) -> None:
        self._call("cuCtxSynchronize")

    def _call(self, name: str, *arguments: Any) -> None:
        if status := getattr(self._library, name)(*arguments):
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(status, ctypes.byref(text))
            raise ProductError(
                f"CUDA failed with error {(text.value or b'unknown').decode()} ({name}, {status})"
            )
