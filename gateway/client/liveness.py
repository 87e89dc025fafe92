"""core: is the gateway still there? Only what proves that it hears us counts: acknowledged audio and pongs.

A gateway that still talks but does not hear (a half-open link, a proxy that stopped reading) is as dead as a
silent one.
"""

from gateway.connection.messages import Ack, Pong, ServerMessage, Started

PING_SHARE = 0.4
"""Of the time to the verdict: after so much of it without proof, ask."""


class Liveness:
    """Times are monotonic seconds."""

    def __init__(self, silent_s: float) -> None:
        """A gateway that proves nothing for `silent_s` is dead."""
        self._silent_s = silent_s
        self.connect(0.0)

    def connect(self, now: float) -> None:
        self._proved_at = now
        self._pinged = False
        self._acked = (-1, -1)

    def receive(self, message: ServerMessage, now: float) -> None:
        match message:
            case Started() | Pong():
                self._prove(now)
            case Ack(received, committed) if (received, committed) != self._acked:
                self._acked = (received, committed)
                self._prove(now)

    def ping_at(self) -> float | None:
        """When to ask; None: that was done."""
        return None if self._pinged else self._proved_at + PING_SHARE * self._silent_s

    def ping(self) -> None:
        self._pinged = True

    def dead_at(self) -> float:
        """When it counts as dead, unless something is proved before."""
        return self._proved_at + self._silent_s

    def _prove(self, now: float) -> None:
        self._proved_at, self._pinged = now, False
