"""What is counted, declared once. Names and labels are in docs/operations.md."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.registry import Collector

from gateway.events import HOP_SAMPLES, SAMPLE_RATE

LATENCIES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
PASSES = (0.005, 0.01, 0.02, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)


class Metrics:
    """A registry of its own, so that two gateways in one process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.sessions_opened = self._counter("sessions", "Speakers that connected.", "protocol")
        self.audio_s = self._counter("audio_seconds", "Seconds of audio received.", "protocol")
        self.finals = self._counter("finals", "Finals given, suppressed ones included.", "protocol")
        self.partials = self._counter("partials", "Partials shown.", "protocol")
        self.suppressed = self._counter("suppressed", "Finals whose text was suppressed.", "reason")
        self.stable_words = self._counter("stable_words", "Words that were shown as stable.")
        self.corrected_words = self._counter("corrected_words", "Stable words that a final changed.")
        self.worker_restarts = self._counter("worker_restarts", "Times the engine's process died.")
        self.errors = self._counter("errors", "Sessions ended by an error.", "code")
        self.refused = self._counter("refused", "Requests refused: without the right, or too many.", "code")
        self.uploads = self._counter("uploads", "Files sent to be transcribed.", "outcome")
        self.upload_audio_s = self._counter("upload_audio_seconds", "Seconds of audio in such files.")
        self._counts = {
            "upload_audio_s": self.upload_audio_s,
            "stable_words": self.stable_words,
            "corrected_words": self.corrected_words,
        }
        self.ttfs_s = self._histogram("ttfs_seconds", "End of speech to its final.", LATENCIES)
        self.partial_latency_s = self._histogram(
            "partial_latency_seconds", "Newest audio in a partial to the partial.", LATENCIES
        )
        self.batch_size = self._histogram("batch_size", "Jobs in one pass of the engine.", SIZES)
        self.batch_s = self._histogram("batch_seconds", "Time of one pass of the engine.", PASSES)
        self.encoded_s = self._counter("encoded_seconds", "Seconds of audio encoded, padding included.")
        self.queue_s = self._histogram("queue_seconds", "Time a job waited for its pass.", LATENCIES)
        self.real_time_factor = self._gauge(
            "real_time_factor", "Engine time per second of speech decoded, last pass."
        )

    def take(self, name: str, value: float, label: str) -> None:
        """A figure that a session measured (connection/effects.py), and its protocol or a reason."""
        match name:
            case "audio_s":
                self.audio_s.labels(label).inc(value)
            case "ttfs_s":
                self.ttfs_s.observe(value)
                self.finals.labels(label).inc()
            case "partial_latency_s":
                self.partial_latency_s.observe(value)
                self.partials.labels(label).inc()
            case "suppressed":
                self.suppressed.labels(label).inc(value)
            case "refused":
                self.refused.labels(label).inc(value)
            case "upload":
                self.uploads.labels(label).inc(value)
            case "error":
                self.errors.labels(label).inc(value)
            case _:
                self._counts[name].inc(value)

    def passed(self, jobs: int, padded_frames: int, seconds: float) -> None:
        """A pass of the engine is done; frames of each of its jobs, padding included."""
        self.batch_size.observe(jobs)
        self.batch_s.observe(seconds)
        self.encoded_s.inc(jobs * padded_frames * HOP_SAMPLES / SAMPLE_RATE)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge that is read when the metrics are."""
        self._gauge(name, text).set_function(read)

    def watch_labelled(self, name: str, text: str, label: str, reads: dict[str, Callable[[], float]]) -> None:
        """A gauge with one value per label."""
        gauge = Gauge(f"care_voice_{name}", text, (label,), registry=self._registry)
        for value, read in reads.items():
            gauge.labels(value).set_function(read)

    def collect_from(self, collector: Collector) -> None:
        """Metrics that somebody else makes when they are read."""
        self._registry.register(collector)

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"care_voice_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"care_voice_{name}", text, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"care_voice_{name}", text, buckets=buckets, registry=self._registry)
