"""core: the utterances of a session that have no final yet, and the order in which finals are given.

Answers come back from the shared engine in any order; finals leave in the order of the utterances.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from gateway.events import Hypothesis, Kind, Snapshot, UtteranceEnded

NO_FEATURES = np.empty((0, 0), np.float32)


@dataclass(slots=True)
class Utterance:
    """What is known of one utterance until its final is settled."""

    number: int
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    """By revision, without features: positions are needed to place words and text."""
    ended: UtteranceEnded | None = None
    answers: dict[int, Hypothesis] = field(default_factory=dict)
    """Of EAGER and FINAL snapshots."""

    @property
    def first_samples(self) -> int:
        return min(snapshot.start_samples for snapshot in self.snapshots.values())

    @property
    def answer(self) -> Hypothesis | None:
        """The hypothesis of the final, once it is known which one and it is there."""
        return self.answers.get(self.ended.final_revision) if self.ended else None


class Utterances:
    """Open and undecided utterances, oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[int, Utterance] = {}

    def __repr__(self) -> str:
        states = (f"{u.number}{'.' if u.ended else '…'}" for u in self._waiting.values())
        return f"<Utterances {' '.join(states)}>"

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def newest(self) -> int:
        """Number of the newest one without a final; 0 when there is none."""
        return next(reversed(self._waiting), 0)

    @property
    def oldest(self) -> int:
        """Number of the oldest one without a final; 0 when there is none."""
        return next(iter(self._waiting), 0)

    @property
    def undecided_samples(self) -> int | None:
        """Where the audio begins that still waits for its final."""
        first = next(iter(self._waiting.values()), None)
        return first.first_samples if first else None

    def get(self, number: int) -> Utterance | None:
        return self._waiting.get(number)

    def add(self, snapshot: Snapshot) -> None:
        utterance = self._waiting.setdefault(snapshot.utterance, Utterance(snapshot.utterance))
        utterance.snapshots[snapshot.revision] = replace(snapshot, features=NO_FEATURES)

    def end(self, ended: UtteranceEnded) -> None:
        if utterance := self._waiting.get(ended.utterance):
            utterance.ended = ended

    def answer(self, hypothesis: Hypothesis) -> Utterance | None:
        """Keep what may become the final; None when nobody asked (any more)."""
        utterance = self._waiting.get(hypothesis.utterance)
        if utterance is None or hypothesis.revision not in utterance.snapshots:
            return None
        if hypothesis.kind is not Kind.PARTIAL:
            utterance.answers[hypothesis.revision] = hypothesis
        return utterance

    def take_settled(self) -> list[Utterance]:
        """Those whose final can be given now: from the oldest, as far as there are answers."""
        settled = []
        while self._waiting and (first := next(iter(self._waiting.values()))).answer:
            settled.append(self._waiting.pop(first.number))
        return settled
