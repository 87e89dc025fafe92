"""core: how long a session waits: for its start, for the next message, for a client that lost its socket."""

from enum import Enum, auto

from gateway.config import ServerSettings
from gateway.connection.closing import CloseCode
from gateway.connection.messages import Notice
from gateway.connection.opening import Refused

DETACHED_FLUSH_S = 3.0
"""Without its socket for so long, the open utterance is closed: its words must not wait for the device."""
ENDING_NOTICE_S = 60.0
"""A client is told so long before its session is over."""
ENDING = Notice(
    "session_ending",
    "This session ends at the next pause after a minute (max_session_h): begin a new one then.",
)
QUIET_S = 2.0
"""A started session whose client says nothing for so long has probably lost it: audio never stops."""
LAST_WORDS_S = 30.0
"""A session that is over may finish its sentence: no utterance is longer."""


class Verdict(Enum):
    NO_START = auto()
    IDLE = auto()
    FLUSH = auto()
    """The client is gone for a while: give what was said so far."""
    EXPIRED = auto()
    """The client is gone for good."""
    ENDING = auto()
    """The session will soon be as long as one may be."""
    OVER = auto()
    """It is."""


REFUSALS = {
    Verdict.NO_START: Refused("no_start", "Send `start` first.", CloseCode.IDLE),
    Verdict.IDLE: Refused(
        "idle", "Nothing was sent for too long; silence must be sent as audio.", CloseCode.IDLE
    ),
}


class Patience:
    """Times are monotonic seconds."""

    def __init__(self, settings: ServerSettings, now: float) -> None:
        self._settings = settings
        self._started = False
        self._flushed = False
        self._detached_at: float | None = None
        self._over_at = now + settings.max_session_h * 3600
        self._warned = False
        self.heard_at = now

    @property
    def detached(self) -> bool:
        """The session has no socket now."""
        return self._detached_at is not None

    def awaits_client(self, now: float) -> bool:
        """The client is gone, or seems to be: it may be at the door again."""
        return self.detached or (self._started and now - self.heard_at > QUIET_S)

    def start(self, now: float) -> None:
        self._started, self.heard_at = True, now

    def hear(self, now: float) -> None:
        """The client sent something. Nothing but a start is waited for at first."""
        if self._started:
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
        if not self._started:
            return self.heard_at + self._settings.start_timeout_s
        ending_at = self._over_at if self._warned else self._over_at - ENDING_NOTICE_S
        return min(self.heard_at + self._settings.idle_timeout_s, ending_at)

    def verdict(self, now: float, speaking: bool = False) -> Verdict | None:
        """What is due; each is given once, or until something happens. `speaking`: an utterance is open."""
        if now < self.deadline():
            return None
        if self._detached_at is None:
            return self._verdict_attached(now, speaking)
        if now >= self._detached_at + self._settings.resume_grace_s:
            return Verdict.EXPIRED
        self._flushed = True
        return Verdict.FLUSH

    def _verdict_attached(self, now: float, speaking: bool) -> Verdict | None:
        if not self._started:
            return Verdict.NO_START
        if now >= self.heard_at + self._settings.idle_timeout_s:
            return Verdict.IDLE
        if not self._warned:
            self._warned = True
            return Verdict.ENDING
        return None if speaking and now < self._over_at + LAST_WORDS_S else Verdict.OVER
