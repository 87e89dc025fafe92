"""shell: the machine as the kernel shows it: container, device nodes, variables, SELinux, memory. No CUDA."""

import errno
import os
import platform
import re
import shutil
from pathlib import Path

import gateway
from gateway.diagnosis.observed import Container, Node, SELinux, System

VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_CACHE_PATH", "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES", "LD_LIBRARY_PATH", "CT2_CUDA_ALLOCATOR", "CT2_USE_MKL", "OMP_NUM_THREADS",
)  # fmt: skip
NVIDIA = "0x10de"
DISPLAY_CLASSES = ("0x0300", "0x0302")
"""Of PCI: VGA, 3D controller."""
CDI_DIRS = ("etc/cdi", "var/run/cdi")
CDI_KIND = "nvidia.com/gpu"
_NODE = re.compile(r"nvidia(\d+|ctl|-uvm|-uvm-tools|-modeset)")
_MODULE = re.compile(r"(?:Kernel Module.*?) (\d+\.[\d.]+)")


def read_system(root: Path = Path("/")) -> System:
    return System(
        version=gateway.__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        user_id=os.geteuid(),
        cores=len(os.sched_getaffinity(0)),
        memory_free_bytes=_free_memory(root),
        nvidia_on_bus=sum(_is_nvidia(device) for device in (root / "sys/bus/pci/devices").glob("*")),
        wsl=(root / "dev/dxg").exists(),
    )


def read_variables() -> dict[str, str]:
    """Those that are set, empty ones too."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def read_container(root: Path = Path("/")) -> Container:
    kind = ""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        kind = "kubernetes"
    elif (root / "run/.containerenv").exists():
        kind = "podman"
    elif (root / ".dockerenv").exists():
        kind = "docker"
    elif os.environ.get("container"):  # noqa: SIM112 # systemd-nspawn, lxc and others write it small
        kind = "container"
    return Container(
        kind=kind,
        engines=tuple(name for name in ("docker", "podman") if shutil.which(name)),
        toolkit=shutil.which("nvidia-ctk") is not None,
        cdi=tuple(
            str(file)
            for directory in CDI_DIRS
            for file in sorted((root / directory).glob("*"))
            if file.suffix in {".yaml", ".json"} and CDI_KIND in _read(file)
        ),
    )


def read_nodes(root: Path = Path("/")) -> tuple[Node, ...]:
    """Every /dev/nvidia*, and whether this process may open it."""
    found = sorted(path for path in (root / "dev").glob("nvidia*") if _NODE.fullmatch(path.name))
    return tuple(Node(f"/dev/{path.name}", _why_closed(path)) for path in found)


def read_module(root: Path = Path("/")) -> str:
    """Version of the kernel's module; a container sees its host's."""
    match = _MODULE.search(_read(root / "proc/driver/nvidia/version"))
    return match[1] if match else ""


def read_selinux(root: Path = Path("/")) -> SELinux:
    """A container sees its own label only: then it is taken for enforcing."""
    label = _read(root / "proc/self/attr/current").strip("\0\n ")
    if label.count(":") < 3:  # none, or AppArmor's
        return SELinux()
    enforce = _read(root / "sys/fs/selinux/enforce").strip()
    allowed = _read(root / "sys/fs/selinux/booleans/container_use_devices").split()
    return SELinux(
        "permissive" if enforce == "0" else "enforcing", label, allowed[0] == "1" if allowed else None
    )


def _is_nvidia(device: Path) -> bool:
    return _read(device / "vendor").strip() == NVIDIA and _read(device / "class").startswith(DISPLAY_CLASSES)


def _why_closed(path: Path) -> str:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return ""


def _free_memory(root: Path) -> int:
    """Of the machine, or of this container if it has less."""
    lines = dict(line.split(":", 1) for line in _read(root / "proc/meminfo").splitlines() if ":" in line)
    free = [int(lines.get("MemAvailable", "0 kB").split()[0]) * 1024]
    groups = root / "sys/fs/cgroup"
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        most, now = _read(groups / limit).strip(), _read(groups / used).strip()
        if most.isdigit() and now.isdigit():
            free.append(int(most) - int(now))
    return max(0, min(free))


def _read(path: Path) -> str:
    """Empty where there is nothing to read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
