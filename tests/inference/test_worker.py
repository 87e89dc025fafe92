"""The worker with a real process, in which an engine dies, hangs and fails on demand."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.config import InferenceSettings
from gateway.events import Hypothesis, Kind
from gateway.inference.protocol import EngineError, EngineSpec
from gateway.inference.worker import (
    BatchDone,
    Worker,
    WorkerDied,
    WorkerEvent,
    WorkerReady,
)
from tests.inference.clips import DEMO, clip_job
from tests.inference.fakes import DIE, FAIL, HANG, INFO, SHORT_ANSWER, job, name

pytestmark = pytest.mark.slow
FAKE = EngineSpec("", "fake", short_context=True, factory="tests.inference.fakes:build")


def children() -> str:
    """Process ids of this process's children."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


class Bench:
    """A worker, and all that came out of it."""

    def __init__(self, spec: EngineSpec, settings: InferenceSettings) -> None:
        self.answers: list[Hypothesis] = []
        self.events: list[WorkerEvent] = []
        self.changed = asyncio.Event()
        self.on_answer: Callable[[Hypothesis], None] = lambda hypothesis: None
        self.worker = Worker(spec, settings, self._deliver, self._report)

    def _deliver(self, hypothesis: Hypothesis) -> None:
        self.answers.append(hypothesis)
        self.changed.set()
        self.on_answer(hypothesis)

    def _report(self, event: WorkerEvent) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def of(self, kind: type[WorkerEvent]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def names(self) -> list[str]:
        return [name(answer) for answer in self.answers]


@asynccontextmanager
async def bench(spec: EngineSpec = FAKE, **settings: Any) -> AsyncIterator[Bench]:
    made = Bench(spec, InferenceSettings(**settings))
    await made.worker.start()
    try:
        yield made
    finally:
        await made.worker.stop()


# --- the ordinary day -----------------------------------------------------------------------------------------


async def test_jobs_are_answered_and_measured() -> None:
    async with bench(max_batch_size=2) as b:
        assert all(b.worker.submit(job(session, frames=150)) for session in range(1, 4))
        await b.until(lambda: len(b.answers) == 3)
        assert b.names == ["1.1.1", "2.1.1", "3.1.1"]
        await b.until(lambda: len(b.of(BatchDone)) == 2)
        first, second = b.of(BatchDone)
        assert (first.size, first.finals, first.partials) == (2, 2, 0)
        assert (first.padded_frames, first.audio_s) == (300, 3.0)
        assert (second.size, second.audio_s) == (1, 1.5)
        assert [answer.batch_size for answer in b.answers] == [2, 2, 1]
        assert all(answer.queue_s >= 0 and answer.batch_s >= 0 for answer in b.answers)


async def test_start_returns_what_the_engine_says_of_itself() -> None:
    made = Bench(FAKE, InferenceSettings())
    assert not made.worker.ready
    assert await made.worker.start() == INFO
    assert made.worker.ready
    ready = made.of(WorkerReady)
    assert [event.info for event in ready] == [INFO]
    await made.worker.stop()
    assert not made.worker.ready
    await made.worker.stop()  # once more does no harm


async def test_finals_overtake_partials_that_wait() -> None:
    async with bench() as b:
        b.worker.submit(job(9, delay_s=0.2))
        b.worker.submit(job(1, kind=Kind.PARTIAL))
        b.worker.submit(job(1, 2))
        b.worker.submit(job(1, 3, kind=Kind.EAGER))
        b.worker.submit(job(2, 4, kind=Kind.EAGER))
        b.worker.withdraw(1, 3, 1)
        b.worker.forget(2)
        await b.until(lambda: len(b.answers) == 3)
        assert b.names[1:] == ["1.2.1", "1.1.1"]


async def test_queue_limits_are_told_to_the_caller() -> None:
    async with bench(max_queued_finals=2) as b:
        accepted = [b.worker.submit(job(session)) for session in range(4)]
        assert accepted == [True, True, False, False]
        assert b.worker.depth == (2, 0)
        assert b.worker.strain().queue_fill == 1.0
        await b.until(lambda: len(b.answers) == 2)


# --- bad days -------------------------------------------------------------------------------------------------


async def test_kill_9_in_the_middle_of_a_batch_loses_nothing() -> None:
    """Every job is answered exactly once, each session's finals in order."""
    async with bench(max_batch_size=4) as b:
        jobs = [job(session, utterance, delay_s=0.03) for utterance in range(3) for session in range(6)]
        for item in jobs:
            assert b.worker.submit(item)
        await b.until(lambda: b.answers)
        assert b.worker.pid
        os.kill(b.worker.pid, signal.SIGKILL)
        await b.until(lambda: len(b.answers) == len(jobs))
        assert b.names == [name(item) for item in jobs]
        died = b.of(WorkerDied)
        assert [event.exit_code for event in died] == [-9]
        assert died[0].in_flight > 0
        assert len(b.of(WorkerReady)) == 2


async def test_a_death_while_idle_is_noticed_before_the_next_job() -> None:
    async with bench() as b:
        assert b.worker.pid
        os.kill(b.worker.pid, signal.SIGKILL)
        await b.until(lambda: len(b.of(WorkerReady)) == 2)
        assert [(event.exit_code, event.in_flight) for event in b.of(WorkerDied)] == [(-9, 0)]
        b.worker.submit(job(1))
        await b.until(lambda: b.names == ["1.1.1"])


async def test_a_poisonous_job_fails_alone() -> None:
    """Three deaths, and its neighbours have their texts; the failure is never taken for silence."""
    async with bench() as b:
        for item in (job(1), job(2, marker=DIE), job(3), job(4, kind=Kind.PARTIAL)):
            b.worker.submit(item)
        await b.until(lambda: len(b.answers) == 4)
        failures = {answer.session: answer.failure for answer in b.answers}
        assert failures == {1: None, 2: "decode_failed", 3: None, 4: None}
        assert [event.exit_code for event in b.of(WorkerDied)] == [70, 70, 70]


async def test_a_pass_that_hangs_is_ended() -> None:
    async with bench(pass_timeout_s=0.2) as b:
        b.worker.submit(job(1, marker=HANG))
        b.worker.submit(job(2, kind=Kind.PARTIAL))
        await b.until(lambda: len(b.answers) == 2)
        assert [(answer.session, answer.failure) for answer in b.answers] == [(1, "decode_failed"), (2, None)]
        assert {event.exit_code for event in b.of(WorkerDied)} == {-9}
        assert "no answer within 0.2 s" in b.of(WorkerDied)[0].reason


async def test_an_answer_that_does_not_fit_its_question_is_not_delivered() -> None:
    """Fewer hypotheses than jobs: nobody can say whose they are."""
    async with bench() as b:
        b.worker.submit(job(1, marker=SHORT_ANSWER))
        await b.until(lambda: b.answers)
        assert b.answers[0].failure == "decode_failed"


async def test_a_job_that_fails_is_told_from_silence() -> None:
    async with bench() as b:
        b.worker.submit(job(1, marker=FAIL))
        b.worker.submit(job(2))
        await b.until(lambda: len(b.answers) == 2)
        assert [answer.failure for answer in b.answers] == ["decode_failed", None]
        assert not b.of(WorkerDied)


async def test_a_receiver_that_raises_hurts_nobody_else() -> None:
    """It is reported loudly, and the other sessions get their answers."""
    shouted: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: shouted.append(context))
    async with bench() as b:
        b.on_answer = lambda hypothesis: 1 / 0 if hypothesis.session == 1 else None  # type: ignore[assignment]
        b.worker.submit(job(1))
        b.worker.submit(job(2))
        await b.until(lambda: len(b.answers) == 2)
    assert [type(context["exception"]) for context in shouted] == [ZeroDivisionError]


