"""Links that are dead without saying so, and what they still deliver when they come alive again."""

import asyncio

import pytest

from gateway.client.bedside import Resumed, Retry
from tests.cutting import CuttingProxy
from tests.faults.ward import Bedside, Page, check, scaled, speaking

pytestmark = pytest.mark.slow


async def test_late_bytes_of_an_old_socket_change_nothing(own) -> None:
    """Links stall until the clients have given them up; then everything that was under way arrives at once, old
    sockets and new: each sample counts once, and no old socket stays open."""
    running = own()
    bedsides = [Bedside.number(n, sentences=scaled(5, 20)) for n in range(4)]
    files = running.open_files()
    async with CuttingProxy(running.url).run() as proxy, Page(bedsides).reading(running.url) as page:
        talk = asyncio.create_task(speaking(bedsides, proxy.url, scaled(60, 300), speed=2))
        for n in range(scaled(1, 6)):
            await asyncio.sleep(2.5)
            proxy.stall()
            await proxy.connected(2 * len(bedsides) * (n + 1))
            proxy.flow()
        await talk
        await check(running, bedsides, page)
    assert all(bedside.of(Resumed) for bedside in bedsides)
    async with asyncio.timeout(10):
        while running.open_files() > files + 1:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.1)


async def test_cuts_at_any_moment(own) -> None:
    """Connections are reset again and again, in handshakes, words and pauses: the accounts balance."""
    running = own()
    bedsides = [Bedside.number(n, sentences=scaled(5, 60)) for n in range(6)]
    async with CuttingProxy(running.url).run() as proxy, Page(bedsides).reading(proxy.url) as page:
        talk = asyncio.create_task(speaking(bedsides, proxy.url, scaled(60, 400), speed=2))
        pauses = [0.31, 0.53, 0.07, 1.1, 0.9, 0.02, 1.3]
        for n in range(scaled(7, 100)):
            await asyncio.sleep(pauses[n % len(pauses)])
            proxy.cut(reset=n % 2 == 0)
        await talk
        await check(running, bedsides, page)
    retries = [retry for bedside in bedsides for retry in bedside.of(Retry)]
    assert len({retry.delay_s for retry in retries}) > len(retries) / 2, "they come back with jitter"
