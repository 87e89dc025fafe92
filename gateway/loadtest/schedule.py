"""core: what each synthetic speaker says when, and when each chunk of it must leave.

Everything is decided before the run, from the seed: the load is open (Schroeder et al., "Open versus closed",
NSDI 2006), the gateway's slowness delays nothing. A chunk is due once its last sample would have been spoken,
counted from the beginning of its stream by a multiplication, never from the chunk before it.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.events import SAMPLE_RATE

BYTES_PER_SAMPLE = 2
TURN_PAUSE_S = 0.4
"""Silence beyond the hangover after each turn, at least: so that it has a final of its own."""
STREAMS_PER_S = 100.0
"""New streams a second, at most, while a run begins."""
SPREAD_SHARE = 0.25
"""Of the run, at most, for all streams to begin."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How much of the time people speak."""

    name: str
    speech_share: float
    """Wanted share of speech; turns are made of sentences without gaps of an utterance's end."""
    turn_s: float
    """Sentences are joined into turns of about this length; 0: each is a turn."""


PROFILES = {
    "monologue": Profile("monologue", 1.0, 15.0),
    "turns": Profile("turns", 0.4, 0.0),
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """Where it is in its turn's audio, and its text."""

    start_samples: int
    end_samples: int
    """The true end of its speech."""
    text: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What is said between two pauses: 16 kHz mono s16le."""

    pcm: bytes
    language: str | None
    """None: the gateway is to detect it."""
    sentences: tuple[Sentence, ...]

    @property
    def samples(self) -> int:
        return len(self.pcm) // BYTES_PER_SAMPLE

    @property
    def start_samples(self) -> int:
        return self.sentences[0].start_samples

    @property
    def end_samples(self) -> int:
        """The true end of its speech."""
        return self.sentences[-1].end_samples

    @property
    def text(self) -> str:
        return " ".join(sentence.text for sentence in self.sentences)


@dataclass(frozen=True, slots=True)
class Placed:
    """A turn (its number) in a stream, from sample `at` on."""

    turn: int
    at: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One stream."""

    stream: int
    language: str | None
    begins_s: float
    """After the beginning of the run: when its first sample is spoken."""
    placed: tuple[Placed, ...]
    samples: int


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a run."""

    streams: int
    duration_s: float
    profile: Profile
    chunk_ms: int
    hangover_ms: int
    seed: int

    @property
    def chunk_samples(self) -> int:
        return self.chunk_ms * SAMPLE_RATE // 1000

    @property
    def pause_samples(self) -> int:
        """The shortest pause after a turn."""
        return round((self.hangover_ms / 1000 + TURN_PAUSE_S) * SAMPLE_RATE)


def languages(turns: Sequence[Turn]) -> list[str | None]:
    return sorted({turn.language for turn in turns}, key=str)


def due_s(index: int, chunk_samples: int) -> float:
    """When chunk `index` (0, 1, ...) leaves, in seconds after its stream began."""
    return (index + 1) * chunk_samples / SAMPLE_RATE


def sent_s(position: float, chunk_samples: int) -> float:
    """When the samples before `position` have all left, in seconds after the stream began."""
    return math.ceil(position / chunk_samples - 1e-9) * chunk_samples / SAMPLE_RATE


def plans(load: Load, turns: Sequence[Turn]) -> list[Plan]:
    """All streams of a run; languages take turns."""
    spoken = languages(turns)
    spread_s = begin_spread_s(load, turns)
    found = []
    for stream in range(load.streams):
        language = spoken[stream % len(spoken)]
        own = [number for number, turn in enumerate(turns) if turn.language == language]
        found.append(_plan(load, turns, own, stream, language, spread_s))
    return found


def recital(load: Load, turns: Sequence[Turn], language: str | None) -> Plan:
    """One stream that says every turn of a language once, in order: the unloaded run."""
    own = [number for number, turn in enumerate(turns) if turn.language == language]
    placed, at = [], 0
    for number in own:
        placed.append(Placed(number, at))
        at += turns[number].samples + load.pause_samples
    return Plan(0, language, 0.0, tuple(placed), at)


def begin_spread_s(load: Load, turns: Sequence[Turn]) -> float:
    """The time within which all streams begin, so that neither chunks nor turns go in step."""
    mean_s = sum(turn.samples for turn in turns) / len(turns) / SAMPLE_RATE
    cycle_s = mean_s / load.profile.speech_share
    return min(max(cycle_s, load.streams / STREAMS_PER_S), SPREAD_SHARE * load.duration_s)


def audio(plan: Plan, turns: Sequence[Turn], start: int, stop: int) -> bytes:
    """Samples start .. stop of a stream: its turns, and zeros between them."""
    out = bytearray(BYTES_PER_SAMPLE * (stop - start))
    first = bisect_right(plan.placed, start, key=lambda placed: placed.at) - 1
    for placed in plan.placed[max(0, first) :]:
        if placed.at >= stop:
            break
        pcm = turns[placed.turn].pcm
        begin, end = max(start, placed.at), min(stop, placed.at + len(pcm) // BYTES_PER_SAMPLE)
        if begin < end:
            piece = memoryview(pcm)[
                BYTES_PER_SAMPLE * (begin - placed.at) : BYTES_PER_SAMPLE * (end - placed.at)
            ]
            out[BYTES_PER_SAMPLE * (begin - start) : BYTES_PER_SAMPLE * (end - start)] = piece
    return bytes(out)


def speech_share(all_plans: Sequence[Plan], turns: Sequence[Turn]) -> float:
    """Of all audio: the share that is speech (breaths between the sentences of a turn included)."""
    spoken = sum(
        turns[p.turn].end_samples - turns[p.turn].start_samples for plan in all_plans for p in plan.placed
    )
    return spoken / max(1, sum(plan.samples for plan in all_plans))


def _plan(
    load: Load, turns: Sequence[Turn], own: list[int], stream: int, language: str | None, spread_s: float
) -> Plan:
    chance = np.random.default_rng([load.seed, stream])
    begins_s = float(chance.uniform(0, spread_s))
    limit = round(load.duration_s * SAMPLE_RATE)
    placed: list[Placed] = []
    at = 0
    while True:
        for number in chance.permutation(own):
            turn = turns[number]
            pause = _pause(load, turn, float(chance.uniform(0.7, 1.3)))
            if placed and at + turn.samples + load.pause_samples > limit:
                return Plan(stream, language, begins_s, tuple(placed), at)
            placed.append(Placed(int(number), at))
            at += turn.samples + pause


def _pause(load: Load, turn: Turn, around: float) -> int:
    """Silence after a turn: what the wanted share of speech leaves, but enough to end the utterance."""
    speech = turn.end_samples - turn.start_samples
    return max(load.pause_samples, round(around * (speech / load.profile.speech_share - turn.samples)))
