"""core: language tags as clients write them -> Whisper's language and the Chinese script wanted."""

from dataclasses import dataclass

SCRIPTS = {"tw": "twp", "hant": "twp", "hk": "hk", "mo": "hk", "cn": "cn", "sg": "cn", "hans": "cn"}
"""Region or script of a Chinese language tag -> Chinese script."""
OTHER_NAMES = {"cmn": "zh", "nb": "no", "fil": "tl", "iw": "he", "jv": "jw", "auto": "", "und": ""}
"""Codes of languages that Whisper calls otherwise; empty: it is to be detected."""


@dataclass(frozen=True, slots=True)
class Tongue:
    """What is spoken, and how it is to be written."""

    language: str | None
    """Whisper's code, known to the model or not. None: detect it."""
    script: str | None
    """Chinese script; None: the gateway's own."""


def read_tag(tag: str | None) -> Tongue:
    """A BCP-47 tag: `en-US` is en, `zh-CN` zh in Simplified characters; empty: detect the language."""
    first, *parts = (tag or "").strip().lower().replace("_", "-").split("-")
    language = OTHER_NAMES.get(first, first) or None
    script = next((SCRIPTS[part] for part in reversed(parts) if part in SCRIPTS), None)
    return Tongue(language, script if language == "zh" else None)
