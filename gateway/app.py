"""shell: the one place that knows all parts: build, warm up, ready, drain, stop. No per-message decisions."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from gateway.chronicle import Chronicle
from gateway.config import Settings
from gateway.connection import routes
from gateway.connection.closing import CloseCode
from gateway.connection.effects import Record
from gateway.connection.gate import GateError, build_gate
from gateway.connection.messages import Final, Notice, Partial
from gateway.connection.opening import Surroundings
from gateway.connection.ports import Member
from gateway.connection.session import State
from gateway.connection.viewer import Viewers
from gateway.detection.silero import SileroModel, load_silero
from gateway.doors import DoorError, Doors
from gateway.errands import Errands
from gateway.events import AudioFormat, Hypothesis, Job, ModelInfo
from gateway.inference.load import LoadLevel
from gateway.inference.protocol import EngineSpec
from gateway.inference.worker import BatchDone, Worker, WorkerDied, WorkerEvent, WorkerReady
from gateway.metrics import Metrics
from gateway.overload import Overload
from gateway.resources import data_dir
from gateway.roster import Roster
from gateway.tapping import Tap, build_recorder
from gateway.tls import TlsError, build_tls
from gateway.transcript.captioner import Captioner
from gateway.vitals import Vitals
from gateway.ward.captions import BedPartial, Caption
from gateway.ward.hub import Hub
from gateway.ward.journal import Journal, JournalError
from gateway.ward.records import SessionRow

TICK_S = 0.25
log = structlog.get_logger()


class StartError(Exception):
    """The gateway cannot start; the message says what to do."""


class Gateway:
    """Everything, wired. Provides connection/ports.py to the connections."""

    def __init__(self, settings: Settings, spec: EngineSpec, static: Path) -> None:
        """Raises StartError."""
        self.settings = settings
        try:
            self.gate = build_gate(settings)
            self.tls = build_tls(settings.tls, data_dir(settings.journal.data_dir))
            self._recorder = build_recorder(settings.journal)
        except (GateError, TlsError, OSError) as error:
            raise StartError(str(error)) from error
        self.hub = Hub(settings.ward)
        self.viewers = Viewers(self)
        self._chronicle = Chronicle(self.hub, self.viewers, self._notify)
        self.metrics = Metrics()
        self._roster = Roster()
        self._beds: dict[int, str] = {}
        self._worker = Worker(spec, settings.inference, self._deliver, self._report)
        errands = self._errands = Errands(self._worker.submit, self._worker.forget)
        self.transcribe = errands.run
        self._overload = Overload()
        self._silero: SileroModel | None = None
        self._engine_died = False
        try:
            self._doors = Doors(routes.build(self, self.gate, self.viewers, static), self)
        except DoorError as error:
            raise StartError(str(error)) from error
        self._ticker: asyncio.Task[None] | None = None
        self._dismissed = asyncio.Event()
        self._vitals = Vitals(
            self._roster, self.hub, self.viewers, self._chronicle, self._worker, self._overload
        )
        self._vitals.watch(self.metrics)

    # --- life ---

    async def listen(self) -> int:
        """Open the journal and the port (answers, but is not ready). Returns it. Raises StartError."""
        try:
            await self._chronicle.open(self.settings.journal)
        except JournalError as error:
            raise StartError(str(error)) from error
        try:
            port = await self._doors.open(self.gate.trusted, self.tls.context if self.tls else None)
        except DoorError as error:
            await self._chronicle.journal.close()
            raise StartError(str(error)) from error
        self._ticker = asyncio.create_task(self._tick_forever())
        return port

    async def warm_up(self) -> ModelInfo:
        """Load the models and take speakers. Raises EngineError, StartError."""
        if self.settings.detection.silero:
            self._silero = await asyncio.to_thread(load_silero)
        Captioner(self.settings.transcript)  # loads the dictionaries that all sessions share
        self._vitals.model = await self._worker.start()
        self.viewers.demo = self._vitals.model.demo
        try:
            await self._doors.announce()
        except DoorError as error:
            raise StartError(str(error)) from error
        return self._vitals.model

    async def stop(self) -> None:
        """Drain: no new speakers, finals for the open utterances within the grace time, then the end."""
        self._vitals.draining = True
        self._doors.drain()
        for speaker in self._roster:
            speaker.notify(Notice("going_away", "The gateway stops; reconnect to the next one."))
            speaker.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.server.drain_grace_s):
                while self._roster:
                    self._dismissed.clear()
                    await self._dismissed.wait()
        for speaker in self._roster:
            speaker.cut(CloseCode.GOING_AWAY, "the gateway stops")
        self.viewers.close()
        if self._ticker:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        await self._doors.close()
        await self._worker.stop()
        await self._chronicle.journal.close()
        if self._recorder:
            await asyncio.to_thread(self._recorder.close)
        log.info("stopped", unfinished_sessions=len(self._roster))

    async def supervise(self, stop: asyncio.Event) -> None:
        """Return when asked to stop; raise when a part that must run has died."""
        assert self._ticker is not None
        waiting = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({waiting, self._ticker}, return_when=asyncio.FIRST_COMPLETED)
            if self._ticker.done():
                self._ticker.result()
        finally:
            waiting.cancel()

    async def _tick_forever(self) -> None:
        beat_at = 0.0
        while True:
            now = time.monotonic()
            self._adapt(now)
            for speaker in self._roster:
                speaker.tick()
            self.gate.tick(time.time())
            if self.tls:
                self.tls.tick(datetime.now(UTC))
            if now >= beat_at:
                beat_at = now + self.settings.ward.heartbeat_s
                self._chronicle.expire()
                self.viewers.beat()
            await asyncio.sleep(TICK_S)

    def _adapt(self, now: float) -> None:
        step = self._overload.observe(self._worker.strain(), now)
        if step is None:
            return
        log.warning("load changed", level=step.level.name.lower(), stretch=step.stretch)
        for speaker in self._roster:
            speaker.stretch_partials(step.stretch, step.notice)
        self.viewers.deliver(self.hub.degrade(step.degraded, time.time()))

    # --- what connections ask (connection/ports.py) ---

    @property
    def journal(self) -> Journal:
        return self._chronicle.journal

    def refusal(self) -> str | None:
        if self._vitals.draining:
            return "draining: this gateway is stopping"
        if self._vitals.model is None:
            return "starting: the model is loading"
        return None if self._roster.awaits_somebody(time.monotonic()) else self.refusal_of_new()

    def refusal_of_new(self) -> str | None:
        if self._overload.step.level is LoadLevel.REFUSING:
            return "overloaded: no new speakers for now"
        if self._roster.started >= self.settings.server.max_sessions:
            return "full: the most speakers are connected"
        return None

    def surroundings(self) -> Surroundings:
        assert self._vitals.model is not None  # no speaker is taken before
        return Surroundings(self.settings, self._vitals.model, self._silero)

    def next_speaker(self) -> int:
        return self._chronicle.journal.next_speaker()

    def find(self, session: str) -> Member | None:
        return self._roster.find(session)

    async def settled(self, session: str) -> None:
        while (known := self.find(session)) and known.session.state is State.STOPPING:
            self._dismissed.clear()
            await self._dismissed.wait()

    def has_expired(self, session: str) -> bool:
        return self._roster.has_expired(session)

    async def past(self, session: str) -> SessionRow | None:
        return await self._chronicle.journal.session(session)

    async def missed(self, row: SessionRow, after: int) -> list[Final]:
        return await self._chronicle.missed(row, after)

    async def history(self, bed: str, numbers: range) -> list[Caption]:
        return await self._chronicle.history(bed, numbers)

    def admit(self, member: Member) -> None:
        self._roster.admit(member)
        self.metrics.sessions_opened.labels(member.protocol).inc()

    def dismiss(self, member: Member) -> None:
        number = member.session.number
        if self._roster.dismiss(member):
            self._worker.forget(number)
            self._dismissed.set()
            if bed := self._beds.pop(number, None):
                self.viewers.deliver(self.hub.leave(bed, number, time.time()))

    def submit(self, job: Job) -> bool:
        return self._worker.submit(job)

    def withdraw(self, session: int, utterance: int, revision: int) -> None:
        self._worker.withdraw(session, utterance, revision)

    def enter(self, session: int, bed: str) -> None:
        self._beds[session] = bed
        self.viewers.deliver(self.hub.enter(bed, session, time.time()))

    def tap(self, session: str, bed: str, audio: AudioFormat) -> Tap | None:
        recorder = self._recorder
        return Tap(recorder, session, bed, audio) if recorder and recorder.wants(bed) else None

    def presence(self, session: int, bed: str, connected: bool) -> None:
        self.viewers.deliver(self.hub.presence(bed, session, connected, time.time()))

    def publish(self, session: int, bed: str, partial: Partial) -> None:
        said = (partial.utterance, partial.revision, partial.stable, partial.tentative)
        self.viewers.deliver(self.hub.publish_partial(BedPartial(bed, time.time(), session, *said)))

    def record(self, member: Member, record: Record) -> None:
        self._chronicle.record(member, record)

    def measure(self, name: str, value: float, label: str) -> None:
        self.metrics.take(name, value, label)

    def exposition(self) -> bytes:
        return self.metrics.exposition()

    def health(self) -> dict[str, Any]:
        return self._vitals.health()

    # --- what the engine tells ---

    def _deliver(self, hypothesis: Hypothesis) -> None:
        if self._errands.deliver(hypothesis):
            return
        self.metrics.queue_s.observe(hypothesis.queue_s)
        if speaker := self._roster.get(hypothesis.session):
            speaker.deliver(hypothesis)

    def _report(self, event: WorkerEvent) -> None:
        match event:
            case BatchDone():
                self.metrics.passed(event.size, event.padded_frames, event.seconds)
                self.metrics.real_time_factor.set(event.seconds / max(event.audio_s, 0.01))
            case WorkerDied():
                self._engine_died = True
                self.metrics.worker_restarts.inc()
                log.error(
                    "engine died", exit_code=event.exit_code, reason=event.reason, jobs_kept=event.in_flight
                )
                self._notify(
                    Notice("engine_restarting", "The engine restarts; captions are late, none lost.")
                )
            case WorkerReady():
                log.info("engine ready", model=event.info.name, device=event.info.device, load_s=event.load_s)
                if self._engine_died:
                    self._engine_died = False
                    self._notify(Notice("engine_ready", "The engine runs again."))

    def _notify(self, notice: Notice) -> None:
        for speaker in self._roster:
            speaker.notify(notice)
