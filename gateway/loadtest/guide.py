"""core: when each word of a turn ends, from the word times of the unloaded run.

The gateway's own aligner (cross-attention) says when the words of its final were spoken. A word of the
reference that it understood has that time; one that it did not lies, by its place in the sentence, between
its neighbours. The ends of sentences are known from the audio.
"""

from collections.abc import Sequence

from gateway.connection.messages import TimedWord
from gateway.events import SAMPLE_RATE
from gateway.loadtest.observe import Guide
from gateway.loadtest.schedule import Turn
from gateway.loadtest.text import matches, units


def guide(turn: Turn, text: str, words: Sequence[TimedWord], at_s: float) -> Guide:
    """`text` and `words`: what was understood of the turn, which begins at `at_s` of the stream."""
    timed = [(unit, word.end - at_s) for word in words for unit in units(word.text)]
    wanted: list[str] = []
    known: dict[int, float] = {}
    limits: list[tuple[int, float, float]] = []
    for sentence in turn.sentences:
        own = units(sentence.text)
        first, wanted = len(wanted), wanted + own
        start_s, end_s = sentence.start_samples / SAMPLE_RATE, sentence.end_samples / SAMPLE_RATE
        limits += [(first, start_s, end_s)] * len(own)
        if own:
            known[len(wanted) - 1] = end_s
    for i, j in matches(wanted, [unit for unit, _ in timed]):
        known.setdefault(i, timed[j][1])
    return Guide(text, tuple(zip(wanted, _filled(limits, known), strict=True)))


def _filled(limits: Sequence[tuple[int, float, float]], known: dict[int, float]) -> list[float]:
    """The ends of all units, inside their sentence, never falling; unknown ones evenly between known ones."""
    ends: list[float] = []
    for i, (first, start_s, end_s) in enumerate(limits):
        before = max(start_s, ends[-1]) if i > first else start_s
        after = next(j for j in range(i, len(limits)) if j in known)  # a sentence's last unit always is
        end = before + (known[after] - before) / (after - i + 1)
        ends.append(min(max(end, before), end_s))
    return ends
