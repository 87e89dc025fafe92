"""core: text -> pieces of two lines that fit on a screen: 42 columns, a Chinese character takes two.

It is cut after a sentence if there is one in the second half of what fits, else after a clause, else between
words (or characters, where a script has no spaces), and never before a closing mark.
"""

import re
import unicodedata

LINE_COLUMNS = 42
LINES = 2
SENTENCE_ENDS = tuple("。！？!?.…")
CLAUSE_ENDS = tuple("，、；：,;:")
OPENING = "（〔「『【《([{‘“"
CLOSING = "。！？，、；：…）〕」』】》!?.,;:)]}%’”"


def columns(text: str) -> int:
    """How wide it is: East Asian wide characters take two, combining ones none."""
    return sum(_width(character) for character in text)


def cleaned(text: str) -> str:
    """Without line breaks and control characters, spaces single."""
    kept = (" " if character.isspace() else character for character in text)
    return " ".join("".join(c for c in kept if unicodedata.category(c) not in {"Cc", "Cs"}).split())


def split(text: str) -> list[tuple[str, ...]]:
    """Pieces of one or two lines each; joined, with the spaces at the cuts, they are the text again."""
    pieces: list[tuple[str, ...]] = []
    units = _units(cleaned(text))
    while units:
        fitting = _fitting(units)
        count = fitting if fitting == len(units) else _cut(units[:fitting])
        pieces.append(_lines(units[:count]))
        units = units[count:]
    return pieces


def _fitting(units: list[str]) -> int:
    """How many of them fit; at least one."""
    room, line = LINES, ""
    for count, unit in enumerate(units):
        if line and columns((line + unit).rstrip()) > LINE_COLUMNS:
            room -= 1
            line = ""
        if not room:
            return count
        line += unit
    return len(units)


def _cut(units: list[str]) -> int:
    """Where to cut what fits: after a sentence or clause in its second half, else at its end."""
    for ends in (SENTENCE_ENDS, CLAUSE_ENDS):
        for count in range(len(units), len(units) // 2, -1):
            if units[count - 1].rstrip().endswith(ends):
                return count
    return len(units)


def _lines(units: list[str]) -> tuple[str, ...]:
    lines = [""]
    for unit in units:
        if lines[-1] and columns((lines[-1] + unit).rstrip()) > LINE_COLUMNS:
            lines.append("")
        lines[-1] += unit
    return tuple(line.rstrip() for line in lines)


def _units(text: str) -> list[str]:
    """What is never cut: words and wide characters, with the closing marks and spaces after them."""
    units: list[str] = []
    for match in re.finditer(r"\S+\s*", text):
        start = 0
        word = match.group()
        for place in range(1, len(word)):
            too_long = columns(word[start : place + 1].rstrip()) > LINE_COLUMNS
            if too_long or _may_part(word[place - 1], word[place]):
                units.append(word[start:place])
                start = place
        units.append(word[start:])
    return units


def _may_part(left: str, right: str) -> bool:
    """Wide characters may stand on different lines, but for marks that close something and for accents."""
    if right.isspace() or right in CLOSING or not _width(right):
        return False
    return left not in OPENING and 2 in (_width(left), _width(right))


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
