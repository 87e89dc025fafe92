"""core: how fast a client may send: a token bucket whose tokens are seconds of audio.

A client that comes back after an outage replays what it kept, so that a burst is right; for good it may not
be faster than a multiple of real time. What is no audio costs a little too: a flood of empty messages is
work as well.
"""

from gateway.connection.closing import CloseCode
from gateway.connection.messages import ClientMessage, Gap
from gateway.connection.opening import Refused

MESSAGE_COST_S = 0.002
GAP_COST_S = 1.0
"""A gap is kept and shown like a caption."""


def cost_s(message: ClientMessage, audio_s: float = 0.0) -> float:
    """What a message costs, with so many seconds of audio in it."""
    return GAP_COST_S if isinstance(message, Gap) else max(MESSAGE_COST_S, audio_s)


def too_fast() -> Refused:
    why = "Audio or messages come faster than `max_audio_rate`: send audio as it is spoken."
    return Refused("too_fast", why, CloseCode.TOO_FAST)


class Allowance:
    """Full at first. Times are monotonic seconds."""

    def __init__(self, burst_s: float, rate: float, now: float) -> None:
        """`burst_s` seconds of audio at once, and `rate` seconds of audio per second after that."""
        self._burst_s = burst_s
        self._rate = rate
        self._left_s = burst_s
        self._at = now

    def __repr__(self) -> str:
        return f"<Allowance {self._left_s:.1f} of {self._burst_s:g} s left>"

    def wait_s(self, seconds: float, now: float) -> float:
        """How long until so much may be spent; more than fits at once waits for a full bucket."""
        left_s = min(self._burst_s, self._left_s + max(0.0, now - self._at) * self._rate)
        return max(0.0, (min(seconds, self._burst_s) - left_s) / self._rate)

    def spend(self, seconds: float, now: float) -> bool:
        """Take so much; False: more than there was, the client is too fast."""
        self._left_s = min(self._burst_s, self._left_s + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        self._left_s -= seconds
        return self._left_s >= 0
