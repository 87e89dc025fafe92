"""The benchmark of the front end: what is said, and that sessions really stream."""

from itertools import pairwise

import numpy as np
import pytest

from benchmarks.fake_engine import MODEL, FakeEngine
from benchmarks.front_end import pure, speech, with_sockets
from benchmarks.recordings import BYTES_PER_S
from gateway.events import Job, Kind
from tests.detection.clips import segments


def test_the_duty_is_the_share_of_speech() -> None:
    """40 %: as much silence as makes every sentence four tenths of its turn."""
    for pcm, name in zip(speech(40), ("mono_en.wav", "mono_zh.wav"), strict=True):
        said_s = sum(end - start for start, end in segments(name))
        assert said_s / (len(pcm) / BYTES_PER_S) == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("language", ["en", "zh", None])
def test_the_fake_engine_says_more_as_more_is_heard(language: str | None) -> None:
    """Every job has its answer, each text goes on where a shorter one stopped."""
    features = np.zeros((MODEL.mel_bands, 1), np.float32)
    jobs = [Job(1, 1, n, Kind.PARTIAL, features, speech_s=n / 2, language=language) for n in range(1, 9)]
    answers = FakeEngine().transcribe(jobs)
    assert [answer.revision for answer in answers] == list(range(1, 9))
    for before, after in pairwise(answers):
        assert after.text.startswith(before.text)


@pytest.mark.slow
def test_sessions_stream_and_none_is_closed() -> None:
    """A gateway process and paced sessions: audio flows, figures come of it."""
    figures = {figure.name: figure for figure in with_sockets(6, 100, 100, 1.0, profile=False)}
    assert figures["sessions that were closed"].value == 0
    assert figures["processor time per stream-second"].value > 0.1
    parts = pure(100, 40)
    assert 0 < parts.without_silero < parts.session
