"""core: the words of a final, after its text was cleaned and converted to another script.

The engine times what it decoded; what is shown may have other characters (视频 -> 影片) or even another
number of them (鼠标 -> 滑鼠 keeps two, others do not). Words that are unchanged, or exchanged one for one,
keep their times; the rest of a changed stretch is spread evenly over its time.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher

from gateway.events import Word
from gateway.transcript.agreement import keys, split


def retime(words: Sequence[Word], text: str) -> tuple[Word, ...]:
    """Timed units that join to `text`; empty without words. Times never decrease where `words`' do not."""
    if not words:
        return ()
    timed = [piece for word in words for piece in spread(split(word.text.strip()), (word,))]
    units = split(text)
    matcher = SequenceMatcher(None, keys([piece.text for piece in timed]), keys(units), autojunk=False)
    result: list[Word] = []
    for _, a, b, c, d in matcher.get_opcodes():
        result += spread(units[c:d], timed[a:b] or [_moment(timed, a)])
    return tuple(result)


def _moment(timed: Sequence[Word], index: int) -> Word:
    """No time at all, before the word at this index: for what only the text has."""
    neighbour = timed[max(0, index - 1)]
    at = neighbour.end_s if index else neighbour.start_s
    return Word("", at, at, neighbour.probability)


def spread(units: Sequence[str], words: Sequence[Word]) -> list[Word]:
    """The units with the times of the words: one for one, or evenly over the whole stretch."""
    if len(units) == len(words):
        return [
            Word(unit, word.start_s, word.end_s, word.probability)
            for unit, word in zip(units, words, strict=True)
        ]
    start, end = words[0].start_s, words[-1].end_s
    step = (end - start) / max(1, len(units))
    probability = sum(word.probability for word in words) / len(words)
    return [Word(unit, start + i * step, start + (i + 1) * step, probability) for i, unit in enumerate(units)]
