"""shell: the one place that knows all parts: build, warm up, ready, drain, stop. No per-message decisions."""

import asyncio
import contextlib
import secrets
import time
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from gateway.config import Settings
from gateway.connection import routes
from gateway.connection.effects import Measure, Publish
from gateway.connection.messages import Notice, Partial
from gateway.connection.ports import Member
from gateway.connection.session import Surroundings
from gateway.connection.viewer import Viewers
from gateway.detection.silero import SileroModel, load_silero
from gateway.events import Hypothesis, Job, ModelInfo
from gateway.inference.load import LoadGauge, LoadLevel
from gateway.inference.protocol import EngineSpec
from gateway.inference.worker import BatchDone, Worker, WorkerDied, WorkerEvent, WorkerReady
from gateway.metrics import Metrics
from gateway.transcript.captioner import Captioner
from gateway.ward.captions import BedPartial, Caption
from gateway.ward.hub import Hub

TICK_S = 0.25
NOTICES = {
    LoadLevel.NORMAL: Notice("recovered", "Captions come at their usual pace again."),
    LoadLevel.STRETCHED: Notice("degraded_slower", "Many people speak: partial captions come less often."),
    LoadLevel.NO_PARTIALS: Notice("degraded_finals_only", "Overloaded: only final captions for now."),
    LoadLevel.REFUSING: Notice("degraded_refusing", "Overloaded: only finals, and no new speakers."),
}
log = structlog.get_logger()


class StartError(Exception):
    """The gateway cannot start; the message says what to do."""


