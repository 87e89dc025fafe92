"""shell: where models are kept, which are there, and whether their files are what they should be."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from gateway.inference.catalogue import (
    BUNDLED,
    Catalogue,
    CatalogueError,
    Choice,
    ModelEntry,
    ModelFile,
    Shelf,
    choose,
    parse_catalogue,
)
from gateway.resources import bundled_models_dir

LOCK_NAME = "care-voice.lock.json"
"""Lies beside the files of a downloaded model and says what they were when they were verified."""
_CONTAINER_DIR = Path("/app/models")


@dataclass(frozen=True, slots=True)
class Lock:
    """What a download verified."""

    model: str
    repository: str
    revision: str
    """The commit."""
    files: dict[str, ModelFile]


@dataclass(frozen=True, slots=True)
class FileCheck:
    """How one file compares with what it should be."""

    name: str
    problem: str
    """Empty: it is right."""
    checked: bool = True
    """False: nobody recorded a checksum, only that it is there."""


def load_catalogue() -> Catalogue:
    """The models of the manifest. Raises CatalogueError."""
    return parse_catalogue((bundled_models_dir() / "manifest.toml").read_text(encoding="utf-8"))


def models_dir(configured: str = "") -> Path:
    """Where models are kept: what is configured, else /app/models if it exists, else the user's cache."""
    if configured:
        return Path(configured).expanduser().absolute()
    return _CONTAINER_DIR if _CONTAINER_DIR.is_dir() else Path("~/.cache/care-voice/models").expanduser()


def installed(catalogue: Catalogue, models: Path) -> dict[str, Path]:
    """Name -> directory of the models that are there with all their files, in their full size.

    A download in progress has a hidden directory of another name and is never among them.
    """
    found = {}
    for name, entry in catalogue.models.items():
        directory = (bundled_models_dir() if entry.revision == BUNDLED else models) / name
        if _is_complete(directory, entry):
            found[name] = directory
    return found


def choose_model(model: str, cuda: bool, models: Path) -> Choice:
    """The model that a name, a directory or `auto` means, kept in `models`. Raises CatalogueError."""
    catalogue = load_catalogue()
    directory = Path(model).expanduser()
    shelf = Shelf(
        kept_in=str(models),
        models={name: str(path) for name, path in installed(catalogue, models).items()},
        directory=frozenset(os.listdir(directory)) if directory.is_dir() else None,
    )
    choice = choose(catalogue, model, cuda, shelf)
    return choice if choice.entry else replace(choice, directory=str(directory.absolute()))


def verify(directory: Path, entry: ModelEntry) -> Iterator[FileCheck]:
    """Reads every file of a model and compares it with the manifest and the lock, one after another."""
    for name, expected in expected_files(directory, entry).items():
        yield FileCheck(name, *_compare(directory / name, expected))


def expected_files(directory: Path, entry: ModelEntry) -> dict[str, ModelFile]:
    """The manifest's checksums; the lock's where the manifest has none or another commit was asked for."""
    lock = read_lock(directory)
    if lock is None:
        return dict(entry.files)
    if lock.revision != entry.revision:
        return lock.files
    return {name: file if file.sha256 else lock.files.get(name, file) for name, file in entry.files.items()}


def read_lock(directory: Path) -> Lock | None:
    """The lock beside a model's files; None: there is none. Raises CatalogueError when it cannot be read."""
    path = directory / LOCK_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Lock)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise CatalogueError(
            f"{path} cannot be read ({error}); remove the directory and pull it again"
        ) from error


def sha256_of(path: Path) -> str:
    """Of a file of any size. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_complete(directory: Path, entry: ModelEntry) -> bool:
    try:
        expected = expected_files(directory, entry)
    except CatalogueError:
        return False
    return bool(expected) and all(_looks_right(directory / name, file) for name, file in expected.items())


def _looks_right(path: Path, expected: ModelFile) -> bool:
    """Without reading it: half-copied files are shorter."""
    if not path.is_file():
        return False
    size = path.stat().st_size
    return size == expected.bytes if expected.sha256 else size > 0


def _compare(path: Path, expected: ModelFile) -> tuple[str, bool]:
    if not path.is_file():
        return "is missing", True
    if not expected.sha256:
        return "", False
    if (size := path.stat().st_size) != expected.bytes:
        return f"has {size} bytes instead of {expected.bytes}", True
    if not os.access(path, os.R_OK):
        return "cannot be read", True
    return ("" if sha256_of(path) == expected.sha256 else "has another sha256"), True
