"""Links that are dead without saying so, and what they still deliver when they come alive again."""

import asyncio

import pytest

from gateway.client.bedside import Resumed, Retry
from gateway.connection.messages import Final, Stopped
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


async def test_an_outage_longer_than_the_ring_is_shown(own) -> None:
    """What the device had to drop is declared, sample by sample, and stands in the captions where it was."""
    running = own()
    bedside = Bedside.number(0, sentences=4)
    async with CuttingProxy(running.url).run() as proxy, Page([bedside]).reading(running.url) as page:
        talk = asyncio.create_task(bedside.speak(proxy.url, speed=2, ring_s=2))
        await page.has(bedside.bed, 1)
        proxy.refuse()
        proxy.cut()
        await asyncio.sleep(3)
        proxy.refuse(False)
        await talk
        summary, stopped = bedside.summary, bedside.of(Stopped)[-1]
        assert summary is not None
        assert summary.is_complete
        assert summary.lost_s > 1
        assert stopped.received == len(bedside.pcm) // 2, "received or declared lost"
        finals = bedside.of(Final)
        await page.has(bedside.bed, len(finals) + 1)
        shown = page.captions[bedside.bed]
    gaps = [caption["gap_s"] for caption in shown if caption["gap_s"]]
    assert sum(gaps) == pytest.approx(summary.lost_s, abs=0.001)
    assert [caption["text"] for caption in shown if not caption["gap_s"]] == [final.text for final in finals]
    assert page.faults == []
