"""core: the models that the gateway knows by name (models/manifest.toml), and which one is meant.

A model is meant by its name in the manifest, by a directory, or by `auto`. What is asked for and is not there
is an error that says how to get it: never another model instead. A string with a slash is a directory and
nothing else: nothing that somebody types makes the gateway load from a repository outside the manifest.
"""

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

import msgspec

GPU_DEFAULT = "large-v3-turbo"
CPU_DEFAULT = "small"
BUNDLED = "bundled"
"""Revision of the model that comes with the gateway."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")


class CatalogueError(Exception):
    """No model can be had this way; the message says why and what to do."""


class UnknownModel(CatalogueError):
    """No such name and no such directory."""


class ModelMissing(CatalogueError):
    """A name that is known, but the model has not been downloaded."""


class NotAModel(UnknownModel):
    """A directory that lacks the files of a CTranslate2 Whisper model."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model."""

    bytes: int
    """Exact where `sha256` is known, else for display only."""
    sha256: str = ""
    """Empty: the hub's own checksum of that commit is checked instead."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model of the manifest."""

    name: str
    revision: str
    """The commit, 40 hex digits, when `pinned`; `bundled` for the demo."""
    pinned: bool
    languages: tuple[str, ...]
    """Codes such as en, zh; ("*",): all of Whisper's."""
    mel_bands: int
    license: str
    short_context: bool
    """Its accuracy was measured with an encoder context shorter than 30 s."""
    gpu_float16_mb: int
    """Memory to expect, with four windows of 30 s in one pass."""
    cpu_int8_mb: int
    """Memory to expect while loading and for one window of 30 s."""
    description: str
    description_zh_tw: str
    files: Mapping[str, ModelFile]
    repository: str = ""
    """owner/name at the hub; empty when bundled."""

    @property
    def download_bytes(self) -> int:
        return sum(file.bytes for file in self.files.values())


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All models of the manifest, in its order."""

    models: Mapping[str, ModelEntry]

    def find(self, name: str) -> ModelEntry:
        """The model called `name` (letter case does not matter).

        Raises UnknownModel, whose message has the near matches.
        """
        entry = self.models.get(name.strip().lower())
        if entry is None:
            raise UnknownModel(_unknown(name, self.models))
        return entry


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the file system says."""

    kept_in: str
    """The directory that models are downloaded into."""
    models: Mapping[str, str]
    """Name -> directory, of the models that are there with all their files."""
    directory: frozenset[str] | None = None
    """The files in the directory that the setting names, or None if there is no such directory."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The model to load."""

    name: str
    """What to call it: its name in the manifest, or the last part of its directory."""
    directory: str
    entry: ModelEntry | None
    """None for a directory of the user's own."""


def parse_catalogue(text: str) -> Catalogue:
    """Reads the manifest. Raises CatalogueError that names the model and the field at fault."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"the model manifest is no valid TOML: {error}") from error
    if document.get("format", 1) != 1 or not isinstance(document.get("model"), dict):
        raise CatalogueError("the model manifest is of a format that this version does not know")
    return Catalogue({name: _parse_entry(name, raw) for name, raw in document["model"].items()})


def choose(catalogue: Catalogue, model: str, cuda: bool, shelf: Shelf) -> Choice:
    """Which model `model` (a name, a directory, or `auto`) means on this machine.

    Raises UnknownModel, ModelMissing or NotAModel; it never takes another model instead.
    """
    name = model.strip().lower()
    if name == "auto":
        name = GPU_DEFAULT if cuda else CPU_DEFAULT
    if name in catalogue.models:
        entry = catalogue.find(name)
        if name not in shelf.models:
            auto = model.strip().lower() == "auto"
            because = f"`auto` means it on the {'GPU' if cuda else 'CPU'}" if auto else ""
            raise ModelMissing(_missing(entry, shelf.kept_in, because))
        return Choice(name, shelf.models[name], entry)
    if shelf.directory is None:
        raise UnknownModel(_unknown(model, catalogue.models))
    if absent := missing_files(shelf.directory):
        raise NotAModel(
            f"{model} is no CTranslate2 Whisper model: {', '.join(absent)} is not in it."
            " models/README.md says how to convert a model."
        )
    return Choice(model.rstrip("/").rpartition("/")[2] or model, model, None)


def missing_files(present: Collection[str]) -> list[str]:
    """What a directory with the files `present` lacks to be a model.

    tokenizer.json belongs to it: without it faster-whisper would fetch a tokenizer from the network.
    """
    absent = [name for name in ("config.json", "model.bin", "tokenizer.json") if name not in present]
    if not any(name in present for name in _VOCABULARIES):
        absent.append(" or ".join(_VOCABULARIES))
    return absent


def ways_out(entry: ModelEntry) -> str:
    """The three ways to a model when it is not here."""
    name, size = entry.name, f"{entry.download_bytes / 1e6:.0f} MB"
    return (
        f"  1. with network:     care-voice models pull {name}   ({size})\n"
        f"  2. without network:  where it is, `care-voice models path {name}` prints its directory:\n"
        "                       copy it here and start with --model DIRECTORY\n"
        "  3. to try it out:    --model demo   (built in; understands clear synthetic speech only)"
    )


def _missing(entry: ModelEntry, kept_in: str, because: str) -> str:
    why = f" ({because})" if because else ""
    return f"the model {entry.name}{why} is not in {kept_in}. Three ways out:\n{ways_out(entry)}"


def _unknown(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name.strip().lower(), [*known, "auto"], n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    where = "There is no such directory." if "/" in name else "`care-voice models list` shows all names."
    return f"no model is called {name!r}.{hint} {where}"


def _parse_entry(name: str, raw: dict[str, Any]) -> ModelEntry:
    known = {field.name for field in fields(ModelEntry)} - {"name"}
    if unknown := raw.keys() - known:
        raise CatalogueError(f"model manifest, {name}: unknown field {', '.join(sorted(unknown))}")
    try:
        entry = msgspec.convert({"name": name, **raw}, ModelEntry)
    except msgspec.ValidationError as error:
        raise CatalogueError(f"model manifest, {name}: {error}") from error
    if fault := _fault(entry):
        raise CatalogueError(f"model manifest, {name}: {fault}")
    return entry


def _fault(entry: ModelEntry) -> str:
    """What is wrong with an entry whose types are right; empty: nothing."""
    if entry.name != entry.name.lower() or "/" in entry.name or entry.name.startswith("."):
        return "a name is lower case, without slash or leading dot"
    if (entry.revision == BUNDLED) != (entry.repository == ""):
        return "a model has a repository unless its revision is bundled"
    if entry.pinned and entry.revision != BUNDLED and not _COMMIT.fullmatch(entry.revision):
        return "a pinned revision is a commit of 40 hex digits"
    for name, file in entry.files.items():
        if "/" in name or name.startswith(".") or file.bytes <= 0:
            return f"{name} is no plain file name with a size"
        if file.sha256 and not _SHA256.fullmatch(file.sha256):
            return f"{name}: a sha256 has 64 hex digits"
    absent = missing_files(entry.files)
    return f"files lack {', '.join(absent)}" if absent else ""
