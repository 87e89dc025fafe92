"""shell: text to token ids and back, under faster-whisper's Tokenizer.

The prompt of a job is what faster-whisper's get_prompt makes, except that hotwords and prompt together are
cut to 223 tokens (there each is): Whisper was trained with no more, and the rest belongs to the answer.
"""

from functools import cached_property
from pathlib import Path

import tokenizers
from faster_whisper.tokenizer import _LANGUAGE_CODES, _TASKS, Tokenizer

from gateway.events import Job

MAX_POSITIONS = 448
"""Tokens that a Whisper decoder holds, prompt included."""
MAX_CONTEXT = MAX_POSITIONS // 2 - 1


class Vocabulary:
    """The tokens of one model. Raises whatever tokenizers raises when tokenizer.json cannot be read."""

    def __init__(self, file: Path, multilingual: bool, languages: tuple[str, ...] | None = None) -> None:
        """`languages`: those the model really knows, where the tokenizer has more."""
        self._hub = tokenizers.Tokenizer.from_file(str(file))
        self._multilingual = multilingual
        known = (code for code in _LANGUAGE_CODES if self._hub.token_to_id(f"<|{code}|>") is not None)
        self.languages = (languages or tuple(known)) if multilingual else ("en",)
        self._tokenizers: dict[tuple[str, str], Tokenizer] = {}

    def tokenizer(self, language: str, task: str) -> Tokenizer:
        """The Tokenizer that knows this language's way of splitting words and this task's prompt."""
        task = task if task in _TASKS else "transcribe"
        made = self._tokenizers.get((language, task))
        if made is None:
            made = Tokenizer(self._hub, self._multilingual, task=task, language=language)
            self._tokenizers[language, task] = made
        return made

    @cached_property
    def suppressed(self) -> list[int]:
        """What is never said: non-speech annotations and the tokens that steer the decoder."""
        any_language = self.tokenizer(self.languages[0], "transcribe")
        steering = ("transcribe", "translate", "sot", "sot_prev", "sot_lm", "no_speech")
        ids = {*any_language.non_speech_tokens, *(getattr(any_language, name) for name in steering)}
        return sorted(ids - {None})

    def prompt(self, job: Job, language: str) -> list[int]:
        """What the decoder is told before it answers, `<|notimestamps|>` always."""
        tokenizer = self.tokenizer(language, job.task)
        return [*self._context(job), *tokenizer.sot_sequence, tokenizer.no_timestamps]

    def text(self, ids: list[int]) -> str:
        """Text of an answer: timestamps and other special tokens, and halves of a character, left out."""
        decoded: str = self.tokenizer(self.languages[0], "transcribe").decode(ids)
        return decoded.replace("\ufffd", "").strip()

    def _context(self, job: Job) -> list[int]:
        tokenizer = self.tokenizer(self.languages[0], "transcribe")
        hotwords, prompt = job.hotwords.strip(), job.prompt.strip()
        said = tokenizer.encode(" " + hotwords)[:MAX_CONTEXT] if hotwords else []
        before = tokenizer.encode(" " + prompt) if prompt else []
        said += before[max(0, len(before) - (MAX_CONTEXT - len(said))) :]
        return [tokenizer.sot_prev, *said] if said else []
