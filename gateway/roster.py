"""Who speaks now: sessions by number and by name, and the names of those whose grace time is over."""

from collections import OrderedDict
from collections.abc import Iterator

from gateway.connection.ports import Member
from gateway.connection.session import State

MAX_EXPIRED = 1000
"""Names that are remembered, to tell a client that comes too late why."""


class Roster:
    def __init__(self) -> None:
        self._members: dict[int, Member] = {}
        self._expired: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        """A copy: members may leave while they are told something."""
        return iter(list(self._members.values()))

    @property
    def started(self) -> int:
        """Sessions that have begun, with or without a socket."""
        return sum(1 for member in self._members.values() if member.session.state is not State.NEW)

    def awaits_somebody(self, now: float) -> bool:
        """A session's client is gone, or seems to be, and may be at the door again."""
        return any(member.session.patience.awaits_client(now) for member in self._members.values())

    def admit(self, member: Member) -> None:
        self._members[member.session.number] = member

    def dismiss(self, member: Member) -> bool:
        """False: it had left before."""
        if self._members.pop(member.session.number, None) is None:
            return False
        self._expired[member.session.identity.name] = None
        if len(self._expired) > MAX_EXPIRED:
            self._expired.popitem(last=False)
        return True

    def get(self, number: int) -> Member | None:
        return self._members.get(number)

    def find(self, name: str) -> Member | None:
        """A session by the name that its client knows."""
        return next((m for m in self._members.values() if m.session.identity.name == name), None)

    def has_expired(self, name: str) -> bool:
        return name in self._expired
