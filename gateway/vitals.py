"""How the gateway is: for /health, for readiness, for the gauges of /metrics."""

import time
from dataclasses import dataclass, field
from typing import Any

from gateway.chronicle import Chronicle
from gateway.connection.viewer import Viewers
from gateway.diagnosis.gauges import GpuGauges
from gateway.events import ModelInfo
from gateway.inference.load import LoadLevel
from gateway.inference.worker import Worker
from gateway.metrics import Metrics
from gateway.overload import Overload
from gateway.roster import Roster
from gateway.ward.hub import Hub


@dataclass(slots=True)
class Vitals:
    """Looks at all parts, changes none."""

    roster: Roster
    hub: Hub
    viewers: Viewers
    chronicle: Chronicle
    worker: Worker
    overload: Overload
    model: ModelInfo | None = None
    draining: bool = False
    started_at: float = field(default_factory=time.monotonic)

    def status(self) -> str:
        """ok, or the worst that is the matter."""
        if self.draining:
            return "draining"
        if self.model is None:
            return "starting"
        if not self.worker.ready:
            return "engine_restarting"
        if not self.chronicle.journal.state.ok:
            return "journal_failing"
        return "ok" if self.overload.step.level is LoadLevel.NORMAL else "degraded"

    def health(self) -> dict[str, Any]:
        finals, partials = self.worker.depth
        model, journal = self.model, self.chronicle.journal.state
        return {
            "status": self.status(),
            "model": model.name if model else None,
            "demo_model": model.demo if model else None,
            "device": model.device if model else None,
            "device_reason": model.device_reason if model else None,
            "compute_type": model.compute_type if model else None,
            "sessions": len(self.roster),
            "viewers": len(self.viewers),
            "beds_online": self.hub.beds_online,
            "queue_depth": {"finals": finals, "partials": partials},
            "load": self.overload.step.level.name.lower(),
            "journal": {
                "ok": journal.ok,
                "reason": journal.reason,
                "backlog": journal.backlog,
                "lost": journal.lost,
            },
            "uptime_s": round(time.monotonic() - self.started_at, 1),
        }

    def watch(self, metrics: Metrics) -> None:
        """Gauges that are read when the metrics are."""
        watch = metrics.watch
        watch("sessions_open", "Speakers connected now.", lambda: len(self.roster))
        watch("viewers_open", "Viewers connected now.", lambda: len(self.viewers))
        watch("beds_online", "Beds with a speaker now.", lambda: self.hub.beds_online)
        levels = "0 normal, 1 partials slower, 2 no partials, 3 refusing."
        watch("load_level", levels, lambda: self.overload.step.level)
        skipped = "Partials not decoded since the start, newer came."
        watch("dropped_partials", skipped, lambda: self.worker.dropped_partials)
        watch("journal_failing", "1: captions cannot be kept.", lambda: not self.chronicle.journal.state.ok)
        waiting = "Captions waiting for the disk."
        watch("journal_backlog", waiting, lambda: self.chronicle.journal.state.backlog)
        depths = {
            "final": lambda: float(self.worker.depth[0]),
            "partial": lambda: float(self.worker.depth[1]),
            "upload": lambda: float(self.worker.waiting_uploads),
        }
        metrics.watch_labelled("queue_depth", "Jobs waiting.", "kind", depths)
        metrics.collect_from(GpuGauges())
