"""core: what waits to be written to one socket, and what a slow reader loses: partials first, finals never.

A partial replaces the waiting partial of its key and moves to the end. When more than `limit` other messages
wait, the box overflows: the shell then closes the socket, and the reader comes back for what it missed.
"""

from collections import OrderedDict
from collections.abc import Hashable


class Outbox:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: OrderedDict[Hashable, str] = OrderedDict()
        self._counter = 0
        self.dropped_partials = 0
        self.overflowed = False

    def __repr__(self) -> str:
        return f"<Outbox {len(self._waiting)} waiting, {self.dropped_partials} partials dropped>"

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, text: str, partial_of: Hashable = None) -> None:
        """Queue a message; `partial_of` names what it is only the newest state of."""
        if partial_of is not None:
            key: Hashable = ("partial", partial_of)
            if self._waiting.pop(key, None) is not None:
                self.dropped_partials += 1
        else:
            self._counter += 1
            key = self._counter
            if len(self._waiting) >= self._limit:
                self._drop_partials()
            if len(self._waiting) >= self._limit:
                self.overflowed = True
                return
        self._waiting[key] = text

    def take(self) -> str | None:
        """The next message to write; None when there is none."""
        return self._waiting.popitem(last=False)[1] if self._waiting else None

    def _drop_partials(self) -> None:
        for key in [key for key in self._waiting if isinstance(key, tuple)]:
            del self._waiting[key]
            self.dropped_partials += 1
