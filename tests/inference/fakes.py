"""An engine that echoes the identity of its jobs, scripted by markers in the first log-mel frame.

Works in this process and, by name, in the real engine process: `EngineSpec(factory="tests.inference.fakes:build")`.
"""

import os
import time
from collections.abc import Sequence

import numpy as np

from gateway.events import Hypothesis, Job, Kind, ModelInfo
from gateway.inference.protocol import DECODE_FAILED, EngineError, EngineSpec

OK, DIE, HANG, FAIL, SHORT_ANSWER = 0.0, 1.0, 2.0, 3.0, 4.0
INFO = ModelInfo("fake", "cpu", "none", 80, ("en",), demo=True)


def job(
    session: int = 1,
    utterance: int = 1,
    revision: int = 1,
    kind: Kind = Kind.FINAL,
    frames: int = 100,
    marker: float = OK,
    delay_s: float = 0.0,
) -> Job:
    features = np.zeros((2, frames), np.float32)
    features[0, 0], features[1, 0] = marker, delay_s
    return Job(session, utterance, revision, kind, features, speech_s=frames / 100)


def name(item: Job | Hypothesis) -> str:
    return f"{item.session}.{item.utterance}.{item.revision}"


class FakeEngine:
    info = INFO

    def warm_up(self) -> None:
        pass

    def transcribe(self, jobs: Sequence[Job]) -> list[Hypothesis]:
        time.sleep(sum(float(job.features[1, 0]) for job in jobs))
        markers = {float(job.features[0, 0]) for job in jobs}
        if DIE in markers:
            os._exit(70)
        if HANG in markers:
            time.sleep(600)
        answers = [self._answer(job) for job in jobs]
        return answers[1:] if SHORT_ANSWER in markers else answers

    def _answer(self, job: Job) -> Hypothesis:
        identity = (job.session, job.utterance, job.revision, job.kind)
        if job.features[0, 0] == FAIL:
            return Hypothesis(*identity, failure=DECODE_FAILED)
        return Hypothesis(*identity, text=name(job))


def build(spec: EngineSpec) -> FakeEngine:
    return FakeEngine()


def refuse(spec: EngineSpec) -> FakeEngine:
    raise EngineError("cuda_unavailable", "no GPU here")


def crash(spec: EngineSpec) -> FakeEngine:
    os._exit(71)


def load_once(spec: EngineSpec) -> FakeEngine:
    """Loads the first time only: model_dir names the file that remembers."""
    try:
        open(spec.model_dir, "x").close()
    except FileExistsError:
        raise EngineError("load_failed", "the model is gone") from None
    return FakeEngine()