async def test_a_supervisor_that_dies_is_not_swallowed() -> None:
    """Loud at once, and stop() raises it."""
    shouted: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: shouted.append(context))
    made = Bench(FAKE, InferenceSettings())
    await made.worker.start()

    def fail(event: WorkerEvent) -> None:
        raise LookupError("a bug in the receiver of events")

    made.worker._report = fail
    made.worker.submit(job(1))
    await made.until(lambda: made.answers)
    await asyncio.sleep(0.05)
    with pytest.raises(LookupError):
        await made.worker.stop()
    assert [type(context["exception"]) for context in shouted] == [LookupError]


async def test_a_model_that_vanished_is_asked_for_again(tmp_path: Path) -> None:
    """Restarts go on with pauses, the jobs wait, and the reason is reported."""
    spec = EngineSpec(str(tmp_path / "loaded"), "fake", factory="tests.inference.fakes:load_once")
    async with bench(spec) as b:
        assert b.worker.pid
        os.kill(b.worker.pid, signal.SIGKILL)
        await b.until(lambda: len(b.of(WorkerDied)) >= 3)
        assert not b.worker.ready
        assert (b.of(WorkerDied)[1].exit_code, b.of(WorkerDied)[1].reason) == (None, "the model is gone")
        assert b.worker.submit(job(1))
        (tmp_path / "loaded").unlink()
        await b.until(lambda: b.names == ["1.1.1"])


