"""core: where speech is in a clip, and sentences as turns.

Where the references say it (segments of refs.json), they are believed. Otherwise by the clip's own energy:
speech goes from the first to the last frame of 10 ms with a level within SPEECH_RANGE_DB of the loudest one,
and at least NOISE_MARGIN_DB above the quietest ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gateway.events import SAMPLE_RATE, Audio
from gateway.loadtest.schedule import BYTES_PER_SAMPLE, Profile, Sentence, Turn

FRAME = SAMPLE_RATE // 100
SPEECH_RANGE_DB = 40.0
NOISE_MARGIN_DB = 10.0
QUIET_PERCENT = 5
EDGE_S = 0.1
"""Audio kept before and after the speech of a clip: soft beginnings and ends."""
BREATH_S = 0.25
"""Between the sentences of one turn."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One sentence, cut out: audio (samples,) at 16 kHz, speech from `start` to `end` (samples)."""

    audio: Audio
    start: int
    end: int
    text: str
    language: str | None


def bounds(audio: Audio) -> tuple[int, int] | None:
    """(first, last + 1) sample of the speech, to 10 ms; None: there is none."""
    whole = len(audio) // FRAME
    if not whole:
        return None
    power = np.square(audio[: whole * FRAME].reshape(whole, FRAME), dtype=np.float64).mean(axis=1)
    level = 10 * np.log10(power + 1e-10)
    quiet, loud = float(np.percentile(level, QUIET_PERCENT)), float(level.max())
    loud_enough = np.flatnonzero(level > max(loud - SPEECH_RANGE_DB, min(quiet + NOISE_MARGIN_DB, loud - 10)))
    if loud < -60 or not len(loud_enough):
        return None
    return int(loud_enough[0]) * FRAME, (int(loud_enough[-1]) + 1) * FRAME


def whole_clip(audio: Audio, text: str, language: str | None) -> Clip | None:
    """A recording of one sentence; None: nothing is heard in it."""
    found = bounds(audio)
    return found and _cut(audio, found, (0, len(audio)), text, language)


def clips(audio: Audio, segments: Sequence[tuple[float, float, str]], language: str | None) -> list[Clip]:
    """A recording of several sentences, (start, end, text) of each in seconds: cut half-way between them."""
    spans = [(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end, _ in segments]
    middles = [(a[1] + b[0]) // 2 for a, b in pairwise(spans)]
    rooms = zip([0, *middles], [*middles, len(audio)], strict=True)
    return [
        _cut(audio, span, room, text, language)
        for span, room, (_, _, text) in zip(spans, rooms, segments, strict=True)
        if span[0] < span[1] <= len(audio)
    ]


def turns(found: Sequence[Clip], profile: Profile) -> list[Turn]:
    """Clips as the turns of a profile: sentences of one language, joined up to about `profile.turn_s`."""
    made = []
    for language in sorted({clip.language for clip in found}, key=str):
        group: list[Clip] = []
        for clip in (clip for clip in found if clip.language == language):
            group.append(clip)
            if sum(len(c.audio) / SAMPLE_RATE + BREATH_S for c in group) >= profile.turn_s:
                made.append(_turn(group))
                group = []
        if group:
            made.append(_turn(group))
    return made


def _cut(audio: Audio, span: tuple[int, int], room: tuple[int, int], text: str, language: str | None) -> Clip:
    edge = round(EDGE_S * SAMPLE_RATE)
    begin, stop = max(room[0], span[0] - edge), min(room[1], span[1] + edge)
    return Clip(audio[begin:stop], span[0] - begin, span[1] - begin, text, language)


def _turn(group: Sequence[Clip]) -> Turn:
    breath = bytes(BYTES_PER_SAMPLE * max(0, round((BREATH_S - 2 * EDGE_S) * SAMPLE_RATE)))
    pcm, sentences = b"", []
    for clip in group:
        pcm += breath if pcm else b""
        at = len(pcm) // BYTES_PER_SAMPLE
        sentences.append(Sentence(at + clip.start, at + clip.end, clip.text))
        pcm += (clip.audio * 32767).round().clip(-32768, 32767).astype("<i2").tobytes()
    return Turn(pcm, group[0].language, tuple(sentences))
