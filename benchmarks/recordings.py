"""shell: the test recordings as what a microphone hears: one after the other, or in a loop."""

import wave
from dataclasses import dataclass

import numpy as np

from benchmarks.measures import Span
from gateway.events import SAMPLE_RATE
from tests.detection.clips import FOLDER, REFERENCES

BYTES_PER_S = 2 * SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Recording:
    """16 kHz mono s16le, and what is said in it when."""

    name: str
    language: str | None
    pcm: bytes
    sentences: tuple[Span, ...] = ()

    @property
    def seconds(self) -> float:
        return len(self.pcm) / BYTES_PER_S

    @property
    def text(self) -> str:
        return " ".join(sentence.text for sentence in self.sentences)


def load(name: str) -> Recording:
    """One of the recordings in tests/data/audio."""
    with wave.open(str(FOLDER / name)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (SAMPLE_RATE, 1, 2)
        pcm = file.readframes(file.getnframes())
    said = REFERENCES[name]
    sentences = tuple(Span(s["start"], s["end"], s["text"]) for s in said["segments"])
    return Recording(name, said["language"], pcm, sentences)


def spoken() -> list[Recording]:
    """All recordings in which somebody speaks."""
    return [load(name) for name, said in REFERENCES.items() if said["segments"]]


def silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * SAMPLE_RATE))


def joined(recordings: list[Recording], pause_s: float) -> Recording:
    """One after the other, a pause after each."""
    pcm, sentences = b"", list[Span]()
    for recording in recordings:
        sentences += shifted(recording.sentences, len(pcm) / BYTES_PER_S)
        pcm += recording.pcm + silence(pause_s)
    return Recording("+".join(r.name for r in recordings), recordings[0].language, pcm, tuple(sentences))


def looped(recording: Recording, phase_s: float, seconds: float) -> Recording:
    """From `phase_s` on, again and again; sentences that are cut at the edges are left out."""
    offset = 2 * round(phase_s * SAMPLE_RATE)
    rounds = int((phase_s + seconds) // recording.seconds) + 1
    pcm = (recording.pcm * rounds)[offset : offset + 2 * round(seconds * SAMPLE_RATE)]
    sentences = [
        sentence
        for n in range(rounds)
        for sentence in shifted(recording.sentences, n * recording.seconds - phase_s)
        if sentence.start >= 0 and sentence.end <= seconds
    ]
    return Recording(recording.name, recording.language, pcm, tuple(sentences))


def shifted(sentences: tuple[Span, ...], by_s: float) -> list[Span]:
    return [Span(s.start + by_s, s.end + by_s, s.text) for s in sentences]


def as_pcm(sound: np.ndarray) -> bytes:
    """Floats in [-1, 1] -> s16le."""
    return bytes((sound * 32767).round().astype("<i2").tobytes())
