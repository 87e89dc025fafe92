"""What goes wrong on a GPU loses no word, and what cannot be had is said."""

import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from gateway.config import InferenceSettings
from gateway.inference.engine import load
from gateway.inference.protocol import EngineError
from gateway.inference.worker import Worker, WorkerDied, WorkerEvent, WorkerReady
from tests.gpu.card import MIB, SPEC, library_path_without_cublas, memory, needs_gpu
from tests.inference.clips import clip_job
from tests.inference.test_worker import Bench, bench

pytestmark = needs_gpu
FULL = replace(
    SPEC, settings=InferenceSettings(final_context="full", final_beam_size=1, encoder="ctranslate2")
)
"""PyTorch's keeps memory that would do for these few jobs (test_encoders.py has its own)."""
CLIPS = {"en_00.wav": "I am cold.", "zh_12.wav": "請幫幫我。", "en_10.wav": "Help me, please."}


def test_out_of_memory_halves_the_batch(caplog: pytest.LogCaptureFixture) -> None:
    """Another program holds nearly all memory: every job is answered, in order; the next batch is whole again."""
    engine = load(FULL)
    engine.warm_up()
    jobs = [clip_job(name, session=i, language=None) for i, name in enumerate(list(CLIPS) * 10)]
    wanted = [(i, text) for i, text in enumerate(list(CLIPS.values()) * 10)]
    with memory() as held:
        held.take_all_but(256 * MIB)
        answers = engine.transcribe(jobs)
    assert [(answer.session, answer.text) for answer in answers] == wanted
    assert "a batch of 30 failed: CUDA failed with error out of memory" in caplog.text
    caplog.clear()
    assert [(answer.session, answer.text) for answer in engine.transcribe(jobs)] == wanted
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_kill_9_in_the_middle_of_a_batch_loses_nothing() -> None:
    async with bench(SPEC, max_batch_size=4) as b:
        names = list(CLIPS) * 8
        for session, name in enumerate(names):
            assert b.worker.submit(clip_job(name, session=session))
        await b.until(lambda: b.answers)
        assert b.worker.pid
        os.kill(b.worker.pid, signal.SIGKILL)
        await b.until(lambda: len(b.answers) == len(names))
        assert sorted(a.session for a in b.answers) == list(range(len(names)))
        assert all(a.text == CLIPS[names[a.session]] for a in b.answers)
        assert [event.exit_code for event in b.of(WorkerDied)] == [-9]
        assert [event.info.device for event in b.of(WorkerReady)] == ["cuda", "cuda"]


async def test_memory_that_is_gone_delays_a_caption_and_loses_none() -> None:
    """No memory for a single job: the process is replaced until there is some again."""
    made = Bench(FULL, InferenceSettings())
    with memory() as held:
        await made.worker.start()

        def report(event: WorkerEvent) -> None:
            if isinstance(event, WorkerDied) and event.exit_code is not None:
                held.take_all_but(0)  # also what the process had
            made._report(event)

        made.worker._report = report
        held.take_all_but(0)
        for session, name in enumerate(CLIPS):
            assert made.worker.submit(clip_job(name, session=session))
        await made.until(lambda: len(made.of(WorkerDied)) >= 2)
        assert not made.answers
        assert "memory" in made.of(WorkerDied)[1].reason
        held.give_back()
        await made.until(lambda: len(made.answers) == len(CLIPS))
        assert sorted(answer.text for answer in made.answers) == sorted(CLIPS.values())
        await made.worker.stop()


async def refusal(worker: Worker) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await worker.start()
    await worker.stop()
    return caught.value


async def test_a_hidden_gpu_is_refused_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    error = await refusal(Worker(SPEC, InferenceSettings(), lambda _: None, lambda _: None))
    assert error.code == "cuda_unavailable"
    assert "CUDA_VISIBLE_DEVICES" in error.message


def has_its_own_cublas() -> bool:
    """From the system or from pip, wherever the gateway looks."""
    look = (
        "import ctypes; from gateway.inference.device import preload_cublas; "
        "preload_cublas(); ctypes.CDLL('libcublas.so.12')"
    )
    return subprocess.run([sys.executable, "-c", look], stderr=subprocess.DEVNULL).returncode == 0


async def test_missing_cublas_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found at the warm-up, before anybody speaks."""
    monkeypatch.setenv("LD_LIBRARY_PATH", library_path_without_cublas())
    if has_its_own_cublas():
        pytest.skip("this machine's own libcublas.so.12 cannot be hidden")
    error = await refusal(Worker(SPEC, InferenceSettings(), lambda _: None, lambda _: None))
    assert error.code == "cublas_missing"
    assert "care-voice[cuda]" in error.message


async def test_too_little_memory_for_the_model_is_said() -> None:
    with memory() as held:
        held.take_all_but(0)
        error = await refusal(Worker(SPEC, InferenceSettings(), lambda _: None, lambda _: None))
    assert error.code == "cuda_unavailable"
    assert "memory" in error.message
