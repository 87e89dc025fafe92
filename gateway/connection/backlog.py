"""shell: what a client has sent faster than it may speak.

Its frames are taken in all the same, up to a bound, because behind them come its pings: a client whose ping
is not answered in time gives up, and what it has sent is lost.
"""

import asyncio
from collections import deque

FRAME_BYTES = 256
"""Of memory for a frame besides what is in it."""


class Backlog:
    """Frames of one connection, in order, from the task that reads to the one that listens."""

    def __init__(self, limit_bytes: int) -> None:
        """`limit_bytes`: while so much waits, no more is taken. One frame may be of any size."""
        self._limit_bytes = limit_bytes
        self._frames: deque[str | bytes] = deque()
        self._bytes = 0
        self._ended = False
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Backlog {len(self._frames)} frames, {self._bytes} bytes>"

    async def put(self, frame: str | bytes) -> None:
        """Returns when another one may come."""
        self._frames.append(frame)
        self._bytes += FRAME_BYTES + len(frame)
        self._changed.set()
        while self._bytes > self._limit_bytes:
            self._changed.clear()
            await self._changed.wait()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._changed.set()

    async def take(self) -> str | bytes | None:
        """The next frame; None: that was the last one."""
        while not self._frames:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        frame = self._frames.popleft()
        self._bytes -= FRAME_BYTES + len(frame)
        self._changed.set()
        return frame
