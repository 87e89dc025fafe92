"""core: what was seen of a machine, before anybody judges it.

All of it is data: `care-voice diagnose --json` prints it, and tests replay it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings ask of the machine."""

    device: str = "auto"
    compute_type: str = "auto"
    model: str = "auto"
    keeps_captions: bool = True
    """They are written to the data directory."""


@dataclass(frozen=True, slots=True)
class System:
    """The machine, as this process may use it."""

    version: str = ""
    """Of Care Voice."""
    python: str = ""
    platform: str = ""
    user_id: int = 0
    cores: int = 1
    memory_free_bytes: int = 0
    """What a program could still get; a container's limit counts."""
    nvidia_on_bus: int = 0
    """NVIDIA's display and compute controllers on the PCI bus."""
    wsl: bool = False
    """Windows' Linux, whose GPU is /dev/dxg."""


@dataclass(frozen=True, slots=True)
class Container:
    """Signs of a container around this process, and of tools that give GPUs to containers."""

    kind: str = ""
    """docker | podman | kubernetes | container; empty: none."""
    engines: tuple[str, ...] = ()
    """docker, podman: those on the PATH."""
    toolkit: bool = False
    """nvidia-ctk is on the PATH."""
    cdi: tuple[str, ...] = ()
    """CDI files that name nvidia.com/gpu."""


@dataclass(frozen=True, slots=True)
class Node:
    """One /dev/nvidia*."""

    path: str
    error: str = ""
    """EACCES, EPERM, ...: it cannot be opened. Empty: it can."""


@dataclass(frozen=True, slots=True)
class SELinux:
    """Security-Enhanced Linux."""

    mode: str = ""
    """enforcing | permissive; empty: there is none."""
    label: str = ""
    """Of this process."""
    container_use_devices: bool | None = None


@dataclass(frozen=True, slots=True)
class Driver:
    """NVIDIA's driver."""

    version: str = ""
    cuda: tuple[int, int] = (0, 0)
    """Newest CUDA that it knows."""
    module: str = ""
    """Version of the kernel's module, which a container sees too; empty: not loaded."""
    error: str = ""
    """What NVML said instead."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, by NVML. What a GPU does not tell is None."""

    index: int
    name: str = ""
    uuid: str = ""
    error: str = ""
    """What NVML said instead: lost, say."""
    capability: tuple[int, int] | None = None
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilization: float | None = None
    """0..1"""
    temperature_c: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    clock_mhz: int | None = None
    clock_limit_mhz: int | None = None
    ecc: bool | None = None
    """Error correction is on."""
    ecc_errors: int | None = None
    """Uncorrected, since the driver was loaded."""
    repair_pending: bool = False
    """Rows or pages of memory wait for a reset to be replaced."""
    throttle: tuple[str, ...] = ()
    """Why clocks are held down just now: sw_thermal, hw_thermal, hw_slowdown, power_brake, power_cap."""
    mig: bool = False


@dataclass(frozen=True, slots=True)
class Library:
    """A libcublas on this machine."""

    path: str
    source: str
    """LD_LIBRARY_PATH | pip | ldconfig | toolkit"""


@dataclass(frozen=True, slots=True)
class Cublas:
    """cuBLAS, which CTranslate2 opens by the name libcublas.so.12."""

    found: tuple[Library, ...] = ()
    loaded: str = ""
    """Path of the one that opens."""
    version: str = ""
    error: str = ""
    """Why none opens."""


@dataclass(frozen=True, slots=True)
class Cuda:
    """CTranslate2's own view."""

    version: str = ""
    """Of CTranslate2."""
    devices: int = 0
    error: str = ""
    """What CUDA said when asked for its compute types."""
    gpu_types: tuple[str, ...] = ()
    cpu_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What a child process saw that opened the driver's libraries."""

    driver: Driver = Driver()
    gpus: tuple[Gpu, ...] = ()
    cublas: Cublas = Cublas()
    cuda: Cuda = Cuda()
    reason: str = ""
    """Why `auto` takes the device that it takes."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Something that was tried in a process of its own."""

    stage: str = ""
    """What it was doing last."""
    error: str = ""
    """What it said; empty: it went well."""
    ended: str = ""
    """How the process ended if it could say nothing: a signal, or too late."""
    figures: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def well(self) -> bool:
        return not self.error and not self.ended


@dataclass(frozen=True, slots=True)
class Model:
    """The model that the gateway would load."""

    name: str = ""
    directory: str = ""
    """Empty: there is none."""
    problem: str = ""
    """Why it cannot be had, and the ways out."""
    damaged: tuple[str, ...] = ()
    """Files that are not what they should be, each with what is wrong."""
    recorded: bool = True
    """Checksums are known: of the manifest, or of the download."""
    kept_in: str = ""
    lying_there: tuple[str, ...] = ()
    """What is in that directory."""
    gpu_bytes: int = 0
    """Memory to expect; 0: unknown."""
    cpu_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Storage:
    """A directory that must be written."""

    path: str = ""
    exists: bool = True
    error: str = ""
    """EROFS, EACCES, ENOSPC, ...: a file cannot be written there."""
    free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Port:
    """Where the gateway would listen."""

    host: str = ""
    port: int = 0
    error: str = ""
    """Empty: it is free."""
    in_use: bool = False
    ours: bool = False
    """A Care Voice gateway answers there."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of day."""

    now_s: float = 0.0
    """Since 1970."""
    installed_s: float = 0.0
    """When the newest file of this program was written."""
    synchronized: bool | None = None
    """The kernel says that somebody keeps it right; None: it does not say."""


@dataclass(frozen=True, slots=True)
class Observed:
    """All of it."""

    wanted: Wanted = Wanted()
    system: System = System()
    container: Container = Container()
    nodes: tuple[Node, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    """Those of CUDA and its container tools that are set."""
    selinux: SELinux = SELinux()
    look: Trial = Trial()
    """How the child fared that looked at the accelerator."""
    accelerator: Accelerator = Accelerator()
    model: Model = Model()
    storage: Storage = Storage()
    port: Port = Port()
    clock: Clock = Clock()
    product: Trial | None = None
    """None: not tried."""
    decode: Trial | None = None
