"""core: what a bedside client decides: when to send what, what an answer means, when to come back or give up.

The audio that is not committed stays in a ring. When the link is lost the client resumes its session and
sends from exactly where the gateway wants it, so that no word is lost and no caption comes twice; when the
gateway has forgotten the session it begins a new one with all that was not committed.
"""

from dataclasses import dataclass, field

import msgspec

from gateway.client.continuity import Continuity, shifted
from gateway.client.liveness import Liveness
from gateway.client.pace import Pace
from gateway.client.returning import FINAL_CLOSES, GiveUp, Retry, Returning, is_final_status, refusal
from gateway.client.ring import Chunk, Lost, Ring
from gateway.connection.messages import (
    Ack,
    Audio,
    Control,
    Error,
    Final,
    Ping,
    ServerMessage,
    Start,
    Started,
    Stop,
    Stopped,
)

DONE, OVERLOADED, CANNOT_RESUME, TOO_FAST = 1000, 1013, 4410, 4429
"""Close codes of the gateway."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to stream. `start.audio` is replaced by the format of the source."""

    start: Start = field(default_factory=Start)
    speed: float = 1.0
    """Times real time; 1 is how a microphone speaks."""
    ring_s: float = 120.0
    """Audio kept until it is committed: for so long an outage costs nothing."""
    first_retry_s: float = 5.0
    """How long to try before the first session; inf: for ever."""
    retry_s: float = 60.0
    """How long to try after a link was lost."""
    silent_s: float = 5.0
    """A gateway that does not prove for so long that it hears us is left."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The link is there again."""

    at_s: float
    """Where in the source sending goes on."""
    behind_s: float
    """Audio that waits to be sent."""
    afresh: bool
    """In a new session."""


@dataclass(frozen=True, slots=True)
class AudioLost:
    """Audio fell out of the ring before it could be sent; the gateway is told by a gap."""

    at_s: float
    seconds: float
    samples: int


@dataclass(frozen=True, slots=True)
class Oddity:
    """The gateway did what it must not."""

    text: str


Event = ServerMessage | Retry | Resumed | AudioLost | Oddity
"""What is worth showing. Times are those of the source."""


