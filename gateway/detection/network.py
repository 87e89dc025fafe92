"""core: Silero v6 as a few large matrix products, made from the file that has it as convolutions.

onnxruntime runs a convolution over four frames of 129 bins for each window by itself, at a fraction of the
processor's speed. Over so few frames a convolution is one matrix (frames x channels in by frames x channels
out, zero where a tap does not reach), and the windows of a block are the rows of one product. The weights and
the arithmetic stay: the answers agree to 1e-6.

ONNX files are protobuf messages (onnx.proto3); only as much of the format is known here as this needs.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.events import Audio

WINDOW_SAMPLES = 512
CONTEXT_SAMPLES = 64
"""Before each window, run with it."""
FRAMES = 4
"""Spectra per window, 128 samples apart."""
BINS = 129
STATE = 128
_HALF = 128
"""Half a spectrum's 256 samples: also the hop."""
_SHAPES: Sequence[tuple[int, ...]] = (
    (2 * BINS, 1, 256), (128, BINS, 3), (128,), (64, 128, 3), (64,), (64, 64, 3), (64,), (128, 64, 3), (128,),
    (1, 128, 1), (1,), (4 * STATE, STATE), (4 * STATE, STATE), (8 * STATE,),
)  # fmt: skip
"""Weights in their order: spectrum, four convolutions with biases, decoder, LSTM (input, state, bias)."""
_OPSET, _IR_VERSION, _FLOAT, _INT64, _INT = 18, 8, 1, 7, 2
_VARINT, _LENGTH = 0, 2

Weights = NDArray[Any]


def frames(recent: Audio, windows: int) -> NDArray[np.float32]:
    """The context and so many windows behind it -> what the network takes: (4 * windows, 256).

    The last frame of a window reaches 64 samples beyond it: there the window is reflected.
    """
    rows = np.zeros((FRAMES * windows + 1, _HALF), np.float32)
    taken = windows * WINDOW_SAMPLES + CONTEXT_SAMPLES
    rows.reshape(-1)[:taken] = recent[:taken]
    cut = np.concatenate([rows[:-1], rows[1:]], axis=1)
    cut[FRAMES - 1 :: FRAMES, 192:] = cut[FRAMES - 1 :: FRAMES, 190:126:-1]
    return cut


def rewrite(file: bytes) -> bytes:
    """The ONNX file with inputs frames, h, c and outputs speech (windows, 1, 1, 1), hn, cn.

    Raises ValueError when it is not Silero v6.
    """
    spectrum, w0, b0, w1, b1, w2, b2, w3, b3, wd, bd, wx, wh, b = _weights(file)
    graph = _Graph()
    graph.node("MatMul", ["frames", graph.tensor(spectrum[:, 0].T)], ["bins"])
    graph.node("Mul", ["bins", "bins"], ["squares"])
    graph.node("Split", ["squares", graph.tensor(np.array([BINS, BINS]))], ["real", "imaginary"], axis=1)
    graph.node("Add", ["real", "imaginary"], ["power"])
    graph.node("Sqrt", ["power"], ["magnitude"])
    graph.node("Reshape", ["magnitude", graph.tensor(np.array([-1, FRAMES * BINS]))], ["layer"])
    length = FRAMES
    for weight, bias, stride in ((w0, b0, 1), (w1, b1, 2), (w2, b2, 2), (w3, b3, 1)):
        matrix = convolution(weight, length, stride)
        length = matrix.shape[1] // len(bias)
        graph.node("Gemm", ["layer", graph.tensor(matrix), graph.tensor(np.tile(bias, length))], ["linear"])
        graph.node("Relu", ["linear"], ["layer"])
    graph.node("Unsqueeze", ["layer", graph.tensor(np.array([1]))], ["sequence"])
    gates = [graph.tensor(weight[None]) for weight in (wx, wh, b)]
    graph.node("LSTM", ["sequence", *gates, "", "h", "c"], ["heard", "hn", "cn"], hidden_size=STATE)
    graph.node("Relu", ["heard"], ["positive"])
    graph.node("MatMul", ["positive", graph.tensor(wd[:, :, 0].T)], ["product"])
    graph.node("Add", ["product", graph.tensor(bd)], ["sum"])
    graph.node("Sigmoid", ["sum"], ["speech"])
    state = (1, 1, STATE)
    return graph.file(
        {"frames": (None, 256), "h": state, "c": state}, {"speech": (None, 1, 1, 1), "hn": state, "cn": state}
    )


