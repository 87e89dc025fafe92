"""The shapes are those that were published."""

from pathlib import Path

import ctranslate2
import numpy as np
import pytest

from gateway.benchmark.random_model import write_random_model
from gateway.benchmark.shapes import SHAPES, Shape, shape_of
from gateway.inference.encoders import map_weights
from tests.inference.clips import DEMO

SMALL = Shape(width=64, heads=2, encoder_layers=3, decoder_layers=2, mel_bands=128)
PUBLISHED_MILLIONS = {
    "tiny": 39, "base": 74, "small": 244, "medium": 769, "large-v1": 1550, "large-v2": 1550, "large-v3": 1550,
    "large-v3-turbo": 809, "distil-small.en": 166, "distil-medium.en": 394, "distil-large-v2": 756,
    "distil-large-v3": 756,
}  # fmt: skip
"""From the model cards."""


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_are_those_of_the_model_card(name: str) -> None:
    assert SHAPES[name].parameters / 1e6 == pytest.approx(PUBLISHED_MILLIONS[name], rel=0.04)


def test_the_demo_models_shape_is_read_from_its_file() -> None:
    assert shape_of(map_weights(str(DEMO))) == Shape(256, 4, 6, 4, 80)


def test_a_random_model_is_one_that_ctranslate2_loads(tmp_path: Path) -> None:
    """It encodes, decodes and aligns; its file tells its shape; the same seed gives the same file."""
    write_random_model(SMALL, tmp_path / "a", DEMO)
    write_random_model(SMALL, tmp_path / "b", DEMO)
    assert (tmp_path / "a/model.bin").read_bytes() == (tmp_path / "b/model.bin").read_bytes()
    assert shape_of(map_weights(str(tmp_path / "a"))) == SMALL
    model = ctranslate2.models.Whisper(str(tmp_path / "a"), device="cpu", intra_threads=1)
    features = np.random.default_rng(1).standard_normal((2, 128, 200), np.float32)
    encoded = model.encode(ctranslate2.StorageView.from_array(features))
    assert np.isfinite(np.asarray(encoded)).all()
    assert encoded.shape == [2, 100, 64]
    prompt = [50258, 50259, 50359]
    answers = model.generate(
        encoded, [[*prompt, 50363]] * 2, beam_size=1, max_length=20, suppress_tokens=[50257]
    )
    assert [len(answer.sequences_ids[0]) for answer in answers] == [10, 10]
    assert model.align(encoded, prompt, [[100, 200]] * 2, [200, 190])[0].alignments
