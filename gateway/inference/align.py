"""shell: when each word was said, from the decoder's cross-attention (faster-whisper's find_alignment).

align() takes one start sequence for all its rows: group by language and task. Where all rows have the same
number of frames but texts of different lengths, CTranslate2 4.8 aligns the shorter ones wrongly: such a group
is aligned one by one.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_whisper.transcribe import merge_punctuations

from gateway.events import LogMel, Word
from gateway.inference.decode import Encoded, stack
from gateway.inference.tokens import Vocabulary

PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"
SECONDS_PER_POSITION = 0.02
FRAMES_PER_S = 100
BY_CHARACTER = frozenset({"zh", "yue", "ja"})
FIRST_IDEOGRAPH = 0x2E80
CHARACTER = re.compile(f".[{re.escape(APPENDED)}]*")
SOUND_LEVEL = 0.4
"""Of the way from the quiet to the loud frames; 0.3 to 0.6 give the same within 40 ms."""
LONGEST_TAIL_S = 0.3
"""Sound so soon after the last word belongs to it."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A decoded item whose words are to be timed."""

    encoded: Encoded
    tokens: list[int]
    language: str
    task: str
    features: LogMel
    """Not padded."""

    @property
    def frames(self) -> int:
        return int(self.features.shape[-1])


def word_times(model: Any, vocabulary: Vocabulary, items: Sequence[Spoken]) -> list[tuple[Word, ...]]:
    """The words of each item, in order; monotone and inside its audio."""
    groups = defaultdict(list)
    for i, item in enumerate(items):
        groups[item.language, item.task, item.encoded.shape].append(i)
    words: list[tuple[Word, ...]] = [()] * len(items)
    for members in groups.values():
        for part in _parts([items[i] for i in members], members):
            for i, result in zip(part, _align(model, vocabulary, [items[i] for i in part]), strict=True):
                words[i] = _words(vocabulary, items[i], result)
    return words


def _parts(items: list[Spoken], members: list[int]) -> list[list[int]]:
    same_frames = len({item.frames for item in items}) == 1
    same_tokens = len({len(item.tokens) for item in items}) == 1
    return [[i] for i in members] if same_frames and not same_tokens else [members]


def _align(model: Any, vocabulary: Vocabulary, items: list[Spoken]) -> list[Any]:
    tokenizer = vocabulary.tokenizer(items[0].language, items[0].task)
    texts = [[token for token in item.tokens if token < tokenizer.eot] for item in items]
    frames = [item.frames for item in items]
    results: list[Any] = model.align(
        stack(item.encoded for item in items), tokenizer.sot_sequence, texts, frames, median_filter_width=7
    )
    return results


def _words(vocabulary: Vocabulary, item: Spoken, result: Any) -> tuple[Word, ...]:
    # A translation is English, whatever was spoken.
    tokenizer = vocabulary.tokenizer("en" if item.task == "translate" else item.language, item.task)
    text = [token for token in item.tokens if token < tokenizer.eot]
    words, word_tokens = tokenizer.split_to_word_tokens([*text, tokenizer.eot])
    if len(word_tokens) <= 1 or not result.alignments:
        return ()
    timings = _timings(words, word_tokens, result)
    merge_punctuations(timings, PREPENDED, APPENDED)
    timings = [timing for timing in timings if timing["word"]]
    _trim_silence(timings, item.features)
    if item.language in BY_CHARACTER:
        timings = [part for timing in timings for part in _characters(timing)]
    return _inside(timings, item.frames / FRAMES_PER_S)


def _timings(words: list[str], word_tokens: list[list[int]], result: Any) -> list[dict[str, Any]]:
    """A word begins where the path first reaches its first token and ends where the next one begins."""
    text_indices, positions = np.array(result.alignments).T
    jumps = np.diff(text_indices, prepend=-1) > 0
    jump_times = positions[jumps] * SECONDS_PER_POSITION
    bounds = np.cumsum([0, *(len(tokens) for tokens in word_tokens[:-1])])
    return [
        {
            "word": word,
            "tokens": tokens,
            "start": float(jump_times[first]),
            "end": float(jump_times[after]),
            "probability": float(np.mean(result.text_token_probs[first:after])),
        }
        for word, tokens, first, after in zip(words, word_tokens, bounds[:-1], bounds[1:], strict=False)
    ]


def _characters(timing: dict[str, Any]) -> list[dict[str, Any]]:
    """A token of several ideographs as one word each, of equal length, its punctuation with it."""
    text, start, end = timing["word"], timing["start"], timing["end"]
    if not all(ord(character) >= FIRST_IDEOGRAPH for character in text):
        return [timing]
    characters = CHARACTER.findall(text)
    step = (end - start) / len(characters)
    return [
        {**timing, "word": character, "start": start + i * step, "end": start + (i + 1) * step}
        for i, character in enumerate(characters)
    ]


def _trim_silence(timings: list[dict[str, Any]], features: LogMel) -> None:
    """The first word begins and the last one ends where the sound does.

    Cross-attention gives them the silence around them. A frame is sound when it lies clearly above the quiet
    ones of the same item.
    """
    level = features.mean(axis=0)
    quiet, loud = np.percentile(level, (5, 95))
    sound = np.flatnonzero(level > quiet + SOUND_LEVEL * (loud - quiet)) / FRAMES_PER_S
    first, last = timings[0], timings[-1]
    inside = sound[(first["start"] <= sound) & (sound < first["end"])]
    if inside.size:
        first["start"] = float(inside[0])
    inside = sound[(last["start"] <= sound) & (sound < last["end"] + LONGEST_TAIL_S)]
    if inside.size:
        last["end"] = float(inside[-1]) + 1 / FRAMES_PER_S


def _inside(timings: list[dict[str, Any]], duration_s: float) -> tuple[Word, ...]:
    words = []
    clock = 0.0
    for timing in timings:
        start_s = min(max(timing["start"], clock), duration_s)
        clock = min(max(timing["end"], start_s), duration_s)
        text = timing["word"].replace("\ufffd", "")
        if text:
            words.append(Word(text, round(start_s, 2), round(clock, 2), timing["probability"]))
    return tuple(words)
