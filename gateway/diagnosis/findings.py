"""core: a finding, and what all rules share: how bad a problem of the GPU is, and what CUDA's errors mean."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from gateway.diagnosis.observed import Observed

MINIMUM_CUDA = (12, 0)
"""CUDA 12's libraries run on every driver of the same major version."""
COMPILING_CUDA = (12, 8)
"""Of CTranslate2 4.8's PTX (version 8.7), which the driver compiles for chips beyond its code (8.x)."""
COMPILING_FROM = (9, 0)
"""Compute capability of those chips."""
OLDEST_CAPABILITY = (5, 0)
"""Below it CUDA 12 has no code."""


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    ABSENT = "absent"
    """Not there, and not needed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    area: str
    """gpu | model | gateway"""
    name: str
    status: Status
    detail: str
    remedy: str = ""
    """What to do; every warn and fail has one."""


def has_signs(seen: Observed) -> bool:
    """Somebody meant this machine, or this container, to have an NVIDIA GPU."""
    asked = seen.variables.get("NVIDIA_VISIBLE_DEVICES", "") not in {"", "void", "none"}
    driver = seen.accelerator.driver
    return bool(
        asked
        or seen.system.nvidia_on_bus
        or seen.nodes
        or driver.version
        or driver.module
        or seen.accelerator.gpus
    )


def takes_gpu(seen: Observed) -> bool:
    """Whether the gateway would start on a GPU, or refuse to start for want of it."""
    wanted = seen.wanted.device
    return wanted == "cuda" or (wanted == "auto" and seen.accelerator.cuda.devices > 0)


def badness(seen: Observed) -> Status:
    """What a problem of the GPU means for the gateway that was asked for."""
    if takes_gpu(seen):
        return Status.FAIL
    return Status.WARN if seen.wanted.device == "auto" and has_signs(seen) else Status.ABSENT


def worst(findings: Iterable[Finding]) -> Status:
    """fail before warn before the rest."""
    found = {finding.status for finding in findings}
    return next((status for status in (Status.FAIL, Status.WARN) if status in found), Status.OK)


def size(size_bytes: float) -> str:
    """For people: 1.6 GiB, 350 MiB."""
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.0f} MiB"


GET_CUBLAS = (
    "pip install 'care-voice[cuda]' (cuBLAS 12 as a wheel); or put the lib directory of an installed CUDA 12 "
    "into LD_LIBRARY_PATH before the start"
)
NEWER_DRIVER = "install a newer driver: 570 or later serves every card from GTX 10xx to RTX 50xx, then reboot"
LESS_MEMORY = (
    "end what else uses the GPU (nvidia-smi lists it), or take a smaller --model or --compute-type "
    "int8_float16"
)
GIVE_GPU = (
    "start it with the GPU: docker run --gpus all; podman run --device nvidia.com/gpu=all; in Kubernetes a "
    "limit of nvidia.com/gpu: 1. The host needs its driver (nvidia-smi works there) and the NVIDIA Container "
    "Toolkit"
)
RELOAD = "reboot; if it comes back, look into `dmesg` for lines with NVRM or Xid, which name the fault"
RESET = (
    "reset it (nvidia-smi -r as root, nothing may use it) or reboot; if errors come back, replace the card"
)
OTHER_DEVICE = "take a machine with one, or --device cpu"

CUDA_ERRORS = (
    ("insufficient for cuda runtime", NEWER_DRIVER),
    ("unsupported toolchain", NEWER_DRIVER),
    ("no kernel image", "this card is too old for CUDA 12: take another one, or --device cpu"),
    ("out of memory", LESS_MEMORY),
    ("alloc_failed", LESS_MEMORY),
    ("libcublas", GET_CUBLAS),
    ("cublas_status_not_initialized", f"{LESS_MEMORY}; with enough memory, {GET_CUBLAS}"),
    ("cublas_status_not_supported", f"take --compute-type float16; or {GET_CUBLAS}"),
    ("not yet initialized", "on the host: sudo systemctl enable --now nvidia-fabricmanager"),
    ("display driver / cuda driver", "the driver was changed: reboot, or start the container anew"),
    ("forward compatibility", f"take cuda-compat out of LD_LIBRARY_PATH, or {NEWER_DRIVER}"),
    ("busy or unavailable", "another program has it to itself: end it, or nvidia-smi -c DEFAULT"),
    ("ecc error", RESET),
    ("no cuda-capable device", f"see the lines of driver, nodes and variables; in a container {GIVE_GPU}"),
    ("unknown error", f"load the driver's second module, sudo nvidia-modprobe -u -c=0; else {RELOAD}"),
)  # fmt: skip
"""What an error of CUDA or cuBLAS contains (lower case) -> what to do."""


def remedy_for(error: str) -> str:
    """What to do about an error of CUDA or cuBLAS."""
    said = error.lower()
    return next((remedy for part, remedy in CUDA_ERRORS if part in said), RELOAD)
