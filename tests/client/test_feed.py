"""The feed: a blocking source neither blocks the loop, nor runs ahead without bound, nor keeps anybody waiting."""

import asyncio
import itertools
import threading
from collections.abc import Generator

import pytest

from gateway.client.feed import AHEAD, Feed
from gateway.client.ring import Chunk


def chunk(number: int) -> Chunk:
    return Chunk(bytes([number % 256]), 1)


async def test_chunks_come_in_order_and_end() -> None:
    """What the iterator gives is given, once, in order; its end is the end."""
    with Feed(chunk(n) for n in range(100)) as feed:
        assert [item async for item in feed] == [chunk(n) for n in range(100)]


async def test_an_error_of_the_source_is_raised_after_what_came_before() -> None:
    """The chunks before the error are not lost."""

    def broken() -> Generator[Chunk, None, None]:
        yield chunk(0)
        raise RuntimeError("unplugged")

    with Feed(broken()) as feed:
        taken = aiter(feed)
        assert await anext(taken) == chunk(0)
        with pytest.raises(RuntimeError, match="unplugged"):
            await anext(taken)


async def test_the_thread_is_only_so_far_ahead() -> None:
    """A consumer that takes nothing stops the source after AHEAD + 1 chunks."""
    read = 0

    def endless() -> Generator[Chunk, None, None]:
        nonlocal read
        for number in itertools.count():
            read += 1
            yield chunk(number)

    with Feed(endless()) as feed:
        taken = aiter(feed)
        for _ in range(3):
            await anext(taken)
        await asyncio.sleep(0.05)
        assert read <= 3 + AHEAD + 1
        await taken.aclose()


async def test_a_blocked_source_keeps_nobody_waiting() -> None:
    """Leaving does not wait for a read that never returns."""
    never = threading.Event()

    def stuck() -> Generator[Chunk, None, None]:
        never.wait()
        yield chunk(0)

    with Feed(stuck()):
        await asyncio.sleep(0)
    never.set()


async def test_a_source_left_behind_ends() -> None:
    """After the feed is closed its thread reads at most one more chunk."""
    gate = threading.Semaphore(0)
    ended = threading.Event()

    def gated() -> Generator[Chunk, None, None]:
        try:
            while True:
                gate.acquire()
                yield chunk(0)
        finally:
            ended.set()

    source = gated()
    with Feed(source) as feed:
        gate.release()
        await anext(taken := aiter(feed))
        await taken.aclose()
    gate.release()
    assert await asyncio.to_thread(ended.wait, 5)
