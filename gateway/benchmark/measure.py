"""shell: one model on one device, measured in a process of its own, so that starts and memory are its own.

Every window gets as many tokens as its speech would have (3.5 a second): the end token is forbidden, the
length is bounded. So random weights cost what real ones do.
"""

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gateway.benchmark.ceilings import measure_ceilings
from gateway.benchmark.roofline import Ceilings, tokens
from gateway.benchmark.shapes import Shape, shape_of
from gateway.events import Job, Kind
from gateway.inference.context import BUCKETS, FULL_FRAMES
from gateway.inference.protocol import EngineError, EngineSpec

if TYPE_CHECKING:
    from gateway.inference.encoders import Encoder

FRAMES_PER_S = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured in one process."""

    spec: EngineSpec
    lengths_s: tuple[float, ...]
    batches: tuple[int, ...]
    beam: int = 1
    repeats: int = 5


@dataclass(frozen=True, slots=True)
class Started:
    """The model is loaded and warm."""

    device: str
    compute_type: str
    encoder: str
    shape: Shape
    import_s: float
    load_s: float
    warm_up_s: float
    first_batch_s: float
    """A batch after the warm-up, the first of its size."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One length at one batch size: medians for the whole batch."""

    length_s: float
    batch: int
    steps: int
    """Tokens that the decoder made."""
    encode_s: float
    """From features in main memory to an output the decoder can take."""
    decode_s: float
    memory_bytes: int
    """On the accelerator, of this process; on a CPU its resident memory at most so far."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It could not be measured; why."""

    message: str


Measured = Started | Cell | Ceilings | Failed


def run(plan: Plan, connection: Connection) -> None:
    """The process: sends what it measures, then closes. A Failed ends it early."""
    with connection:
        try:
            for measured in measure(plan):
                connection.send(measured)
        except EngineError as error:
            connection.send(Failed(error.message))
        except RuntimeError as error:  # CUDA's own: what was measured until then stands
            connection.send(Failed(str(error)))


def measure(plan: Plan) -> Iterator[Measured]:
    """Started, Cells, and Ceilings where they can be had. Raises EngineError, RuntimeError."""
    before_bytes = _accelerator_bytes()
    lap = _laps()
    from gateway.inference import encoders

    takes_torch = encoders.takes_torch(plan.spec)
    if takes_torch:
        import torch  # noqa: F401  # its time is of the imports
    import_s = lap()
    bench = _Bench(plan, *encoders.load(plan.spec))
    load_s = lap()
    bench.warm_up()
    warm_up_s = lap()
    bench.run(plan.lengths_s[0], plan.batches[0])
    first_batch_s = lap()
    shape = shape_of(encoders.map_weights(plan.spec.model_dir))
    name = "torch" if takes_torch else "ctranslate2"
    yield Started(bench.device, bench.compute_type, name, shape, import_s, load_s, warm_up_s, first_batch_s)
    for length_s in plan.lengths_s:
        for batch in plan.batches:
            passes = [bench.run(length_s, batch) for _ in range(plan.repeats + 1)][1:]
            encode_s, decode_s = (statistics.median(part) for part in zip(*passes, strict=True))
            used_bytes = _accelerator_bytes() - before_bytes if bench.device == "cuda" else _resident_bytes()
            yield Cell(length_s, batch, tokens(length_s), encode_s, decode_s, used_bytes)
    bench.release()
    if ceilings := measure_ceilings(bench.device, _threads(plan.spec)):  # last: they need memory of their own
        yield ceilings


class _Bench:
    """The two halves of a pass."""

    def __init__(self, plan: Plan, model: Any, encoder: "Encoder") -> None:
        from gateway.inference.tokens import Vocabulary

        self._model, self._encoder = model, encoder
        self.device, self.compute_type = model.device, model.compute_type
        self._bands, self._beam = model.n_mels, plan.beam
        vocabulary = Vocabulary(Path(plan.spec.model_dir) / "tokenizer.json", model.is_multilingual)
        job = Job(0, 0, 0, Kind.PARTIAL, np.zeros((self._bands, 1), np.float32), 0.0)
        self._prompt = vocabulary.prompt(job, vocabulary.languages[0])
        self._suppressed = [*vocabulary.suppressed, vocabulary.tokenizer("en", "transcribe").eot]
        self._random = np.random.default_rng(0)
        self.release = encoder.release

    def warm_up(self) -> None:
        """As the engine does, but with as many tokens as speech has: random weights never end a text."""
        self._encoder.warm_up()
        for frames in BUCKETS if self.device == "cuda" else BUCKETS[:1]:
            self.run(frames / FRAMES_PER_S, 1)

    def run(self, length_s: float, batch: int) -> tuple[float, float]:
        """Seconds of (encoder, decoder)."""
        from gateway.inference.decode import Encoded, stack

        frames = min(FULL_FRAMES, round(length_s * FRAMES_PER_S))
        features = [self._random.standard_normal((self._bands, frames), np.float32) for _ in range(batch)]
        lap = _laps()
        encoded = self._encoder.encode(features, frames)
        encode_s = lap()
        self._model.generate(
            stack(Encoded(encoded, i) for i in range(batch)),
            [self._prompt] * batch,
            beam_size=self._beam,
            max_length=max(2 * tokens(length_s), tokens(length_s) + len(self._prompt)),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=self._suppressed,
        )
        return encode_s, lap()


def _laps() -> Callable[[], float]:
    """A stopwatch: seconds since it was made, or since it was last asked."""
    last = time.perf_counter()

    def lap() -> float:
        nonlocal last
        before, last = last, time.perf_counter()
        return last - before

    return lap


def _threads(spec: EngineSpec) -> int:
    return spec.cpu_threads or (1 if spec.demo else len(os.sched_getaffinity(0)))


def _resident_bytes() -> int:
    """The most that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _accelerator_bytes() -> int:
    """In use on the first GPU, by everybody; 0 where there is none."""
    import pynvml

    try:
        pynvml.nvmlInit()
        used: int = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).used
    except pynvml.NVMLError:
        return 0
    return used
