"""core: what the gateway and the engine's process say to one another, and the parts both know.

Frames on a socket pair: eight bytes of length, then a pickled message. Pickle is safe here: both ends are the
same program, started by one another, and nothing from a client is ever unpickled.
"""

import pickle  # nosec B403 # see above
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.config import InferenceSettings
from gateway.events import Hypothesis, Job, ModelInfo

HEADER_BYTES = 8
DECODE_FAILED = "decode_failed"
"""Hypothesis.failure of a job that no attempt could decode."""


class EngineError(Exception):
    """The engine cannot be had as asked; says why and how to mend it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        """cuda_unavailable | cublas_missing | compute_type | not_a_model | load_failed | worker_died"""
        self.message = message


class Engine(Protocol):
    """A loaded model."""

    @property
    def info(self) -> ModelInfo: ...

    def warm_up(self) -> None:
        """Pay first-time costs now. Raises EngineError when the device turns out not to work."""

    def transcribe(self, jobs: Sequence[Job]) -> list[Hypothesis]:
        """One hypothesis per job, in order. A job that cannot be decoded gets `failure`; raises only when
        the device itself is broken and the process must be replaced."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """All that the engine's process needs to know."""

    model_dir: str
    name: str
    device: str = "auto"
    compute_type: str = "auto"
    cpu_threads: int = 0
    settings: InferenceSettings = field(default_factory=InferenceSettings)
    short_context: bool = False
    demo: bool = False
    factory: str = "gateway.inference.engine:load"
    """`module:function` that makes an Engine from this."""


@dataclass(frozen=True, slots=True)
class Run:
    """Parent to child: decode these."""

    batch: int
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """Child to parent: loaded and warm."""

    info: ModelInfo
    load_s: float


@dataclass(frozen=True, slots=True)
class Unusable:
    """Child to parent: an EngineError."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Ran:
    """Child to parent: the answers to Run, in its order."""

    batch: int
    hypotheses: tuple[Hypothesis, ...]
    seconds: float


Message = EngineSpec | Run | Ready | Unusable | Ran


def encode(message: Message) -> bytes:
    """One frame, header included."""
    body = pickle.dumps(message, protocol=5)
    return len(body).to_bytes(HEADER_BYTES, "little") + body


def body_bytes(header: bytes) -> int:
    return int.from_bytes(header, "little")


def decode(body: bytes) -> Message:
    message: Message = pickle.loads(body)  # noqa: S301  # nosec B301 # only ever from our own process
    return message
