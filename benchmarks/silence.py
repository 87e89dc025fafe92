"""shell: where nobody speaks, nothing may be written."""

import asyncio

from benchmarks.processes import gateway
from benchmarks.recordings import Recording, as_pcm, load
from benchmarks.report import Figure
from benchmarks.streams import Take, stream
from tests.detection.clips import noises

KINDS = ("silence", "hum", "white", "brown")
SECONDS = 150
"""Of each kind; four make ten minutes. A client may be that far ahead of real time (`max_ahead_s`)."""
QUICK_SECONDS = 30


def measure(quick: bool) -> list[Figure]:
    seconds = QUICK_SECONDS if quick else SECONDS
    sounds = {kind: as_pcm(sound) for kind, sound in noises(seconds).items()}
    clips = {name: load(f"nospeech_{name}.wav").pcm for name in ("silence", "hum", "white_noise")}
    sounds |= {f"{name} clip": (pcm * (seconds * 32_000 // len(pcm)))[:] for name, pcm in clips.items()}
    with gateway() as running:
        takes = {
            kind: asyncio.run(stream(running.ws, Recording(kind, None, pcm), speed=1e9))
            for kind, pcm in sounds.items()
        }
    goal = {kind: take for kind, take in takes.items() if kind in KINDS}
    others = {kind: take for kind, take in takes.items() if kind not in KINDS}
    return [*_figures(goal, ""), *_figures(others, "other sounds, ")]


def _figures(takes: dict[str, Take], prefix: str) -> list[Figure]:
    minutes = sum(take.recording.seconds for take in takes.values()) / 60
    words = [kind for kind, take in takes.items() for _, p in take.partials if p.stable + p.tentative]
    faults = [f"{kind}: {fault}" for kind, take in takes.items() for fault in take.faults]
    texts = [
        f"{kind}: {final.text}" for kind, take in takes.items() for _, final in take.finals if final.text
    ]
    suppressed = [
        f"{kind}: {final.suppressed}"
        for kind, take in takes.items()
        for _, final in take.finals
        if final.suppressed
    ]
    return [
        Figure(
            f"{prefix}captions in {minutes:.1f} minutes",
            len(texts),
            "",
            0,
            f"{', '.join(takes)} {'; '.join(texts)}",
        ),
        Figure(f"{prefix}partials with words", len(words), "", 0, " ".join(words)),
        Figure(f"{prefix}taken for speech, then suppressed", len(suppressed), "", note="; ".join(suppressed)),
        Figure(f"{prefix}faults", len(faults), "", 0, "; ".join(faults)),
    ]
