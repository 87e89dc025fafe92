"""shell: which device and compute type, and a model loaded there or a reason why not.

An explicit choice that cannot be had is an EngineError with the way to mend it; nothing is replaced silently.
"""

import ctypes
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ctranslate2
import pynvml

from gateway.inference.catalogue import missing_files
from gateway.inference.protocol import EngineError, EngineSpec

PREFERENCE = {
    "cuda": ("float16", "int8_float16", "int8", "float32"),
    "cpu": ("int8", "float32"),
}
"""What `auto` tries, in order."""
CUBLAS_HELP = (
    "libcublas.so.12 is missing or cannot be loaded: `pip install care-voice[cuda]`, or put the directory of "
    "an installed CUDA 12 into LD_LIBRARY_PATH before the start, or use --device cpu."
)
MEMORY_HELP = (
    "The GPU has too little free memory for this model: end what else uses it (`nvidia-smi` lists it), or "
    "take a smaller --model, or use --device cpu."
)
DAMAGE_HELP = (
    "`care-voice models verify` says whether its files are damaged: if so, pull it again; or take another "
    "--model."
)


def load_model(spec: EngineSpec, model_bin: bytes | None = None) -> Any:
    """A ctranslate2.models.Whisper, of these weights instead of its own if given. Raises EngineError."""
    check_files(Path(spec.model_dir))
    files = _files(Path(spec.model_dir), model_bin) if model_bin else None
    device = choose_device(spec.device)
    compute_type = choose_compute_type(spec.compute_type, device)
    # The demo model's matrices are too small to share: a second thread makes it slower.
    threads = spec.cpu_threads or (1 if spec.demo else len(os.sched_getaffinity(0)))
    try:
        return ctranslate2.models.Whisper(
            spec.model_dir,
            device=device,
            compute_type=compute_type,
            inter_threads=1,
            intra_threads=threads,
            files=files,
        )
    except (RuntimeError, ValueError) as error:
        raise explain(error, spec.model_dir) from error


def _files(model_dir: Path, model_bin: bytes) -> dict[str, bytes]:
    """The directory as CTranslate2 takes it from memory."""
    small = (path for path in model_dir.iterdir() if path.suffix in {".json", ".txt"})
    return {path.name: path.read_bytes() for path in small} | {"model.bin": model_bin}


def check_files(model_dir: Path) -> None:
    if not model_dir.is_dir():
        raise EngineError("not_a_model", f"{model_dir} is not a directory.")
    if missing := missing_files(os.listdir(model_dir)):
        raise EngineError(
            "not_a_model",
            f"{model_dir} is not a CTranslate2 Whisper model: {', '.join(missing)} missing. "
            "`care-voice models pull NAME` fetches one.",
        )


def choose_device(wanted: str) -> str:
    """`auto` takes the GPU when there is one."""
    count = cuda_devices() if wanted != "cpu" else 0
    if wanted == "cuda" and not count:
        raise EngineError(
            "cuda_unavailable",
            "--device cuda: no NVIDIA GPU can be used. Check that `nvidia-smi` works (driver installed, GPU "
            "passed into the container, CUDA_VISIBLE_DEVICES not empty), or use --device cpu.",
        )
    if not count:
        return "cpu"
    preload_cublas()
    return "cuda"


def why_auto() -> str:
    """Why `auto` takes the device that it takes: "since ..."."""
    if count := cuda_devices():
        return f"since CUDA can use {count} GPU{'s' if count > 1 else ''}"
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        return f"since no NVIDIA driver works here ({error})"
    if count and os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in {"", "-1"}:
        return "since CUDA_VISIBLE_DEVICES hides every GPU"
    return (
        f"since CUDA can use none of {count} GPU{'s' if count != 1 else ''}: `care-voice diagnose` says why"
    )


def version() -> str:
    """Of CTranslate2."""
    return str(ctranslate2.__version__)


def cuda_devices() -> int:
    """How many GPUs CTranslate2 could use."""
    count: int = ctranslate2.get_cuda_device_count()
    return count


def compute_types(device: str) -> tuple[str, ...]:
    """Those that CTranslate2 has there, sorted. Raises RuntimeError with what CUDA says."""
    return tuple(sorted(ctranslate2.get_supported_compute_types(device)))


def choose_compute_type(wanted: str, device: str) -> str:
    """`auto` takes the best that the device has."""
    supported = compute_types(device)
    if wanted == "auto":
        return next(name for name in PREFERENCE[device] if name in supported)
    if wanted not in supported:
        raise EngineError(
            "compute_type",
            f"{wanted} cannot be had on {device}; it has {', '.join(supported)} (`auto`: the best of them).",
        )
    return wanted


def preload_cublas() -> None:
    """CTranslate2 opens libcublas.so.12 by name at its first product; pip puts it where nobody looks."""
    package = find_spec("nvidia.cublas") if find_spec("nvidia") else None
    for folder in package.submodule_search_locations or () if package else ():
        library = Path(folder) / "lib" / "libcublas.so.12"
        if library.exists():
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def is_device_fault(error: Exception) -> bool:
    """CUDA itself failed: the process can only be replaced."""
    return isinstance(error, RuntimeError) and any(
        name in str(error) for name in ("CUDA", "cuBLAS", "cublas")
    )


def is_out_of_memory(error: Exception) -> bool:
    """Of CUDA itself, or of cuBLAS for its workspace."""
    return isinstance(error, RuntimeError) and any(
        name in str(error) for name in ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )


def explain(error: Exception, model_dir: str) -> EngineError:
    """The EngineError that a failure to load or warm up amounts to."""
    if "libcublas" in str(error):
        return EngineError("cublas_missing", CUBLAS_HELP)
    if is_device_fault(error) and is_out_of_memory(error):
        return EngineError("cuda_unavailable", f"{MEMORY_HELP} ({error})")
    if is_device_fault(error):
        return EngineError("cuda_unavailable", f"The GPU cannot be used: {error}")
    return EngineError(
        "load_failed", f"{model_dir} cannot be loaded: {str(error).rstrip('.')}. {DAMAGE_HELP}"
    )
