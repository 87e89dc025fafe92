"""Small loads, turns and messages for the tests."""

from gateway.events import SAMPLE_RATE
from gateway.loadtest.schedule import PROFILES, Load, Sentence, Turn


def load(
    streams: int = 3, duration_s: float = 30.0, profile: str = "turns", chunk_ms: int = 100, seed: int = 1
) -> Load:
    return Load(streams, duration_s, PROFILES[profile], chunk_ms, 500, seed)


def turn(
    seconds: float = 2.0, text: str = "I am cold.", language: str | None = "en", edge_s: float = 0.1
) -> Turn:
    """Speech from `edge_s` to the same before its end; its samples count up, so that a shifted one is noticed."""
    samples = round(seconds * SAMPLE_RATE)
    pcm = b"".join((1 + i % 30_000).to_bytes(2, "little") for i in range(samples))
    edge = round(edge_s * SAMPLE_RATE)
    return Turn(pcm, language, (Sentence(edge, samples - edge, text),))
