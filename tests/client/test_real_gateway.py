"""The client against the real gateway and the demo model, through links that break."""

import asyncio
import itertools
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.client.bedside import AudioLost, Event, Oddity, Options, Resumed
from gateway.client.door import Door, stream_url
from gateway.client.returning import Retry
from gateway.client.sources import SourceOptions, open_source
from gateway.client.speaker import Summary, stream
from gateway.connection import messages as m
from tests.cutting import CuttingProxy
from tests.running import RunningGateway
from tests.talking import peer

pytestmark = pytest.mark.slow
AUDIO = Path(__file__).parent.parent / "data" / "audio"
DIALOG = AUDIO / "dialog_en.wav"
DIALOG_BYTES = 38.858 * 32_000
SPEED = 8.0


class Listener:
    """What a client was shown."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._waiting: list[tuple[Callable[[Event], bool], asyncio.Future[None]]] = []

    def show(self, event: Event) -> None:
        self.events.append(event)
        for is_it, shown in self._waiting:
            if is_it(event) and not shown.done():
                shown.set_result(None)

    async def until(self, is_it: Callable[[Event], bool]) -> None:
        """Wait for the next such event."""
        shown = asyncio.get_running_loop().create_future()
        self._waiting.append((is_it, shown))
        async with asyncio.timeout(30):
            await shown

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def texts(self) -> list[str]:
        return [final.text for final in self.of(m.Final) if final.text]

    @property
    def numbers(self) -> list[int]:
        return [final.number for final in self.of(m.Final)]


async def speak(url: str, listener: Listener, encoding: str = "pcm_s16le", **start: Any) -> Summary:
    options = Options(m.Start(language="en", **start), speed=SPEED, retry_s=30, silent_s=1.5)
    source = open_source(str(DIALOG), SourceOptions(encoding))
    return await stream(Door(stream_url(url)), source, options, listener.show)


def words(texts: list[str]) -> list[str]:
    return re.findall(r"[a-z0-9']+", " ".join(texts).lower())


@pytest.fixture(scope="module")
def whole(gateway: RunningGateway) -> Listener:
    """An uncut run."""
    listener = Listener()
    asyncio.run(speak(gateway.url, listener))
    return listener


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[list[RunningGateway]]:
    """Gateways over the same data directory, the last one running."""
    running = [RunningGateway.start(tmp_path / "log")]
    yield running
    for gateway in running:
        gateway.stop(signal.SIGKILL)


async def restart(running: list[RunningGateway], tmp_path: Path) -> None:
    """kill -9, and another one on the same port."""
    await asyncio.to_thread(running[-1].stop, signal.SIGKILL)
    port = running[-1].url.rsplit(":", 1)[1]
    log = tmp_path / f"log{len(running)}"
    running.append(await asyncio.to_thread(RunningGateway.start, log, "--port", port))


async def read_bed(gateway: RunningGateway, bed: str) -> list[dict[str, Any]]:
    async with peer(gateway.ws, "/v1/captions") as viewer:
        await viewer.say("watch", beds=[bed])
        return list((await viewer.until("snapshot"))["captions"])


async def test_five_cuts_and_a_kill_change_nothing(
    whole: Listener, killable: list[RunningGateway], tmp_path: Path
) -> None:
    """Every final once, numbers without gap, the words of an uncut run; the bed's viewers read the same."""
    cut = Listener()
    async with CuttingProxy(killable[0].url).run() as proxy:
        task = asyncio.create_task(speak(proxy.url, cut, bed="cut"))
        for eighth in range(1, 7):
            await proxy.carried(round(DIALOG_BYTES * eighth / 8))
            proxy.cut(reset=eighth % 2 == 0)
            if eighth == 4:
                await restart(killable, tmp_path)
        summary = await task
    assert summary.is_complete
    assert summary.reconnects >= 6
    assert (summary.lost_s, cut.of(Oddity)) == (0, [])
    assert not any(retry.afresh for retry in cut.of(Retry))
    assert cut.numbers == list(range(1, len(cut.numbers) + 1))
    assert words(cut.texts) == words(whole.texts)
    ends = [(final.start, final.end) for final in cut.of(m.Final)]
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ends))
    captions = await read_bed(killable[-1], "cut")
    assert [caption["text"] for caption in captions if caption["text"]] == cut.texts
    assert [caption["number"] for caption in captions] == list(range(1, len(captions) + 1))


async def test_a_gateway_that_forgets_gets_the_rest_again(
    whole: Listener, killable: list[RunningGateway], tmp_path: Path
) -> None:
    """Without a bed nothing is kept: after kill -9 a new session goes on with what was not final, and the
    times stay those of the source."""
    cut = Listener()
    async with CuttingProxy(killable[0].url).run() as proxy:
        task = asyncio.create_task(speak(proxy.url, cut))
        await proxy.carried(round(DIALOG_BYTES / 2))
        await restart(killable, tmp_path)
        summary = await task
    assert summary.is_complete
    assert [retry.afresh for retry in cut.of(Retry)].count(True) == 1
    assert [resumed.afresh for resumed in cut.of(Resumed)] == [True]
    assert words(cut.texts) == words(whole.texts)
    pairs = zip(whole.of(m.Final), cut.of(m.Final), strict=True)
    assert all(abs(a.start - b.start) < 0.2 for a, b in pairs)


async def test_a_black_hole_is_left_and_opus_goes_on(gateway: RunningGateway) -> None:
    """The link is stalled for good, twice; the session is resumed on another one, at an Opus packet."""
    whole, cut = Listener(), Listener()
    await speak(gateway.url, whole, encoding="opus")
    async with CuttingProxy(gateway.url).run() as proxy:
        task = asyncio.create_task(speak(proxy.url, cut, encoding="opus", bed="hole"))
        for seconds in (12, 25):
            await cut.until(lambda event: isinstance(event, m.Ack) and event.received > seconds * 16_000)  # noqa: B023 (awaited at once)
            proxy.stall()
            await cut.until(lambda event: isinstance(event, Retry))
            proxy.cut()  # what was on its way is lost
            proxy.flow()
        summary = await task
    assert cut.of(Retry)[0].reason == "the gateway does not answer any more"
    assert (summary.is_complete, cut.of(AudioLost), cut.of(Oddity)) == (True, [], [])
    assert cut.numbers == list(range(1, len(cut.numbers) + 1))
    assert words(cut.texts) == words(whole.texts)


async def test_ctrl_c_during_an_outage_is_bounded_and_complete(gateway: RunningGateway) -> None:
    """Asked to stop while the link is down, the client comes back, sends the rest and waits for `stopped`."""
    heard, stopping = Listener(), asyncio.Event()
    async with CuttingProxy(gateway.url).run() as proxy:
        options = Options(m.Start(language="en", bed="stop"), speed=SPEED, retry_s=30)
        source = open_source(str(AUDIO / "en_01.wav"), SourceOptions(loop=True))
        door = Door(stream_url(proxy.url))
        task = asyncio.create_task(stream(door, source, options, heard.show, stopping))
        await proxy.carried(100_000)
        proxy.refuse()
        proxy.cut()
        await asyncio.sleep(0.2)
        stopping.set()
        await asyncio.sleep(0.2)
        proxy.refuse(False)
        summary = await task
    assert summary.is_complete
    assert heard.of(m.Stopped)[0].received == round(summary.seconds * 16_000)