class Bedside:
    """One stream over as many connections as it takes. Times are monotonic seconds, `now` an argument."""

    def __init__(self, options: Options) -> None:
        self._options = options
        audio = options.start.audio
        self._rate = audio.sample_rate
        self._ring = Ring(round(options.ring_s * self._rate), can_cut=audio.encoding != "opus")
        self._continuity = Continuity()
        self._pace = Pace(options.speed)
        self._liveness = Liveness(options.silent_s)
        self._returning = Returning()
        self._finished = False
        self._received = 0
        self._stop_sent = self._stopped = False
        self._refusal: Error | None = None
        self.is_done = False
        """The gateway said that everything is final."""
        self.finals = 0
        self.links = 0
        """Connections on which the gateway took audio."""
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

    # --- out ---

    def connected(self, now: float) -> Start:
        """A socket is open: what to say first. Audio flows once the gateway has answered."""
        self._pace.connect()
        self._liveness.connect(now)
        self._stop_sent = self._stopped = False
        self._refusal = None
        return msgspec.structs.replace(self._options.start, resume=self._continuity.resume())

    def take(self, now: float) -> Control | Audio | AudioLost | float | None:
        """What to send now (a gap for lost audio); or after how many seconds to ask again; None: when
        something has happened."""
        wait_s = self._pace.wait_s(now)
        if wait_s is None or self.is_done:
            return None
        waits = []
        if (ping_at := self._liveness.ping_at()) is not None:
            if ping_at <= now:
                self._liveness.ping()
                return Ping()
            waits.append(ping_at - now)
        if wait_s > 0:
            waits.append(wait_s)
        elif message := self._next(now):
            return message
        return min(waits, default=None)

    def _next(self, now: float) -> Control | Audio | AudioLost | None:
        at_s = self._ring.cursor / self._rate
        match self._ring.take():
            case Chunk(payload, samples):
                self._pace.spend(samples / self._rate, now)
                return Audio(payload)
            case Lost(samples):
                self.lost_samples += samples
                self._pace.spend_gap(now)
                return AudioLost(round(at_s, 3), round(samples / self._rate, 3), samples)
        if self._finished and not self._stop_sent:
            self._stop_sent = True
            return Stop()
        return None

    def dead_at(self) -> float:
        """When the gateway counts as dead, unless something is heard before."""
        return self._liveness.dead_at()

    # --- in ---

    def receive(self, message: ServerMessage, now: float) -> list[Event]:
        """Take note of it, and say what is worth showing."""
        self._liveness.receive(message, now)
        message = shifted(message, self._continuity.offset / self._rate)
        match message:
            case Started():
                return [message, *self._begin(message, now)]
            case Final():
                return self._show(message)
            case Ack(received, committed):
                self._received = received
                self._commit(self._continuity.offset + committed)
            case Error(fatal=True):
                self._refusal = message
            case Stopped(received):
                self._stopped = True
                self.is_done = self._stop_sent and self._continuity.offset + received >= self._ring.end
        return [message]

    def _begin(self, started: Started, now: float) -> list[Event]:
        went_back = started.resume_from < self._received
        resumed = self._continuity.begin(started, self._ring)
        at_s = round(self._ring.cursor / self._rate, 3)
        self._pace.begin(now, afresh=went_back or not resumed)
        self._received = started.resume_from
        self.links += 1
        return [Resumed(at_s, round(self.position_s - at_s, 3), not resumed)] if self.links > 1 else []

    def _show(self, final: Final) -> list[Event]:
        if self._continuity.is_repeat(final):
            return []
        self.finals += 1
        wrong = self._continuity.see(final)
        return [Oddity(wrong), final] if wrong else [final]

    def _commit(self, position: int) -> None:
        before = self._ring.committed
        self._ring.commit(position)
        if self._ring.committed > before:
            self._returning.progress()

    # --- the link is gone ---

    def lost(self, close_code: int, why: str, now: float, randomness: float) -> Retry | GiveUp | None:
        """None: it does not matter any more."""
        if self._stop_sent and self._ring.is_settled:
            self.is_done = True
        if self.is_done or (close_code == DONE and self._stopped and self._stop_sent):
            return None
        reason = f"{self._refusal.code}: {self._refusal.message}" if self._refusal else why
        if close_code in FINAL_CLOSES:
            return refusal(close_code, reason)
        if close_code == TOO_FAST:
            self._pace.refused()
        if close_code == OVERLOADED:
            self._returning.busy()
        if close_code == CANNOT_RESUME:
            return self._begin_afresh(self._refusal.code if self._refusal else why, now, randomness)
        return self._come_back(reason, now, randomness)

    def refused(self, status: int, why: str, now: float, randomness: float) -> Retry | GiveUp:
        """The gateway answered the WebSocket request with an HTTP status."""
        reason = f"the gateway answered HTTP {status}" + (f" ({why})" if why else "")
        if is_final_status(status):
            return refusal(status, reason)
        return self._come_back(reason, now, randomness)

    def _begin_afresh(self, why: str, now: float, randomness: float) -> Retry | GiveUp:
        self._continuity.forget()
        reason = f"the gateway has forgotten the session ({why}): a new one begins with what is not final yet"
        verdict = self._come_back(reason, now, randomness)
        return Retry(verdict.delay_s, reason, afresh=True) if isinstance(verdict, Retry) else verdict

    def _come_back(self, reason: str, now: float, randomness: float) -> Retry | GiveUp:
        limit_s = self._options.retry_s if self.links else self._options.first_retry_s
        began_at = self._pace.began_at
        self._pace.connect()
        return self._returning.lost(began_at, limit_s, reason, now, randomness)
