"""shell: where nobody speaks, nothing may be written; and what is spoken afterwards must be.

Faster than real time, for which the gateway's limit (`max_ahead_s`) is raised. The sentence at the end of
each session shows that the gateway was listening all the while.
"""

import asyncio

from benchmarks.measures import Span, census
from benchmarks.processes import gateway
from benchmarks.recordings import Recording, as_pcm, load, silence
from benchmarks.report import Figure
from benchmarks.streams import Take, stream
from tests.detection.clips import noises

KINDS = ("silence", "hum", "white", "brown")
CLIPS = ("nospeech_silence.wav", "nospeech_hum.wav", "nospeech_white_noise.wav")
SECONDS = 150
"""Of each kind; four make ten minutes."""
QUICK_SECONDS = 30
AS_FAST_AS_IT_GOES = 1e9
BREATH_S = 1.0
"""Silence between the sound and the sentence."""


def measure(quick: bool) -> list[Figure]:
    seconds = QUICK_SECONDS if quick else SECONDS
    sentence = load("en_02.wav")
    sounds = {kind: as_pcm(sound) for kind, sound in noises(seconds - BREATH_S - sentence.seconds).items()}
    for name in CLIPS:
        clip = load(name).pcm
        sounds[name] = clip * (len(sounds["silence"]) // len(clip))
    with gateway("--max-ahead-s", str(2 * SECONDS)) as running:
        takes = {
            kind: asyncio.run(stream(running.ws, _followed(kind, pcm, sentence), speed=AS_FAST_AS_IT_GOES))
            for kind, pcm in sounds.items()
        }
    goal = {kind: take for kind, take in takes.items() if kind in KINDS}
    others = {kind: take for kind, take in takes.items() if kind not in KINDS}
    return [*_figures(goal, ""), *_figures(others, "other sounds, ")]


def _followed(kind: str, pcm: bytes, sentence: Recording) -> Recording:
    """The sound, a breath, and somebody speaks. The language is to be found out."""
    pcm += silence(BREATH_S)
    begins = Recording(kind, None, pcm).seconds
    said = tuple(Span(s.start + begins, s.end + begins, s.text) for s in sentence.sentences)
    return Recording(kind, None, pcm + sentence.pcm, said)


def _figures(takes: dict[str, Take], prefix: str) -> list[Figure]:
    minutes = sum(take.recording.seconds for take in takes.values()) / 60
    captions, suppressed, words, missed, faults = [], [], [], [], []
    for kind, take in takes.items():
        [said] = take.recording.sentences
        finals = [final for _, final in take.finals if final.end < said.start]
        captions += [f"{kind}: {final.text}" for final in finals if final.text]
        suppressed += [f"{kind}: {final.suppressed}" for final in finals if final.suppressed]
        words += [f"{kind}: {p.stable}{p.tentative}" for _, p in take.partials if p.end < said.start]
        missed += [kind] if census([said], take.spans).lost else []
        faults += [f"{kind}: {fault}" for fault in take.faults]
    return [
        Figure(
            f"{prefix}captions in {minutes:.1f} minutes", len(captions), "", 0, "; ".join(captions or takes)
        ),
        Figure(f"{prefix}partials with words", len(words), "", 0, "; ".join(words)),
        Figure(
            f"{prefix}taken for speech, then suppressed", len(suppressed), "", None, "; ".join(suppressed)
        ),
        Figure(
            f"{prefix}sentence spoken afterwards, lost", len(missed), f"of {len(takes)}", 0, "; ".join(missed)
        ),
        Figure(f"{prefix}streams with a fault", len(faults), f"of {len(takes)}", 0, "; ".join(faults)),
    ]
