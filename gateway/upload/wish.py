"""core: the fields of an upload's form -> what is wanted, or which field is wrong and why."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from gateway.transcript.tags import read_tag
from gateway.upload.failure import UploadFailed
from gateway.upload.formats import Format
from gateway.upload.languages import code_of

FORMATS: tuple[str, ...] = get_args(Format)
GRANULARITIES = {"segment", "word"}
TRUE, FALSE = {"true", "1"}, {"false", "0", ""}
Fields = Mapping[str, Sequence[str]]
"""Name, brackets at its end left out -> values in order."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client wants of its file."""

    task: str
    """transcribe | translate"""
    format: Format = "json"
    language: str | None = None
    script: str | None = None
    """Chinese script; None: the gateway's own."""
    temperature: float = 0.0
    prompt: str = ""
    hotwords: tuple[str, ...] = ()
    words: bool = False
    segments: bool = True
    stream: bool = False


def read(fields: Fields, task: str, max_prompt_chars: int) -> Wish:
    """Raises UploadFailed (400). Whether the model knows the language is not looked at."""
    if not _last(fields, "model"):
        raise _bad(
            "model", "Name a model: any name means the one that is loaded.", "missing_required_parameter"
        )
    chosen = _last(fields, "response_format") or "json"
    if chosen not in FORMATS:
        raise _bad("response_format", f"`response_format` must be one of: {', '.join(FORMATS)}.")
    format: Any = chosen
    granularities = set(fields.get("timestamp_granularities", ())) or {"segment"}
    if not granularities <= GRANULARITIES:
        raise _bad("timestamp_granularities", "`timestamp_granularities[]` must be segment, word or both.")
    # Whisper reads the end of a prompt that is too long, and one line.
    prompt = " ".join(_last(fields, "prompt").split())[-max_prompt_chars:] if max_prompt_chars else ""
    return Wish(
        task=task,
        format=format,
        language=code_of(_last(fields, "language")) or None,
        script=read_tag(_last(fields, "language")).script,
        temperature=_temperature(_last(fields, "temperature")),
        prompt=prompt,
        hotwords=tuple(fields.get("keywords", ())),
        words=format == "verbose_json" and "word" in granularities,
        segments="segment" in granularities,
        stream=_is_true("stream", _last(fields, "stream")),
    )


def _last(fields: Fields, name: str) -> str:
    values = fields.get(name)
    return values[-1].strip() if values else ""


def _is_true(name: str, text: str) -> bool:
    if text.lower() not in TRUE | FALSE:
        raise _bad(name, f"`{name}` must be true or false.")
    return text.lower() in TRUE


def _temperature(text: str) -> float:
    try:
        temperature = float(text or "0")
    except ValueError:
        temperature = math.nan
    if not 0 <= temperature <= 1:
        raise _bad("temperature", "`temperature` must be a number from 0 to 1.")
    return temperature


def _bad(param: str, message: str, code: str = "invalid_value") -> UploadFailed:
    return UploadFailed(400, code, message, param)
