from pathlib import Path

import pytest
from faster_whisper import WhisperModel
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.events import Job, Kind
from gateway.inference.tokens import MAX_CONTEXT, Vocabulary
from tests.inference.clips import DEMO
from tests.inference.fakes import job

MULTILINGUAL = Vocabulary(DEMO / "tokenizer.json", multilingual=True)
ENGLISH = Vocabulary(DEMO / "tokenizer.json", multilingual=False)
TEXTS = st.text(st.sampled_from("ab c床痛水é。,"), max_size=60)


def asking(prompt: str = "", hotwords: str = "", task: str = "transcribe") -> Job:
    base = job()
    return Job(1, 1, 1, Kind.FINAL, base.features, 1.0, prompt=prompt, hotwords=hotwords, task=task)


@given(TEXTS, TEXTS, st.sampled_from(["en", "zh"]), st.sampled_from(["transcribe", "translate"]))
@settings(deadline=None)
def test_the_prompt_is_faster_whispers(prompt: str, hotwords: str, language: str, task: str) -> None:
    """Token by token, while all fits."""
    tokenizer = MULTILINGUAL.tokenizer(language, task)
    prompt, hotwords = prompt.strip(), hotwords.strip()
    previous = tokenizer.encode(" " + prompt) if prompt else []
    whisper = WhisperModel.__new__(WhisperModel)
    whisper.max_length = 448
    expected = whisper.get_prompt(tokenizer, previous, without_timestamps=True, hotwords=hotwords or None)
    assert MULTILINGUAL.prompt(asking(prompt, hotwords, task), language) == expected


@given(st.integers(0, 400), st.integers(0, 400))
@settings(deadline=None, max_examples=30)
def test_a_long_context_keeps_hotwords_and_the_newest_of_the_prompt(hot: int, said: int) -> None:
    """Never more than 223 tokens; hotwords from their start, the prompt from its end."""
    tokens = MULTILINGUAL.prompt(asking("a " * said, "b " * hot), "en")
    tokenizer = MULTILINGUAL.tokenizer("en", "transcribe")
    hotwords, prompt = (tokenizer.encode((" " + word) * n) for word, n in (("b", hot), ("a", said)))
    context = tokens[1 : tokens.index(tokenizer.sot)] if hot or said else []
    assert len(context) == min(MAX_CONTEXT, hot + said)
    kept = hotwords[:MAX_CONTEXT]
    assert context == kept + prompt[max(0, len(prompt) - (MAX_CONTEXT - len(kept))) :]


def test_an_english_model_is_told_neither_language_nor_task() -> None:
    tokenizer = ENGLISH.tokenizer("en", "transcribe")
    assert ENGLISH.languages == ("en",)
    assert ENGLISH.prompt(asking(task="translate"), "en") == [tokenizer.sot, tokenizer.no_timestamps]


def test_languages_are_those_of_the_tokenizer_unless_the_model_knows_fewer() -> None:
    """`yue` came with large-v3 only."""
    assert len(MULTILINGUAL.languages) == 99
    assert "yue" not in MULTILINGUAL.languages
    assert Vocabulary(DEMO / "tokenizer.json", True, ("en", "zh")).languages == ("en", "zh")


def test_what_steers_the_decoder_is_suppressed_and_words_are_not() -> None:
    tokenizer = MULTILINGUAL.tokenizer("en", "transcribe")
    suppressed = MULTILINGUAL.suppressed
    assert {tokenizer.sot, tokenizer.sot_prev, tokenizer.no_speech, tokenizer.translate} <= set(suppressed)
    assert tokenizer.eot not in suppressed
    assert not set(tokenizer.encode(" Help me, please.")) & set(suppressed)


def test_text_holds_no_timestamps_and_no_half_characters() -> None:
    tokenizer = MULTILINGUAL.tokenizer("zh", "transcribe")
    ids = [tokenizer.timestamp_begin, *tokenizer.encode(" 請幫幫我。"), tokenizer.timestamp_begin + 50]
    assert MULTILINGUAL.text(ids) == "請幫幫我。"
    halves = tokenizer.encode("\U00020bb7")[:-1]
    assert MULTILINGUAL.text([*tokenizer.encode("好"), *halves]) == "好"
    assert MULTILINGUAL.text([]) == ""


def test_an_unknown_task_is_transcription() -> None:
    assert MULTILINGUAL.prompt(asking(task="sing"), "en") == MULTILINGUAL.prompt(asking(), "en")


def test_a_broken_tokenizer_raises(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(Exception):  # noqa: B017 - tokenizers raises just that
        Vocabulary(file, multilingual=True)
