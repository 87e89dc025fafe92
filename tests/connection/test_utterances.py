"""Rules of waiting utterances: finals leave in order, stale answers are ignored."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.utterances import Utterances
from gateway.events import Hypothesis, Kind, Snapshot, UtteranceEnded


def snapshot(utterance: int, revision: int = 1, kind: Kind = Kind.FINAL) -> Snapshot:
    start = utterance * 16_000
    return Snapshot(utterance, revision, kind, start, start + 8000, 8000, np.zeros((80, 50), np.float32))


def answer(utterance: int, revision: int = 1, kind: Kind = Kind.FINAL) -> Hypothesis:
    return Hypothesis(1, utterance, revision, kind, text=f"{utterance}.{revision}")


def ended(utterance: int, revision: int = 1) -> UtteranceEnded:
    return UtteranceEnded(utterance, utterance * 16_000, utterance * 16_000 + 8000, revision)


def test_a_final_waits_for_the_utterances_before_it() -> None:
    """Utterance 2 is answered first, but leaves second."""
    waiting = Utterances()
    for n in (1, 2):
        waiting.add(snapshot(n))
        waiting.end(ended(n))
    waiting.answer(answer(2))
    assert waiting.take_settled() == []
    assert (waiting.oldest, waiting.newest, waiting.undecided_samples) == (1, 2, 16_000)
    waiting.answer(answer(1))
    assert [u.number for u in waiting.take_settled()] == [1, 2]
    assert (waiting.oldest, waiting.newest, waiting.undecided_samples) == (0, 0, None)


def test_an_eager_answer_settles_when_the_utterance_ends_with_it() -> None:
    """The answer may come before the end is known."""
    waiting = Utterances()
    waiting.add(snapshot(1, 3, Kind.EAGER))
    waiting.answer(answer(1, 3, Kind.EAGER))
    assert waiting.take_settled() == []
    assert repr(waiting) == "<Utterances 1…>"
    waiting.end(ended(1, 3))
    [settled] = waiting.take_settled()
    assert settled.answer is not None
    assert settled.answer.text == "1.3"


def test_a_partial_never_settles() -> None:
    """Only EAGER and FINAL answers can be finals."""
    waiting = Utterances()
    waiting.add(snapshot(1, 1, Kind.PARTIAL))
    waiting.end(ended(1, 1))
    waiting.answer(answer(1, 1, Kind.PARTIAL))
    assert waiting.take_settled() == []


def test_answers_nobody_asked_for_are_ignored() -> None:
    """Another utterance, another revision: None."""
    waiting = Utterances()
    waiting.add(snapshot(1))
    assert waiting.answer(answer(2)) is None
    assert waiting.answer(answer(1, 2)) is None
    waiting.end(ended(9))


def test_features_are_not_kept() -> None:
    """What waits for an answer does not hold the audio's features."""
    waiting = Utterances()
    waiting.add(snapshot(1))
    utterance = waiting.get(1)
    assert utterance is not None
    assert utterance.snapshots[1].features.size == 0


@given(st.permutations(range(1, 8)))
def test_finals_leave_in_order_whatever_the_order_of_answers(order: list[int]) -> None:
    """Numbers leave as 1, 2, 3 ..., each once."""
    waiting = Utterances()
    for n in range(1, 8):
        waiting.add(snapshot(n))
        waiting.end(ended(n))
    left = []
    for n in order:
        waiting.answer(answer(n))
        left += [u.number for u in waiting.take_settled()]
    assert left == list(range(1, 8))
