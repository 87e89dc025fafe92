"""core: what a Wyoming server says of itself, and what it is asked for: `info` and `transcribe`."""

from collections.abc import Sequence
from typing import Any

from gateway import __version__
from gateway.config import ServerSettings
from gateway.connection.protocols.wishes import fitting
from gateway.events import ModelInfo
from gateway.transcript.tags import Tongue, read_tag

ATTRIBUTION = {"name": "Care Voice", "url": ""}
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


def tongue_of(tag: Any, languages: Sequence[str]) -> Tongue:
    """What the model does not know is detected: words are better than an error that Home Assistant does not
    show."""
    tongue = read_tag(tag if isinstance(tag, str) else None)
    return tongue if tongue.language in languages else Tongue(None, None)


def hotwords_of(names: Any, terms: Any, settings: ServerSettings) -> list[str]:
    """Words to listen for, names first; as many as a session may give, since they are hints."""
    named = [item for item in [*_list(names), *_list(terms)] if isinstance(item, str)]
    return fitting(named, settings)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
