"""core: what a codec keeps for clients that are shown whole texts: the text that has no final yet.

An utterance may begin before the final of the one before it has come: its text is shown behind that one's.
"""

from gateway.connection.messages import Final, Partial, Ping

PING_S = 10.0


class Unfinished:
    """The newest partials of the utterances without a final, oldest first."""

    def __init__(self) -> None:
        self._partials: dict[int, Partial] = {}
        self._settled = 0

    @property
    def text(self) -> str:
        """What the caption reads so far; empty when nothing is open."""
        return " ".join(text for p in self._partials.values() if (text := (p.stable + p.tentative).strip()))

    @property
    def span_s(self) -> tuple[float, float]:
        """From the first one's start to the last one's end; (0, 0) when nothing is open."""
        times = [(p.start, p.end) for p in self._partials.values()]
        return (times[0][0], times[-1][1]) if times else (0.0, 0.0)

    def show(self, partial: Partial) -> None:
        """A newer text of its utterance."""
        if partial.utterance > self._settled:
            self._partials[partial.utterance] = partial
            self._partials = dict(sorted(self._partials.items()))

    def settle(self, final: Final) -> None:
        """Finals come in order: this one ends what was open up to it."""
        self._settled = max(self._settled, final.utterance)
        self._partials = {k: p for k, p in self._partials.items() if k > self._settled}


class Pulse:
    """Keeps a session alive whose client may be silent; whether that one is still there, its socket knows."""

    def __init__(self, idle_timeout_s: float, now: float) -> None:
        self._every_s = min(PING_S, idle_timeout_s / 3)
        self._at = now

    def beat(self, now: float) -> Ping | None:
        """Call it often: a Ping when it is time for one."""
        if now - self._at < self._every_s:
            return None
        self._at = now
        return Ping()
