"""core: hotwords as clients of other protocols name them -> hotwords that a session takes."""

from collections.abc import Iterable

from gateway.config import ServerSettings


def fitting(words: Iterable[str], settings: ServerSettings) -> list[str]:
    """Hotwords as many as a session may give, the first ones: they are hints, and no reason to refuse one."""
    found: list[str] = []
    room_chars = settings.max_prompt_chars
    for word in (word.strip() for word in words):
        if len(found) < settings.max_hotwords and word and len(word) <= room_chars:
            found.append(word)
            room_chars -= len(word) + len(", ")
    return found
