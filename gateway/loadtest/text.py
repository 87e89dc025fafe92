"""core: texts as words or characters, and how far two of them are apart."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_UNIT = re.compile(r"[a-z0-9]+(?:'[a-z]+)*|[\u3400-\u9fff]|[^\W\d_a-z\u3400-\u9fff]+")
BY_CHARACTER = frozenset({"zh", "yue", "ja"})


@dataclass(frozen=True, slots=True)
class Errors:
    """Word or character errors; add them up before asking for the rate."""

    edits: int = 0
    units: int = 0

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(self.edits + other.edits, self.units + other.units)

    @property
    def percent(self) -> float:
        return 100 * self.edits / max(1, self.units)


def units(text: str) -> list[str]:
    """Words, and single characters of Chinese, without case, width and punctuation; 臺 is 台."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("臺", "台")
    return _UNIT.findall(text)


def errors(reference: str, text: str) -> Errors:
    """Substitutions, insertions and deletions (Levenshtein)."""
    wanted, got = units(reference), units(text)
    return Errors(_table(wanted, got)[-1][-1], len(wanted))


def matches(wanted: Sequence[str], got: Sequence[str]) -> list[tuple[int, int]]:
    """The equal units of a best alignment: rising pairs of an index in `wanted` and one in `got`."""
    table = _table(wanted, got)
    i, j = len(wanted), len(got)
    pairs = []
    while i and j:
        equal = wanted[i - 1] == got[j - 1]
        if table[i][j] == table[i - 1][j - 1] + (not equal):
            i, j = i - 1, j - 1
            if equal:
                pairs.append((i, j))
        elif table[i][j] == table[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


def erased(before: Sequence[str], after: Sequence[str]) -> int:
    """How many of the units shown `before` must be taken away to go on to `after`."""
    kept = 0
    for old, new in zip(before, after, strict=False):
        if old != new:
            break
        kept += 1
    return len(before) - kept


def _table(wanted: Sequence[str], got: Sequence[str]) -> list[list[int]]:
    """[i][j]: the edits from wanted[:i] to got[:j]."""
    table = [list(range(len(got) + 1))]
    for i, unit in enumerate(wanted, 1):
        above, row = table[-1], [i]
        for j, other in enumerate(got, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (unit != other)))
        table.append(row)
    return table
