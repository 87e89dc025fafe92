"""shell: a model from the hub onto the disk, all of it or none.

The files come into a hidden directory beside the model's own, one for each commit, so that an interrupted
pull goes on where it was. A file gets its name when its checksum is right; the directory gets its name when
all files have theirs. A model directory that exists is therefore whole, also after a power cut.
"""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gateway.inference.catalogue import BUNDLED, CatalogueError, ModelEntry, ModelFile, ways_out
from gateway.inference.hub import Hub, HubError, Unreachable
from gateway.inference.shelf import LOCK_NAME, Lock, read_lock, sha256_of

SPARE_BYTES = 64 << 20
"""Kept free on the disk beyond the model."""
Report = Callable[[str, int, int], None]
"""Called with a file's name, the bytes of it that are here, and its size."""


class DownloadError(Exception):
    """The model could not be downloaded; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file to be had, and how it is recognised: by sha256, or else by the SHA-1 of its git blob."""

    name: str
    bytes: int
    sha256: str
    git_sha1: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pull will bring."""

    commit: str
    files: tuple[Wanted, ...]


def plan(entry: ModelEntry, hub: Hub, revision: str = "") -> Plan:
    """Which files of which commit: from the manifest when it has every checksum, else from the hub.

    `revision` (branch, tag or commit) is taken instead of the manifest's. Raises DownloadError.
    """
    if entry.revision == BUNDLED:
        raise DownloadError(f"{entry.name} comes with Care Voice: there is nothing to download")
    asked = revision or entry.revision
    trusted = entry.files if asked == entry.revision and entry.pinned else {}
    if trusted and all(file.sha256 for file in trusted.values()):
        return Plan(asked, tuple(Wanted(name, file.bytes, file.sha256) for name, file in trusted.items()))
    with _explained(entry):
        commit = asked if re.fullmatch("[0-9a-f]{40}", asked) else _resolved(hub, entry.repository, asked)
        remote = hub.tree(entry.repository, commit)
    if absent := [name for name in entry.files if name not in remote]:
        raise DownloadError(f"{entry.repository} at {commit} has no {', '.join(absent)}")
    unknown = ModelFile(0)
    return Plan(
        commit,
        tuple(
            Wanted(name, file.bytes, trusted.get(name, unknown).sha256 or file.sha256, file.git_sha1)
            for name, file in remote.items()
            if name in entry.files
        ),
    )


def pull(entry: ModelEntry, models: Path, hub: Hub, report: Report, revision: str = "") -> Path:
    """Downloads a model into `models` and returns its directory; one that is there already is left alone.

    Raises DownloadError; KeyboardInterrupt and DownloadError leave a state to go on from.
    """
    wanted = plan(entry, hub, revision)
    target = models / entry.name
    if _is_there(target, wanted):
        return target
    staging = models / f".{entry.name}.{wanted.commit[:12]}.incomplete"
    with _claimed(staging):
        _check_space(staging, wanted)
        for file in wanted.files:
            with _explained(entry):
                _get(file, entry.repository, wanted.commit, staging, hub, report)
        _write_lock(staging, entry, wanted)
        _publish(staging, target)
    return target


def _resolved(hub: Hub, repository: str, revision: str) -> str:
    commit = hub.commit(repository, revision)
    hub.note(
        f"warning: {revision} is no fixed commit and may change; today it is {commit}, which is recorded"
    )
    return commit


def _get(file: Wanted, repository: str, commit: str, staging: Path, hub: Hub, report: Report) -> None:
    final, partial = staging / file.name, staging / f"{file.name}.incomplete"
    if final.exists():
        report(file.name, file.bytes, file.bytes)
        return
    hub.fetch(
        repository, commit, file.name, partial, file.bytes, lambda here: report(file.name, here, file.bytes)
    )
    if not _is_right(partial, file):
        partial.unlink()
        raise HubError(
            f"{file.name} arrived with a wrong checksum and was removed: it was damaged on the way, or it is"
            " not the file that was published. Pull again; if it stays so, do not use this hub or mirror"
        )
    partial.rename(final)


def _is_right(path: Path, file: Wanted) -> bool:
    if file.sha256:
        return sha256_of(path) == file.sha256
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return blob.hexdigest() == file.git_sha1


def _is_there(target: Path, wanted: Plan) -> bool:
    try:
        lock = read_lock(target)
    except CatalogueError:
        return False
    if lock is None or lock.revision != wanted.commit:
        return False
    return all(
        (path := target / file.name).is_file() and path.stat().st_size == file.bytes for file in wanted.files
    )


def _check_space(staging: Path, wanted: Plan) -> None:
    here = sum(path.stat().st_size for path in staging.iterdir())
    needed = sum(file.bytes for file in wanted.files) - here + SPARE_BYTES
    free = shutil.disk_usage(staging).free
    if needed > free:
        raise DownloadError(
            f"{staging.parent} has {free / 1e6:.0f} MB free and the model needs {needed / 1e6:.0f} MB more;"
            " make room, or choose another place with --models-dir"
        )


@contextmanager
def _claimed(staging: Path) -> Iterator[None]:
    """The directory exists and is ours alone until the end."""
    claim = staging / ".claim"
    try:
        staging.mkdir(parents=True, exist_ok=True)
        handle = os.open(claim, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise DownloadError(
            f"cannot write to {staging.parent} ({error.strerror}); in a container it is mounted read-only:"
            " pull on the host, or choose another place with --models-dir"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DownloadError(f"another pull of this model is running (it holds {claim})") from error
    else:
        yield
    finally:
        os.close(handle)


@contextmanager
def _explained(entry: ModelEntry) -> Iterator[None]:
    try:
        yield
    except Unreachable as error:
        raise DownloadError(f"{entry.name}: {error}. Three ways out:\n{ways_out(entry)}") from error
    except HubError as error:
        raise DownloadError(f"{entry.name}: {error}") from error
    except OSError as error:
        raise DownloadError(f"{entry.name}: cannot be written ({error.strerror or error})") from error


def _write_lock(staging: Path, entry: ModelEntry, wanted: Plan) -> None:
    files = {
        file.name: ModelFile(file.bytes, file.sha256 or sha256_of(staging / file.name))
        for file in wanted.files
    }
    lock = Lock(entry.name, entry.repository, wanted.commit, files)
    (staging / LOCK_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(lock)) + b"\n")


def _publish(staging: Path, target: Path) -> None:
    """Two renames: between them the model is absent, never mixed."""
    for path in staging.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    (staging / ".claim").unlink()
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    staging.rename(target)
    shutil.rmtree(old, ignore_errors=True)
