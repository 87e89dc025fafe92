"""Machines as diagnose saw them, or would: what differs from a machine that works, and what must be said.

`care-voice diagnose --json` prints such observations (`observed`): a report of somebody's trouble becomes a row here.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from gateway.diagnosis.findings import Status
from gateway.diagnosis.observed import (
    Accelerator,
    Clock,
    Container,
    Cublas,
    Cuda,
    Driver,
    Gpu,
    Library,
    Model,
    Node,
    Observed,
    Port,
    SELinux,
    Storage,
    System,
    Trial,
    Wanted,
)

GIB = 1 << 30
CPU_TYPES = ("float32", "int8", "int8_float32")
GPU_TYPES = ("bfloat16", "float16", "float32", "int8", "int8_bfloat16", "int8_float16", "int8_float32")
NO_DEVICE = "CUDA failed with error no CUDA-capable device is detected"
OLD_DRIVER = "CUDA failed with error CUDA driver version is insufficient for CUDA runtime version"
NO_LIBRARY = "NVML Shared Library Not Found"
MODEL = Model(
    "large-v3-turbo",
    "/app/models/large-v3-turbo",
    kept_in="/app/models",
    gpu_bytes=4 * GIB,
    cpu_bytes=3 * GIB,
)
CARD = Gpu(
    0, "NVIDIA GeForce RTX 4070", "GPU-aaaa", "", (8, 9), 12 * GIB, GIB, 0.1, 45, 60.0, 200.0, 2475, 3105
)
NODES = tuple(Node(path) for path in ("/dev/nvidia0", "/dev/nvidia-uvm", "/dev/nvidiactl"))
PRODUCT = Trial("multiplying", figures={"flops_per_s": 58e12})
DECODE = Trial(
    "decoding",
    figures={"load_s": 1.4, "warm_up_s": 2.6, "decode_s": 0.05, "audio_s": 5.0, "peak_bytes": 2.1 * GIB},
    notes={"model": "large-v3-turbo", "device": "cuda", "compute_type": "float16"},
)
CPU_DECODE = replace(DECODE, notes=DECODE.notes | {"device": "cpu", "compute_type": "int8_float32"})
HOST = {
    "model": MODEL,
    "storage": Storage("/app/data", True, "", 50 * GIB),
    "port": Port("127.0.0.1", 8001),
    "clock": Clock(1.8e9, 1.7e9, True),
}
CPU_MACHINE = Observed(
    Wanted(),
    System("0.1.0", "3.12.3", "Linux", 1000, 8, 30 * GIB),
    accelerator=Accelerator(
        Driver(error=NO_LIBRARY),
        cublas=Cublas(error="libcublas.so.12: cannot open shared object file"),
        cuda=Cuda("4.8.5", 0, OLD_DRIVER, (), CPU_TYPES),
        reason=f"since no NVIDIA driver works here ({NO_LIBRARY})",
    ),
    decode=CPU_DECODE,
    **HOST,
)
"""No GPU, and all is well."""
CUBLAS = Cublas(
    (Library("/venv/nvidia/cublas/lib/libcublas.so.12", "pip"),),
    "/venv/nvidia/cublas/lib/libcublas.so.12",
    "12.9.1",
)
GPU_MACHINE = Observed(
    Wanted(),
    System("0.1.0", "3.12.3", "Linux", 1000, 8, 30 * GIB, nvidia_on_bus=1),
    Container(engines=("podman",), toolkit=True, cdi=("/etc/cdi/nvidia.yaml",)),
    NODES,
    accelerator=Accelerator(
        Driver("580.82.07", (13, 0), "580.82.07"), (CARD,), CUBLAS, Cuda("4.8.5", 1, "", GPU_TYPES, CPU_TYPES),
        "since CUDA can use 1 GPU",
    ),
    product=PRODUCT,
    decode=DECODE,
    **HOST,
)  # fmt: skip
"""One GPU, and all is well."""
GPU_BOX = replace(GPU_MACHINE, container=Container("podman"), variables={"NVIDIA_VISIBLE_DEVICES": "all"})
"""The same in a container."""


@dataclass(frozen=True)
class Situation:
    """What is wrong, and what must be found."""

    seen: Observed
    expected: dict[str, Status]
    """Name of a finding -> its status; all other findings are ok or absent."""
    remedies: dict[str, str] = field(default_factory=dict)
    """Name of a finding -> words that its remedy has."""


def but(seen: Observed, device: str = "auto", /, **changes: Any) -> Observed:
    """`seen` with other parts; those of the accelerator by their own names."""
    inner = {
        name: changes.pop(name) for name in ("driver", "gpus", "cublas", "cuda", "reason") if name in changes
    }
    accelerator = replace(seen.accelerator, **inner)
    return replace(seen, wanted=replace(seen.wanted, device=device), accelerator=accelerator, **changes)


def blind(seen: Observed, error: str = NO_DEVICE) -> dict[str, Any]:
    """CTranslate2 has no GPU to use, so nothing was tried on one."""
    cuda = replace(seen.accelerator.cuda, devices=0, error=error, gpu_types=())
    return {"cuda": cuda, "product": None, "decode": CPU_DECODE}


BROKEN = blind(GPU_MACHINE)
NO_DRIVER = Driver(error=NO_LIBRARY)
FAIL, WARN = Status.FAIL, Status.WARN
OOM = "CUDA failed with error out of memory"
LOST = Gpu(1, "NVIDIA GeForce RTX 4070", "GPU-bbbb", error="GPU is lost")
BOX_NODES_DENIED = tuple(Node(node.path, "EACCES") for node in NODES)

SITUATIONS: dict[str, Situation] = {
    "a machine without a GPU": Situation(CPU_MACHINE, {}),
    "a machine with a GPU": Situation(GPU_MACHINE, {}),
    "a container with a GPU": Situation(GPU_BOX, {}),
    "a GPU that nobody wants": Situation(but(GPU_MACHINE, "cpu", product=None, decode=CPU_DECODE), {}),
    "no GPU where one is demanded": Situation(
        but(CPU_MACHINE, "cuda", decode=None), {"driver": FAIL, "cublas": FAIL}, {"driver": "--device cpu"}
    ),
    "no driver": Situation(
        but(GPU_MACHINE, nodes=(), driver=NO_DRIVER, gpus=(), **BROKEN), {"driver": WARN}, {"driver": "install it and reboot"}
    ),
    "no driver where the GPU is demanded": Situation(
        but(GPU_MACHINE, "cuda", nodes=(), driver=NO_DRIVER, gpus=(), **BROKEN), {"driver": FAIL}, {"driver": "install it"}
    ),
    "the driver's module is not loaded": Situation(
        but(GPU_MACHINE, nodes=(), driver=Driver(error="Driver Not Loaded"), gpus=(), **BROKEN),
        {"driver": WARN}, {"driver": "modprobe nvidia"},
    ),
    "libraries newer than the module": Situation(
        but(GPU_MACHINE, driver=Driver(module="570.1", error="Driver/library version mismatch"), gpus=(), **BROKEN),
        {"driver": WARN}, {"driver": "reboot"},
    ),
    "no toolkit: a container that was not given the driver": Situation(
        but(GPU_BOX, "cuda", nodes=(), driver=Driver(module="580.82.07", error=NO_LIBRARY), gpus=(), **BROKEN),
        {"driver": FAIL, "device nodes": FAIL}, {"driver": "NVIDIA Container Toolkit", "device nodes": "--gpus all"},
    ),
    "no toolkit: a host whose containers cannot have the GPU": Situation(
        but(GPU_MACHINE, container=Container(engines=("docker",))), {}
    ),
    "a driver older than CUDA 12": Situation(
        but(GPU_MACHINE, "cuda", driver=Driver("470.256.02", (11, 4), "470.256.02"), **blind(GPU_MACHINE, OLD_DRIVER)),
        {"driver": FAIL}, {"driver": "570"},
    ),
    "a driver that cannot compile for a new card": Situation(
        but(
            GPU_MACHINE, driver=Driver("550.1", (12, 4), "550.1"), gpus=(replace(CARD, capability=(12, 0)),),
            decode=Trial("warming up", "CUDA failed with error the provided PTX was compiled with an unsupported toolchain."),
        ),
        {"driver": FAIL, "decode": FAIL}, {"driver": "570", "decode": "570"},
    ),
    "the same old driver on a card that needs no compiling": Situation(
        but(GPU_MACHINE, driver=Driver("550.1", (12, 4), "550.1")), {}
    ),
    "cuBLAS 13 only": Situation(
        but(
            GPU_MACHINE,
            cublas=Cublas((Library("/v/nvidia/cu13/lib/libcublas.so.13", "pip"),), error="libcublas.so.12: cannot open"),
            product=Trial("loading libcublas.so.12", "libcublas.so.12: cannot open shared object file"),
            decode=Trial("warming up", "libcublas.so.12 is missing or cannot be loaded"),
        ),
        {"cublas": FAIL, "fp16 product": FAIL, "decode": FAIL},
        {"cublas": "care-voice[cuda]", "fp16 product": "care-voice[cuda]", "decode": "care-voice[cuda]"},
    ),
    "cuBLAS 13 under the name of 12": Situation(
        but(GPU_MACHINE, cublas=Cublas((), "/shim/libcublas.so.12", "13.1.0")), {"cublas": WARN}, {"cublas": "care-voice[cuda]"}
    ),
    "cuBLAS missing": Situation(
        but(GPU_MACHINE, cublas=Cublas(error="libcublas.so.12: cannot open"), product=None, decode=None), {"cublas": FAIL},
        {"cublas": "LD_LIBRARY_PATH"},
    ),
    "cuBLAS without its other half": Situation(
        but(GPU_MACHINE, cublas=Cublas(CUBLAS.found, error="libcublasLt.so.12: cannot open"), product=None, decode=None),
        {"cublas": FAIL}, {"cublas": "libcublasLt.so.12"},
    ),
    "out of memory": Situation(
        but(
            GPU_MACHINE, gpus=(replace(CARD, memory_used_bytes=11 * GIB),), product=Trial("taking memory", OOM),
            decode=Trial("loading the engine", OOM),
        ),
        {"gpu memory": WARN, "fp16 product": FAIL, "decode": FAIL},
        {"gpu memory": "smaller --model", "fp16 product": "nvidia-smi", "decode": "int8_float16"},
    ),
    "no device nodes in a container": Situation(
        but(GPU_BOX, "cuda", nodes=(), driver=Driver("580.82.07", (13, 0), "580.82.07"), gpus=(), **BROKEN),
        {"device nodes": FAIL}, {"device nodes": "--device nvidia.com/gpu=all"},
    ),
    "no nvidia-uvm on a host": Situation(
        but(GPU_MACHINE, nodes=NODES[:1] + NODES[2:], **blind(GPU_MACHINE, "CUDA failed with error unknown error")),
        {"device nodes": WARN}, {"device nodes": "nvidia-modprobe"},
    ),
    "device nodes taken away from a running container": Situation(
        but(
            GPU_BOX, nodes=tuple(Node(node.path, "EPERM") for node in NODES),
            driver=Driver(module="580.82.07", error="Unknown Error"), gpus=(), **BROKEN,
        ),
        {"driver": WARN, "device nodes": WARN}, {"device nodes": "CDI"},
    ),
    "SELinux denies the GPU to containers": Situation(
        but(
            GPU_BOX, "cuda", nodes=BOX_NODES_DENIED, driver=Driver(module="580.82.07", error="Insufficient Permissions"), gpus=(),
            selinux=SELinux("enforcing", "system_u:system_r:container_t:s0:c1,c2", False), **BROKEN,
        ),
        {"driver": FAIL, "device nodes": FAIL, "selinux": FAIL},
        {"device nodes": "container_use_devices", "selinux": "container_use_devices"},
    ),
    "a user who may not open the nodes": Situation(
        but(GPU_MACHINE, nodes=BOX_NODES_DENIED, gpus=(), driver=Driver(module="580", error="Insufficient Permissions"), **BROKEN),
        {"driver": WARN, "device nodes": WARN}, {"device nodes": "video"},
    ),
    "a GPU hidden by CUDA_VISIBLE_DEVICES": Situation(
        but(GPU_MACHINE, variables={"CUDA_VISIBLE_DEVICES": ""}, **BROKEN), {"variables": WARN}, {"variables": "take the variable away"}
    ),
    "a GPU that is not there in CUDA_VISIBLE_DEVICES": Situation(
        but(GPU_MACHINE, "cuda", variables={"CUDA_VISIBLE_DEVICES": "3"}, **BROKEN), {"variables": FAIL}, {"variables": "0 (NVIDIA"}
    ),
    "a pod that asked for no GPU": Situation(
        but(GPU_BOX, "cuda", variables={"NVIDIA_VISIBLE_DEVICES": "void"}, nodes=(), driver=NO_DRIVER, gpus=(), **BROKEN),
        {"driver": FAIL, "variables": FAIL}, {"variables": "nvidia.com/gpu: 1"},
    ),
    "a container with the wrong driver capabilities": Situation(
        but(GPU_BOX, "cuda", variables={"NVIDIA_DRIVER_CAPABILITIES": "graphics,utility"}, **BROKEN),
        {"variables": FAIL}, {"variables": "compute,utility"},
    ),
    "two GPUs, one broken": Situation(but(GPU_MACHINE, gpus=(CARD, LOST)), {"gpu 1": WARN}, {"gpu 1": "CUDA_VISIBLE_DEVICES=GPU-aaaa"}),
    "the only GPU broken": Situation(
        but(GPU_MACHINE, "cuda", gpus=(replace(LOST, index=0),), **BROKEN), {"gpu 0": FAIL}, {"gpu 0": "dmesg"}
    ),
    "memory errors": Situation(
        but(GPU_MACHINE, gpus=(replace(CARD, ecc=True, ecc_errors=3, repair_pending=True),)), {"gpu 0": WARN}, {"gpu 0": "nvidia-smi -r"}
    ),
    "a GPU that is too hot": Situation(
        but(GPU_MACHINE, gpus=(replace(CARD, temperature_c=92, throttle=("hw_thermal", "sw_thermal", "power_cap")),)),
        {"gpu 0": WARN}, {"gpu 0": "fans"},
    ),
    "a GPU at its power cap, which is its business": Situation(but(GPU_MACHINE, gpus=(replace(CARD, throttle=("power_cap",)),)), {}),
    "a GPU older than CUDA 12": Situation(
        but(GPU_MACHINE, gpus=(replace(CARD, capability=(3, 5)),), **BROKEN), {"gpu 0": WARN}, {"gpu 0": "--device cpu"}
    ),
    "no fabric manager": Situation(
        but(GPU_MACHINE, "cuda", **blind(GPU_MACHINE, "CUDA failed with error system not yet initialized")),
        {"ctranslate2": FAIL}, {"ctranslate2": "fabricmanager"},
    ),
    "a driver that hangs": Situation(
        but(
            GPU_MACHINE, "cuda", look=Trial("asking NVML", ended="gave no answer within 60 s"), gpus=(), driver=Driver(),
            cuda=Cuda(), product=None, decode=None,
        ),
        {"driver": FAIL}, {"driver": "dmesg"},
    ),
    "CUDA crashes": Situation(
        but(GPU_MACHINE, decode=Trial("warming up", ended="was ended by SIGABRT: terminate called")), {"decode": FAIL}, {"decode": "reboot"}
    ),
    "a fault of the GPU in the middle of a decode": Situation(
        but(GPU_MACHINE, decode=Trial("decoding", "CUDA failed with error an illegal memory access was encountered")),
        {"decode": FAIL}, {"decode": "Xid"},
    ),
    "a model that cannot be loaded": Situation(
        replace(CPU_MACHINE, decode=Trial("loading the engine", "/m cannot be loaded: Unsupported model binary version")),
        {"decode": FAIL}, {"decode": "models verify"},
    ),
    "memory that runs out while loading": Situation(
        replace(CPU_MACHINE, decode=Trial("loading the engine", ended="was ended by SIGKILL")), {"decode": FAIL}, {"decode": "smaller --model"}
    ),
    "a CPU that is too old": Situation(
        replace(CPU_MACHINE, decode=Trial("warming up", ended="was ended by SIGILL")), {"decode": FAIL}, {"decode": "AVX"}
    ),
    "a GPU that computes wrong": Situation(
        but(GPU_MACHINE, product=Trial("multiplying", "the product is wrong: this GPU does not compute right")),
        {"fp16 product": FAIL}, {"fp16 product": "reboot"},
    ),
    "a compute type that the device has not": Situation(
        replace(CPU_MACHINE, wanted=Wanted(compute_type="float16")), {"device": FAIL}, {"device": "ENABLE_FP16"}
    ),
    "a model that is not here": Situation(
        replace(CPU_MACHINE, model=Model("small", problem="the model small is not in /m. Three ways out:\n  1. pull\n     it\n  2. copy it")),
        {"model": FAIL}, {"model": "1. pull it\n2. copy it"},
    ),
    "the wrong model directory: a model itself": Situation(
        replace(
            CPU_MACHINE,
            model=Model("small", problem="the model small is not there", kept_in="/app/models", lying_there=("config.json", "model.bin")),
        ),
        {"model": FAIL}, {"model": "--models-dir /app"},
    ),
    "the wrong model directory: a hub's cache": Situation(
        replace(CPU_MACHINE, model=Model("small", problem="not there", kept_in="/h", lying_there=("models--Systran--x",))),
        {"model": FAIL}, {"model": "snapshots"},
    ),
    "the wrong model directory: one too high": Situation(
        replace(CPU_MACHINE, model=Model("small", problem="not there", kept_in="/srv", lying_there=("models",))),
        {"model": FAIL}, {"model": "--models-dir /srv/models"},
    ),
    "a damaged model": Situation(
        replace(CPU_MACHINE, model=replace(MODEL, damaged=("model.bin has 5 bytes instead of 9",))),
        {"model": FAIL}, {"model": "models pull large-v3-turbo"},
    ),
    "too little memory": Situation(
        replace(CPU_MACHINE, system=replace(CPU_MACHINE.system, memory_free_bytes=GIB)), {"memory": WARN}, {"memory": "smaller --model"}
    ),
    "a CPU that is too slow": Situation(
        replace(CPU_MACHINE, decode=replace(CPU_DECODE, figures=DECODE.figures | {"decode_s": 4.0})), {"decode": WARN}, {"decode": "GPU"}
    ),
    "a port that another program has": Situation(
        replace(CPU_MACHINE, port=Port("0.0.0.0", 8001, "Address already in use", True)), {"port": FAIL}, {"port": "ss -ltnp"}
    ),
    "a port at which a gateway runs already": Situation(
        replace(CPU_MACHINE, port=Port("127.0.0.1", 8001, "Address already in use", True, True)), {}
    ),
    "an address that is not this machine's": Situation(
        replace(CPU_MACHINE, port=Port("192.0.2.1", 8001, "Cannot assign requested address")), {"port": FAIL}, {"port": "--host"}
    ),
    "a full disk": Situation(replace(CPU_MACHINE, storage=Storage("/d", True, "ENOSPC", 0)), {"data directory": FAIL}, {"data directory": "make room"}),
    "a disk that is nearly full": Situation(
        replace(CPU_MACHINE, storage=Storage("/d", True, "", GIB // 2)), {"data directory": WARN}, {"data directory": "make room soon"}
    ),
    "a read-only data directory": Situation(
        replace(CPU_MACHINE, storage=Storage("/app/data", True, "EROFS", GIB)), {"data directory": FAIL}, {"data directory": "-v care-voice-data:/app/data"}
    ),
    "somebody else's data directory": Situation(
        replace(CPU_MACHINE, storage=Storage("/app/data", True, "EACCES", GIB)), {"data directory": FAIL}, {"data directory": "chown -R 1000 /app/data"}
    ),
    "no data directory, and captions that are not kept": Situation(
        replace(CPU_MACHINE, wanted=Wanted(keeps_captions=False), storage=Storage("/app/data", True, "EROFS", GIB)),
        {"data directory": WARN},
    ),
    "a clock in the past": Situation(replace(CPU_MACHINE, clock=Clock(0.0, 1.7e9, None)), {"clock": FAIL}, {"clock": "set-ntp"}),
    "a clock that nobody keeps": Situation(replace(CPU_MACHINE, clock=Clock(1.8e9, 1.7e9, False)), {}),
}  # fmt: skip
