"""core: findings about the model's files and about what the gateway needs of its machine."""

from collections.abc import Iterator

from gateway.diagnosis.findings import LESS_MEMORY, Finding, Status, size, takes_gpu
from gateway.diagnosis.observed import Observed

LOW_BYTES = 1 << 30
EMPTY_BYTES = 64 << 20
"""Less free space than this is a full disk: the journal's own files need some."""
CLOCK_SLACK_S = 86_400
"""Files may come from a machine whose clock is ahead."""
CLOCK = (
    "set it right and keep it so: sudo timedatectl set-ntp true; tokens, certificates, captions carry times"
)
PULL_AGAIN = "remove the directory and pull it again: care-voice models pull {name}"
MOUNT_DATA = "give it a volume: -v care-voice-data:/app/data, or --data-dir DIRECTORY"
DISK_REMEDIES = {
    "EROFS": f"the file system is mounted read-only. In a container {MOUNT_DATA}; else see dmesg for why",
    "EACCES": "let user {user} write there: sudo chown -R {user} {path} (rootless podman: podman "
    "unshare chown); with SELinux mount it with :Z; or take another --data-dir",
    "ENOSPC": "the disk is full: make room, or take another --data-dir",
    "EDQUOT": "the quota is used up: make room, or take another --data-dir",
    "ENOTDIR": "that is a file: take another --data-dir",
}  # fmt: skip


def judge(seen: Observed) -> list[Finding]:
    return [*_model(seen), *_memory(seen), *_storage(seen), *_port(seen), *_clock(seen)]


def _gateway(name: str, status: Status, detail: str, remedy: str = "") -> Finding:
    return Finding("gateway", name, status, detail, remedy)


def _model(seen: Observed) -> Iterator[Finding]:
    model = seen.model
    if model.problem:
        first, _, ways = model.problem.partition("\n")
        remedy = _astray(seen) or _joined(ways) or "care-voice models list shows all that have a name"
        yield Finding("model", "model", Status.FAIL, first, remedy)
    elif model.damaged:
        remedy = PULL_AGAIN.format(name=model.name)
        yield Finding(
            "model",
            "model",
            Status.FAIL,
            f"{model.name} in {model.directory}: {', '.join(model.damaged)}",
            remedy,
        )
    else:
        how = (
            "all files are as published"
            if model.recorded
            else "its own directory: nothing to compare it with"
        )
        yield Finding("model", "model", Status.OK, f"{model.name} in {model.directory}: {how}")


def _joined(ways: str) -> str:
    """A numbered list, one line an item however it was broken, single spaces."""
    items: list[str] = []
    for line in ways.splitlines():
        words = " ".join(line.split())
        if items and not words[:1].isdigit():
            items[-1] += f" {words}"
        else:
            items.append(words)
    return "\n".join(items)


def _astray(seen: Observed) -> str:
    """What to do where models are looked for in the wrong directory; empty: it is not that."""
    model, names = seen.model, set(seen.model.lying_there)
    if "model.bin" in names:
        above = model.kept_in.rpartition("/")[0] or "/"
        return f"{model.kept_in} is itself a model: --models-dir {above} (or mount that), or --model with it"
    if hub := sorted(name for name in names if name.startswith("models--")):
        return (
            f"{model.kept_in} is a cache of huggingface_hub: start with --model "
            f"{model.kept_in}/{hub[0]}/snapshots/COMMIT, or pull the model anew"
        )
    if "models" in names:
        return f"{model.kept_in} has a directory models: is that the one? --models-dir {model.kept_in}/models"
    return ""


def _memory(seen: Observed) -> Iterator[Finding]:
    free, model = seen.system.memory_free_bytes, seen.model
    if takes_gpu(seen):
        yield from _gpu_memory(seen)
        return
    told = f"{size(free)} free, {seen.system.cores} core(s)"
    if free < model.cpu_bytes:
        told += f"; {model.name} wants about {size(model.cpu_bytes)}"
        yield _gateway(
            "memory",
            Status.WARN,
            told,
            "take a smaller --model, or give this machine or container more memory",
        )
    else:
        yield _gateway("memory", Status.OK, told)


def _gpu_memory(seen: Observed) -> Iterator[Finding]:
    """Of the emptiest GPU: more than one is served by itself."""
    free = [
        gpu.memory_bytes - (gpu.memory_used_bytes or 0) for gpu in seen.accelerator.gpus if gpu.memory_bytes
    ]
    if free and max(free) < seen.model.gpu_bytes:
        told = (
            f"the GPU has {size(max(free))} free; {seen.model.name} wants about {size(seen.model.gpu_bytes)}"
        )
        yield Finding("gpu", "gpu memory", Status.WARN, told, LESS_MEMORY)


def _storage(seen: Observed) -> Iterator[Finding]:
    storage = seen.storage
    bad = Status.FAIL if seen.wanted.keeps_captions else Status.WARN
    where = storage.path if storage.exists else f"{storage.path} (will be made)"
    if storage.error:
        remedy = DISK_REMEDIES.get(
            storage.error, "take another --data-dir; dmesg says what the disk's trouble is"
        )
        remedy = remedy.format(user=seen.system.user_id, path=storage.path)
        yield _gateway("data directory", bad, f"{where} cannot be written: {storage.error}", remedy)
    elif storage.free_bytes < EMPTY_BYTES:
        yield _gateway(
            "data directory", bad, f"{where}: only {size(storage.free_bytes)} free", DISK_REMEDIES["ENOSPC"]
        )
    elif storage.free_bytes < LOW_BYTES:
        remedy = "make room soon: du -sh DIRECTORY; recordings and captions.sqlite3.corrupt-* grow largest"
        yield _gateway("data directory", Status.WARN, f"{where}: {size(storage.free_bytes)} free", remedy)
    else:
        yield _gateway(
            "data directory", Status.OK, f"{where}: can be written, {size(storage.free_bytes)} free"
        )


def _port(seen: Observed) -> Iterator[Finding]:
    port = seen.port
    where = f"{port.host}:{port.port}"
    if port.ours:
        yield _gateway("port", Status.OK, f"{where}: a Care Voice gateway answers there already")
    elif port.in_use:
        remedy = f"ss -ltnp | grep {port.port} says which; stop it, or take another --port"
        yield _gateway("port", Status.FAIL, f"{where}: another program listens there", remedy)
    elif port.error:
        remedy = "give an address of this machine with --host, and a --port from 1024 on"
        yield _gateway("port", Status.FAIL, f"{where}: {port.error}", remedy)
    else:
        yield _gateway("port", Status.OK, f"{where}: free")


def _clock(seen: Observed) -> Iterator[Finding]:
    clock = seen.clock
    if clock.now_s < clock.installed_s - CLOCK_SLACK_S:
        days = (clock.installed_s - clock.now_s) / 86_400
        yield _gateway("clock", Status.FAIL, f"{days:.0f} days before this program was installed", CLOCK)
    elif clock.synchronized:
        yield _gateway("clock", Status.OK, "kept right by the network")
    elif clock.synchronized is None:
        yield _gateway("clock", Status.OK, "plausible; whether somebody keeps it right cannot be seen here")
    else:
        yield _gateway(
            "clock", Status.ABSENT, "plausible, but the kernel knows of nobody who keeps it right (NTP)"
        )
