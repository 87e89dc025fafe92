"""core: successive hypotheses of one utterance -> text that stays and text that may change.

LocalAgreement (Liu, Spanakis, Niehues 2020, "Low-latency sequence-to-sequence speech recognition and
translation by partial hypothesis selection"; Machacek, Dabre, Bojar 2023, "Turning Whisper into
real-time transcription system"): what successive hypotheses agree on becomes stable, except the units
nearest the end of the audio, which are cut in the middle of a word as often as not.

Stable text is never taken back: when a later hypothesis disagrees with it, the place in that hypothesis
that corresponds to the end of the stable text is found by alignment, and only what comes after is shown
behind it. The punctuation at the end of stable text stays open until the next unit is stable, since "I
am cold." turns into "I am cold, and" as soon as more is heard.
"""

from collections import deque
from dataclasses import dataclass

from gateway.transcript.agreement import align_prefix, body_end, common_prefix, keys, split

AGREEMENTS = 2
"""Hypotheses that have to agree."""
HELD_BACK_UNITS = 1
"""Units at the end of a hypothesis that are not believed yet."""


@dataclass(frozen=True, slots=True)
class Caption:
    """What is shown of an open utterance: stable + tentative."""

    stable: str
    tentative: str


class Stabilizer:
    """One utterance. `units` are the units shown as stable."""

    def __init__(self, agreements: int = AGREEMENTS, held_back: int = HELD_BACK_UNITS) -> None:
        self.stable = ""
        self.units: list[str] = []
        self._held_back = held_back
        self._revision = 0
        self._earlier: deque[list[str]] = deque(maxlen=agreements - 1)

    def receive(self, revision: int, text: str) -> Caption | None:
        """The caption after this hypothesis; None when a newer one was seen before."""
        if revision <= self._revision:
            return None
        self._revision = revision
        heard = split(text)
        compared = keys(heard)
        done, _ = align_prefix(keys(self.units), compared)
        agreed = self._agreed(compared[done:], len(compared))
        self._earlier.append(compared)
        tail = self._tail(heard, done)
        if not agreed:
            return Caption(self.stable, tail)
        last = heard[done + agreed - 1]
        end = len(tail) - len("".join(heard[done + agreed :])) - (len(last) - body_end(last))
        self.units += heard[done : done + agreed]
        self.stable += tail[:end]
        return Caption(self.stable, tail[end:])

    def _agreed(self, tail: list[str], length: int) -> int:
        """How many units of the tail all recent hypotheses agree on, the last ones not believed."""
        if len(self._earlier) < (self._earlier.maxlen or 0):
            return 0
        shown = keys(self.units)
        agreed = max(0, len(tail) - self._held_back)
        for compared in self._earlier:
            done, _ = align_prefix(shown, compared)
            agreed = min(agreed, common_prefix(compared[done:], tail))
        return agreed

    def _tail(self, heard: list[str], done: int) -> str:
        """What follows the stable text: the punctuation left open, then the units after `done`."""
        open_punctuation = heard[done - 1][body_end(heard[done - 1]) :] if done else ""
        tail = open_punctuation + "".join(heard[done:])
        if self.units and heard[done:] and len(split(self.units[-1] + tail)) <= len(heard) - done:
            tail = " " + tail  # two words would run together into one
        return tail
