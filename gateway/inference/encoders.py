"""shell: the encoder in front of CTranslate2's decoder: its own, or PyTorch's, whose output stays on the GPU.

PyTorch's is taken where there is a GPU that computes in float16 and PyTorch (`pip install care-voice[torch]`)
can use it: measured faster there for every length and batch (docs/performance.md). CTranslate2 then gets the
model without the encoder's layers, so that no weights are on the GPU twice.
"""

import mmap
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import ctranslate2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from gateway.events import LogMel
from gateway.inference.context import BUCKETS
from gateway.inference.device import choose_compute_type, choose_device, explain, load_model
from gateway.inference.protocol import EngineError, EngineSpec
from gateway.inference.weights import ModelFile, parse, without_encoder

TORCH_HELP = (
    "--encoder torch: PyTorch cannot be used here ({reason}). `pip install care-voice[torch]`, with a build "
    "for this machine's CUDA, or use --encoder auto."
)


class Encoder(Protocol):
    """Whisper's encoder."""

    name: str

    def warm_up(self) -> None:
        """Pay first-time costs now. Raises RuntimeError."""

    def encode(self, features: Sequence[LogMel], frames: int) -> Any:
        """(items, positions, width) of items padded to `frames`, ready for the decoder: a numpy array, or a
        tensor on the GPU. Raises RuntimeError."""

    def release(self) -> None:
        """Give back what memory is kept for the next pass."""


def load(spec: EngineSpec) -> tuple[Any, Encoder]:
    """(ctranslate2.models.Whisper, its encoder). Raises EngineError."""
    if not takes_torch(spec):
        model = load_model(spec)
        return model, CTranslate2Encoder(model)
    try:
        weights = map_weights(spec.model_dir)
    except (OSError, ValueError) as error:
        raise explain(error, spec.model_dir) from error
    model = load_model(spec, without_encoder(weights))
    return model, DeviceEncoder(weights, model.device)


def takes_torch(spec: EngineSpec) -> bool:
    """Whether PyTorch encodes. Raises EngineError where it was asked for and cannot."""
    wanted = spec.settings.encoder
    if wanted == "ctranslate2":
        return False
    device = choose_device(spec.device)
    compute_type = choose_compute_type(spec.compute_type, device)
    reason = _torch_missing(device, compute_type)
    if wanted == "torch" and reason:
        raise EngineError("encoder", TORCH_HELP.format(reason=reason))
    return not reason and (wanted == "torch" or device == "cuda")


def _torch_missing(device: str, compute_type: str) -> str:
    """Why PyTorch cannot encode, "" if it can."""
    if device == "cuda" and compute_type != "float16":
        return f"on a GPU it takes float16, not {compute_type}"
    if find_spec("torch") is None:
        return "it is not installed"
    if device == "cpu":
        return ""
    import torch

    return "" if torch.cuda.is_available() else f"PyTorch {torch.__version__} finds no GPU"


def map_weights(model_dir: str) -> ModelFile:
    """The weights, on disk until they are used. Raises OSError, ValueError."""
    with (Path(model_dir) / "model.bin").open("rb") as file:
        return parse(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def pad_with_silence(
    items: Sequence[LogMel], frames: int, dtype: DTypeLike = np.float32, into: NDArray[Any] | None = None
) -> NDArray[Any]:
    """(items, mel bands, frames): features lengthened with the log-mel of digital silence.

    Normalised features are (max(x, top - 8) + 4) / 4 of x = log10(power), at least -10: silence lies on that
    floor, 2 below the loudest value and never below -1.5.
    """
    padded = np.empty((len(items), items[0].shape[0], frames), dtype) if into is None else into
    for row, features in zip(padded, items, strict=True):
        audible = features.shape[1]
        row[:, :audible] = features
        row[:, audible:] = max(float(features.max()) - 2.0, -1.5)
    return padded


def join(rows: list[Any]) -> Any:
    """Rows of encoders' outputs as one array on the device where they are."""
    if isinstance(rows[0], np.ndarray):
        return np.stack(rows)
    import torch

    joined = torch.stack(rows)
    _wait(joined)
    return joined


class CTranslate2Encoder:
    """CTranslate2's own. Its output goes through main memory."""

    name = "ctranslate2"

    def __init__(self, model: Any) -> None:
        self._model = model

    def warm_up(self) -> None:
        """The first pass does it."""

    def encode(self, features: Sequence[LogMel], frames: int) -> NDArray[Any]:
        half = self._model.device == "cuda"
        padded = pad_with_silence(features, frames, np.float16 if half else np.float32)
        output = self._model.encode(ctranslate2.StorageView.from_array(padded), to_cpu=True)
        if output.dtype == ctranslate2.DataType.bfloat16:  # numpy has no such type
            output = output.to(ctranslate2.DataType.float32)
        return np.asarray(output)

    def release(self) -> None:
        """It keeps none."""


class DeviceEncoder:
    """PyTorch's. CTranslate2 reads its output where it is, so each pass is waited for: two libraries, two
    streams, and neither knows of the other's."""

    name = "torch"

    def __init__(self, weights: ModelFile, device: str) -> None:
        """Raises EngineError."""
        import torch

        from gateway.inference.torch_encoder import TorchEncoder

        self._on_gpu = device == "cuda"
        dtype = torch.float16 if self._on_gpu else torch.float32
        try:
            self._encoder = TorchEncoder(weights, device, dtype)
        except RuntimeError as error:
            raise explain(error, "the encoder") from error

    def warm_up(self) -> None:
        if self._on_gpu:
            self._encoder.capture(BUCKETS)

    def encode(self, features: Sequence[LogMel], frames: int) -> Any:
        import torch

        shape = (len(features), features[0].shape[0], frames)
        # Locked pages are copied twice as fast, and numbers are made float16 where that costs nothing.
        staged = torch.empty(shape, dtype=torch.float32, pin_memory=self._on_gpu)
        pad_with_silence(features, frames, into=staged.numpy())
        output = self._encoder.encode(staged)
        _wait(output)
        return output if self._on_gpu else output.numpy()

    def release(self) -> None:
        import torch

        if self._on_gpu:
            torch.cuda.empty_cache()


def _wait(tensor: Any) -> None:
    """Until it is there."""
    if tensor.is_cuda:
        import torch

        torch.cuda.current_stream(tensor.device).synchronize()
