"""model.bin, read without CTranslate2."""

import struct
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gateway.inference.weights import (
    ModelFile,
    encoder_heads,
    encoder_weights,
    parse,
    without_encoder,
    write,
)
from tests.inference.clips import DEMO

DATA = memoryview((DEMO / "model.bin").read_bytes())


@pytest.fixture(scope="module")
def demo() -> ModelFile:
    return parse(DATA)


def test_what_is_read_can_be_written_again(demo: ModelFile) -> None:
    """Byte for byte as CTranslate2's own converter wrote it."""
    values = [(name, variable.values) for name, variable in demo.variables.items()]
    assert b"".join(write("WhisperSpec", 3, len(values), values, demo.aliases)) == DATA


@given(
    st.dictionaries(
        st.text("abc/_0", min_size=1, max_size=12),
        arrays.arrays(
            st.sampled_from(["<f4", "|i1", "<i2", "<i4", "<f2"]),
            arrays.array_shapes(min_dims=0, max_dims=3, max_side=4),
            fill=st.nothing(),
        ),
        max_size=5,
    )
)
def test_any_variables_survive(values: dict[str, np.ndarray]) -> None:
    data = b"".join(write("WhisperSpec", 3, len(values), values.items(), {}))
    read = parse(memoryview(data)).variables
    assert list(read) == list(values)
    for name, array in values.items():
        assert read[name].values.dtype == array.dtype
        assert read[name].values.tobytes() == array.tobytes()


@given(st.integers(0, len(DATA) - 1))
def test_a_file_that_ends_early_is_refused(end: int) -> None:
    with pytest.raises(ValueError, match="ends early"):
        parse(DATA[:end])


ONE = b"".join(write("WhisperSpec", 3, 1, [("x", np.zeros(1, np.float32))], {}))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (struct.pack("<I", 3), "version 3"),
        (struct.pack("<IH", 6, 16) + b"TransformerSpec\0", "TransformerSpec"),
        (ONE.replace(struct.pack("<IBI", 1, 0, 4), struct.pack("<IBI", 1, 9, 4)), "unknown type 9"),
    ],
)
def test_another_format_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(memoryview(data))


def test_integers_are_scaled_back(demo: ModelFile) -> None:
    """A matrix by one scale a row, a convolution by one for each output channel."""
    weights = encoder_weights(demo)
    for name in ("layer_0/ffn/linear_0/weight", "conv1/weight"):
        stored = demo[f"encoder/{name}"].values
        scale = demo[f"encoder/{name}_scale"].values
        assert weights[name].dtype == np.float32
        assert np.allclose(weights[name][5], stored[5] / scale[5])
        assert np.abs(weights[name].reshape(len(scale), -1)).max(1) == pytest.approx(127 / scale, rel=1e-6)


def test_bfloat16_and_int16_and_aliases_are_read() -> None:
    values = {
        "encoder/a": np.array([1.5, -2.25, 3e38], np.float32),
        "encoder/b": np.array([512, -1024], np.int16),
        "encoder/b_scale": np.array(512, np.float32),
        "encoder/num_heads": np.array(6, np.int16),
    }
    data = b"".join(write("WhisperSpec", 3, len(values), values.items(), {"encoder/c": "encoder/a"}))
    upper_halves = values["encoder/a"].view("<u2")[1::2]
    entry = struct.pack("<BIBI", 1, 3, 0, 12) + values["encoder/a"].tobytes()
    as_bfloat16 = struct.pack("<BIBI", 1, 3, 5, 6) + upper_halves.tobytes()
    model = parse(memoryview(data.replace(entry, as_bfloat16)))
    weights = encoder_weights(model)
    assert weights["a"] == pytest.approx(values["encoder/a"], rel=2**-7)
    assert (weights["c"] == weights["a"]).all()
    assert weights["b"].tolist() == [1.0, -2.0]
    assert encoder_heads(model) == 6


def test_a_decoder_without_its_encoder_decodes_the_same(demo: ModelFile) -> None:
    """CTranslate2 takes the shorter file, and decodes what another encoder heard."""
    whole = ctranslate2.models.Whisper(str(DEMO), device="cpu", compute_type="float32", intra_threads=1)
    files = {path.name: path.read_bytes() for path in Path(DEMO).glob("*.json")}
    files["model.bin"] = without_encoder(demo)
    assert len(files["model.bin"]) < 0.9 * len(DATA)
    shorter = ctranslate2.models.Whisper(
        "demo", device="cpu", files=files, compute_type="float32", intra_threads=1
    )
    features = np.random.default_rng(1).standard_normal((1, 80, 300), np.float32)
    heard = whole.encode(ctranslate2.StorageView.from_array(features))
    prompt = [[50258, 50259, 50359, 50363]]
    first, second = (
        model.generate(heard, prompt, beam_size=2, max_length=40, return_scores=True)[0]
        for model in (whole, shorter)
    )
    assert (first.sequences_ids, first.scores) == (second.sequences_ids, second.scores)
