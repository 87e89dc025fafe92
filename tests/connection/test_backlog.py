"""Rules of what waits to be heard: in order, whole, bounded."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.backlog import FRAME_BYTES, Backlog


async def put_all(backlog: Backlog, frames: list[str | bytes], most: list[int]) -> None:
    for frame in frames:
        await backlog.put(frame)
        most.append(backlog._bytes)
    backlog.end()


async def take_all(backlog: Backlog, pause: int) -> list[str | bytes]:
    taken: list[str | bytes] = []
    while (frame := await backlog.take()) is not None:
        taken.append(frame)
        if len(taken) % (pause + 1) == 0:
            await asyncio.sleep(0)
    return taken


@given(
    st.lists(st.binary(max_size=50) | st.text(max_size=50), max_size=60),
    st.integers(0, 20 * FRAME_BYTES),
    st.integers(0, 5),
)
def test_all_frames_come_out_in_order(frames: list[str | bytes], limit: int, pause: int) -> None:
    """Whoever is faster; after each one that was let in there is room again."""

    async def run() -> list[str | bytes]:
        backlog, most = Backlog(limit), [0]
        async with asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(take_all(backlog, pause))
            tasks.create_task(put_all(backlog, frames, most))
        assert max(most) <= limit
        return taking.result()

    assert asyncio.run(run()) == frames


async def test_too_much_has_to_wait() -> None:
    """One frame may be of any size; the next one is not read before there is room."""
    backlog = Backlog(1000)
    putting = asyncio.create_task(backlog.put(bytes(5000)))
    await asyncio.sleep(0)
    assert not putting.done()
    assert await backlog.take() == bytes(5000)
    await putting


async def test_the_rest_is_heard_after_the_end() -> None:
    """A client that is gone has said something before."""
    backlog = Backlog(10_000)
    await backlog.put(b"one")
    await backlog.put("two")
    backlog.end()
    assert [await backlog.take() for _ in range(4)] == [b"one", "two", None, None]