def convolution(weight: Weights, length: int, stride: int) -> Weights:
    """Three taps, a zero at either end: weights (out, in, 3) -> a matrix (length * in, places * out)."""
    out, channels, taps = weight.shape
    places = (length - 1) // stride + 1
    matrix = np.zeros((length, channels, places, out), np.float32)
    for place in range(places):
        for tap in range(taps):
            at = place * stride + tap - 1
            if 0 <= at < length:
                matrix[at, :, place] = weight[:, :, tap].T
    return matrix.reshape(length * channels, places * out)


def _weights(file: bytes) -> list[Weights]:
    graph = next(value for number, value in _fields(file) if number == 7)
    tensors = [value for number, value in _fields(graph) if number == 5]
    raw = [dict(_fields(tensor)).get(9, b"") for tensor in tensors[: len(_SHAPES)]]
    if [len(data) for data in raw] != [4 * prod(shape) for shape in _SHAPES]:
        raise ValueError("the file does not hold Silero v6")
    return [np.frombuffer(data, "<f4").reshape(shape) for data, shape in zip(raw, _SHAPES, strict=True)]


class _Graph:
    """Nodes and tensors of a graph to be written. Numbers are those of onnx.proto3."""

    def __init__(self) -> None:
        self._nodes = b""
        self._tensors = b""
        self._names = 0
        self._renamed: dict[str, str] = {}

    def tensor(self, values: Weights) -> str:
        """A constant. Returns its name."""
        self._names += 1
        name = f"constant {self._names}"
        kind = _INT64 if values.dtype.kind == "i" else _FLOAT
        data = np.ascontiguousarray(values, "<i8" if kind == _INT64 else "<f4").tobytes()
        dims = b"".join(_field(1, size) for size in values.shape)
        self._tensors += _field(5, dims + _field(2, kind) + _field(8, name) + _field(9, data))
        return name

    def node(self, op: str, inputs: list[str], outputs: list[str], **attributes: int) -> None:
        """A name that is given again means the newer value."""
        message = b"".join(_field(1, self._renamed.get(name, name)) for name in inputs)
        for name in outputs:
            self._names += 1
            known = name in self._renamed
            self._renamed[name] = f"{name} {self._names}" if known else name
            message += _field(2, self._renamed[name])
        message += _field(4, op)
        for name, value in attributes.items():
            message += _field(5, _field(1, name) + _field(3, value) + _field(20, _INT))
        self._nodes += _field(1, message)

    def file(
        self, inputs: Mapping[str, tuple[int | None, ...]], outputs: Mapping[str, tuple[int | None, ...]]
    ) -> bytes:
        ends = b"".join(
            _field(number, _value(name, shape))
            for number, values in ((11, inputs), (12, outputs))
            for name, shape in values.items()
        )
        graph = self._nodes + _field(2, "silero") + self._tensors + ends
        return _field(1, _IR_VERSION) + _field(8, _field(2, _OPSET)) + _field(7, graph)


def _value(name: str, shape: tuple[int | None, ...]) -> bytes:
    dims = b"".join(_field(1, _field(2, "n") if size is None else _field(1, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, _FLOAT) + _field(2, dims)))


# --- protobuf -----------------------------------------------------------------------------------------------


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field; strings and messages as bytes."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        value: int | bytes
        if key & 7 == _LENGTH:
            size, at = _read_varint(message, at)
            value, at = message[at : at + size], at + size
        elif key & 7 == _VARINT:
            value, at = _read_varint(message, at)
        else:
            raise ValueError("the file is no ONNX model")
        yield key >> 3, value


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | _LENGTH) + _varint(len(data)) + data


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
