"""core: an admission limit in the gateway's configuration: one TOML key changes, all other text stays."""

import re
import tomllib
from typing import Any

SECTION, KEY = "server", "max_sessions"
_HEADER = re.compile(rf"^[ \t]*\[[ \t]*{SECTION}[ \t]*\][ \t]*(#.*)?$")
_ANY_HEADER = re.compile(r"^[ \t]*\[")
_VALUE = re.compile(rf"^(?P<head>[ \t]*{KEY}[ \t]*=[ \t]*)(?P<value>[^#\s]+)(?P<tail>.*)$")


class CalibrationError(Exception):
    """The file cannot be changed safely; the message says what to write by hand."""


def with_limit(text: str, limit: int) -> str:
    """The text with `max_sessions = limit` under [server]. Raises CalibrationError; never a text that means
    anything else than the old one and this."""
    try:
        wanted: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CalibrationError(f"the configuration is not a TOML file: {error}") from None
    by_hand = f"its layout is unusual: write by hand `{KEY} = {limit}` under [{SECTION}]"
    if not isinstance(wanted.setdefault(SECTION, {}), dict):
        raise CalibrationError(by_hand)
    wanted[SECTION][KEY] = limit
    changed = _changed(text, limit)
    try:
        if tomllib.loads(changed) == wanted:
            return changed
    except tomllib.TOMLDecodeError:
        pass
    raise CalibrationError(by_hand)


def _changed(text: str, limit: int) -> str:
    """Its line replaced, or added below the section's head, or with a section of its own at the end."""
    lines = text.splitlines(keepends=True)
    head = next((i for i, line in enumerate(lines) if _HEADER.match(line.rstrip("\r\n"))), None)
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    if head is None:
        gap = end_of_line if text and not text.endswith(("\n", "\r")) else ""
        return f"{text}{gap}{end_of_line if text else ''}[{SECTION}]{end_of_line}{KEY} = {limit}{end_of_line}"
    for i in range(head + 1, len(lines)):
        if _ANY_HEADER.match(lines[i]):
            break
        if match := _VALUE.match(lines[i].rstrip("\r\n")):
            ending = lines[i][len(lines[i].rstrip("\r\n")) :]
            lines[i] = f"{match['head']}{limit}{match['tail']}{ending}"
            return "".join(lines)
    if not lines[head].endswith(("\n", "\r")):
        lines[head] += end_of_line
    lines.insert(head + 1, f"{KEY} = {limit}{end_of_line}")
    return "".join(lines)
