"""Silero: one network for all streams, state of their own, asked only when wanted."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from faster_whisper.vad import get_vad_model
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detection.network import CONTEXT_SAMPLES, WINDOW_SAMPLES
from gateway.detection.silero import WARM_UP_WINDOWS, SileroModel, SileroStream, load_silero
from gateway.events import FRAME_SAMPLES, Audio
from tests.detection.clips import clip

CLIP = clip("en_00.wav")


@pytest.fixture(scope="module")
def model() -> SileroModel:
    return load_silero()


def attend(stream: SileroStream, audio: Audio) -> list[float]:
    return stream.push(audio, [True] * -(-len(audio) // FRAME_SAMPLES))


def test_it_hears_what_faster_whisper_hears(model: SileroModel) -> None:
    """The probabilities of the newest whole window, frame by frame, are those of the whole recording at once."""
    ours = attend(model.stream(), CLIP)
    theirs = [0.0, *get_vad_model()(CLIP[: len(CLIP) // WINDOW_SAMPLES * WINDOW_SAMPLES]).ravel()]
    ends = [min(len(CLIP), (n + 1) * FRAME_SAMPLES) for n in range(len(ours))]
    assert np.abs(np.array(ours) - [theirs[end // WINDOW_SAMPLES] for end in ends]).max() < 1e-4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=20), st.data())
def test_blocks_are_heard_as_frames(
    model: SileroModel, stretches: list[tuple[int, bool]], data: st.DataObject
) -> None:
    """However the frames are joined into blocks, wanted or not: the same answers after each."""
    wanted = [flag for count, flag in stretches for _ in range(count)][: len(CLIP) // FRAME_SAMPLES]
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(wanted) - 1)), max_size=8)))
    by_frame, by_block = model.stream(), model.stream()
    expected, answers = [], []
    for at, flag in enumerate(wanted):
        expected += by_frame.push(CLIP[at * FRAME_SAMPLES : (at + 1) * FRAME_SAMPLES], [flag])
    for begin, end in pairwise([0, *cuts, len(wanted)]):
        answers += by_block.push(CLIP[begin * FRAME_SAMPLES : end * FRAME_SAMPLES], wanted[begin:end])
    assert np.allclose(answers, expected, atol=1e-5)
    assert np.array_equal(by_block._recent, by_frame._recent)


def test_streams_do_not_hear_each_other(model: SileroModel) -> None:
    """Another stream in between changes nothing."""
    size = 5 * FRAME_SAMPLES
    speech, other = (
        [clip(name)[at : at + size] for at in range(0, 20_000, size)] for name in ("en_00.wav", "zh_00.wav")
    )
    alone, first, second = model.stream(), model.stream(), model.stream()
    expected = [attend(alone, part) for part in speech]
    mixed = []
    for part, noise in zip(speech, other, strict=True):
        mixed.append(attend(first, part))
        attend(second, noise)
    assert mixed == expected


def test_unasked_it_says_nothing_but_remembers_a_little(model: SileroModel) -> None:
    """After a pause it runs the last 256 ms again and is as sure as if it had listened all the time."""
    audio = clip("en_01.wav")[: 80 * FRAME_SAMPLES]
    attentive, lazy = model.stream(), model.stream()
    always = attend(attentive, audio)
    assert set(lazy.push(audio[: 48 * FRAME_SAMPLES], [False] * 48)) == {0.0}
    assert len(lazy._recent) <= CONTEXT_SAMPLES + (WARM_UP_WINDOWS + 1) * WINDOW_SAMPLES
    late = attend(lazy, audio[48 * FRAME_SAMPLES :])
    assert np.abs(np.array(late) - always[48:])[2:].max() < 0.1


def test_a_long_message_is_not_kept(model: SileroModel) -> None:
    """What a stream remembers owns its memory: no view of a block that has been heard."""
    stream = model.stream()
    for flag in (True, False):
        stream.push(np.zeros(100 * FRAME_SAMPLES, np.float32), [flag] * 100)
        assert stream._recent.base is None


def test_another_network_is_refused(tmp_path: Path) -> None:
    """A file that is not Silero v6 is not run as if it were."""
    other = tmp_path / "other.onnx"
    other.write_bytes(b"\x3a\x02\x2a\x00")
    with pytest.raises(ValueError, match="Silero v6"):
        SileroModel(str(other))


def test_loading_it_does_not_load_cuda() -> None:
    """The file is found without importing faster-whisper."""
    code = (
        "import sys; from gateway.detection.silero import load_silero; load_silero(); "
        "sys.exit('faster_whisper' in sys.modules or 'ctranslate2' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
