"""core: how long a session waits: for its start, for the next message, for a client that lost its socket."""

from enum import Enum, auto

from gateway.config import ServerSettings

DETACHED_FLUSH_S = 3.0
"""Without its socket for so long, the open utterance is closed: its words must not wait for the device."""


class Verdict(Enum):
    NO_START = auto()
    IDLE = auto()
    FLUSH = auto()
    """The client is gone for a while: give what was said so far."""
    EXPIRED = auto()
    """The client is gone for good."""


class Patience:
    """Times are monotonic seconds."""

    def __init__(self, settings: ServerSettings, now: float) -> None:
        self._settings = settings
        self._started = False
        self._flushed = False
        self._detached_at: float | None = None
        self.heard_at = now

    @property
    def detached(self) -> bool:
        """The session has no socket now."""
        return self._detached_at is not None

    def start(self) -> None:
        self._started = True

    def hear(self, now: float) -> None:
        """The client sent something."""
        self.heard_at = now

    def detach(self, now: float) -> None:
        self._detached_at, self._flushed = now, False

    def attach(self, now: float) -> None:
        self._detached_at, self.heard_at = None, now

    def deadline(self) -> float:
        """When a verdict is due, unless something happens before."""
        if self._detached_at is not None:
            grace_s = self._settings.resume_grace_s
            return self._detached_at + (grace_s if self._flushed else min(grace_s, DETACHED_FLUSH_S))
        return self.heard_at + (
            self._settings.idle_timeout_s if self._started else self._settings.start_timeout_s
        )

    def verdict(self, now: float) -> Verdict | None:
        """What is due now; each is given once, or until something happens."""
        if now < self.deadline():
            return None
        if self._detached_at is None:
            return Verdict.IDLE if self._started else Verdict.NO_START
        if now >= self._detached_at + self._settings.resume_grace_s:
            return Verdict.EXPIRED
        self._flushed = True
        return Verdict.FLUSH
