"""shell: Silero VAD v6, the network that faster-whisper ships, for all streams of the process.

One onnxruntime session on one thread; a stream keeps only the recurrent state (h, c) and its last samples.
It hears windows of 512 samples (32 ms), each with the 64 samples before it; all windows that a block of audio
completes are run at once, in the form that network.py gives it.
"""

import os
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.detection.network import CONTEXT_SAMPLES, STATE, WINDOW_SAMPLES, frames, rewrite
from gateway.events import FRAME_SAMPLES, Audio

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime  # reports to its maker unless told not to before it is imported

WARM_UP_WINDOWS = 8
"""Windows (256 ms) run again when asked after a pause, so that the state knows how the sound began."""
KEPT_SAMPLES = CONTEXT_SAMPLES + WARM_UP_WINDOWS * WINDOW_SAMPLES
_SILENT = np.zeros((1, 1, STATE), np.float32)

_State = tuple[NDArray[np.float32], NDArray[np.float32]]


class SileroModel:
    """The network. `path`: Silero v6 as an ONNX file. Raises ValueError when it is not."""

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            rewrite(Path(path).read_bytes()), options, providers=["CPUExecutionProvider"]
        )

    def stream(self) -> "SileroStream":
        """State for one more stream."""
        return SileroStream(self)

    def run(self, recent: Audio, windows: int, state: _State) -> tuple[list[float], _State]:
        """Context and so many windows, the state before them -> each one's probability, the state after."""
        inputs = {"frames": frames(recent, windows), "h": state[0], "c": state[1]}
        speech, h, c = self._session.run(None, inputs)
        return speech.ravel().tolist(), (h, c)


class SileroStream:
    """One stream: what was heard lately, and the state after it."""

    def __init__(self, model: SileroModel) -> None:
        self._model = model
        self._state: _State
        self._probability: float
        self.reset()

    def reset(self) -> None:
        """Forget everything: the stream has a hole here."""
        self._recent: Audio = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._forget_state()

    def push(self, audio: Audio, wanted: list[bool]) -> list[float]:
        """Frames of 320 samples (the last may be shorter) -> the probability of speech after each.

        It is that of the newest whole window. Where a frame is not `wanted` nothing is run; the answer is 0.
        """
        answers: list[float] = []
        for is_wanted, run in groupby(wanted):
            count = len(list(run))
            part = audio[len(answers) * FRAME_SAMPLES : (len(answers) + count) * FRAME_SAMPLES]
            ends = [min(n * FRAME_SAMPLES, len(part)) for n in range(1, count + 1)]
            answers += self._attend(part, ends) if is_wanted else self._ignore(part, ends)
        return answers

    def _attend(self, audio: Audio, ends: list[int]) -> list[float]:
        begun = len(self._recent) - CONTEXT_SAMPLES
        self._recent = np.concatenate([self._recent, audio])
        answers = [self._probability]
        if windows := (begun + len(audio)) // WINDOW_SAMPLES:
            speech, self._state = self._model.run(self._recent, windows, self._state)
            self._recent = self._recent[windows * WINDOW_SAMPLES :].copy()
            answers += speech
            self._probability = answers[-1]
        return [answers[(begun + end) // WINDOW_SAMPLES] for end in ends]

    def _ignore(self, audio: Audio, ends: list[int]) -> list[float]:
        self._forget_state()
        kept, pushed = len(self._recent), 0
        for end in ends:  # frame by frame, so that the windows lie the same however the audio was cut
            kept, pushed = kept + end - pushed, end
            kept = KEPT_SAMPLES if kept >= KEPT_SAMPLES + WINDOW_SAMPLES else kept
        self._recent = np.concatenate([self._recent, audio])[-kept:].copy()
        return [0.0] * len(ends)

    def _forget_state(self) -> None:
        self._state = (_SILENT, _SILENT)
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
