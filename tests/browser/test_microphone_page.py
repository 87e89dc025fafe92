"""The bedside microphone page, in Chromium, fed with a recorded dialogue instead of a microphone."""

import asyncio
import time

import numpy as np
import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visit, until
from tests.browser.standin import StandIn, Stream

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SILENT = """navigator.mediaDevices.getUserMedia = async () => {
  const context = new AudioContext(); return context.createMediaStreamDestination().stream; };"""
DENIED = (
    "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); };"
)
LOST = """const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (c) => { const media = await real(c); const [track] = media.getTracks();
  setTimeout(() => track.dispatchEvent(new Event('ended')), 800); return media; };"""
INSECURE = "Object.defineProperty(window, 'isSecureContext', { value: false });"


async def listening(visit: Visit, gateway: StandIn) -> tuple[Page, Stream]:
    page = await visit("/microphone?bed=3A")
    await page.locator("#toggle").click()
    await expect(page.locator("#status-name")).to_have_text("Listening")
    return page, gateway.streams[-1]


async def with_script(visit: Visit, script: str) -> Page:
    page = await visit("/microphone?bed=3A")
    await page.add_init_script(script)
    await page.reload()
    return page


async def test_it_sends_what_the_microphone_hears(visit: Visit, gateway: StandIn) -> None:
    """16-bit mono at the device's own rate, as much as time has passed, and not silence; stop ends the session."""
    page, stream = await listening(visit, gateway)
    rate = stream.start["audio"]["sample_rate"]
    assert stream.start["bed"] == "3A"
    assert stream.start["language"] is None
    assert stream.start["audio"] == {"encoding": "pcm_s16le", "sample_rate": rate, "channels": 1}
    before, began = len(stream.audio), time.monotonic()
    await asyncio.sleep(3)
    seconds = (len(stream.audio) - before) / 2 / rate
    assert seconds == pytest.approx(time.monotonic() - began, abs=0.7)
    pcm = np.frombuffer(bytes(stream.audio), dtype="<i2").astype(float)
    assert np.sqrt(np.mean(pcm**2)) > 100
    await page.locator("#toggle").click()
    await expect(page.locator("#status-name")).to_have_text("Not listening")
    assert stream.controls == [{"type": "stop"}]


async def test_its_own_captions_are_shown(visit: Visit, gateway: StandIn) -> None:
    """Partial and final as everywhere; markup is text."""
    gateway.demo = True
    page, stream = await listening(visit, gateway)
    partial = {
        "type": "partial",
        "utterance": 1,
        "revision": 1,
        "start": 0,
        "end": 1,
        "stable": "I am",
        "tentative": " <b>cold",
    }
    await stream.socket.send_json(partial)
    await expect(page.locator("#partial .stable")).to_have_text("I am")
    await expect(page.locator("#partial .tentative")).to_have_text("<b>cold")
    final = {
        "type": "final",
        "number": 1,
        "utterance": 1,
        "start": 0,
        "end": 1,
        "text": "I am cold.",
        "language": "en",
        "confidence": 1,
    }
    await stream.socket.send_json(final)
    await expect(page.locator("#captions .text")).to_have_text("I am cold.")
    await expect(page.locator("#partial p")).to_have_count(0)
    await expect(page.locator("#demo")).to_be_visible()


async def test_it_comes_back_after_a_cut_with_what_it_kept(visit: Visit, gateway: StandIn) -> None:
    """A new `start`; the sound of the outage comes first and at once; nothing is declared lost."""
    page, first = await listening(visit, gateway)
    gateway.accepting = False
    await gateway.cut()
    await expect(page.locator("#status-name")).to_have_text("Reconnecting")
    await asyncio.sleep(1.5)
    gateway.accepting = True
    await until(lambda: len(gateway.streams) == 2)
    await expect(page.locator("#status-name")).to_have_text("Listening")
    again = gateway.streams[1]
    assert again.start == first.start
    rate = again.start["audio"]["sample_rate"]
    await until(lambda: len(again.audio) / 2 / rate > 1.2)
    assert again.controls == []
    await expect(page.locator("#dropped")).to_be_hidden()


async def test_a_refusal_says_what_to_do(visit: Visit, gateway: StandIn) -> None:
    """The gateway's own words and the next step; it does not try again by itself."""
    gateway.start_error = {
        "type": "error",
        "code": "bad_language",
        "message": "unknown language",
        "fatal": True,
    }
    page = await visit("/microphone?bed=3A")
    await page.locator("#toggle").click()
    await expect(page.locator("#status-help")).to_have_text(
        "The gateway refused: unknown language (bad_language). Correct that, then press start again."
    )
    await expect(page.locator("#toggle")).to_have_text("Start listening")


async def test_a_bed_name_is_needed(visit: Visit, gateway: StandIn) -> None:
    """Without it nothing starts, and the field gets the focus."""
    page = await visit("/microphone", locale="zh-TW")
    await page.locator("#toggle").click()
    await expect(page.locator("#status-help")).to_have_text("請先輸入床號。")
    await expect(page.locator("#bed")).to_be_focused()
    assert gateway.streams == []


async def test_a_denied_microphone_says_how_to_allow_it(visit: Visit, gateway: StandIn) -> None:
    """Permission denied is no dead end."""
    page = await with_script(visit, DENIED)
    await page.locator("#toggle").click()
    await expect(page.locator("#status-help")).to_contain_text("allow the microphone, then press start again")
    await expect(page.locator("#toggle")).to_be_enabled()


async def test_an_insecure_page_names_https_and_localhost(visit: Visit, gateway: StandIn) -> None:
    """Browsers give the microphone to secure pages only; the page says so before anybody presses start."""
    page = await with_script(visit, INSECURE)
    await expect(page.locator("#status-help")).to_contain_text("HTTPS")
    await expect(page.locator("#status-help")).to_contain_text("http://localhost:")
    await expect(page.locator("#toggle")).to_be_disabled()


async def test_a_muted_microphone_is_noticed(visit: Visit, gateway: StandIn) -> None:
    """A level that stays at zero is told, while sound still goes to the gateway."""
    page = await with_script(visit, SILENT)
    await page.locator("#toggle").click()
    await expect(page.locator("#no-signal")).to_be_visible()
    await expect(page.locator("#no-signal")).to_contain_text("muted")
    assert len(gateway.streams[0].audio) > 0


async def test_an_unplugged_microphone_is_told_and_stays_told(visit: Visit, gateway: StandIn) -> None:
    """What was heard until then is finished properly; the advice is not replaced by "not listening"."""
    page = await with_script(visit, LOST)
    await page.locator("#toggle").click()
    await until(lambda: gateway.streams != [] and gateway.streams[0].controls != [])
    await asyncio.sleep(0.2)
    await expect(page.locator("#status-help")).to_contain_text("unplugged")
    assert gateway.streams[0].controls == [{"type": "stop"}]


async def test_closing_the_page_while_listening_is_asked_about(visit: Visit, gateway: StandIn) -> None:
    """Nobody ends a bedside session by a slip."""
    page, _ = await listening(visit, gateway)
    asked = asyncio.get_running_loop().create_future()

    async def answer(dialog) -> None:
        asked.set_result(dialog.type)
        await dialog.accept()

    page.on("dialog", answer)
    await page.close(run_before_unload=True)
    assert await asyncio.wait_for(asked, 5) == "beforeunload"
