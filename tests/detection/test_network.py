"""Silero as matrix products: the same network, to the last bit that matters."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.detection.network import (
    CONTEXT_SAMPLES,
    STATE,
    WINDOW_SAMPLES,
    _field,
    _fields,
    convolution,
    frames,
    rewrite,
)
from tests.detection.clips import REFERENCES, clip, noises


def original() -> Path:
    spec = find_spec("faster_whisper")
    assert spec
    assert spec.submodule_search_locations
    return next(Path(spec.submodule_search_locations[0], "assets").glob("silero_vad_v6*.onnx"))


def session(model: str | bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", [*(n for n in REFERENCES if n[-5] in "05"), *noises(0.1)])
def test_the_rewritten_network_is_the_network(name: str) -> None:
    """On speech and noise, over a whole recording with its state: the same probabilities."""
    theirs, ours = session(str(original())), session(rewrite(original().read_bytes()))
    audio = clip(name) if name in REFERENCES else noises(3)[name]
    count = len(audio) // WINDOW_SAMPLES
    recent = np.concatenate([np.zeros(CONTEXT_SAMPLES, np.float32), audio])
    windows = [recent[n * WINDOW_SAMPLES :][: CONTEXT_SAMPLES + WINDOW_SAMPLES] for n in range(count)]
    state = {"h": np.zeros((1, 1, STATE), np.float32), "c": np.zeros((1, 1, STATE), np.float32)}
    wanted = theirs.run(None, {"input": np.stack(windows), **state})
    got = ours.run(None, {"frames": frames(recent, count), **state})
    assert np.abs(got[0].ravel() - wanted[0].ravel()).max() < 1e-4
    assert np.abs(got[1] - wanted[1]).max() < 1e-3
    assert np.abs(got[2] - wanted[2]).max() < 1e-2  # cells are not bounded by 1


@pytest.mark.parametrize(("length", "stride"), [(4, 1), (4, 2), (2, 2), (1, 1)])
def test_a_convolution_is_a_matrix(length: int, stride: int) -> None:
    """Three taps over zeros at both ends, as written down by hand."""
    rng = np.random.default_rng(5)
    weight, sound = rng.standard_normal((6, 3, 3)), rng.standard_normal((length, 3))
    padded = np.concatenate([np.zeros((1, 3)), sound, np.zeros((1, 3))])
    expected = [
        sum(weight[:, :, tap] @ padded[place + tap] for tap in range(3)) for place in range(0, length, stride)
    ]
    assert np.allclose(sound.ravel() @ convolution(weight, length, stride), np.ravel(expected), atol=1e-5)


def test_the_last_frame_of_a_window_is_reflected() -> None:
    """As the network was trained: 64 samples mirrored behind each window, the next one does not show."""
    recent = np.arange(CONTEXT_SAMPLES + 2 * WINDOW_SAMPLES, dtype=np.float32)
    cut = frames(recent, 2)
    for window in range(2):
        ours = recent[window * WINDOW_SAMPLES :][: CONTEXT_SAMPLES + WINDOW_SAMPLES]
        padded = np.pad(ours, (0, 64), mode="reflect")
        for frame in range(4):
            assert np.array_equal(cut[4 * window + frame], padded[frame * 128 :][:256])


@given(st.lists(st.tuples(st.integers(1, 2**20), st.one_of(st.integers(0, 2**62), st.binary(max_size=300)))))
def test_fields_come_back(fields: list[tuple[int, int | bytes]]) -> None:
    """Numbers and bytes of any size, in their order."""
    assert list(_fields(b"".join(_field(*field) for field in fields))) == fields
