from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.inference.align import Spoken, word_times
from gateway.inference.decode import Encoded
from gateway.inference.tokens import Vocabulary
from tests.inference.clips import DEMO

WORDS = Vocabulary(DEMO / "tokenizer.json", multilingual=True)
EOT = WORDS.tokenizer("en", "transcribe").eot


class ScriptedAligner:
    """Gives every token the same time, from the given position on; remembers the calls."""

    def __init__(self, first: int = 0, per_token: int = 10) -> None:
        self.first, self.per_token = first, per_token
        self.calls: list[dict[str, Any]] = []

    def align(
        self, encoded: Any, start: list[int], texts: list[list[int]], frames: list[int], **_: Any
    ) -> list[Any]:
        self.calls.append({"start": start, "lengths": [len(text) for text in texts], "frames": frames})
        return [self._result(len(text), length // 2) for text, length in zip(texts, frames, strict=True)]

    def _result(self, tokens: int, positions: int) -> Any:
        path = [
            (token, min(self.first + token * self.per_token + step, positions))
            for token in range(tokens + 1)
            for step in range(self.per_token)
        ]
        return SimpleNamespace(alignments=path, text_token_probs=[0.5] * tokens)


def spoken(
    text: str, language: str = "en", frames: int = 300, task: str = "transcribe", loud: slice = slice(None)
) -> Spoken:
    mel = np.full((80, frames), -0.5, np.float32)
    mel[:, loud] = 1.0
    ids = WORDS.tokenizer(language, "transcribe").encode(text)
    return Spoken(Encoded(np.zeros((1, 4, 2), np.float32), 0), ids, language, task, mel)


def texts(item: Spoken) -> list[str]:
    return [word.text for word in word_times(ScriptedAligner(), WORDS, [item])[0]]


def test_words_carry_their_space_and_punctuation() -> None:
    assert texts(spoken(" Help me, please.")) == [" Help", " me,", " please."]


def test_chinese_comes_character_by_character() -> None:
    """Also where one token holds two; a Latin word in between stays whole pieces."""
    assert texts(spoken("這要看情況。", "zh")) == ["這", "要", "看", "情", "況。"]
    assert "".join(texts(spoken("請打給Tom，好嗎？", "zh"))) == "請打給Tom，好嗎？"


def test_a_translation_is_split_like_english() -> None:
    """Whatever language was spoken; the start sequence stays that of the spoken one."""
    aligner = ScriptedAligner()
    words = word_times(aligner, WORDS, [spoken(" Help me.", "zh", task="translate")])[0]
    assert [word.text for word in words] == [" Help", " me."]
    assert aligner.calls[0]["start"] == WORDS.tokenizer("zh", "translate").sot_sequence


def test_a_call_has_one_language_and_task() -> None:
    aligner = ScriptedAligner()
    items = [
        spoken(" a", "en"),
        spoken("好", "zh", 200),
        spoken(" b", "en", 280),
        spoken(" c", "en", task="translate"),
    ]
    word_times(aligner, WORDS, items)
    assert sorted(len(call["frames"]) for call in aligner.calls) == [1, 1, 2]


def test_equal_frames_and_unequal_texts_are_aligned_apart() -> None:
    """CTranslate2 4.8 aligns the shorter ones wrongly in one call."""
    aligner = ScriptedAligner()
    word_times(aligner, WORDS, [spoken(" a"), spoken(" a b c")])
    assert len(aligner.calls) == 2
    aligner = ScriptedAligner()
    word_times(aligner, WORDS, [spoken(" a b c", frames=280), spoken(" a")])
    word_times(aligner, WORDS, [spoken(" a"), spoken(" b")])
    assert len(aligner.calls) == 2


def test_the_silence_around_is_not_the_words() -> None:
    """The first word begins and the last one ends with the sound, though attention reaches further."""
    words = word_times(ScriptedAligner(per_token=40), WORDS, [spoken(" Help me", loud=slice(50, 150))])[0]
    assert (words[0].start_s, words[-1].end_s) == (0.5, 1.5)


def test_no_words_no_times() -> None:
    assert word_times(ScriptedAligner(), WORDS, [spoken("")]) == [()]
    assert word_times(ScriptedAligner(), WORDS, []) == []


@given(
    st.lists(
        st.sampled_from([" Help", " me", ",", " please", ".", " 5", "好", "。"]), min_size=1, max_size=20
    ),
    st.sampled_from(["en", "zh"]),
    st.integers(2, 300),
    st.integers(0, 100),
    st.integers(1, 30),
)
@settings(deadline=None)
def test_times_are_monotone_and_inside_the_audio(
    parts: list[str], language: str, frames: int, first: int, per_token: int
) -> None:
    """Whatever the alignment says; and no text is lost."""
    item = spoken("".join(parts), language, frames)
    words = word_times(ScriptedAligner(first, per_token), WORDS, [item])[0]
    times = [time for word in words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert all(0 <= time <= frames / 100 for time in times)
    assert "".join(word.text for word in words) == WORDS.tokenizer(language, "transcribe").decode(item.tokens)
