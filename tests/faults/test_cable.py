"""The network goes and comes back. Real namespaces, real TCP, the real client, the real model."""

import asyncio

import pytest

from gateway.client.bedside import Resumed
from tests.faults.network import GATEWAY_ADDRESS, cable, needs_network, needs_nft
from tests.faults.ward import SOAK, Bedside, Page, check, scaled, speaking

pytestmark = [pytest.mark.slow, needs_network]
SPEAKERS = 20


async def test_the_cable_is_pulled_under_twenty_speakers(own) -> None:
    """All packets dropped for 10 s: not a sample is lost, no caption is lost, doubled or out of order."""
    with cable() as wire:
        running = own("--host", GATEWAY_ADDRESS, "--insecure", prefix=wire.prefix)
        bedsides = [Bedside.number(n, sentences=scaled(5, 20)) for n in range(SPEAKERS)]
        async with Page(bedsides).reading(running.url) as page:
            talk = asyncio.create_task(speaking(bedsides, running.url, scaled(60, 200)))
            for _ in range(scaled(1, 3)):
                await asyncio.sleep(4)
                wire.pull()
                await asyncio.sleep(10)
                wire.plug()
            await talk
            await check(running, bedsides, page)
        assert all(bedside.of(Resumed) for bedside in bedsides), "the cut was noticed"
        assert page.connections > 1


@needs_nft
@pytest.mark.parametrize("percent", [5, 20, 40] if SOAK else [20])
async def test_packets_are_lost(own, percent: int) -> None:
    """TCP repeats them, captions come late: nothing is lost, whether or not links are given up in between."""
    with cable() as wire:
        running = own("--host", GATEWAY_ADDRESS, "--insecure", prefix=wire.prefix)
        bedsides = [Bedside.number(n, sentences=scaled(1, 12)) for n in range(6)]
        wire.lose(percent)
        async with Page(bedsides).reading(running.url) as page:
            await speaking(bedsides, running.url, scaled(40, 200))
            wire.lose(0)
            await check(running, bedsides, page)
