"""core: hotwords and prompts as clients of other protocols write them -> as a session takes them.

They are hints, and no reason to refuse anybody.
"""

import unicodedata
from collections.abc import Iterable

from gateway.config import ServerSettings

CONTROLS = {"Cc", "Cs"}


def fitting(words: Iterable[str], settings: ServerSettings) -> list[str]:
    """Hotwords as many as a session may give, the first ones."""
    found: list[str] = []
    room_chars = settings.max_prompt_chars
    for word in map(one_line, words):
        if len(found) < settings.max_hotwords and word and len(word) <= room_chars:
            found.append(word)
            room_chars -= len(word) + len(", ")
    return found


def prompt_of(text: str, settings: ServerSettings) -> str:
    """Of a long prompt the end counts, as it does for Whisper itself."""
    line = one_line(text)
    return line[max(0, len(line) - settings.max_prompt_chars) :]


def one_line(text: str) -> str:
    """Without line breaks and other control characters."""
    return " ".join("".join(" " if unicodedata.category(c) in CONTROLS else c for c in text).split())
