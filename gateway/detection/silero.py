"""shell: Silero VAD v6, the network that faster-whisper ships, for all streams of the process.

One onnxruntime session on one thread; a stream keeps only the recurrent state (h, c) and its last samples.
Its chunk is 512 samples (32 ms), each run with the 64 samples before it.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.events import Audio

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime  # reports to its maker unless told not to before it is imported

CHUNK_SAMPLES = 512
CONTEXT_SAMPLES = 64
WARM_UP_CHUNKS = 8
"""Chunks (256 ms) run again when somebody asks after a pause, so that the state knows how the sound began."""

_State = list[NDArray[np.float32]]


class SileroModel:
    """The network. `path`: the ONNX file with inputs input, h, c."""

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def stream(self) -> "SileroStream":
        """State for one more stream."""
        return SileroStream(self)

    def run(self, chunks: NDArray[np.float32], state: _State) -> tuple[NDArray[np.float32], _State]:
        """Chunks (n, 576) in order and the state before them -> probabilities (n,), the state after."""
        speech, h, c = self._session.run(None, {"input": chunks, "h": state[0], "c": state[1]})
        return speech, [h, c]


class SileroStream:
    """One stream: what was heard lately, and the state after it."""

    def __init__(self, model: SileroModel) -> None:
        self._model = model
        self._state: _State
        self.reset()

    def reset(self) -> None:
        """Forget everything: the stream has a hole here."""
        self._recent: Audio = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._forget_state()

    def push(self, audio: Audio, wanted: bool) -> float:
        """More samples -> the probability that the newest whole chunk is speech.

        Nothing is run while it is not `wanted`; the answer is 0 then.
        """
        self._recent = np.concatenate([self._recent, audio])
        keep = CONTEXT_SAMPLES + WARM_UP_CHUNKS * CHUNK_SAMPLES
        if not wanted:
            self._forget_state()
            if len(self._recent) >= keep + CHUNK_SAMPLES:
                self._recent = self._recent[-keep:]
            return 0.0
        count = (len(self._recent) - CONTEXT_SAMPLES) // CHUNK_SAMPLES
        if count:
            windows = np.lib.stride_tricks.sliding_window_view(self._recent, CONTEXT_SAMPLES + CHUNK_SAMPLES)
            speech, self._state = self._model.run(
                windows[: count * CHUNK_SAMPLES : CHUNK_SAMPLES], self._state
            )
            self._recent = self._recent[count * CHUNK_SAMPLES :]
            self._probability = float(speech[-1])
        return self._probability

    def _forget_state(self) -> None:
        self._state = [np.zeros((1, 1, 128), np.float32)] * 2
        self._probability = 0.0


def load_silero() -> SileroModel:
    """The network from faster-whisper's assets, without importing faster-whisper (which loads CUDA).

    Raises FileNotFoundError when the installed faster-whisper does not ship it.
    """
    spec = find_spec("faster_whisper")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder, "assets").glob("silero_vad_v6*.onnx")):
            return SileroModel(str(path))
    raise FileNotFoundError(
        "silero_vad_v6.onnx is not in faster-whisper's assets: install faster-whisper 1.2.1 or later, or "
        "switch Silero off (--no-silero)."
    )
