"""core: what is not on disk yet, in order and bounded.

Beyond its bounds the oldest entries are given up, since the newest are what people need; never those that are
being written, and never a command to delete.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.ward.records import Entry, Work

ROW_BYTES = 400
"""What an entry takes in memory besides its text, about."""


@dataclass(frozen=True, slots=True)
class Item:
    seq: int
    """1, 2, 3 ... in the order of record()."""
    work: Work
    stored_at: float = 0.0
    """From when its age is counted."""

    @property
    def size_bytes(self) -> int:
        caption = self.work.caption if isinstance(self.work, Entry) else None
        return ROW_BYTES + (4 * len(caption.text) if caption else 0)


class Backlog:
    """First in, first out. Not thread-safe."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self._waiting: deque[Item] = deque()
        self._flying: list[Item] = []
        self._bytes = 0

    def __repr__(self) -> str:
        return f"<Backlog {len(self._waiting)} waiting, {len(self._flying)} being written>"

    def __len__(self) -> int:
        return len(self._waiting) + len(self._flying)

    def __iter__(self) -> Iterator[Item]:
        yield from self._flying
        yield from self._waiting

    def push(self, item: Item) -> list[Item]:
        """Take it in; returns what was given up for it, oldest first."""
        self._waiting.append(item)
        self._bytes += item.size_bytes
        if len(self) <= self._max_entries and self._bytes <= self._max_bytes:
            return []
        return self._shed()

    def take(self, limit: int) -> list[Item]:
        """What is written next, in one transaction: entries that follow each other, or one command."""
        assert not self._flying, "the last ones were neither done nor given back"
        while self._waiting and len(self._flying) < limit:
            is_entry = isinstance(self._waiting[0].work, Entry)
            if self._flying and not is_entry:
                break
            self._flying.append(self._waiting.popleft())
            if not is_entry:
                break
        return list(self._flying)

    def done(self) -> None:
        """What was taken is on disk."""
        self._bytes -= sum(item.size_bytes for item in self._flying)
        self._flying.clear()

    def give_back(self) -> None:
        """What was taken could not be written: it comes first again."""
        self._waiting.extendleft(reversed(self._flying))
        self._flying.clear()

    def _shed(self) -> list[Item]:
        shed: list[Item] = []
        commands: list[Item] = []
        while self._waiting:
            if len(self) + len(commands) <= self._max_entries and self._bytes <= self._max_bytes:
                break
            item = self._waiting.popleft()
            if isinstance(item.work, Entry):
                shed.append(item)
                self._bytes -= item.size_bytes
            else:
                commands.append(item)
        self._waiting.extendleft(reversed(commands))
        return shed
