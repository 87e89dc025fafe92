"""shell: a blocking iterator of chunks, read in a thread, as an asynchronous one.

The thread is a daemon and at most `AHEAD` chunks ahead: one that waits in a read of standard input can be
stopped by nobody, and must keep nobody from leaving.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Generator

from gateway.client.ring import Chunk

AHEAD = 8


class Feed:
    """`with Feed(chunks) as feed: async for chunk in feed`. What the iterator raises is raised there."""

    def __init__(self, chunks: Generator[Chunk, None, None]) -> None:
        self._chunks = chunks
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Chunk | Exception | None] = asyncio.Queue()
        self._room = threading.Semaphore(AHEAD)
        self._is_open = True

    def __enter__(self) -> "Feed":
        threading.Thread(target=self._read, name="audio source", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_open = False
        self._room.release()

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        while (item := await self._queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            self._room.release()
            yield item

    def _read(self) -> None:
        try:
            with contextlib.closing(self._chunks) as chunks:
                for chunk in chunks:
                    self._room.acquire()
                    if not self._is_open:
                        return
                    self._deliver(chunk)
            self._deliver(None)
        except Exception as error:
            self._deliver(error)

    def _deliver(self, item: Chunk | Exception | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:  # the loop is closed: nobody is waiting any more
            self._is_open = False
