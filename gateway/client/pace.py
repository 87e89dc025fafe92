"""core: how fast audio may be sent: live at once, a backlog faster than real time but not all at once.

Two token buckets whose tokens are seconds of audio. One is the connection's and keeps a backlog from taking
the whole link. The other mirrors the gateway's own (`max_ahead_s`, `max_audio_rate`), somewhat smaller, so
that it is never overdrawn; it belongs to the session in one process of the gateway.
"""

from gateway.connection.allowance import GAP_COST_S, MESSAGE_COST_S

CATCH_UP = 4.0
"""Times real time at which the backlog of an outage is sent."""
AT_ONCE_S = 1.0
BURST_S = 140.0
SUSTAINED = 4.0


class Bucket:
    """Full at first. Times are monotonic seconds."""

    def __init__(self, burst_s: float, rate: float, now: float) -> None:
        self._burst_s = burst_s
        self._rate = rate
        self._left_s = burst_s
        self._at = now

    def spend(self, seconds: float, now: float) -> None:
        self._left_s = self._level(now) - seconds
        self._at = now

    def wait_s(self, now: float) -> float:
        """Until there is something to spend again; 0: there is."""
        return max(0.0, -self._level(now) / self._rate)

    def _level(self, now: float) -> float:
        return min(self._burst_s, self._left_s + (now - self._at) * self._rate)


class Pace:
    """Times are monotonic seconds."""

    def __init__(self, speed: float) -> None:
        """`speed`: of the source, times real time."""
        self._rate = max(CATCH_UP, speed)
        self._link: Bucket | None = None
        self._account: Bucket | None = None
        self.began_at: float | None = None
        """When audio could begin to flow on this connection; None: not yet."""

    def connect(self) -> None:
        """A new connection: nothing may be sent before `begin`."""
        self._link = self.began_at = None

    def begin(self, now: float, afresh: bool) -> None:
        """Audio may flow. `afresh`: the gateway begins to count."""
        self.began_at = now
        self._link = Bucket(AT_ONCE_S, self._rate, now)
        if afresh or self._account is None:
            self._account = Bucket(BURST_S, SUSTAINED, now)

    def refused(self) -> None:
        """The gateway has counted more than we did: what it will do next is not known."""
        self._account = None

    def spend(self, seconds: float, now: float) -> None:
        """So much audio is sent, in one message."""
        if self._link and self._account:
            self._link.spend(seconds, now)
            self._account.spend(seconds + MESSAGE_COST_S, now)

    def spend_gap(self, now: float) -> None:
        if self._account:
            self._account.spend(GAP_COST_S, now)

    def wait_s(self, now: float) -> float | None:
        """Until the next audio may be sent; 0: now; None: not on this connection yet."""
        if self._link is None or self._account is None:
            return None
        return max(self._link.wait_s(now), self._account.wait_s(now))
