"""core: how fast audio may be sent: live at once, a backlog faster than real time but not all at once."""

CATCH_UP = 4.0
"""Times real time at which the backlog of an outage is sent."""
MAX_AHEAD_S = 140.0
"""Audio sent ahead of the clock: a whole ring is not, the gateway's limit (150 s) is never reached."""
AT_ONCE_S = 1.0


class Pace:
    """Positions are seconds of the source, times monotonic seconds.

    The gateway counts how far a session is ahead of the clock in each of its processes: so a resumed session
    keeps its account, unless another process has taken it over.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._link: tuple[float, float] | None = None
        self._account: tuple[float, float] | None = None

    @property
    def began_at(self) -> float | None:
        """When audio could begin to flow on this connection; None: not yet."""
        return self._link[0] if self._link else None

    def connect(self) -> None:
        """A new connection: nothing may be sent before `begin`."""
        self._link = None

    def begin(self, position_s: float, now: float, afresh: bool) -> None:
        """Audio flows from `position_s` on. `afresh`: the gateway begins to count."""
        self._link = (now, position_s)
        if afresh or self._account is None:
            self._account = self._link

    def restart(self) -> None:
        """The gateway counts otherwise than was thought."""
        self._account = None

    def skip(self, seconds: float) -> None:
        """Audio that was lost is not sent."""
        if self._link and self._account:
            self._link = (self._link[0], self._link[1] + seconds)
            self._account = (self._account[0], self._account[1] + seconds)

    def due_at(self, position_s: float) -> float | None:
        """When audio from `position_s` on may be sent; None: not on this connection yet."""
        if self._link is None or self._account is None:
            return None
        link_at, link_s = self._link
        account_at, account_s = self._account
        rate = max(CATCH_UP, self._speed)
        return max(
            link_at + max(0.0, position_s - link_s - AT_ONCE_S) / rate,
            account_at + position_s - account_s - MAX_AHEAD_S,
        )
