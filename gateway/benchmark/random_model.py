"""shell: a model directory of any shape with random weights: what real weights cost, not what they hear.

CTranslate2's own format is written (weights.py), so neither PyTorch nor a download is needed. Tokens,
tokenizer and languages are those of the bundled demo model.
"""

import json
import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.benchmark.shapes import Shape, Variable, variables
from gateway.inference.weights import write

REVISION = 3
"""Of CTranslate2's WhisperSpec."""
GELU = 3
"""In CTranslate2's Activation."""
BLOCK = (1 << 22) - 3
"""Random numbers drawn; larger variables repeat them. No multiple of a width: no two rows are equal."""
SPREAD = 0.02
"""Standard deviation of the weights, as in Whisper before its training."""
FLAGS = (
    "alibi",
    "alibi_use_positive_positions",
    "scale_alibi",
    "scale_embeddings",
    "start_from_zero_embedding",
)
NO_LAYER = -1
"""Alignment heads are in config.json instead."""


def write_random_model(shape: Shape, directory: Path, demo: Path, seed: int = 0) -> None:
    """Make `directory` a CTranslate2 Whisper of this shape in float16. `demo`: the demo model's directory."""
    directory.mkdir(parents=True, exist_ok=True)
    block = _block(seed)
    attributes, tensors = _attributes(shape), list(variables(shape))
    content = chain(attributes.items(), ((tensor.name, _values(tensor, block)) for tensor in tensors))
    aliases = {"decoder/projection/weight": "decoder/embeddings/weight"}
    with (directory / "model.bin").open("wb") as file:
        file.writelines(write("WhisperSpec", REVISION, len(attributes) + len(tensors), content, aliases))
    config = json.loads((demo / "config.json").read_text())
    config["alignment_heads"] = [[shape.decoder_layers - 1, head] for head in range(4)]
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "preprocessor_config.json").write_text(json.dumps({"feature_size": shape.mel_bands}))
    for name in ("vocabulary.json", "tokenizer.json"):
        shutil.copy(demo / name, directory)


def _block(seed: int) -> NDArray[np.float16]:
    drawn = np.random.default_rng(seed).standard_normal(BLOCK, np.float32)
    return (drawn * SPREAD).astype(np.float16)


def _values(variable: Variable, block: NDArray[np.float16]) -> NDArray[np.float16]:
    values = np.resize(block, variable.dimensions)
    return values + np.float16(1) if variable.is_gain else values


def _attributes(shape: Shape) -> dict[str, NDArray[Any]]:
    heads = np.array(shape.heads, np.int16)
    return {
        "encoder/num_heads": heads,
        "decoder/num_heads": heads,
        "decoder/activation": np.array(GELU, np.int8),
        "decoder/pre_norm": np.array(1, np.int8),
        "decoder/alignment_heads": np.array(1, np.int16),
        "decoder/alignment_layer": np.array(NO_LAYER, np.int16),
        **{f"decoder/{flag}": np.array(0, np.int8) for flag in FLAGS},
    }
