"""shell: entries that wait for the journal's answer, and are told in order; none waits for long."""

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.ward.backlog import Item
from gateway.ward.records import Entry, Written

HOLD_S = 0.2
"""A caption waits for the disk at most so long, then it is told as not durable."""


class Reports:
    """Use from one event loop only."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_written: Callable[[Written], None],
        on_late: Callable[[], None],
    ) -> None:
        self._loop, self._on_written, self._on_late = loop, on_written, on_late
        self._waiting: deque[tuple[float, Item]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.last = 0
        """Everything up to this item has been told."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: Item) -> None:
        self._waiting.append((self._loop.time() + HOLD_S, item))
        self._watch()

    def tell_up_to(self, seq: int, durable: bool, refused: frozenset[int] = frozenset()) -> None:
        """Tell what waits up to this item; the refused ones are not durable."""
        while self._waiting and self._waiting[0][1].seq <= seq:
            item = self._waiting.popleft()[1]
            self.last = item.seq
            assert isinstance(item.work, Entry)
            try:
                self._on_written(Written(item.work, durable and item.seq not in refused))
            except Exception as error:  # the next ones must be told too
                self._loop.call_exception_handler({"message": "on_written failed", "exception": error})

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _watch(self) -> None:
        if self._timer is None and self._waiting:
            # call_soon: an answer that is here already comes first
            self._timer = self._loop.call_at(self._waiting[0][0], self._loop.call_soon, self._check)

    def _check(self) -> None:
        self._timer = None
        now = self._loop.time()
        late = [item.seq for deadline, item in self._waiting if deadline <= now]
        if late:
            self._on_late()
            self.tell_up_to(late[-1], False)
        self._watch()
