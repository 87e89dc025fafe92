"""core: the weights of a CTranslate2 model, read from the bytes of its model.bin.

The format (ctranslate2/specs/model_spec.py, `_serialize`, binary version 6): version, name and revision of
the specification, then each variable as name, shape, type and bytes, then the aliases of equal variables.
Numbers are little-endian, strings carry their length and a zero. Nothing is copied: arrays are views of the
bytes.
"""

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINARY_VERSIONS = (4, 5, 6)
"""4 brought the type of each variable."""
TYPES = ("<f4", "|i1", "<i2", "<i4", "<f2", "bfloat16")
"""In the order of CTranslate2's DataType."""
LATER_LAYER = re.compile("encoder/layer_[1-9]")
DEFAULT_HEADS = 8
"""CTranslate2's, for models older than the attribute."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One entry of model.bin."""

    values: NDArray[Any]
    """bfloat16, which numpy has not, as the upper 16 bits of a float32 (uint16)."""
    type_id: int
    entry: memoryview
    """All its bytes in the file."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What a model.bin holds."""

    head: memoryview
    """Version, name and revision."""
    variables: dict[str, Variable]
    aliases: dict[str, str]

    def __getitem__(self, name: str) -> Variable:
        return self.variables[self.aliases.get(name, name)]


def parse(data: memoryview) -> ModelFile:
    """Raises ValueError where this is no Whisper of a known format, or damaged."""
    reader = _Reader(data)
    version = reader.number("I")
    if version not in BINARY_VERSIONS:
        raise ValueError(f"model.bin has binary version {version}, not one of {BINARY_VERSIONS}")
    if (name := reader.text()) != "WhisperSpec":
        raise ValueError(f"model.bin is a {name}, not a WhisperSpec")
    reader.number("I")
    head = data[: reader.position]
    variables = dict(reader.variable() for _ in range(reader.number("I")))
    aliases = {reader.text(): reader.text() for _ in range(reader.number("I"))}
    return ModelFile(head, variables, aliases)


def encoder_weights(model: ModelFile) -> dict[str, NDArray[Any]]:
    """The encoder's weights by name without `encoder/`, integers scaled back: float16 or float32."""
    names = {name for name in (*model.variables, *model.aliases) if name.startswith("encoder/")}
    return {
        name.removeprefix("encoder/"): _floats(model, name)
        for name in names
        if model[name].values.ndim and not name.endswith("_scale")
    }


def encoder_heads(model: ModelFile) -> int:
    """Attention heads of each encoder layer."""
    heads = model.variables.get("encoder/num_heads")
    return int(heads.values) if heads else DEFAULT_HEADS


def without_encoder(model: ModelFile) -> bytes:
    """The same model.bin with one encoder layer, which CTranslate2 insists on: for who encodes elsewhere."""
    aliases = {name: target for name, target in model.aliases.items() if not LATER_LAYER.match(name)}
    kept = [
        variable.entry
        for name, variable in model.variables.items()
        if not LATER_LAYER.match(name) or name in aliases.values()
    ]
    return b"".join((model.head, struct.pack("<I", len(kept)), *kept, _aliases(aliases)))


def write(
    name: str,
    revision: int,
    count: int,
    variables: Iterable[tuple[str, NDArray[Any]]],
    aliases: Mapping[str, str],
) -> Iterator[bytes]:
    """The chunks of a model.bin with these `count` variables."""
    yield struct.pack("<I", BINARY_VERSIONS[-1]) + _string(name) + struct.pack("<II", revision, count)
    for variable, array in variables:
        shape = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        yield _string(variable) + shape + struct.pack("<BI", TYPES.index(array.dtype.str), array.nbytes)
        yield array.tobytes()
    yield _aliases(aliases)


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.position = 0

    def variable(self) -> tuple[str, Variable]:
        start = self.position
        name = self.text()
        shape = [self.number("I") for _ in range(self.number("B"))]
        type_id = self.number("B")
        if type_id >= len(TYPES):
            raise ValueError(f"model.bin: {name} has the unknown type {type_id}")
        content = self._bytes(self.number("I"))
        values = np.frombuffer(content, "<u2" if TYPES[type_id] == "bfloat16" else TYPES[type_id])
        return name, Variable(values.reshape(shape), type_id, self._data[start : self.position])

    def number(self, code: str) -> int:
        value: int = struct.unpack("<" + code, self._bytes(struct.calcsize("<" + code)))[0]
        return value

    def text(self) -> str:
        return bytes(self._bytes(self.number("H"))[:-1]).decode()

    def _bytes(self, size: int) -> memoryview:
        end = self.position + size
        if end > len(self._data):
            raise ValueError("model.bin ends early: it is damaged or not whole")
        chunk = self._data[self.position : end]
        self.position = end
        return chunk


def _floats(model: ModelFile, name: str) -> NDArray[Any]:
    variable = model[name]
    values = variable.values
    if TYPES[variable.type_id] == "bfloat16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    if values.dtype.kind == "f":
        return values
    # One scale per row of a matrix; a row of a convolution is all that makes one output channel. int16: one.
    scale = model[name + "_scale"].values
    factors = scale.reshape(-1, *[1] * (values.ndim - 1)) if scale.ndim else scale
    return np.asarray(values.astype(np.float32) / factors, np.float32)


def _aliases(aliases: Mapping[str, str]) -> bytes:
    pairs = b"".join(_string(alias) + _string(name) for alias, name in aliases.items())
    return struct.pack("<I", len(aliases)) + pairs


def _string(text: str) -> bytes:
    encoded = text.encode() + b"\0"
    return struct.pack("<H", len(encoded)) + encoded
