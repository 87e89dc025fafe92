"""What Home Assistant is told by mDNS, and that it hears it."""

import asyncio
import importlib.util
import socket
from pathlib import Path

import pytest
from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from gateway.discovery import KIND, Announcement, DiscoveryError, address_of, check, service
from tests.running import RunningGateway

WAIT_S = 15


@pytest.mark.parametrize("name", ["ward-7", "Ward 7's \u7b46\u96fb.example.org", "x" * 300, "", "."])
def test_any_machine_can_be_announced(name: str) -> None:
    """Home Assistant's type; a name that DNS can carry, whatever the machine is called."""
    info = AsyncServiceInfo(**service(name, "192.0.2.1", 10300))
    assert info.type == "_wyoming._tcp.local."
    assert info.name.startswith("Care Voice ")
    assert (info.parsed_addresses(), info.port) == (["192.0.2.1"], 10300)
    assert all(len(label) <= 63 for label in info.name.split("."))
    assert info.server == info.server.encode("ascii").decode()


def test_the_address_is_one_that_others_reach() -> None:
    """The one that it listens at; of all, the one that others are reached by. Another machine's is refused."""
    assert address_of("127.0.0.1") == address_of("localhost") == "127.0.0.1"
    assert address_of("127.0.0.2") == "127.0.0.2"
    with pytest.raises(OSError):
        address_of("198.51.100.77")


def test_without_zeroconf_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or to do without."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DiscoveryError, match=r"pip install 'care-voice\[discovery\]'"):
        check()


async def test_an_address_that_is_not_ours_cannot_be_announced() -> None:
    """A refusal, no crash."""
    with pytest.raises(DiscoveryError, match="--wyoming-announce"):
        await Announcement.make("198.51.100.77", 10300)


@pytest.mark.slow
async def test_a_browser_finds_the_gateway_and_sees_it_go(tmp_path: Path) -> None:
    """A real announcement over loopback, with the port that was got; taken back when the gateway stops."""
    changes: asyncio.Queue[tuple[str, ServiceStateChange]] = asyncio.Queue()

    def seen(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        changes.put_nowait((name, state_change))

    ours = AsyncZeroconf(interfaces=["127.0.0.1"])
    browser = AsyncServiceBrowser(ours.zeroconf, KIND, handlers=[seen])
    gateway = await asyncio.to_thread(
        RunningGateway.start, tmp_path / "log", "--wyoming-port=0", "--wyoming-announce"
    )
    port = int(gateway.wait_for_log("wyoming listening")["url"].rsplit(":", 1)[1])
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                name, change = await changes.get()
                info = AsyncServiceInfo(KIND, name)
                if (
                    change is ServiceStateChange.Added
                    and await info.async_request(ours.zeroconf, 3000)
                    and info.port == port
                ):
                    break
        assert info.parsed_addresses() == ["127.0.0.1"]
        assert name.startswith(f"Care Voice {socket.gethostname().partition('.')[0]}")
        assert await asyncio.to_thread(gateway.stop) == 0
        async with asyncio.timeout(WAIT_S):
            while await changes.get() != (name, ServiceStateChange.Removed):
                pass
    finally:
        await asyncio.to_thread(gateway.stop)
        await browser.async_cancel()
        await ours.async_close()
