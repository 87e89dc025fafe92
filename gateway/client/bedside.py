"""core: what a bedside client decides: when to send what, what an answer means, when to come back or give up.

The audio that is not final yet stays in a ring. When the link is lost the client opens a new session and
sends that audio again, so that no word is lost; the new session knows nothing of the old one, so a caption
whose audio was not committed in time may come twice. Backoff with full jitter: Brooker, "Exponential Backoff
And Jitter" (AWS Architecture Blog, 2015).
"""

import math
from dataclasses import dataclass, field

import msgspec

from gateway.client.ring import Chunk, Lost, Ring
from gateway.connection.messages import (
    Ack,
    Audio,
    ClientMessage,
    Error,
    Final,
    Gap,
    Partial,
    Ping,
    ServerMessage,
    Speech,
    Start,
    Started,
    Stop,
    Stopped,
)

BACKOFF_S = (0.25, 0.5, 1.0, 2.0, 5.0)
STABLE_S = 30.0
"""A link that held for so long was good: the next loss starts with the shortest delay again."""
FINAL_CLOSES = frozenset({1002, 1003, 1007, 1008, 1009, 1010, 4401, 4403, 4409})
"""Close codes after which the same client would only be refused again; all others are worth a retry."""
CATCH_UP = 4.0
"""Times real time at which the backlog of an outage is sent."""
MAX_AHEAD_S = 140.0
"""Audio sent ahead of a session's age: a whole ring is not, the gateway's limit (150 s) is never reached."""
QUIET_PING_S = 3.0
"""After so long without a word from the gateway, ask whether it is there."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to stream. `start.audio` is replaced by the format of the source."""

    start: Start = field(default_factory=Start)
    speed: float = 1.0
    """Times real time; 1 is how a microphone speaks."""
    ring_s: float = 120.0
    first_retry_s: float = 5.0
    """How long to try before the first session; inf: for ever."""
    retry_s: float = 60.0
    """How long to try after a link was lost."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Come back after `delay_s`."""

    delay_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Coming back is of no use; `refused`: the gateway said no (else it was not there)."""

    reason: str
    refused: bool


def backoff_s(attempt: int, randomness: float) -> float:
    """Delay before the attempt (0, 1, 2 ...); `randomness` in [0, 1)."""
    return BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)] * randomness


def is_final_status(status: int) -> bool:
    """Whether an HTTP answer to the WebSocket request will not change by asking again."""
    return 300 <= status < 500 and status not in {408, 425, 429}


def earliest_s(sent_s: float, speed: float) -> float:
    """Seconds after the start of a session at which audio may follow `sent_s` of it.

    Live audio never waits; a backlog goes at CATCH_UP, and never more than MAX_AHEAD_S ahead of its age.
    """
    return max(0.0, (sent_s - 1.0) / max(CATCH_UP, speed), sent_s - MAX_AHEAD_S)


class Bedside:
    """One stream over as many connections as it takes. Times are monotonic seconds, `now` an argument."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._rate = options.start.audio.sample_rate
        self._ring = Ring(round(options.ring_s * self._rate))
        self._finished = False
        self._base = 0
        self._session_at: float | None = None
        self._heard_at = 0.0
        self._pinged = False
        self._stop_sent = False
        self._attempt = 0
        self._outage_at: float | None = None
        self._refusal: Error | None = None
        self.is_done = False
        """The gateway said that everything is final."""
        self.finals = 0
        self.sessions = 0
        self.lost_samples = 0

    # --- the source ---

    def due_s(self) -> float:
        """When the next chunk is due, in seconds after the source began: absolute, so it never drifts."""
        return self._ring.end / self._rate / self._options.speed

    @property
    def is_full(self) -> bool:
        """A source that can wait should: the next push would drop audio."""
        return self._ring.is_full

    @property
    def is_finished(self) -> bool:
        return self._finished

    @property
    def position_s(self) -> float:
        """Seconds of audio taken from the source."""
        return self._ring.end / self._rate

    def push(self, chunk: Chunk) -> None:
        self._ring.push(chunk)

    def finish(self) -> None:
        """No more audio: once all is sent, stop."""
        self._finished = True

    # --- the link ---

    def connected(self, now: float) -> Start:
        """A socket is open: what to say first. Audio flows once the gateway has answered."""
        self._base = self._ring.rewind()
        self._session_at = None
        self._heard_at = now
        self._pinged = self._stop_sent = False
        self._refusal = None
        return self._options.start

    def take(self, now: float) -> ClientMessage | float | None:
        """What to send now; or after how many seconds to ask again; None: when something has happened."""
        if self._session_at is None or self.is_done:
            return None
        sent_s = (self._ring.cursor - self._base) / self._rate
        wait_s = self._session_at + earliest_s(sent_s, self._options.speed) - now
        if wait_s <= 0:
            if message := self._next():
                return message
            wait_s = math.inf
        if not self._pinged:
            if self._heard_at + QUIET_PING_S <= now:
                self._pinged = True
                return Ping()
            wait_s = min(wait_s, self._heard_at + QUIET_PING_S - now)
        return None if wait_s == math.inf else wait_s

    def _next(self) -> ClientMessage | None:
        match self._ring.take():
            case Chunk(payload):
                return Audio(payload)
            case Lost(samples):
                self.lost_samples += samples
                return Gap(samples)
        if self._finished and not self._stop_sent:
            self._stop_sent = True
            return Stop()
        return None

    def receive(self, message: ServerMessage, now: float) -> ServerMessage:
        """Take note of it, and return it with its times counted from the start of the source."""
        self._heard_at = now
        self._pinged = False
        match message:
            case Started():
                self._session_at = now
                self.sessions += 1
            case Ack(committed=committed):
                self._commit(self._base + committed)
            case Final():
                self.finals += 1
            case Error(fatal=True):
                self._refusal = message
            case Stopped():
                self.is_done = self._stop_sent
        return _shifted(message, self._base / self._rate)

    def _commit(self, position: int) -> None:
        before = self._ring.committed
        self._ring.commit(position)
        if self._ring.committed > before:
            self._outage_at = None

    def lost(self, close_code: int, why: str, now: float, randomness: float) -> Retry | GiveUp | None:
        """The link is gone. None: it does not matter any more, everything is final."""
        if self.is_done or (self._stop_sent and self._ring.is_settled):
            return None
        reason = f"{self._refusal.code}: {self._refusal.message}" if self._refusal else why
        if close_code in FINAL_CLOSES:
            return GiveUp(reason, refused=True)
        return self._come_back(reason, now, randomness)

    def refused(self, status: int, now: float, randomness: float) -> Retry | GiveUp:
        """The gateway answered the WebSocket request with an HTTP status."""
        reason = f"the gateway answered HTTP {status}"
        if is_final_status(status):
            return GiveUp(reason, refused=True)
        return self._come_back(reason, now, randomness)

    def _come_back(self, reason: str, now: float, randomness: float) -> Retry | GiveUp:
        if self._session_at is not None and now - self._session_at >= STABLE_S:
            self._attempt, self._outage_at = 0, None
        self._session_at = None
        self._outage_at = now if self._outage_at is None else self._outage_at
        limit_s = self._options.retry_s if self.sessions else self._options.first_retry_s
        delay_s = backoff_s(self._attempt, randomness)
        if now + delay_s - self._outage_at > limit_s:
            return GiveUp(reason, refused=False)
        self._attempt += 1
        return Retry(delay_s, reason)


def _shifted(message: ServerMessage, by_s: float) -> ServerMessage:
    if not by_s:
        return message
    match message:
        case Speech():
            return msgspec.structs.replace(message, at=message.at + by_s)
        case Partial():
            return msgspec.structs.replace(message, start=message.start + by_s, end=message.end + by_s)
        case Final():
            words = message.words and tuple(
                msgspec.structs.replace(word, start=word.start + by_s, end=word.end + by_s)
                for word in message.words
            )
            return msgspec.structs.replace(
                message, start=message.start + by_s, end=message.end + by_s, words=words
            )
    return message