class Gateway:
    """Everything, wired. Provides connection/ports.py to the connections."""

    def __init__(self, settings: Settings, spec: EngineSpec, static: Path) -> None:
        self.settings = settings
        self.hub = Hub(settings.ward, epoch=secrets.token_hex(8))
        self.viewers = Viewers(self)
        self.metrics = Metrics()
        self._speakers: dict[int, Member] = {}
        self._beds: dict[int, str] = {}
        self._worker = Worker(spec, settings.inference, self._deliver, self._report)
        self._gauge = LoadGauge()
        self._level = LoadLevel.NORMAL
        self._stretch: float | None = 1.0
        self._model: ModelInfo | None = None
        self._silero: SileroModel | None = None
        self._draining = self._engine_died = False
        self._started_at = time.monotonic()
        self._runner = web.AppRunner(routes.build(self, self.viewers, static), access_log=None)
        self._ticker: asyncio.Task[None] | None = None
        self._dismissed = asyncio.Event()
        self._watch_gauges()

    # --- life ---

    async def listen(self) -> int:
        """Open the port (answers, but is not ready). Returns it. Raises StartError."""
        host, port = self.settings.server.host, self.settings.server.port
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise StartError(
                f"Cannot listen on {host}:{port}: {error.strerror or error}. Is another gateway running? "
                "Choose another with --port, or stop the other one."
            ) from error
        return int(self._runner.addresses[0][1])

    async def warm_up(self) -> ModelInfo:
        """Load the models and take speakers. Raises EngineError."""
        if self.settings.detection.silero:
            self._silero = await asyncio.to_thread(load_silero)
        Captioner(self.settings.transcript)  # loads the dictionaries that all sessions share
        self._model = await self._worker.start()
        self.viewers.demo = self._model.demo
        self._ticker = asyncio.create_task(self._tick_forever())
        return self._model

    async def stop(self) -> None:
        """Drain: no new speakers, finals for the open utterances within the grace time, then the end."""
        self._draining = True
        for speaker in list(self._speakers.values()):
            speaker.notify(Notice("going_away", "The gateway stops; reconnect to the next one."))
            speaker.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.server.drain_grace_s):
                while self._speakers:
                    self._dismissed.clear()
                    await self._dismissed.wait()
        for speaker in list(self._speakers.values()):
            speaker.cut()
        self.viewers.close()
        if self._ticker:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        await self._runner.cleanup()
        await self._worker.stop()
        log.info("stopped", unfinished_sessions=len(self._speakers))

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
            for speaker in list(self._speakers.values()):
                speaker.tick()
            if now >= beat_at:
                beat_at = now + self.settings.ward.heartbeat_s
                self.viewers.beat()
            await asyncio.sleep(TICK_S)

    def _adapt(self, now: float) -> None:
        """The overload contract: slower partials, then none, then no new speakers; each step announced."""
        level = self._gauge.observe(self._worker.strain(), now)
        stretch = None if level >= LoadLevel.NO_PARTIALS else float(self._gauge.interval_factor)
        if (level, stretch) == (self._level, self._stretch):
            return
        log.warning("load changed", level=level.name.lower(), was=self._level.name.lower(), stretch=stretch)
        self._level, self._stretch = level, stretch
        for speaker in list(self._speakers.values()):
            speaker.stretch_partials(stretch, NOTICES[level])
        self.viewers.deliver(self.hub.degrade(level >= LoadLevel.NO_PARTIALS, time.time()))

    # --- what connections ask (connection/ports.py) ---

    def refusal(self) -> str | None:
        if self._draining:
            return "draining: this gateway is stopping"
        if self._model is None:
            return "starting: the model is loading"
        if self._level is LoadLevel.REFUSING:
            return "overloaded: no new speakers for now"
        if len(self._speakers) >= self.settings.server.max_sessions:
            return "full: the most speakers are connected"
        return None

    def surroundings(self) -> Surroundings:
        assert self._model is not None  # no speaker is taken before
        return Surroundings(self.settings, self._model, self._silero)

    def admit(self, member: Member) -> None:
        self._speakers[member.session.number] = member
        self.metrics.sessions_opened.inc()

    def dismiss(self, member: Member) -> None:
        number = member.session.number
        if self._speakers.pop(number, None):
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

    def publish(self, session: int, effect: Publish) -> None:
        bed, at, said = effect.bed, time.time(), effect.caption
        if isinstance(said, Partial):
            partial = BedPartial(bed, at, session, said.utterance, said.revision, said.stable, said.tentative)
            self.viewers.deliver(self.hub.publish_partial(partial))
            return
        caption = Caption(
            bed, 0, at, session, said.utterance, said.start, said.end, said.text, said.language,
            said.confidence, said.corrected, said.suppressed,
        )  # fmt: skip
        self.viewers.deliver(self.hub.publish(caption))

    def measure(self, effect: Measure) -> None:
        self.metrics.take(effect.name, effect.value, effect.label)

    def exposition(self) -> bytes:
        return self.metrics.exposition()

    def health(self) -> dict[str, Any]:
        finals, partials = self._worker.depth
        model = self._model
        return {
            "status": self._status(),
            "model": model.name if model else None,
            "demo_model": model.demo if model else None,
            "device": model.device if model else None,
            "compute_type": model.compute_type if model else None,
            "sessions": len(self._speakers),
            "viewers": len(self.viewers),
            "beds_online": self.hub.beds_online,
            "queue_depth": {"finals": finals, "partials": partials},
            "load": self._level.name.lower(),
            "uptime_s": round(time.monotonic() - self._started_at, 1),
        }

    def _status(self) -> str:
        if self._draining:
            return "draining"
        if self._model is None:
            return "starting"
        if not self._worker.ready:
            return "engine_restarting"
        return "ok" if self._level is LoadLevel.NORMAL else "degraded"

    # --- what the engine tells ---

    def _deliver(self, hypothesis: Hypothesis) -> None:
        self.metrics.queue_s.observe(hypothesis.queue_s)
        if speaker := self._speakers.get(hypothesis.session):
            speaker.deliver(hypothesis)

    def _report(self, event: WorkerEvent) -> None:
        match event:
            case BatchDone():
                self.metrics.batch_size.observe(event.size)
                self.metrics.batch_s.observe(event.seconds)
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
        for speaker in list(self._speakers.values()):
            speaker.notify(notice)

    def _watch_gauges(self) -> None:
        watch = self.metrics.watch
        watch(
            "dropped_partials_total",
            "Partials not decoded, newer came.",
            lambda: self._worker.dropped_partials,
        )
        watch("sessions_open", "Speakers connected now.", lambda: len(self._speakers))
        watch("viewers_open", "Viewers connected now.", lambda: len(self.viewers))
        watch("beds_online", "Beds with a speaker now.", lambda: self.hub.beds_online)
        watch("load_level", "0 normal, 1 partials slower, 2 no partials, 3 refusing.", lambda: self._level)
        depths = {
            "final": lambda: float(self._worker.depth[0]),
            "partial": lambda: float(self._worker.depth[1]),
        }
        self.metrics.watch_labelled("queue_depth", "Jobs waiting.", "kind", depths)
