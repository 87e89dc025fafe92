"""core: PCM of a whole file -> utterances, by the ears of live sessions; answers to them -> segments."""

import unicodedata
from dataclasses import dataclass

from gateway.config import DetectionSettings
from gateway.detection.listener import Listener
from gateway.detection.silero import SileroModel
from gateway.events import (
    SAMPLE_RATE,
    AudioFormat,
    Heard,
    Hypothesis,
    Snapshot,
    UtteranceEnded,
    Word,
)
from gateway.transcript.captioner import Captioner

SAMPLE_BYTES = 2
WINDOW = 8
"""Utterances of one file that wait for the engine at the same time: what fills a pass, and no more."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One utterance, to be decoded."""

    snapshot: Snapshot
    ended: UtteranceEnded


@dataclass(frozen=True, slots=True)
class Segment:
    """One utterance, decoded."""

    start_s: float
    end_s: float
    text: str
    """Joined as they are, the texts of all segments are the transcript."""
    language: str
    words: tuple[Word, ...]
    """Times in seconds of the file."""
    hypothesis: Hypothesis


class Splitter:
    """One file's ears."""

    def __init__(
        self, settings: DetectionSettings, mel_bands: int, silero: SileroModel | None = None
    ) -> None:
        # Nobody waits at a bedside for a file: neither partials nor finals in advance.
        finals_only = settings.model_copy(update={"eager_ms": 0})
        self._listener = Listener(AudioFormat(), finals_only, mel_bands, silero)
        self._listener.stretch_partials(None)
        self._rest = b""
        self._snapshot: Snapshot | None = None

    @property
    def duration_s(self) -> float:
        """Of the audio so far."""
        return self._listener.received / SAMPLE_RATE

    def push(self, pcm: bytes) -> list[Spoken]:
        """The next bytes of 16 kHz mono s16, whole samples or not -> the utterances that ended in them."""
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % SAMPLE_BYTES
        self._rest = pcm[whole:]
        return self._spoken(self._listener.receive(pcm[:whole]))

    def flush(self) -> list[Spoken]:
        """The file is over."""
        return self._spoken(self._listener.flush())

    def _spoken(self, heard: list[Heard]) -> list[Spoken]:
        found = []
        for item in heard:
            if isinstance(item, Snapshot):
                self._snapshot = item
            elif isinstance(item, UtteranceEnded) and self._snapshot:
                found.append(Spoken(self._snapshot, item))
                self._snapshot = None
        return found


class Assembler:
    """Answers in the order of the utterances -> segments: the same guard, script and language as live."""

    def __init__(self, captioner: Captioner) -> None:
        self._captioner = captioner
        self._last = ""

    @property
    def language(self) -> str | None:
        """What the next utterance should be decoded as; None: detect it."""
        return self._captioner.language

    @property
    def window(self) -> int:
        """How many utterances may wait for the engine: one by one until the language is known."""
        return WINDOW if self.language else 1

    def add(self, spoken: Spoken, hypothesis: Hypothesis) -> Segment | None:
        """None: nothing was said, or nothing that may be shown."""
        speech_s = spoken.snapshot.speech_samples / SAMPLE_RATE
        settled = self._captioner.final(hypothesis, speech_s)
        if not settled.text:
            return None
        text = joint(self._last, settled.text) + settled.text
        self._last = settled.text
        offset_s = spoken.snapshot.start_samples / SAMPLE_RATE
        words = tuple(
            Word(word.text.strip(), offset_s + word.start_s, offset_s + word.end_s, word.probability)
            for word in settled.words
        )
        start_s, end_s = spoken.ended.start_samples / SAMPLE_RATE, spoken.ended.end_samples / SAMPLE_RATE
        return Segment(start_s, end_s, text, settled.language, words, hypothesis)


def joint(before: str, after: str) -> str:
    """What stands between two texts: a space, but not beside a character of a script that has none."""
    return "" if not before or _is_wide(before[-1]) or _is_wide(after[0]) else " "


def _is_wide(character: str) -> bool:
    wide = unicodedata.east_asian_width(character) in {"W", "F"}
    return wide and not unicodedata.name(character, "").startswith("HANGUL")
