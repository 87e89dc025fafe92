"""Silero: one network for all streams, state of their own, asked only when wanted."""

import subprocess
import sys

import numpy as np
import pytest
from faster_whisper.vad import get_vad_model

from gateway.detection.silero import CHUNK_SAMPLES, WARM_UP_CHUNKS, SileroModel, load_silero
from gateway.events import Audio
from tests.detection.clips import clip


@pytest.fixture(scope="module")
def model() -> SileroModel:
    return load_silero()


def chunks(audio: Audio) -> list[Audio]:
    whole = len(audio) // CHUNK_SAMPLES * CHUNK_SAMPLES
    return list(audio[:whole].reshape(-1, CHUNK_SAMPLES))


def test_it_hears_what_faster_whisper_hears(model: SileroModel) -> None:
    """Streamed chunk by chunk, the probabilities are those of the whole recording at once."""
    parts = chunks(clip("en_00.wav"))
    stream = model.stream()
    ours = [stream.push(part, wanted=True) for part in parts]
    theirs = get_vad_model()(np.concatenate([*parts, np.zeros(CHUNK_SAMPLES, np.float32)]))
    assert np.abs(np.array(ours) - theirs.ravel()[: len(ours)]).max() < 1e-3


def test_pieces_of_any_size_give_the_same(model: SileroModel) -> None:
    """20 ms frames and whole chunks: the same answer wherever both have heard the same chunks."""
    audio = clip("en_00.wav")[: CHUNK_SAMPLES * 40]
    by_chunk, by_frame = model.stream(), model.stream()
    expected = [by_chunk.push(part, wanted=True) for part in chunks(audio)]
    answers = [by_frame.push(audio[i : i + 320], wanted=True) for i in range(0, len(audio), 320)]
    assert np.allclose(answers[-1], expected[-1], atol=1e-5)
    assert np.allclose(answers[1::8], expected[0::5], atol=1e-5)


def test_streams_do_not_hear_each_other(model: SileroModel) -> None:
    """Another stream in between changes nothing."""
    speech, other = chunks(clip("en_00.wav")), chunks(clip("zh_00.wav"))
    alone, first, second = model.stream(), model.stream(), model.stream()
    expected = [alone.push(part, wanted=True) for part in speech]
    mixed = []
    for part, noise in zip(speech, other, strict=False):
        mixed.append(first.push(part, wanted=True))
        second.push(noise, wanted=True)
    assert mixed == expected[: len(mixed)]


def test_unasked_it_says_nothing_but_remembers_a_little(model: SileroModel) -> None:
    """After a pause it runs the last 256 ms again and is as sure as if it had listened all the time."""
    parts = chunks(clip("en_01.wav"))
    attentive, lazy = model.stream(), model.stream()
    always = [attentive.push(part, wanted=True) for part in parts]
    assert {lazy.push(part, wanted=False) for part in parts[:30]} == {0.0}
    assert len(lazy._recent) <= 64 + (WARM_UP_CHUNKS + 1) * CHUNK_SAMPLES
    late = [lazy.push(part, wanted=True) for part in parts[30:50]]
    assert np.abs(np.array(late) - always[30:50]).max() < 0.1


def test_loading_it_does_not_load_cuda() -> None:
    """The file is found without importing faster-whisper."""
    code = (
        "import sys; from gateway.detection.silero import load_silero; load_silero(); "
        "sys.exit('faster_whisper' in sys.modules or 'ctranslate2' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
