"""shell: keeps one engine process at work: take -> run -> deliver, and a new process when it dies.

One batch is in flight at a time, so that the next one is chosen with all that has arrived since. When the
process dies or hangs its jobs go back to the front of the queue and a new process is started, at once the
first time, then after growing pauses. Nobody outside notices but for a WorkerDied.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.config import InferenceSettings
from gateway.events import HOP_SAMPLES, SAMPLE_RATE, Hypothesis, Job, Kind, ModelInfo
from gateway.inference.batcher import Batch, Batcher
from gateway.inference.child import Child, ChildDied
from gateway.inference.context import ContextRule
from gateway.inference.load import Strain
from gateway.inference.protocol import DECODE_FAILED, EngineError, EngineSpec, Ran

BATCH_SIZES = {"cuda": 32, "cpu": 8}
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0
"""Between restarts that brought no answer."""


@dataclass(frozen=True, slots=True)
class BatchDone:
    size: int
    finals: int
    partials: int
    padded_frames: int
    """Frames of each item, padding included."""
    audio_s: float
    """Over all items, padding not included."""
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerDied:
    exit_code: int | None
    """None: it could not be started again."""
    in_flight: int
    """Jobs that were in it, and are in the queue again."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WorkerReady:
    info: ModelInfo
    load_s: float


WorkerEvent = BatchDone | WorkerDied | WorkerReady


class Worker:
    """The queue and the process behind it. Use from one event loop only."""

    _info: ModelInfo

    def __init__(
        self,
        spec: EngineSpec,
        batcher_settings: InferenceSettings,
        deliver: Callable[[Hypothesis], None],
        report: Callable[[WorkerEvent], None],
    ) -> None:
        self._spec = spec
        self._settings = batcher_settings
        self._deliver = deliver
        self._report = report
        context = ContextRule(spec.short_context, spec.settings.final_context)
        self._batcher = Batcher(
            batcher_settings, batcher_settings.max_batch_size or BATCH_SIZES["cpu"], context
        )
        self._work = asyncio.Event()
        self._child: Child | None = None
        self._in_flight: Batch | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._fruitless = 0
        """Deaths since the last answer."""

    async def start(self) -> ModelInfo:
        """Load the engine. Raises EngineError."""
        await self._restart()
        self._supervisor = asyncio.create_task(self._supervise(), name="engine supervisor")
        self._supervisor.add_done_callback(_supervisor_ended)
        return self._info

    async def stop(self) -> None:
        """End the process; what still waits is dropped. Raises what the supervisor died of, if it did."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        supervisor.cancel()
        await asyncio.wait({supervisor})
        if self._child:
            await self._child.end(kill=True)
            self._child = None
        if not supervisor.cancelled():
            supervisor.result()

    def submit(self, job: Job) -> bool:
        """Queue a job. False: refused, too many finals wait."""
        added = self._batcher.add(job, self._now())
        self._work.set()
        return added

    def withdraw(self, session: int, utterance: int, revision: int) -> None:
        """An EAGER job was voided."""
        self._batcher.withdraw(session, utterance, revision)

    def forget(self, session: int) -> None:
        """The session is gone."""
        self._batcher.forget(session)

    @property
    def ready(self) -> bool:
        """A process is loaded and warm."""
        return self._child is not None and not self._child.exited.done()

    @property
    def pid(self) -> int | None:
        """Of the engine's process, None while there is none."""
        return self._child.pid if self._child else None

    @property
    def depth(self) -> tuple[int, int]:
        """Waiting (finals, partials)."""
        return self._batcher.depth

    @property
    def waiting_uploads(self) -> int:
        """Waiting jobs of uploaded files."""
        return self._batcher.waiting_uploads

    def strain(self) -> Strain:
        """How long jobs wait, for a LoadGauge."""
        return self._batcher.strain(self._now())

    @property
    def dropped_partials(self) -> int:
        return self._batcher.dropped_partials

    # --- the life of the process ----------------------------------------------------------------------------

    async def _supervise(self) -> None:
        while True:
            try:
                await self._serve(self._child or await self._restart())
            except ChildDied as error:
                await self._bury(str(error))
            except EngineError as error:
                self._report(WorkerDied(None, 0, error.message))
            await asyncio.sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * (2**self._fruitless - 1)))
            self._fruitless += 1

    async def _restart(self) -> Child:
        child, ready = await Child.start(self._spec)
        child.exited.add_done_callback(lambda _: self._work.set())
        self._child = child
        self._info = ready.info
        self._batcher.max_batch_size = self._settings.max_batch_size or BATCH_SIZES[ready.info.device]
        self._report(WorkerReady(ready.info, ready.load_s))
        return child

    async def _bury(self, reason: str) -> None:
        """End a process that is of no use any more; its jobs go back into the queue."""
        assert self._child is not None
        exit_code = await self._child.end(kill=True)
        self._child = None
        batch, self._in_flight = self._in_flight, None
        given_up = self._batcher.put_back(batch.id) if batch else []
        self._report(WorkerDied(exit_code, len(batch.jobs) if batch else 0, reason))
        for job in given_up:
            identity = (job.session, job.utterance, job.revision, job.kind)
            self._deliver_safely(Hypothesis(*identity, failure=DECODE_FAILED))

    async def _serve(self, child: Child) -> None:
        """Take, run, deliver. Raises ChildDied."""
        while True:
            batch = self._batcher.take(self._now())
            if batch is None:
                self._work.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._batcher.pause_s(self._now())):
                        await self._work.wait()
                if child.exited.done():
                    raise ChildDied("it ended while idle")
                continue
            self._in_flight = batch
            answer = await child.run(batch.id, batch.jobs, self._settings.pass_timeout_s)
            self._in_flight = None
            self._fruitless = 0
            self._finish(batch, answer)

    def _finish(self, batch: Batch, answer: Ran) -> None:
        self._batcher.done(batch.id, answer.seconds)
        for hypothesis, queue_s in zip(answer.hypotheses, batch.queue_s, strict=True):
            self._deliver_safely(
                replace(hypothesis, queue_s=queue_s, batch_s=answer.seconds, batch_size=len(batch.jobs))
            )
        partials = sum(job.kind is Kind.PARTIAL for job in batch.jobs)
        frames = sum(job.features.shape[-1] for job in batch.jobs)
        self._report(
            BatchDone(
                size=len(batch.jobs),
                finals=len(batch.jobs) - partials,
                partials=partials,
                padded_frames=batch.padded_frames,
                audio_s=frames * HOP_SAMPLES / SAMPLE_RATE,
                seconds=answer.seconds,
            )
        )

    def _deliver_safely(self, hypothesis: Hypothesis) -> None:
        """One session's trouble with its answer must not end the worker of all the others."""
        try:
            self._deliver(hypothesis)
        except Exception as error:
            _shout("a hypothesis could not be delivered", error)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _supervisor_ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        _shout("the engine's supervisor died", error)


def _shout(message: str, error: BaseException) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
