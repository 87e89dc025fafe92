"""The clips of tests/data/audio, as the engine gets them."""

import json
import wave
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor

from gateway.events import Audio, Job, Kind, LogMel

AUDIO = Path(__file__).parent.parent / "data" / "audio"
DEMO = Path(__file__).parent.parent.parent / "models" / "demo"
REFS: dict[str, dict[str, Any]] = json.loads((AUDIO / "refs.json").read_text())
SHORT = [name for name, ref in REFS.items() if ref["kind"] == "single"]
EXTRACT = FeatureExtractor()


@cache
def audio(name: str) -> Audio:
    with wave.open(str(AUDIO / name)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return pcm.astype(np.float32) / 32768


@cache
def features(name: str, start_s: float = 0.0, end_s: float | None = None) -> LogMel:
    samples = audio(name)[int(start_s * 16000) : None if end_s is None else int(end_s * 16000)]
    mel: LogMel = EXTRACT(samples)
    return mel


def clip_job(name: str, kind: Kind = Kind.FINAL, session: int = 1, **wanted: Any) -> Job:
    mel = wanted.pop("features", None)
    mel = features(name) if mel is None else mel
    return Job(session, 1, 1, kind, mel, mel.shape[-1] / 100, **wanted)


def edit_distance(reference: list[str], heard: list[str]) -> int:
    row = list(range(len(heard) + 1))
    for i, left in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]


def units(text: str, language: str) -> list[str]:
    """Words, or characters in Chinese; case and punctuation left out."""
    plain = "".join(c for c in text.lower() if c.isalnum() or c in " '")
    return list(plain.replace(" ", "")) if language == "zh" else plain.split()
