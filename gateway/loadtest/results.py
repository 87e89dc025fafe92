"""core: the document that `--json` writes and the report is made of."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.loadtest.figures import Figures
from gateway.loadtest.level import Verdict

SCHEMA = "care-voice.loadtest/1"
"""A reader refuses other numbers; fields may be added without a new one."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run, held for its whole duration or a short step of the search."""

    full: bool
    figures: Figures
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Document:
    """A load test. NaN is null in JSON."""

    at: str
    """When it ended, ISO 8601."""
    command: str
    """That repeats it; without the key."""
    gateway: dict[str, Any]
    """url, and model, device, compute_type of /health, as far as it was shown."""
    machine: dict[str, Any]
    """Of the load generator: cpu, cores, memory_gib."""
    conditions: dict[str, Any]
    """profile, chunk_ms, hangover_ms, seed, audio, duration_s."""
    run: RunResult
    """What the verdict is about: the only run, or the one that a search ended with."""
    unloaded: Figures | None = None
    steps: tuple[RunResult, ...] = ()
    """Of a search, in order."""
    capacity: int | None = None
    """Streams; None: it was not looked for."""
    at_least: bool = False
    """The gateway may hold more: the search ended at the generator's limit, or at --max-streams."""
    notes: tuple[str, ...] = ()
    """What could not be measured, and why."""
    schema: str = field(default=SCHEMA)


def typed(arguments: Sequence[str]) -> str:
    """The command line as it was typed, without the key."""
    words = ["care-voice", *arguments]
    for i, word in enumerate(words):
        if i and words[i - 1] == "--key":
            words[i] = "…"
        elif word.startswith("--key="):
            words[i] = "--key=…"
    return shlex.join(words)


def to_json(document: Document) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
