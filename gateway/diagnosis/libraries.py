"""shell: which libcublas are on this machine, and which one opens, as CTranslate2 would open it."""

import ctypes
import os
import re
import shutil
import subprocess  # nosec B404 # ldconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from gateway.diagnosis.observed import Cublas, Library
from gateway.inference.device import preload_cublas

NAME = "libcublas.so.12"
TOOLKITS = ("/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib", "/opt/cuda*/lib64")
_CACHED = re.compile(r"libcublas\.so\.\d+ .*=> (\S+)")
_VERSION_PARTS = (0, 1, 2)
"""libraryPropertyType: major, minor, patch level."""
LDCONFIG_TIMEOUT_S = 10


def find_cublas() -> tuple[Library, ...]:
    """Every libcublas.so.N, in the order in which the loader would look; no file twice."""
    found: dict[str, Library] = {}
    for path, source in _places():
        if path.name.count(".") == 2:  # libcublas.so.12, not libcublas.so.12.9.1 behind it
            found.setdefault(str(path), Library(str(path), source))
    return tuple(found.values())


def open_cublas() -> Cublas:
    """As the engine does: pip's first, else by name."""
    found = find_cublas()
    try:
        preload_cublas()
        library = ctypes.CDLL(NAME, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return Cublas(found, error=str(error))
    return Cublas(found, loaded=_mapped(), version=_version(library))


def _places() -> Iterator[tuple[Path, str]]:
    for directory in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if directory:
            yield from ((path, "LD_LIBRARY_PATH") for path in sorted(Path(directory).glob("libcublas.so.*")))
    package = find_spec("nvidia")
    for root in (package.submodule_search_locations or ()) if package else ():
        yield from ((path, "pip") for path in sorted(Path(root).glob("*/lib/libcublas.so.*")))
    yield from ((Path(path), "ldconfig") for path in _cached())
    for pattern in TOOLKITS:
        yield from ((path, "toolkit") for path in sorted(Path("/").glob(f"{pattern[1:]}/libcublas.so.*")))


def _cached() -> list[str]:
    """The loader's own cache."""
    program = shutil.which("ldconfig", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin")
    if program is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603 # nosec B603 # no shell, no input
            [program, "-p"], capture_output=True, text=True, timeout=LDCONFIG_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return _CACHED.findall(done.stdout)


def _mapped() -> str:
    """Where the library that is loaded now lies."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return next((line.split(maxsplit=5)[5] for line in lines if "/libcublas.so" in line), NAME)


def _version(library: ctypes.CDLL) -> str:
    """12.9.1, by cublasGetProperty, which needs no GPU."""
    parts = []
    for part in _VERSION_PARTS:
        value = ctypes.c_int()
        library.cublasGetProperty(part, ctypes.byref(value))
        parts.append(value.value)
    return ".".join(map(str, parts))
