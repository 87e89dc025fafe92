"""core: the captions of one session: hypothesis in, what may be shown out.

The way of a text: cleaned, judged by the guard, converted to the reader's script, and only then made
stable: conversion goes by phrases and may change a character once its neighbour is known.
"""

import math
import re
from dataclasses import dataclass

from gateway.config import TranscriptSettings
from gateway.events import Hypothesis, Word
from gateway.transcript.agreement import align_prefix, keys, split
from gateway.transcript.guard import judge
from gateway.transcript.language import LanguageLock
from gateway.transcript.script import Script, is_chinese
from gateway.transcript.stabilizer import Caption, Stabilizer
from gateway.transcript.words import retime

MAX_OPEN_UTTERANCES = 8
"""One is being spoken; the others wait for their finals."""
_UNPRINTABLE = re.compile("[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u200b\u2060\ufeff\ufffd]")


@dataclass(frozen=True, slots=True)
class Shown:
    """A partial: the caption reads stable + tentative."""

    utterance: int
    revision: int
    stable: str
    tentative: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A final."""

    utterance: int
    text: str
    language: str
    confidence: float
    """0..1: e to the mean log-probability of a token."""
    corrected: bool
    """It changes words that were shown as stable."""
    stable_words: int
    """Units that had been shown as stable."""
    corrected_words: int
    """Units of those that changed."""
    words: tuple[Word, ...]
    """Joined they read as `text`; empty when the engine gave none."""
    suppressed: str | None
    """The named reason why `text` is empty although something was decoded."""


class Captioner:
    """One per session. Raises ValueError for an unknown script."""

    def __init__(
        self, settings: TranscriptSettings, script: str | None = None, language: str | None = None
    ) -> None:
        self._settings = settings
        self.configure(script, language)
        self._open: dict[int, tuple[Stabilizer, Caption]] = {}
        self._closed = -1

    def configure(self, script: str | None, language: str | None) -> None:
        """Another script or language from here on; None: the gateway's script, detect the language."""
        self._script = Script(script or self._settings.script)
        self._lock = LanguageLock(language)

    @property
    def language(self) -> str | None:
        """What the next job should ask for: the language named or locked; None: detect it."""
        return self._lock.language

    def partial(self, hypothesis: Hypothesis, speech_s: float) -> Shown | None:
        """What is new to show; None: nothing (stale, empty, suppressed, unchanged)."""
        if hypothesis.utterance <= self._closed or hypothesis.failure:
            return None
        if self._judge(hypothesis, speech_s):
            return None
        self._lock.receive(hypothesis, speech_s)
        stabilizer, before = self._stabilizer(hypothesis.utterance)
        text = self._readable(hypothesis.text, hypothesis.language)
        caption = stabilizer.receive(hypothesis.revision, text, hypothesis.average_logprob)
        if caption is None or caption == before:
            return None
        self._open[hypothesis.utterance] = stabilizer, caption
        return Shown(hypothesis.utterance, hypothesis.revision, caption.stable, caption.tentative)

    def final(self, hypothesis: Hypothesis, speech_s: float) -> Settled:
        """The caption that stays. It is believed over everything shown before.

        A decode that failed is no reason to lose words: what was shown last stays then, with confidence 0.
        """
        stabilizer, caption = self._open.get(hypothesis.utterance, (Stabilizer(), Caption("", "")))
        self.forget(hypothesis.utterance)
        reason = hypothesis.failure or self._judge(hypothesis, speech_s)
        language = hypothesis.language or self.language or ""
        if not reason:
            text = self._readable(hypothesis.text, language)
            self._lock.receive(hypothesis, speech_s)
        else:
            text = caption.stable + caption.tentative if hypothesis.failure else ""
        _, edits = align_prefix(keys(stabilizer.units), keys(split(text)))
        return Settled(
            utterance=hypothesis.utterance,
            text=text,
            language=language,
            confidence=0.0 if reason else math.exp(min(0.0, hypothesis.average_logprob)),
            corrected=edits > 0,
            stable_words=len(stabilizer.units),
            corrected_words=min(edits, len(stabilizer.units)),
            words=() if reason else retime(hypothesis.words, text),
            suppressed=None if text else reason or "empty",
        )

    def forget(self, utterance: int) -> None:
        """The utterance is over: nothing more is shown of it nor of any before it."""
        self._open.pop(utterance, None)
        self._closed = max(self._closed, utterance)

    def _judge(self, hypothesis: Hypothesis, speech_s: float) -> str | None:
        if self._settings.guard:
            return judge(hypothesis, speech_s, self._settings)
        return None if hypothesis.text.strip() else "empty"

    def _readable(self, text: str, language: str) -> str:
        text = " ".join(_UNPRINTABLE.sub("", text).split())
        return self._script.convert(text) if is_chinese(text, language) else text

    def _stabilizer(self, utterance: int) -> tuple[Stabilizer, Caption]:
        if utterance not in self._open:
            self._open[utterance] = Stabilizer(), Caption("", "")
            while len(self._open) > MAX_OPEN_UTTERANCES:
                self.forget(min(self._open))
        return self._open[utterance]
