"""core: what waits to be written to one socket, and what a slow reader loses: partials first, finals never.

A partial replaces the waiting partial of its key and moves to the end. When more than `limit` other messages
or `limit_bytes` wait, the box overflows: the shell then closes the socket, and the reader comes back for what
it missed. What the reader has asked for itself may be long and does not count; instead it may not ask again
before it has read the answer (`has_asked`).
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Waiting:
    text: str
    size_bytes: int
    """0: it does not count."""
    asked: bool


class Outbox:
    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._waiting: OrderedDict[Hashable, _Waiting] = OrderedDict()
        self._counter = 0
        self._asked = 0
        self._bytes = 0
        self.dropped_partials = 0
        self.overflowed = False

    def __repr__(self) -> str:
        return f"<Outbox {len(self._waiting)} waiting, {self.dropped_partials} partials dropped>"

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_asked(self) -> bool:
        """Something that the reader asked for still waits."""
        return self._asked > 0

    def put(self, text: str, partial_of: Hashable = None, asked: bool = False) -> None:
        """Queue a message; `partial_of` names what it is only the newest state of; `asked`: an answer."""
        size_bytes = 0 if asked else len(text.encode())
        if partial_of is not None:
            key: Hashable = ("partial", partial_of)
            if self._drop(key):
                self.dropped_partials += 1
        else:
            self._counter += 1
            key = self._counter
        if not asked and self._is_full(size_bytes):
            if partial_of is not None:
                self.dropped_partials += 1
                return
            self._drop_partials()
            if self._is_full(size_bytes):
                self.overflowed = True
                return
        self._waiting[key] = _Waiting(text, size_bytes, asked)
        self._bytes += size_bytes
        self._asked += asked

    def take(self) -> str | None:
        """The next message to write; None when there is none."""
        if not self._waiting:
            return None
        return self._forget(next(iter(self._waiting))).text

    def _is_full(self, more_bytes: int) -> bool:
        """A single message may be of any size."""
        counted = len(self._waiting) - self._asked
        return counted >= self._limit or bool(counted and self._bytes + more_bytes > self._limit_bytes)

    def _drop_partials(self) -> None:
        for key in [key for key in self._waiting if isinstance(key, tuple)]:
            self._drop(key)
            self.dropped_partials += 1

    def _drop(self, key: Hashable) -> bool:
        return key in self._waiting and bool(self._forget(key))

    def _forget(self, key: Hashable) -> _Waiting:
        waiting = self._waiting.pop(key)
        self._bytes -= waiting.size_bytes
        self._asked -= waiting.asked
        return waiting
