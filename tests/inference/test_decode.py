from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.decode import MAX_ROWS, Answer, Encoded, Question, ask, stack
from gateway.inference.tokens import MAX_POSITIONS, Vocabulary
from tests.inference.clips import DEMO

WORDS = Vocabulary(DEMO / "tokenizer.json", multilingual=True)


class ScriptedModel:
    """Answers each row with what is scripted for its number, and remembers the calls."""

    def __init__(self, scripts: dict[int, list[tuple[str, float, float]]]) -> None:
        self.scripts = scripts
        self.calls: list[dict[str, Any]] = []

    def generate(self, encoded: Any, prompts: list[list[int]], **options: Any) -> list[Any]:
        rows = [int(row[0, 0]) for row in np.array(encoded)]
        self.calls.append({"rows": rows, "prompts": prompts, **options})
        return [self._result(self.scripts[row]) for row in rows]

    def _result(self, script: list[tuple[str, float, float]]) -> Any:
        text, score, no_speech = script.pop(0) if len(script) > 1 else script[0]
        ids = WORDS.tokenizer("en", "transcribe").encode(text)
        return SimpleNamespace(sequences_ids=[ids], scores=[score], no_speech_prob=no_speech)


def question(row: int, prompt: int = 4, frames: int = 200, beam: int = 5, retry: bool = True) -> Question:
    return Question(Encoded(np.full((1, 1, 2), row, np.float32), 0), [1] * prompt, frames, beam, retry)


def answers(
    scripts: dict[int, list[tuple[str, float, float]]], *questions: Question
) -> tuple[list[Answer], ScriptedModel]:
    model = ScriptedModel(scripts)
    return ask(model, WORDS, questions), model


@given(
    st.lists(st.tuples(st.integers(3, 6), st.sampled_from([100, 900]), st.sampled_from([1, 5])), max_size=40)
)
def test_a_call_holds_only_what_may_share_it(kinds: list[tuple[int, int, int]]) -> None:
    """Equal prompt length, beam and maximum length; at most 64 rows; every answer at its question's place."""
    questions = [question(i, *kind) for i, kind in enumerate(kinds)]
    found, model = answers({i: [(f"row {i}", -0.1, 0.0)] for i in range(len(kinds))}, *questions)
    assert [answer.text for answer in found] == [f"row {i}" for i in range(len(kinds))]
    for call in model.calls:
        assert len({len(prompt) for prompt in call["prompts"]}) == 1
        assert len({questions[row].max_new_tokens for row in call["rows"]}) == 1
        assert {questions[row].beam for row in call["rows"]} == {call["beam_size"]}
        assert len(call["rows"]) * call["beam_size"] <= MAX_ROWS


@given(st.integers(3, 228), st.integers(1, 3000))
def test_the_maximum_length_gives_each_answer_its_room(prompt: int, frames: int) -> None:
    """CTranslate2 decodes min(max_length / 2, max_length - prompt) tokens, and has 448 positions."""
    asked = question(0, prompt, frames)
    _, model = answers({0: [("x", -0.1, 0.0)]}, asked)
    max_length = model.calls[0]["max_length"]
    decoded = min(max_length // 2, max_length - prompt)
    assert decoded >= asked.max_new_tokens
    assert asked.max_new_tokens + prompt <= MAX_POSITIONS
    assert asked.max_new_tokens >= min(10 * frames // 100, 220)


def test_a_temperature_that_was_asked_for_is_the_first() -> None:
    """Sampled from the start, greedily for its neighbours, and only hotter after a bad decode."""
    warm, plain = replace(question(0), temperature=0.5), question(1)
    bad, good = ("x", -3.0, 0.0), ("I am cold.", -0.2, 0.0)
    found, model = answers({0: [bad, good], 1: [good]}, warm, plain)
    assert [answer.text for answer in found] == ["I am cold."] * 2
    calls = {(call["sampling_temperature"], call["sampling_topk"], *call["rows"]) for call in model.calls}
    assert calls == {(0.5, 0, 0), (0.8, 0, 0), (1.0, 1, 1)}
    assert {call["beam_size"] for call in model.calls if 0 in call["rows"]} == {1}


def test_a_good_answer_is_asked_for_once() -> None:
    found, model = answers({0: [("I am cold.", -0.2, 0.0)]}, question(0))
    assert len(model.calls) == 1
    assert found[0].average_logprob == pytest.approx(-0.2 * 4 / 5)  # end of text is a token, too


LOOP = "no no no no no no no no no no no no no no no no no no no no no no"


def test_only_failing_rows_are_tried_again_warmer() -> None:
    """Sampling, which needs topk 0; the first good answer is taken."""
    scripts = {
        0: [("fine", -0.1, 0.0)],
        1: [(LOOP, -0.1, 0.0), ("better", -0.5, 0.0)],
        2: [("dim", -2.9, 0.0), ("dimmer", -3.5, 0.0), ("clear", -0.3, 0.0)],
    }
    found, model = answers(scripts, question(0), question(1), question(2))
    assert [answer.text for answer in found] == ["fine", "better", "clear"]
    assert [call["rows"] for call in model.calls] == [[0, 1, 2], [1, 2], [2]]
    assert [call["sampling_temperature"] for call in model.calls[1:]] == [0.4, 0.8]
    assert [(call["beam_size"], call["sampling_topk"]) for call in model.calls] == [(5, 1), (1, 0), (1, 0)]


def test_where_nothing_is_good_the_most_probable_stays() -> None:
    """A repetition only if there is nothing else, however probable it is."""
    found, _ = answers({0: [(LOOP, -0.1, 0.0), ("dim", -4.0, 0.0), ("dawn", -2.9, 0.0)]}, question(0))
    assert found[0].text == "dawn"
    found, _ = answers({0: [(LOOP, -0.1, 0.0)]}, question(0))
    assert found[0].text == LOOP


def test_silence_and_partials_are_not_tried_again() -> None:
    """Improbable where nothing was said is no failure; a partial has no time for a second try."""
    _, model = answers(
        {0: [("you", -5.0, 0.9)], 1: [(LOOP, -5.0, 0.0)]}, question(0), question(1, beam=1, retry=False)
    )
    assert len(model.calls) == 2


def test_an_empty_answer_has_a_finite_probability() -> None:
    """CTranslate2 says -inf when the first token is the end of text."""
    found, model = answers({0: [("", float("-inf"), 0.9)]}, question(0))
    assert found[0].average_logprob == 0.0
    assert found[0].text == ""
    assert len(model.calls) == 1


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=1, max_size=8))
def test_a_stack_is_its_rows_in_order(places: list[tuple[int, int]]) -> None:
    """Neighbours, repeats, gaps, any order, from one pass of the encoder or two."""
    passes = [np.arange(30, dtype=np.float32).reshape(5, 3, 2) + 100 * n for n in (0, 1)]
    stacked = np.array(stack(Encoded(passes[n], index) for n, index in places))
    assert np.array_equal(stacked, np.stack([passes[n][index] for n, index in places]))


def test_neighbours_are_not_copied() -> None:
    """What the encoder has put side by side goes to the decoder from there."""
    together = np.zeros((5, 3, 2), np.float32)
    stacked = np.asarray(stack(Encoded(together, i) for i in (1, 2, 3)))
    assert np.shares_memory(stacked, together[1:4])
    assert stacked.shape == (3, 3, 2)
