"""shell: Whisper's encoder in PyTorch, from the weights of a CTranslate2 model.

The arithmetic is that of CTranslate2's own encoder (pre-norm transformer, exact GELU, epsilon 1e-5), but
attention is fused (scaled_dot_product_attention): its memory and traffic do not grow with the square of the
length. Convolutions are matrix products of three neighbouring frames each, which needs no cuDNN workspace.

A pass of few frames takes the host longer to launch than the GPU to run. Such passes are captured once as
CUDA graphs, at the warm-up, for every context and some numbers of items; what lies between is rounded up.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gateway.inference.weights import ModelFile, encoder_heads, encoder_weights

FRAMES_AT_ONCE = 24_000
"""Of one pass through the layers: eight full windows fill any GPU, more would only take more memory."""
GRAPH_FRAMES = 8000
"""Passes up to this are captured. Longer ones keep an H100 busy for longer than launching them takes."""
GRAPH_ITEMS = (1, 2, 4, 8, 16, 32)
Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class _Layer:
    """Weight and bias of each product, gamma and beta of each norm."""

    attention_norm: Pair
    qkv: Pair
    projection: Pair
    ffn_norm: Pair
    widening: Pair
    narrowing: Pair


@dataclass(frozen=True, slots=True)
class _Graph:
    """A captured pass: reads its input, overwrites its output at each replay."""

    graph: torch.cuda.CUDAGraph
    features: Tensor
    output: Tensor


class TorchEncoder:
    """features (items, mel bands, frames) to (items, positions, width), positions = ceil(frames / 2)."""

    def __init__(self, model: ModelFile, device: str, dtype: torch.dtype) -> None:
        """Raises torch.OutOfMemoryError where the weights do not fit."""
        # cuDNN's attention is 4 % faster, but plans each new shape for about 0.1 s, in the middle of a pass.
        torch.backends.cuda.enable_cudnn_sdp(False)
        self.device, self.dtype = torch.device(device), dtype
        self._heads = encoder_heads(model)
        weights = encoder_weights(model)
        self._bands = weights["conv1/weight"].shape[1]
        self._conv1, self._conv2 = self._convolution(weights, "conv1"), self._convolution(weights, "conv2")
        self._positions = self._load(weights["position_encodings/encodings"])
        self._norm = self._pair(weights, "layer_norm", "gamma", "beta")
        count = sum(name.endswith("/ffn/linear_0/weight") for name in weights)
        self._layers = [self._layer(weights, f"layer_{i}") for i in range(count)]
        self._graphs: dict[tuple[int, int], _Graph] = {}

    def capture(self, lengths: Sequence[int]) -> None:
        """Prepare the short passes of these lengths. On a GPU only; nothing else may use it meanwhile."""
        pool = torch.cuda.graph_pool_handle()  # one for all: never two run at a time
        aside = torch.cuda.Stream(self.device)  # one for all: each would get a workspace of its own
        inputs = torch.zeros(GRAPH_FRAMES * self._bands, device=self.device, dtype=self.dtype)
        wanted = [(n, frames) for n in GRAPH_ITEMS for frames in lengths if n * frames <= GRAPH_FRAMES]
        for items, frames in sorted(wanted, key=math.prod, reverse=True):  # the others fit into its memory
            features = inputs[: items * self._bands * frames].view(items, self._bands, frames)
            with torch.inference_mode(), torch.cuda.stream(aside):
                self._graphs[items, frames] = self._capture(features, pool)
        torch.cuda.empty_cache()  # of the passes that were run aside
        for frames in lengths:  # the longest pass has its memory from the start
            self.encode(torch.zeros(max(1, FRAMES_AT_ONCE // frames), self._bands, frames))
        torch.cuda.synchronize()

    def encode(self, features: Tensor) -> Tensor:
        """Returns before the device has finished. The output belongs to the caller."""
        items, _, frames = features.shape
        captured = next((n for n in GRAPH_ITEMS if n >= items and (n, frames) in self._graphs), None)
        with torch.inference_mode():
            features = features.to(self.device, non_blocking=True).to(self.dtype)
            if captured:
                return self._replay(self._graphs[captured, frames], features)
            parts = [self._run(part) for part in features.split(max(1, FRAMES_AT_ONCE // frames))]
            return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _capture(self, features: Tensor, pool: Any) -> _Graph:
        self._run(features)  # libraries choose their kernels outside of the capture
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Not `with torch.cuda.graph`: it collects garbage and empties the cache, each time.
        graph.capture_begin(pool=pool, capture_error_mode="thread_local")
        output = self._run(features)
        graph.capture_end()
        return _Graph(graph, features, output)

    def _replay(self, graph: _Graph, features: Tensor) -> Tensor:
        """Items that are there in excess are what the last pass left."""
        graph.features[: len(features)].copy_(features)
        graph.graph.replay()
        return graph.output[: len(features)].clone()

    def _run(self, features: Tensor) -> Tensor:
        heard = _convolve(features.transpose(1, 2), self._conv1, stride=1)
        heard = _convolve(heard, self._conv2, stride=2)
        x = heard + self._positions[: heard.shape[1]]
        for layer in self._layers:
            x = self._through(layer, x)
        return functional.layer_norm(x, x.shape[-1:], *self._norm)

    def _through(self, layer: _Layer, x: Tensor) -> Tensor:
        items, positions, width = x.shape
        normed = functional.layer_norm(x, (width,), *layer.attention_norm)
        qkv = functional.linear(normed, *layer.qkv).view(items, positions, 3, self._heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + functional.linear(attended, *layer.projection)
        normed = functional.layer_norm(x, (width,), *layer.ffn_norm)
        widened = functional.gelu(functional.linear(normed, *layer.widening))
        return x + functional.linear(widened, *layer.narrowing)

    def _layer(self, weights: Mapping[str, NDArray[Any]], scope: str) -> _Layer:
        return _Layer(
            self._pair(weights, f"{scope}/self_attention/layer_norm", "gamma", "beta"),
            self._pair(weights, f"{scope}/self_attention/linear_0"),
            self._pair(weights, f"{scope}/self_attention/linear_1"),
            self._pair(weights, f"{scope}/ffn/layer_norm", "gamma", "beta"),
            self._pair(weights, f"{scope}/ffn/linear_0"),
            self._pair(weights, f"{scope}/ffn/linear_1"),
        )

    def _convolution(self, weights: Mapping[str, NDArray[Any]], scope: str) -> Pair:
        """The weight as a matrix: (outputs, inputs, 3 frames) to (outputs, 3 frames x inputs)."""
        weight, bias = self._pair(weights, scope)
        return weight.transpose(1, 2).reshape(len(weight), -1), bias

    def _pair(
        self, weights: Mapping[str, NDArray[Any]], scope: str, first: str = "weight", second: str = "bias"
    ) -> Pair:
        return self._load(weights[f"{scope}/{first}"]), self._load(weights[f"{scope}/{second}"])

    def _load(self, values: NDArray[Any]) -> Tensor:
        return torch.tensor(values).to(self.device, self.dtype)


def _convolve(x: Tensor, convolution: Pair, stride: int) -> Tensor:
    """(items, frames, inputs) to (items, ceil(frames / stride), outputs), zeros around, then GELU."""
    padded = functional.pad(x, (0, 0, 1, 1))
    neighbours = padded.unfold(1, 3, stride).transpose(2, 3).flatten(2)
    return functional.gelu(functional.linear(neighbours, *convolution))
