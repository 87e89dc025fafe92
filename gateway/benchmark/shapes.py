"""core: the shapes in which Whisper models were published, and the variables that each consists of."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.inference.weights import ModelFile, encoder_heads

POSITIONS = 1500
"""Of the encoder: 30 s at 50 per second."""
TOKEN_POSITIONS = 448
"""Of the decoder, prompt included."""
KERNEL = 3
"""Width of both convolutions."""
VOCABULARY = 51_865
"""Tokens; large-v3 has one more (Cantonese)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the cost of a Whisper model depends on."""

    width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    mel_bands: int

    @property
    def parameters(self) -> int:
        return sum(variable.size for variable in variables(self))


SHAPES = {
    "tiny": Shape(384, 6, 4, 4, 80),
    "base": Shape(512, 8, 6, 6, 80),
    "small": Shape(768, 12, 12, 12, 80),
    "medium": Shape(1024, 16, 24, 24, 80),
    "large-v1": Shape(1280, 20, 32, 32, 80),
    "large-v2": Shape(1280, 20, 32, 32, 80),
    "large-v3": Shape(1280, 20, 32, 32, 128),
    "large-v3-turbo": Shape(1280, 20, 32, 4, 128),
    "distil-small.en": Shape(768, 12, 12, 4, 80),
    "distil-medium.en": Shape(1024, 16, 24, 2, 80),
    "distil-large-v2": Shape(1280, 20, 32, 2, 80),
    "distil-large-v3": Shape(1280, 20, 32, 2, 128),
}
"""From the models' own config.json: d_model, attention heads, layers, num_mel_bins. `.en` models have the
shape of their multilingual ones, Breeze-ASR-25 that of large-v2, distil-large-v3.5 its older sister's."""


def shape_of(model: ModelFile) -> Shape:
    """Of a model that was read from its file."""
    width, mel_bands, _ = model["encoder/conv1/weight"].values.shape
    layers = {part: _layers(model, part) for part in ("encoder", "decoder")}
    return Shape(width, encoder_heads(model), layers["encoder"], layers["decoder"], mel_bands)


def _layers(model: ModelFile, part: str) -> int:
    names = (*model.variables, *model.aliases)
    return len({name.split("/")[1] for name in names if name.startswith(f"{part}/layer_")} - {"layer_norm"})


@dataclass(frozen=True, slots=True)
class Variable:
    """One tensor of model.bin."""

    name: str
    dimensions: tuple[int, ...]
    is_gain: bool = False
    """The factor of a layer norm, about 1; all others are about 0."""

    @property
    def size(self) -> int:
        size = 1
        for dimension in self.dimensions:
            size *= dimension
        return size


def variables(shape: Shape) -> Iterator[Variable]:
    """Names and dimensions as CTranslate2's WhisperSpec (revision 3) has them; query, key and value are one
    product, the output projection is the embedding."""
    width = shape.width
    yield from _product("encoder/conv1", width, shape.mel_bands, KERNEL)
    yield from _product("encoder/conv2", width, width, KERNEL)
    yield Variable("encoder/position_encodings/encodings", (POSITIONS, width))
    for i in range(shape.encoder_layers):
        yield from _self_attention(f"encoder/layer_{i}", width)
        yield from _feed_forward(f"encoder/layer_{i}", width)
    yield from _norm("encoder", width)
    yield Variable("decoder/embeddings/weight", (VOCABULARY, width))
    yield Variable("decoder/position_encodings/encodings", (TOKEN_POSITIONS, width))
    for i in range(shape.decoder_layers):
        yield from _self_attention(f"decoder/layer_{i}", width)
        yield from _cross_attention(f"decoder/layer_{i}/attention", width)
        yield from _feed_forward(f"decoder/layer_{i}", width)
    yield from _norm("decoder", width)


def _self_attention(layer: str, width: int) -> Iterator[Variable]:
    scope = f"{layer}/self_attention"
    yield from _norm(scope, width)
    yield from _product(f"{scope}/linear_0", 3 * width, width)
    yield from _product(f"{scope}/linear_1", width, width)


def _cross_attention(scope: str, width: int) -> Iterator[Variable]:
    yield from _norm(scope, width)
    for i, outputs in enumerate((width, 2 * width, width)):
        yield from _product(f"{scope}/linear_{i}", outputs, width)


def _feed_forward(layer: str, width: int) -> Iterator[Variable]:
    scope = f"{layer}/ffn"
    yield from _norm(scope, width)
    yield from _product(f"{scope}/linear_0", 4 * width, width)
    yield from _product(f"{scope}/linear_1", width, 4 * width)


def _norm(scope: str, width: int) -> Iterator[Variable]:
    yield Variable(f"{scope}/layer_norm/gamma", (width,), is_gain=True)
    yield Variable(f"{scope}/layer_norm/beta", (width,))


def _product(scope: str, outputs: int, *inputs: int) -> Iterator[Variable]:
    yield Variable(f"{scope}/weight", (outputs, *inputs))
    yield Variable(f"{scope}/bias", (outputs,))
