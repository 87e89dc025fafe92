"""core: findings about the driver, the GPUs, and the way to them into a container."""

from collections.abc import Iterator, Sequence

from gateway.diagnosis.findings import (
    COMPILING_CUDA,
    COMPILING_FROM,
    GIVE_GPU,
    MINIMUM_CUDA,
    NEWER_DRIVER,
    OLDEST_CAPABILITY,
    OTHER_DEVICE,
    RELOAD,
    RESET,
    Finding,
    Status,
    badness,
    has_signs,
    size,
)
from gateway.diagnosis.observed import Gpu, Node, Observed

HEAT = {
    "sw_thermal": "heat",
    "hw_thermal": "heat",
    "hw_slowdown": "heat or power",
    "power_brake": "its power supply",
}
"""Reasons to hold clocks down that somebody should know of."""
NEEDED_NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm")
USE_DEVICES = (
    "on the host: sudo setsebool -P container_use_devices on; or start with --security-opt label=disable"
)


def judge(seen: Observed) -> list[Finding]:
    """Driver first: what follows often follows from it."""
    if not has_signs(seen) and seen.wanted.device != "cuda":
        return [_finding("gpu", Status.ABSENT, "no NVIDIA GPU, no driver: the CPU is used")]
    found = [_driver(seen), _nodes(seen), *_selinux(seen), *_visible(seen), *_toolkit(seen)]
    return [finding for finding in found if finding] + list(_gpus(seen))


