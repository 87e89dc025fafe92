"""shell: what is only tried in a process of its own: `python -m gateway.diagnosis.child look|product|decode`.

Says one JSON object a line: {"stage": ...} before each step, then {"seen": ...}, {"figures": ..., "notes":
...} or {"error": ...}. Whatever CUDA does to this process, the one that asked lives on.
"""

import os
import resource
import sys
import threading
import time
import wave
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from gateway.detection.features import IncrementalLogMel
from gateway.diagnosis.gpu_rules import visible
from gateway.diagnosis.libraries import open_cublas
from gateway.diagnosis.nvml import memory_used_bytes, read_driver, read_gpus
from gateway.diagnosis.observed import Accelerator, Cuda
from gateway.diagnosis.product import multiply
from gateway.events import SAMPLE_RATE, Audio, Job, Kind, LogMel
from gateway.inference import device
from gateway.inference.protocol import EngineSpec, decode
from gateway.resources import bundled_models_dir

SPEECH_S = 5.0
SAMPLE_INTERVAL_S = 0.005
Say = Callable[[dict[str, Any]], None]


def main() -> int:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def say(message: dict[str, Any]) -> None:
        print(msgspec.json.encode(message).decode(), file=out, flush=True)

    try:
        {"look": look, "product": product, "decode": decode_speech}[sys.argv[1]](say)
    except Exception as error:  # any: it is what is wanted to be known
        say({"error": f"{type(error).__name__}: {error}" if not str(error) else str(error)})
    return 0


def look(say: Say) -> None:
    """What driver, GPUs and CTranslate2 say of themselves."""
    say({"stage": "asking NVML"})
    driver, gpus = read_driver(), read_gpus()
    say({"stage": "loading libcublas"})
    cublas = open_cublas()
    say({"stage": "asking CTranslate2"})
    say({"seen": Accelerator(driver, gpus, cublas, _cuda(), device.why_auto())})


def _cuda() -> Cuda:
    version, count, cpu = device.version(), device.cuda_devices(), device.compute_types("cpu")
    try:
        return Cuda(version, count, "", device.compute_types("cuda"), cpu)
    except RuntimeError as error:
        return Cuda(version, count, str(error), (), cpu)


def product(say: Say) -> None:
    """A matrix product."""
    say({"figures": multiply(lambda stage: say({"stage": stage}))})


def decode_speech(say: Say) -> None:
    """Load the engine, warm it up, decode five seconds of the demo's speech."""
    spec = decode(sys.stdin.buffer.read())
    assert isinstance(spec, EngineSpec)
    say({"stage": "loading the engine"})
    from gateway.inference.engine import load

    with _Peak() as peak:
        laps = [time.perf_counter()]
        engine = load(spec)
        laps.append(time.perf_counter())
        say({"stage": "warming up"})
        engine.warm_up()
        laps.append(time.perf_counter())
        say({"stage": "decoding"})
        features = _features(engine.info.mel_bands)
        laps.append(time.perf_counter())
        engine.transcribe([Job(0, 0, 0, Kind.FINAL, features, SPEECH_S)])
        laps.append(time.perf_counter())
    on_gpu = engine.info.device == "cuda"
    load_s, warm_up_s, _, decode_s = np.diff(laps)
    say(
        {
            "figures": {
                "load_s": float(load_s), "warm_up_s": float(warm_up_s), "decode_s": float(decode_s),
                "audio_s": SPEECH_S, "peak_bytes": peak.gpu_bytes if on_gpu else peak.resident_bytes,
            },
            "notes": {
                "model": spec.name, "device": engine.info.device, "compute_type": engine.info.compute_type,
            },
        }
    )  # fmt: skip


def _features(bands: int) -> LogMel:
    """Of what comes with the demo model; spoken by a machine."""
    with wave.open(str(bundled_models_dir() / "demo" / "audio" / "dialog_en.wav")) as file:
        assert file.getframerate() == SAMPLE_RATE
        pcm = np.frombuffer(file.readframes(int(SPEECH_S * SAMPLE_RATE)), np.int16)
    audio: Audio = pcm.astype(np.float32) / np.float32(32768)
    stream = IncrementalLogMel(bands)
    stream.push(audio)
    return stream.snapshot(len(audio))


class _Peak:
    """The most memory that is used meanwhile: on the GPU beyond what was used before, and of this process."""

    def __init__(self) -> None:
        self.gpu_bytes = 0
        self._done = threading.Event()
        read_driver()
        shown = visible(os.environ.get("CUDA_VISIBLE_DEVICES"), read_gpus())
        self._gpu = shown[0].index if shown else None
        self._before = self._used_bytes()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Peak":
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watcher.join()

    @property
    def resident_bytes(self) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def _watch(self) -> None:
        while self._gpu is not None and not self._done.wait(SAMPLE_INTERVAL_S):
            self.gpu_bytes = max(self.gpu_bytes, self._used_bytes() - self._before)

    def _used_bytes(self) -> int:
        return 0 if self._gpu is None else memory_used_bytes(self._gpu)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # destructors of CUDA at exit may hang or abort
