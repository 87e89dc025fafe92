"""The bedside microphone page, in Chromium, fed with a recorded dialogue instead of a microphone."""

import asyncio
import time

import numpy as np
import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visit, until
from tests.browser.standin import StandIn
from tests.browser.standin_microphones import Stream

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


async def listening(
    visit: Visit, gateway: StandIn, changed: dict[str, str] | None = None
) -> tuple[Page, Stream]:
    """A page that listens; with constants of outbox.js changed, so that a test need not wait."""
    gateway.changed = changed or {}
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
    await asyncio.sleep(1.5)
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


async def test_it_goes_on_after_cuts_restarts_and_dead_links(visit: Visit, gateway: StandIn) -> None:
    """Whatever breaks, one session holds every sample in its place; missed finals come, once; the token stays in the
    page's memory."""
    page, stream = await listening(
        visit, gateway, {"DEAD_MS = 5000": "DEAD_MS = 1500", "PING_MS = 2500": "PING_MS = 700"}
    )
    await stream.final("one")
    await gateway.cut()
    await until(lambda: len(gateway.streams) == 2)
    await asyncio.sleep(0.6)
    await gateway.die()
    await stream.final("two")  # nobody hears it
    await until(lambda: len(gateway.streams) == 3)
    await asyncio.sleep(0.4)
    gateway.answering = False
    await until(lambda: len(gateway.streams) == 4, 9)
    gateway.answering = True
    await gateway.streams[-1].final("three")
    await expect(page.locator("#captions .text")).to_have_text(["one", "two", "three"])
    await expect(page.locator("#status-name")).to_have_text("Listening")
    starts = [s.start.get("resume") for s in gateway.streams]
    assert starts == [None] + [{"session": "s1", "token": "secret of s1", "after": n} for n in (1, 1, 2)]
    await page.locator("#toggle").click()
    await expect(page.locator("#status-name")).to_have_text("Not listening")
    [session] = gateway.sessions.values()
    assert (session.mistaken, session.gaps) == (0, [])
    assert len(session.heard) == len(session.pcm)
    assert "secret" not in page.url + await page.evaluate("JSON.stringify([localStorage, sessionStorage])")


async def test_an_outage_longer_than_the_ring_is_shown_and_declared(visit: Visit, gateway: StandIn) -> None:
    """Kept, then lost, then catching up; the loss is told in seconds here and to the gateway, and is a row."""
    page, stream = await listening(
        visit,
        gateway,
        {
            "RING_S = 120": "RING_S = 4",
            "CATCH_UP = 4": "CATCH_UP = 1.8",
            "[0.25, 0.5, 1, 2, 5]": "[0.25, 0.5, 0.5, 0.5, 0.5]",
        },
    )
    gateway.accepting = False
    await gateway.cut()
    await expect(page.locator("#status-name")).to_have_text("Reconnecting")
    await expect(page.locator("#kept-words")).to_contain_text("s of sound kept, of at most 4 s")
    await expect(page.locator("#status-name")).to_have_text("Not connected: sound is being lost")
    await expect(page.locator("#lost")).to_contain_text("s of sound was lost and is not captioned.")
    await asyncio.sleep(0.5)
    gateway.accepting = True
    await expect(page.locator("#status-name")).to_have_text("Catching up")
    await expect(page.locator("#kept-words")).to_contain_text("s behind")
    await expect(page.locator("#captions .gap")).to_contain_text("s of audio lost")
    await expect(page.locator("#status-name")).to_have_text("Listening")
    [gap] = stream.session.gaps
    seconds = gap / stream.start["audio"]["sample_rate"]
    assert 0.3 < seconds < 4
    await expect(page.locator("#captions .gap p")).to_have_text(f"{seconds:.1f} s of audio lost")
    await expect(page.locator("#lost")).to_contain_text(f"{seconds:.1f} s of sound was lost")


async def test_a_session_that_is_forgotten_begins_anew(visit: Visit, gateway: StandIn) -> None:
    """4410: a fresh start, to which everything that was not final is sent again."""
    page, stream = await listening(visit, gateway)
    await until(lambda: stream.session.committed > 0)
    await gateway.cut(4410)
    gateway.sessions.clear()
    await until(lambda: len(gateway.streams) == 2)
    await expect(page.locator("#status-name")).to_have_text("Listening")
    again = gateway.streams[1]
    await until(lambda: again.session.received > stream.session.received - stream.session.committed)
    assert "resume" not in again.start
    unfinished = stream.session.pcm[2 * stream.session.committed :]
    assert again.session.pcm.startswith(unfinished)


async def test_a_microphone_that_continues_elsewhere_stops_here(visit: Visit, gateway: StandIn) -> None:
    """4409: said in words, and never tried again."""
    page, _ = await listening(visit, gateway)
    await gateway.cut(4409)
    await expect(page.locator("#status-name")).to_have_text("Continues on another page")
    await expect(page.locator("#toggle")).to_have_text("Start listening")
    await asyncio.sleep(0.6)
    assert len(gateway.streams) == 1


async def test_a_login_that_ended_keeps_the_sound(visit: Visit, gateway: StandIn) -> None:
    """4401: the way to the login page; somebody who logs in elsewhere in this browser is noticed, nothing is lost.
    4403: another login is needed, and it stops."""
    page, stream = await listening(visit, gateway, {"POLL_MS = 3000": "POLL_MS = 300"})
    gateway.who = {"access": "locked", "role": None, "beds": []}
    await gateway.cut(4401)
    await expect(page.locator("#status-name")).to_have_text("Log in again")
    await expect(page.locator("#login")).to_have_attribute("href", "/login?next=%2Fmicrophone%3Fbed%3D3A")
    gateway.who = {"access": "locked", "id": "k", "role": "speaker", "beds": ["3A"]}
    await expect(page.locator("#status-name")).to_have_text("Listening")
    assert gateway.streams[1].session is stream.session
    assert stream.session.gaps == []
    await gateway.cut(4403)
    await expect(page.locator("#status-name")).to_have_text("Not allowed")
    await expect(page.locator("#login")).to_be_visible()


async def test_notices_are_told_in_the_readers_language(visit: Visit, gateway: StandIn) -> None:
    """A failing journal stands there until it is mended, also for a page that came later."""
    gateway.status = "journal_failing"
    page, stream = await listening(visit, gateway)
    await expect(page.locator("#notices li")).to_have_count(1)
    await stream.socket.send_json({"type": "notice", "code": "degraded_slower", "detail": "raw words"})
    await expect(page.locator("#notices li")).to_have_count(2)
    await expect(page.locator("#notices")).to_contain_text("cannot save captions")
    await page.locator("#language").click()
    await expect(page.locator("#notices")).to_contain_text("無法保存字幕")
    await stream.socket.send_json({"type": "notice", "code": "journal_ok", "detail": ""})
    await expect(page.locator("#notices li")).to_have_count(1)


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
    gateway.changed = {"NO_SIGNAL_MS = 4000": "NO_SIGNAL_MS = 1000"}
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
