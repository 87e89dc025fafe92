"""The whole way: a microphone in Chromium, the real gateway with the demo model, the captions on the nurse's page."""

import asyncio
import itertools
import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import MICROPHONE, listen
from tests.running import RunningGateway
from tests.talking import REFERENCES, error_rate

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]
OFFLINE_S = 10
TEXTS = "() => [...document.querySelectorAll('#captions .text')].map((n) => n.textContent)"
ROWS = "() => [...document.querySelectorAll('#captions > li')].map((n) => n.className.split(' ')[0])"

Start = Callable[..., "asyncio.Future[RunningGateway]"]


def misheard(texts: list[str]) -> float:
    """Word error rate of sentences in a row, of the recording that the microphone plays again and again."""
    spoken = [segment["text"] for segment in REFERENCES[MICROPHONE.name]["segments"]] * 3
    begins = range(len(spoken) - len(texts))
    return min(error_rate(" ".join(spoken[i : i + len(texts)]), " ".join(texts)) for i in begins)


@pytest_asyncio.fixture(loop_scope="session")
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Gateways one after the other, over the same data directory."""
    running: list[RunningGateway] = []

    async def begin(*options: str) -> RunningGateway:
        log = tmp_path / f"log{len(running)}"
        running.append(await asyncio.to_thread(RunningGateway.start, log, "--device", "cpu", *options))
        return running[-1]

    yield begin
    for gateway in running:
        await asyncio.to_thread(gateway.stop, signal.SIGKILL)


async def captions(page: Page, count: int) -> None:
    await expect(page.locator("#captions .text").nth(count - 1)).to_be_attached(timeout=40_000)


async def test_no_word_and_no_caption_is_lost_on_the_way(browser: Browser, start: Start) -> None:
    """What is said at the bed is read on the page. The gateway is killed and comes back under the microphone, the
    caption page and the ward; then the network fails for ten seconds under all three. In the end the page shows
    every sentence once and in order, and no sound was lost."""
    gateway = await start()
    complaints: list[str] = []
    context = await browser.new_context(locale="en-US")
    ward, bed, microphone = [await context.new_page() for _ in range(3)]
    for page, path in ((ward, "/"), (bed, "/beds/3A"), (microphone, "/microphone?bed=3A")):
        listen(page, gateway.url, complaints)
        await page.goto(gateway.url + path)
    await expect(ward.locator("#empty")).to_be_visible()
    await microphone.locator("#toggle").click()
    await expect(bed.locator("#bed-state")).to_have_text("Microphone on", timeout=10_000)
    await expect(bed.locator("#partials .caption").first).to_be_attached(timeout=20_000)
    await captions(bed, 2)

    await asyncio.to_thread(gateway.stop, signal.SIGKILL)
    await expect(microphone.locator("#status-name")).to_have_text("Reconnecting")
    before = len(await bed.evaluate(TEXTS))
    gateway = await start("--port", gateway.url.rsplit(":", 1)[1])
    await expect(microphone.locator("#status-name")).to_have_text("Listening", timeout=20_000)
    await captions(bed, before + 1)

    await context.set_offline(True)
    await expect(bed.locator("#stopped")).to_be_visible(timeout=8000)
    await expect(microphone.locator("#status-name")).to_have_text("Reconnecting", timeout=8000)
    before = len(await bed.evaluate(TEXTS))
    await asyncio.sleep(OFFLINE_S / 2)
    await context.set_offline(False)
    await expect(bed.locator("#link")).to_have_text("Connected", timeout=10_000)
    await expect(microphone.locator("#status-name")).to_have_text("Listening", timeout=20_000)
    await captions(bed, before + 2)

    await microphone.locator("#toggle").click()
    await expect(microphone.locator("#status-name")).to_have_text("Not listening", timeout=15_000)
    await expect(bed.locator("#bed-state")).to_have_text("Microphone off", timeout=10_000)
    kept = json.loads(await asyncio.to_thread(gateway.get, "/v1/beds/3A/captions?format=json"))["captions"]
    assert [c["number"] for c in kept] == list(range(1, len(kept) + 1))
    assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(kept))
    texts = [c["text"] for c in kept if c["text"]]
    assert await bed.evaluate(TEXTS) == texts
    assert await microphone.evaluate(TEXTS) == texts
    assert set(await bed.evaluate(ROWS)) <= {"caption", "unclear"}
    assert await microphone.locator("#lost").is_hidden()
    assert misheard(texts[1:-1]) <= 0.12, texts  # the first and the last may be cut off
    await expect(ward.locator(".card .lines li").last).to_have_text(texts[-1])
    await context.close()
    assert complaints == []
