"""Real speech for tests of the connection stage, and answers as an engine would give them."""

from functools import cache
from pathlib import Path

import av

from gateway.events import Hypothesis, Job

AUDIO = Path(__file__).parent.parent / "data" / "audio"


@cache
def pcm16(name: str) -> bytes:
    """A clip as 16 kHz mono pcm_s16le."""
    with av.open(str(AUDIO / name)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        return b"".join(frame.to_ndarray().tobytes() for frame in [*frames, *resampler.resample(None)])


def silence(seconds: float) -> bytes:
    """Digital silence as pcm_s16le."""
    return bytes(2 * int(seconds * 16_000))


def chunks(pcm: bytes, size: int = 3200) -> list[bytes]:
    return [pcm[i : i + size] for i in range(0, len(pcm), size)]


def answer(job: Job, text: str = "hello there", language: str = "en") -> Hypothesis:
    """A hypothesis of good quality."""
    return Hypothesis(
        job.session, job.utterance, job.revision, job.kind, text, language,
        language_probability=1.0, average_logprob=-0.1, compression_ratio=1.0,
    )  # fmt: skip
