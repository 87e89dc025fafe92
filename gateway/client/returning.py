"""core: when to come back after a link is lost, and when not to.

Backoff with full jitter: Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
"""

from dataclasses import dataclass

BACKOFF_S = (0.25, 0.5, 1.0, 2.0, 5.0)
STABLE_S = 30.0
"""A link that held for so long was good: the next loss starts with the shortest delay again."""
BUSY_ATTEMPT = 2
"""An overloaded gateway is given at least this delay's time."""
FINAL_CLOSES = frozenset({1002, 1003, 1007, 1008, 1009, 1010, 4401, 4403, 4409})
"""Close codes after which the same client would only be refused again; all others are worth a retry."""
HINTS = {
    (401, 4401): "give a (new) token with --token-file or CARE_VOICE_TOKEN",
    (403,): "this token may not speak here",
    (4409,): "another connection has taken this stream over",
}


@dataclass(frozen=True, slots=True)
class Retry:
    """Come back after `delay_s`."""

    delay_s: float
    reason: str
    afresh: bool = False
    """With a new session: the gateway does not know the old one any more."""


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


def refusal(code: int, reason: str) -> GiveUp:
    """Of an HTTP status or close code that is final: what the gateway said, and what to do."""
    hints = [hint for codes, hint in HINTS.items() if code in codes]
    return GiveUp("; ".join([reason.rstrip("."), *hints]), refused=True)


class Returning:
    """How often, and for how long, the gateway was tried in vain."""

    def __init__(self) -> None:
        self._attempt = 0
        self._outage_at: float | None = None

    def progress(self) -> None:
        """Audio was committed: whatever happens next is another outage."""
        self._attempt, self._outage_at = 0, None

    def busy(self) -> None:
        """The gateway was there, and could not take more."""
        self._attempt = max(self._attempt, BUSY_ATTEMPT)

    def lost(
        self, began_at: float | None, limit_s: float, reason: str, now: float, randomness: float
    ) -> Retry | GiveUp:
        """The link, over which audio flowed since `began_at`, is gone; it may be tried for `limit_s`."""
        if began_at is not None and now - began_at >= STABLE_S:
            self.progress()
        self._outage_at = now if self._outage_at is None else self._outage_at
        delay_s = backoff_s(self._attempt, randomness)
        if now + delay_s - self._outage_at > limit_s:
            return GiveUp(reason, refused=False)
        self._attempt += 1
        return Retry(delay_s, reason)
