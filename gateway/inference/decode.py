"""shell: encoder outputs and prompts to tokens, in as few calls of generate() as its rules allow.

generate() wants equal prompt lengths, one beam size and one maximum length for all rows: those are the group
key, nothing is padded. The maximum length follows from each item's own audio (its bucket), so that an item's
neighbours never change its text, and one repetition loop cannot hold a batch for hundreds of steps.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import ctranslate2

from gateway.inference.context import bucket
from gateway.inference.encoders import join
from gateway.inference.tokens import MAX_POSITIONS, Vocabulary

MAX_ROWS = 64
"""Items x beam in one call: more costs more than it brings."""
TOKENS_PER_S = 16
EXTRA_TOKENS = 16
TEMPERATURES = (0.4, 0.8)
MAX_COMPRESSION_RATIO = 2.4
MIN_AVERAGE_LOGPROB = -1.0
SILENCE_PROBABILITY = 0.6
"""Whisper's own thresholds for a decode that is tried again."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One item's encoder output, (positions, width), where the encoder has put it."""

    together: Any
    """(items, positions, width): of all items that were encoded together; numpy, or a tensor on the GPU."""
    index: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.together.shape[1:])


@dataclass(frozen=True, slots=True)
class Question:
    """One row for the decoder."""

    encoded: Encoded
    prompt: list[int]
    frames: int
    """Log-mel frames of audio, padding not included."""
    beam: int
    retry: bool
    """A bad decode is tried again at higher temperatures."""
    temperature: float = 0.0
    """Of the first attempt."""

    @property
    def max_new_tokens(self) -> int:
        audible = EXTRA_TOKENS + TOKENS_PER_S * bucket(self.frames) // 100
        return min(audible, MAX_POSITIONS - len(self.prompt))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the decoder said to one row."""

    tokens: list[int]
    text: str
    average_logprob: float
    no_speech_probability: float
    compression_ratio: float

    @property
    def is_repetitive(self) -> bool:
        return self.compression_ratio > MAX_COMPRESSION_RATIO

    @property
    def is_good(self) -> bool:
        """Neither repetitive nor improbable, or improbable because nothing was said."""
        improbable = self.average_logprob < MIN_AVERAGE_LOGPROB
        if improbable and self.no_speech_probability > SILENCE_PROBABILITY:
            return True
        return not improbable and not self.is_repetitive


def stack(items: Iterable[Encoded]) -> Any:
    """Items of equal shape as one StorageView; neighbours are not copied (a full window has megabytes)."""
    rows = list(items)
    together, first = rows[0].together, rows[0].index
    if all(row.together is together and row.index == first + i for i, row in enumerate(rows)):
        return ctranslate2.StorageView.from_array(together[first : first + len(rows)])
    return ctranslate2.StorageView.from_array(join([row.together[row.index] for row in rows]))


def ask(model: Any, vocabulary: Vocabulary, questions: Sequence[Question]) -> list[Answer]:
    """One answer per question, in order. Raises RuntimeError or ValueError from CTranslate2."""
    answers: dict[int, Answer] = {}
    for temperature in {q.temperature for q in questions}:
        alike = [i for i, q in enumerate(questions) if q.temperature == temperature]
        answers |= dict(_generate(model, vocabulary, questions, alike, temperature))
    attempts = {i: [answers[i]] for i, q in enumerate(questions) if q.retry and not answers[i].is_good}
    for temperature in TEMPERATURES:
        cooler = [i for i in attempts if questions[i].temperature < temperature]
        bad = [i for i in cooler if not attempts[i][-1].is_good]
        for i, answer in _generate(model, vocabulary, questions, bad, temperature):
            attempts[i].append(answer)
    for i, tried in attempts.items():
        answers[i] = _best(tried)
    return [answers[i] for i in range(len(questions))]


def _best(tried: list[Answer]) -> Answer:
    """The last attempt if it is good, else the most probable, repetitive ones only if there are no others."""
    if tried[-1].is_good:
        return tried[-1]
    varied = [answer for answer in tried if not answer.is_repetitive]
    return max(varied or tried, key=lambda answer: answer.average_logprob)


def _generate(
    model: Any,
    vocabulary: Vocabulary,
    questions: Sequence[Question],
    chosen: Iterable[int],
    temperature: float,
) -> Iterable[tuple[int, Answer]]:
    groups = defaultdict(list)
    for i in chosen:
        q = questions[i]
        beam = 1 if temperature else q.beam
        groups[len(q.prompt), q.max_new_tokens, q.encoded.shape, beam].append(i)
    for (prompt_tokens, new_tokens, _, beam), members in groups.items():
        rows = MAX_ROWS // beam
        for part in (members[start : start + rows] for start in range(0, len(members), rows)):
            results = model.generate(
                stack(questions[i].encoded for i in part),
                [questions[i].prompt for i in part],
                beam_size=beam,
                # CTranslate2 allows min(max_length / 2, max_length - prompt) new tokens.
                max_length=max(2 * new_tokens, new_tokens + prompt_tokens),
                return_scores=True,
                return_no_speech_prob=True,
                suppress_tokens=vocabulary.suppressed,
                sampling_topk=0 if temperature else 1,  # with 1 the temperature would be ignored
                sampling_temperature=temperature or 1.0,
            )
            yield from ((i, _answer(vocabulary, result)) for i, result in zip(part, results, strict=True))


def _answer(vocabulary: Vocabulary, result: Any) -> Answer:
    tokens = result.sequences_ids[0]
    text = vocabulary.text(tokens)
    data = text.encode()
    return Answer(
        tokens,
        text,
        # The score is the mean over the tokens; the sum has the end of text in it, too.
        result.scores[0] * len(tokens) / (len(tokens) + 1) if tokens else 0.0,  # -inf: a mean over none
        result.no_speech_prob,
        len(data) / len(zlib.compress(data)),
    )
