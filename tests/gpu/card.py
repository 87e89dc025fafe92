"""The GPU under test: who needs one, and how to use up its memory (the driver's own interface, no library)."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ctranslate2
import pytest

from gateway.inference.protocol import EngineSpec
from tests.inference.clips import DEMO

needs_gpu = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not ctranslate2.get_cuda_device_count(), reason="needs an NVIDIA GPU"),
]
SPEC = EngineSpec(str(DEMO), "demo", device="cuda", short_context=True, demo=True)
"""The demo model on the GPU."""
MIB = 1 << 20
CHUNKS_BYTES = (256 * MIB, 16 * MIB, 2 * MIB)


class Memory:
    """The memory of GPU 0. Use `taken`."""

    def __init__(self) -> None:
        self._cuda = ctypes.CDLL("libcuda.so.1")
        self._held: list[Any] = []
        context, device = ctypes.c_void_p(), ctypes.c_int()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)

    def take_all_but(self, left_bytes: int) -> None:
        """Allocate until little more than `left_bytes` are free."""
        for chunk in CHUNKS_BYTES:
            while self.free_bytes() >= left_bytes + chunk:
                pointer = ctypes.c_void_p()
                if self._cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(chunk)):
                    break
                self._held.append(pointer)

    def free_bytes(self) -> int:
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def give_back(self) -> None:
        while self._held:
            self._call("cuMemFree_v2", self._held.pop())

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._cuda, name)(*arguments)
        assert status == 0, f"{name} failed with {status}"


@contextmanager
def memory() -> Iterator[Memory]:
    """All is given back in the end."""
    held = Memory()
    try:
        yield held
    finally:
        held.give_back()


def library_path_without_cublas() -> str:
    """LD_LIBRARY_PATH without the directories that hold the libcublas that the engine opens."""
    paths = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return os.pathsep.join(path for path in paths if path and not (Path(path) / "libcublas.so.12").exists())