def visible(value: str | None, gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves: numbers or starts of UUIDs, up to the first that is none.

    Numbers are taken as NVML's, which are CUDA's where all GPUs are alike or CUDA_DEVICE_ORDER is PCI_BUS_ID.
    """
    if value is None:
        return tuple(gpus)
    shown: list[Gpu] = []
    for word in value.split(","):
        name = word.strip()
        fits = [
            gpu
            for gpu in gpus
            if name == str(gpu.index) or (name.startswith("GPU-") and gpu.uuid.startswith(name))
        ]
        if len(fits) != 1 and not name.startswith("MIG-"):
            break
        shown += fits
    return tuple(shown)


def _finding(name: str, status: Status, detail: str, remedy: str = "") -> Finding:
    return Finding("gpu", name, status, detail, "" if status in {Status.OK, Status.ABSENT} else remedy)


def _driver(seen: Observed) -> Finding:
    bad, driver = badness(seen), seen.accelerator.driver
    if not seen.look.well:
        what = seen.look.ended or seen.look.error
        return _finding("driver", bad, f"asking it for its GPUs {what}", RELOAD)
    if driver.error:
        return _finding("driver", bad, *_no_driver(seen))
    level = f"{driver.version}, for CUDA up to {'.'.join(map(str, driver.cuda))}"
    if driver.cuda < MINIMUM_CUDA:
        return _finding("driver", bad, f"{level}: too old, CTranslate2 needs CUDA 12", NEWER_DRIVER)
    newest = max((gpu.capability for gpu in seen.accelerator.gpus if gpu.capability), default=(0, 0))
    if newest >= COMPILING_FROM and driver.cuda < COMPILING_CUDA:
        wants = ".".join(map(str, COMPILING_CUDA))
        return _finding(
            "driver", bad, f"{level}: too old to compile for this card, which wants {wants}", NEWER_DRIVER
        )
    return _finding("driver", Status.OK, level)


def _no_driver(seen: Observed) -> tuple[str, str]:
    """(what is wrong, what to do)"""
    driver, where = seen.accelerator.driver, seen.container.kind
    if "mismatch" in driver.error.lower():
        return (
            f"{driver.error}: its libraries were upgraded, the old module ({driver.module}) still runs",
            "reboot the machine; a container must be started anew after that",
        )
    if where and driver.module:
        return (
            f"the host has driver {driver.module}, this container was not given it ({driver.error})", GIVE_GPU
        )  # fmt: skip
    if where and not seen.system.nvidia_on_bus:
        return f"no GPU and no driver in this container ({driver.error})", GIVE_GPU
    if driver.module:
        return f"module {driver.module} is loaded, but: {driver.error}", RELOAD
    if seen.system.nvidia_on_bus and "not loaded" in driver.error.lower():
        return (
            "installed, but its kernel module is not loaded",
            "sudo modprobe nvidia, and read what it says: after a new kernel the module must be built again "
            "(dkms status), with Secure Boot it must be signed (mokutil --sb-state)",
        )
    if seen.system.nvidia_on_bus:
        return (
            f"an NVIDIA GPU is in this machine, but no driver ({driver.error})",
            "install it and reboot: sudo ubuntu-drivers install, or sudo apt install nvidia-driver on Debian",
        )
    return f"no NVIDIA GPU and no driver ({driver.error})", OTHER_DEVICE


def _nodes(seen: Observed) -> Finding | None:
    driver = seen.accelerator.driver
    if seen.system.wsl or not (seen.nodes or driver.module or driver.version):
        return None
    present = {node.path for node in seen.nodes}
    missing = [path for path in NEEDED_NODES if path not in present]
    if not any(path.removeprefix("/dev/nvidia").isdigit() for path in present):
        missing.append("/dev/nvidia0")
    works = seen.accelerator.cuda.devices > 0
    closed = [node for node in seen.nodes if node.error]
    if closed and not works:
        said = ", ".join(f"{node.path} ({node.error})" for node in closed)
        return _finding("device nodes", badness(seen), f"cannot be opened: {said}", _open_nodes(seen, closed))
    if missing and not works:
        remedy = (
            GIVE_GPU if seen.container.kind else "make them: sudo nvidia-modprobe -c=0 -u, then nvidia-smi"
        )
        return _finding("device nodes", badness(seen), f"missing: {', '.join(missing)}", remedy)
    return _finding(
        "device nodes",
        Status.OK,
        ", ".join(sorted(present - {node.path for node in closed})) or "none, and none needed",
    )


def _open_nodes(seen: Observed, closed: Sequence[Node]) -> str:
    errors = {node.error for node in closed}
    if "EPERM" in errors:
        return (
            "the container lost its right to them (after systemctl daemon-reload, say): start it anew, with "
            "--device nvidia.com/gpu=all (CDI), which keeps it"
        )
    if "EACCES" in errors and seen.selinux.mode == "enforcing":
        return USE_DEVICES
    if "EACCES" in errors:
        return (
            f"let user {seen.system.user_id} use them: sudo usermod -aG video,render USER and log in again; "
            "rootless podman: --group-add keep-groups"
        )
    return RELOAD


def _selinux(seen: Observed) -> Iterator[Finding]:
    selinux = seen.selinux
    if selinux.mode != "enforcing" or not seen.container.kind:
        return
    denied = any(node.error == "EACCES" for node in seen.nodes)
    if denied and not selinux.container_use_devices:
        yield _finding(
            "selinux",
            badness(seen),
            f"enforcing, denies the GPU to {selinux.label or 'containers'}",
            USE_DEVICES,
        )
    else:
        yield _finding("selinux", Status.OK, "enforcing, and lets the GPU through")


def _visible(seen: Observed) -> Iterator[Finding]:
    gpus = [gpu for gpu in seen.accelerator.gpus if not gpu.error]
    given = seen.variables.get("NVIDIA_VISIBLE_DEVICES")
    if seen.container.kind and given in {"void", "none", ""} and not seen.accelerator.cuda.devices:
        detail = f"NVIDIA_VISIBLE_DEVICES={given}: this container was given no GPU"
        yield _finding("variables", badness(seen), detail, GIVE_GPU)
    capabilities = seen.variables.get("NVIDIA_DRIVER_CAPABILITIES")
    if capabilities and not {"compute", "all"} & set(capabilities.split(",")):
        detail = f"NVIDIA_DRIVER_CAPABILITIES={capabilities}: CUDA is not among them"
        yield _finding(
            "variables", badness(seen), detail, "set it to compute,utility and start the container anew"
        )
    value = seen.variables.get("CUDA_VISIBLE_DEVICES")
    if value is None or not gpus:
        return
    shown = visible(value, gpus)
    said = f"CUDA_VISIBLE_DEVICES={value}"
    if shown or seen.accelerator.cuda.devices:
        yield _finding("variables", Status.OK, f"{said}: {_names(shown) or 'a part of a GPU'}")
    else:
        remedy = f"take the variable away, or name one that is there: {_names(gpus)}"
        yield _finding("variables", badness(seen), f"{said} hides all {len(gpus)} GPU(s)", remedy)


def _names(gpus: Sequence[Gpu]) -> str:
    return ", ".join(f"{gpu.index} ({gpu.name})" for gpu in gpus)


def _toolkit(seen: Observed) -> Iterator[Finding]:
    """On a host: could its containers have the GPU? Nothing that this process needs."""
    box, usable = seen.container, seen.accelerator.driver.version
    if box.kind or not box.engines or not usable:
        return
    if box.cdi or box.toolkit:
        yield _finding(
            "containers", Status.OK, f"can have the GPU: {', '.join(box.cdi) or 'nvidia-ctk is installed'}"
        )
    else:
        detail = (
            f"{' and '.join(box.engines)} could not give the GPU to a container. If you want that: install "
            "the NVIDIA Container Toolkit, then sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
        )
        yield _finding("containers", Status.ABSENT, detail)


def _gpus(seen: Observed) -> Iterator[Finding]:
    shown = visible(seen.variables.get("CUDA_VISIBLE_DEVICES"), seen.accelerator.gpus)
    for gpu in seen.accelerator.gpus:
        yield _gpu(gpu, seen, gpu in shown)


def _gpu(gpu: Gpu, seen: Observed, shown: bool) -> Finding:
    name = f"gpu {gpu.index}"
    # With another one to run on a broken one is a warning: the gateway works.
    bad = Status.WARN if seen.accelerator.cuda.devices and seen.wanted.device != "cpu" else badness(seen)
    if gpu.error:
        healthy = ", ".join(
            other.uuid or str(other.index) for other in seen.accelerator.gpus if not other.error
        )
        aside = f"; until then CUDA_VISIBLE_DEVICES={healthy} leaves it aside" if healthy else ""
        return _finding(name, bad, f"{gpu.name} does not answer: {gpu.error}", RELOAD + aside)
    told = _about(gpu) + ("" if shown else "; hidden by CUDA_VISIBLE_DEVICES")
    if gpu.capability and gpu.capability < OLDEST_CAPABILITY:
        return _finding(name, badness(seen), f"{told}: too old for CUDA 12", OTHER_DEVICE)
    if gpu.ecc_errors or gpu.repair_pending:
        what = f"{gpu.ecc_errors or 0} uncorrected memory errors" + (
            ", a repair waits for a reset" if gpu.repair_pending else ""
        )
        return _finding(name, _mild(seen), f"{told}: {what}", RESET)
    if hot := sorted({HEAT[reason] for reason in gpu.throttle if reason in HEAT}):
        remedy = "look after fans, dust, air and power cables; it works, but slower than measured"
        return _finding(name, _mild(seen), f"{told}: slowed down by {' and '.join(hot)}", remedy)
    return _finding(name, Status.OK, told)


def _mild(seen: Observed) -> Status:
    """It works all the same."""
    return Status.ABSENT if seen.wanted.device == "cpu" else Status.WARN


def _about(gpu: Gpu) -> str:
    """What NVML tells of a GPU, in one line."""
    parts = [gpu.name]
    if gpu.capability:
        parts.append("capability " + ".".join(map(str, gpu.capability)))
    if gpu.memory_bytes is not None:
        parts.append(f"{size(gpu.memory_used_bytes or 0)} of {size(gpu.memory_bytes)} in use")
    if gpu.clock_mhz is not None:
        parts.append(f"{gpu.clock_mhz} of {gpu.clock_limit_mhz or '?'} MHz")
    if gpu.temperature_c is not None:
        parts.append(f"{gpu.temperature_c} °C")
    if gpu.power_w is not None:
        parts.append(f"{gpu.power_w:.0f} of {gpu.power_limit_w or 0:.0f} W")
    if gpu.ecc is not None:
        parts.append("ECC on" if gpu.ecc else "ECC off")
    if gpu.mig:
        parts.append("MIG")
    return ", ".join(parts + (["power cap reached"] if "power_cap" in gpu.throttle else []))
