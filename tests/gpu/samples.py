"""Real speech in many pieces: every sentence of every clip, and pieces of any length."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from faster_whisper.feature_extractor import FeatureExtractor

from gateway.events import HOP_SAMPLES, SAMPLE_RATE, Job, Kind, LogMel
from tests.inference.clips import REFS, audio, edit_distance, features, units

BEFORE_S = 0.3
AFTER_S = 0.4
"""Pre-roll and hangover around a sentence."""

MOST_LENGTHS = 32


@dataclass(frozen=True)
class Sentence:
    """What was said, in which language, and its features."""

    name: str
    text: str
    language: str
    features: LogMel


@cache
def sentences() -> tuple[Sentence, ...]:
    """All of tests/data/audio: clips of one sentence as they are, longer ones cut at their sentences."""
    found = []
    for name, ref in REFS.items():
        for i, segment in enumerate(ref.get("segments", ())):
            mel = features(name)
            if ref["kind"] != "single":
                mel = features(name, max(0.0, segment["start"] - BEFORE_S), segment["end"] + AFTER_S)
            found.append(Sentence(f"{name}#{i}", segment["text"], ref["language"], mel))
    return tuple(found)


def job(sentence: Sentence, session: int = 1, kind: Kind = Kind.FINAL, words: bool = False) -> Job:
    mel = sentence.features
    return Job(session, 1, 1, kind, mel, mel.shape[-1] / 100, language=sentence.language, words=words)


def error_rate(said: Sequence[Sentence], heard: list[str], language: str) -> float:
    """Words (characters in Chinese) wrong, as a share of those said."""
    pairs = [
        (units(sentence.text, language), units(text, language))
        for sentence, text in zip(said, heard, strict=True)
        if sentence.language == language
    ]
    return sum(edit_distance(*pair) for pair in pairs) / sum(len(reference) for reference, _ in pairs)


def pieces(duration_s: float, count: int, mel_bands: int = 80) -> list[LogMel]:
    """`count` different pieces of a long English clip, no two of the same length, overlapping if need be."""
    extract = FeatureExtractor(feature_size=mel_bands)
    samples = audio("mono_en.wav")
    last = len(samples) - int((duration_s + 1) * SAMPLE_RATE)
    starts = [last * i // max(1, count - 1) for i in range(count)]
    lengths = [int(duration_s * SAMPLE_RATE) - i % MOST_LENGTHS * HOP_SAMPLES for i in range(count)]
    return [extract(samples[start : start + n]) for start, n in zip(starts, lengths, strict=True)]
