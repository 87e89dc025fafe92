"""core: texts as units that can be compared: words, or characters where a script has no spaces.

A unit carries the punctuation after it and the space before it, so that joining the units of a text
gives the text back exactly. Two units are the same when they differ only in case, width or punctuation:
a partial ends in a full stop wherever it was cut, and that is no disagreement. Chinese, Japanese, Thai,
Lao, Burmese, Khmer and Tibetan are written without spaces: there each character with its combining
marks is a unit, also in the middle of a text that is otherwise English.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

_SPACELESS = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u3005-\u3007\u3040-\u30ff\u3105-\u312f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_MARKS = "\u200c\u200d" + "".join(
    chr(code)
    for code in (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0))
    if unicodedata.category(chr(code)).startswith("M")
)
_LETTER = rf"(?:(?![{_SPACELESS}])[^\W_])"
_WORD = rf"{_LETTER}(?:[A-Za-z0-9]+|[{_MARKS}]|{_LETTER}|[-'’‐‑./:@&_](?={_LETTER})|(?<=\d),(?=\d))*"
_CORE = re.compile(rf"{_WORD}|(?![{_MARKS}])[{_SPACELESS}][{_MARKS}]*")
_MEANING = re.compile(rf"[^\W_][{_MARKS}]*|(?<=\d)[.:/-](?=\d)|(?<=\d)%")
_NEXT_BEGINS = re.compile(r"[\s\[({<«‹“‘「『《〈（【〔［｛＂¿¡]")


def split(text: str) -> list[str]:
    """Units of a text; joined they are the text.

    A text without letters or digits is one unit; the empty text has none.
    """
    cuts = [0]
    end = None
    for core in _CORE.finditer(text):
        if end is not None:
            opening = _NEXT_BEGINS.search(text, end, core.start())
            cuts.append(opening.start() if opening else core.start())
        end = core.end()
    cuts.append(len(text))
    return [text[a:b] for a, b in pairwise(cuts) if b > a]


def body_end(unit: str) -> int:
    """Where the word of a unit ends and the punctuation after it begins."""
    end = len(unit)
    for core in _CORE.finditer(unit):
        end = core.end()
    return end


@lru_cache(maxsize=16_384)
def normalise(unit: str) -> str:
    """What is compared: without case, width and punctuation (all of it, if there is nothing else).

    Inside numbers punctuation is meaning: 3.5 is not 35. 臺 and 台 are one character to every reader.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", unit).casefold())
    kept = "".join(_MEANING.findall(folded.replace(",", ""))).replace("臺", "台")
    return unicodedata.normalize("NFKC", kept) or folded.strip()


def keys(units: Sequence[str]) -> list[str]:
    """The units as they are compared."""
    return [normalise(unit) for unit in units]


def common_prefix(a: Sequence[str], b: Sequence[str]) -> int:
    """How many items at the beginning of both are equal."""
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count


def align_prefix(shown: Sequence[str], heard: Sequence[str]) -> tuple[int, int]:
    """Which beginning of `heard` is most like the whole of `shown`: (its length, the edits between them).

    Edit distance with a free end on one side (Sellers 1980, "The theory and computation of evolutionary
    distances"), on what is left after the common prefix. Among equally good ends the one that replaces rather
    than inserts or deletes is taken: its length is nearest to that of `shown`.
    """
    same = common_prefix(shown, heard)
    rest = len(shown) - same
    if not rest:
        return same, 0
    window = heard[same : same + 2 * rest + 8]
    row = list(range(len(window) + 1))
    for i in range(rest):
        diagonal, row[0] = row[0], i + 1
        for j, unit in enumerate(window, 1):
            cost = diagonal if shown[same + i] == unit else 1 + min(diagonal, row[j], row[j - 1])
            diagonal, row[j] = row[j], cost
    best = min(range(len(row)), key=lambda j: (row[j], abs(j - rest), -j))
    return same + best, row[best]