# --- a start that cannot be -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        (replace(FAKE, factory="tests.inference.fakes:refuse"), "cuda_unavailable"),
        (replace(FAKE, factory="tests.inference.fakes:crash"), "worker_died"),
        (EngineSpec("/nowhere", "none"), "not_a_model"),
        (EngineSpec(str(DEMO), "demo", device="cpu", compute_type="float16"), "compute_type"),
    ],
)
async def test_an_engine_that_cannot_be_had_is_an_error_with_a_code(spec: EngineSpec, code: str) -> None:
    worker = Worker(spec, InferenceSettings(), lambda _: None, lambda _: None)
    with pytest.raises(EngineError) as caught:
        await worker.start()
    assert caught.value.code == code
    await worker.stop()


async def test_a_start_that_is_given_up_leaves_no_process() -> None:
    before = children()
    worker = Worker(FAKE, InferenceSettings(), lambda _: None, lambda _: None)
    starting = asyncio.create_task(worker.start())
    await asyncio.sleep(0.05)
    starting.cancel()
    assert children() != before
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert children() == before


# --- the real thing -------------------------------------------------------------------------------------------


async def hear_and_kill() -> list[str]:
    """Three clips through the real engine, killed while it works."""
    async with bench(
        EngineSpec(str(DEMO), "demo", device="cpu", short_context=True, demo=True), max_batch_size=1
    ) as b:
        for session, clip in enumerate(("en_00.wav", "zh_12.wav", "en_10.wav")):
            b.worker.submit(clip_job(clip, session=session))
        await b.until(lambda: b.answers)
        assert b.worker.pid
        os.kill(b.worker.pid, signal.SIGKILL)
        await b.until(lambda: len(b.answers) == 3)
        return [answer.text for answer in b.answers]


def test_the_demo_model_survives_a_kill_under_uvloop() -> None:
    assert uvloop.run(hear_and_kill()) == ["I am cold.", "請幫幫我。", "Help me, please."]


async def test_a_file_that_had_to_wait_goes_on_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is slow works on files when nobody has spoken for a while, and nothing else needs to come."""
    monkeypatch.setattr("gateway.inference.batcher.HUSH_S", 0.3)
    async with bench(target_pass_ms=10) as b:
        b.worker.submit(job(9, kind=Kind.UPLOAD))
        b.worker.submit(job(1, kind=Kind.PARTIAL))
        await b.until(lambda: len(b.answers) == 2)
        assert b.names == ["1.1.1", "9.1.1"]
        assert b.worker.waiting_uploads == 0
