"""core: what a Wyoming server says of itself, and what it is asked for: `info` and `transcribe`."""

import unicodedata
from collections.abc import Sequence
from typing import Any

from gateway import __version__
from gateway.config import ServerSettings
from gateway.events import ModelInfo

ATTRIBUTION = {"name": "Care Voice", "url": ""}
OTHER_NAMES = {"cmn": "zh", "nb": "no", "fil": "tl", "iw": "he", "jv": "jw"}
"""Codes that are not Whisper's."""
OTHER_SERVICES = ("tts", "handle", "intent", "wake", "mic", "snd")


def info(model: ModelInfo) -> dict[str, Any]:
    """The data of `info`: one program, with the loaded model."""
    artifact = {"attribution": ATTRIBUTION, "installed": True, "version": __version__}
    named = {"name": model.name, "description": f"Whisper model {model.name}", "languages": model.languages}
    program = {
        "name": "care-voice",
        "description": "Care Voice speech gateway",
        "models": [artifact | named],
        "supports_transcript_streaming": True,
    }
    return {"asr": [artifact | program], **{service: [] for service in OTHER_SERVICES}}


def language_of(tag: Any, languages: Sequence[str]) -> str | None:
    """en-US -> en; None, which detects it, for what the model does not know: words are better than an error
    that Home Assistant does not show."""
    if not isinstance(tag, str):
        return None
    code = tag.replace("_", "-").partition("-")[0].strip().lower()
    code = OTHER_NAMES.get(code, code)
    return code if code in languages else None


def hotwords_of(names: Any, terms: Any, settings: ServerSettings) -> list[str]:
    """Words to listen for, names first; as many as a session may give, since they are hints."""
    found: list[str] = []
    room_chars = settings.max_prompt_chars
    for item in [*_list(names), *_list(terms)]:
        word = _printable(item).strip() if isinstance(item, str) else ""
        if len(found) < settings.max_hotwords and word and len(word) <= room_chars:
            found.append(word)
            room_chars -= len(word) + len(", ")
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _printable(text: str) -> str:
    return "".join(c for c in text if unicodedata.category(c)[0] != "C")
