"""The caption page of one bed, in Chromium, against a scripted gateway."""

import asyncio
import time

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visit, until
from tests.browser.standin import StandIn

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

TEXTS = "() => [...document.querySelectorAll('#captions .caption .text')].map((n) => n.textContent)"
COUNT_TONES = """
  window.tones = 0;
  const Real = OscillatorNode;
  window.OscillatorNode = class extends Real { start(at) { window.tones += 1; super.start(at); } };
"""


async def texts(page: Page) -> list[str]:
    return await page.evaluate(TEXTS)


async def follow(page: Page, gateway: StandIn) -> Page:
    await expect(page.locator("#link")).to_have_attribute("data-state", "live")
    return page


async def test_captions_show_text_time_and_language(visit: Visit, gateway: StandIn) -> None:
    """Each final stands with its time and a lang attribute; the bed and its state are told in words."""
    await gateway.become("3 A", "online")
    await gateway.say("3 A", "早安", at=time.mktime((2025, 5, 3, 14, 5, 9, 0, 0, -1)))
    page = await visit("/beds/3%20A")
    await expect(page.locator("h1")).to_have_text("Bed 3 A")
    await expect(page.locator("#captions .text")).to_have_text("早安")
    await expect(page.locator("#captions .text")).to_have_attribute("lang", "zh-Hant")
    await expect(page.locator("#captions time")).to_have_text("14:05:09")
    await expect(page.locator("#bed-state")).to_have_text("Microphone on")
    await expect(page.locator("#link")).to_have_text("Connected")


async def test_a_partial_grows_and_its_caption_replaces_it(visit: Visit, gateway: StandIn) -> None:
    """Stable text is solid, tentative is marked by more than colour; only finals are in the live region."""
    page = await follow(await visit("/beds/3A"), gateway)
    await gateway.murmur("3A", "I will take", " your blood")
    await expect(page.locator("#partials .stable")).to_have_text("I will take")
    tentative = page.locator("#partials .tentative")
    await expect(tentative).to_have_text("your blood")
    assert "dotted" in await tentative.evaluate("(n) => getComputedStyle(n).textDecorationStyle")
    assert await page.locator("[aria-live=polite] .tentative").count() == 0
    await gateway.say("3A", "I will take your blood pressure.", corrected=True)
    await expect(page.locator("#partials .caption")).to_have_count(0)
    await expect(page.locator("[role=log][aria-live=polite] .text")).to_contain_text("blood pressure.")
    await expect(page.locator("#captions .mark")).to_have_text("corrected")


async def test_hostile_text_is_only_text(visit: Visit, gateway: StandIn) -> None:
    """Markup and bidi controls in captions, partials, bed names and errors make nothing but letters."""
    evil = "<img src=x onerror=document.title='owned'>"
    page = await follow(await visit("/beds/%3Cb%3Ex%3C%2Fb%3E"), gateway)
    await gateway.say("<b>x</b>", evil)
    await gateway.say("<b>x</b>", "safe \u202eevas\u2066 help")
    await gateway.murmur("<b>x</b>", evil, "<script>1</script>")
    await gateway.send("<b>x</b>", {"type": "error", "code": "c", "message": evil, "fatal": False})
    await expect(page.locator("#partials .tentative")).to_have_text("<script>1</script>")
    assert await texts(page) == [evil, "safe  evas  help"]
    await expect(page.locator("h1")).to_have_text("Bed <b>x</b>")
    await expect(page.locator("#problem")).to_contain_text(evil)
    assert await page.locator("main img, main b, main script").count() == 0
    assert "owned" not in await page.title()


async def test_a_reconnecting_page_misses_none_and_shows_none_twice(visit: Visit, gateway: StandIn) -> None:
    """It tells the last number it holds and gets what it missed."""
    page = await follow(await visit("/beds/3A"), gateway)
    await gateway.say("3A", "one")
    await gateway.say("3A", "two")
    await expect(page.locator("#captions .text")).to_have_count(2)
    gateway.accepting = False
    await gateway.cut()
    await expect(page.locator("#link")).to_have_text("Reconnecting …")
    await gateway.say("3A", "three")
    gateway.accepting = True
    await expect(page.locator("#captions .text")).to_have_count(3)
    await gateway.say("3A", "four")
    await expect(page.locator("#captions .text")).to_have_count(4)
    assert await texts(page) == ["one", "two", "three", "four"]
    assert gateway.watches[-1] == {"type": "watch", "beds": ["3A"], "after": {"3A": 2}, "epoch": "e1"}


async def test_a_restarted_gateway_costs_no_caption(visit: Visit, gateway: StandIn) -> None:
    """Numbers of another epoch mean nothing: the page asks again from the beginning."""
    page = await follow(await visit("/beds/3A"), gateway)
    for text in ("one", "two"):
        await gateway.say("3A", text)
    await expect(page.locator("#captions .text")).to_have_count(2)
    gateway.accepting = False
    await gateway.cut()
    gateway.epoch, gateway.captions = "e2", {}
    for text in ("new one", "new two", "new three"):
        await gateway.say("3A", text)
    gateway.accepting = True
    await expect(page.locator("#captions .text")).to_have_count(5)
    assert await texts(page) == ["one", "two", "new one", "new two", "new three"]
    await expect(page.locator("#captions .lost")).to_have_count(1)


async def test_a_silent_gateway_is_called_stopped(visit: Visit, gateway: StandIn) -> None:
    """Five seconds without a heartbeat: a red banner says since when, until captions flow again."""
    page = await visit("/beds/3A")
    await page.clock.install()
    await page.reload()
    await follow(page, gateway)
    gateway.beating = gateway.accepting = False
    await asyncio.sleep(0.5)  # the last heartbeat arrives
    await page.clock.fast_forward(6000)
    banner = page.get_by_role("alert").filter(has_text="Captions stopped at")
    await expect(banner).to_be_visible()
    await expect(banner).to_contain_text(r"Look after the patient")
    assert "⚠" in await page.title()
    gateway.beating = gateway.accepting = True
    await page.clock.fast_forward(6000)
    await expect(page.locator("#link")).to_have_text("Connected")
    await expect(page.locator("#stopped")).to_be_hidden()


async def test_an_alert_is_shown_and_sounds_once(visit: Visit, gateway: StandIn) -> None:
    """A word in a partial alerts at once; its final does not again; sound is off until it is turned on."""
    page = await visit("/beds/3A")
    await page.add_init_script(COUNT_TONES)
    await page.reload()
    await follow(page, gateway)
    await gateway.say("3A", "救命")
    await expect(page.locator("#alert-text")).to_contain_text("Alert · 救命")
    assert await page.evaluate("tones") == 0
    await page.locator("#sound").click()
    await expect(page.locator("#sound")).to_have_attribute("aria-pressed", "true")
    await page.wait_for_function("() => tones === 3")  # the sample
    await gateway.murmur("3A", "", "I cannot breathe")
    await page.wait_for_function("() => tones === 6")
    await expect(page.locator("#partials mark")).to_have_text("cannot breathe")
    await gateway.say("3A", "I cannot breathe.")
    await expect(page.locator("#captions .alert-label").last).to_have_text("Alert · cannot breathe")
    assert await page.evaluate("tones") == 6
    await page.locator("#seen").click()
    await expect(page.locator("#alerts")).to_be_hidden()
    await expect(page.locator("#captions mark")).to_have_count(2)


async def test_alert_words_are_the_users(visit: Visit, gateway: StandIn) -> None:
    """Edited on the page, applied to what is shown, remembered."""
    page = await follow(await visit("/beds/3A"), gateway)
    await gateway.say("3A", "I want some water")
    await expect(page.locator("#captions .text")).to_have_count(1)
    await page.locator("#words").click()
    await page.locator("#words-list").fill("water\n水")
    await page.locator("#words-save").click()
    await expect(page.locator("#captions mark")).to_have_text("water")
    await page.reload()
    await expect(page.locator("#captions mark")).to_have_text("water")
    await expect(page.locator("#alert-text")).to_contain_text("water")


async def test_scrolling_yields_to_the_reader(visit: Visit, gateway: StandIn) -> None:
    """It follows the newest until the reader scrolls up; then it stays, counts, and offers the way back."""
    for i in range(60):
        await gateway.say("3A", f"caption {i}")
    page = await follow(await visit("/beds/3A"), gateway)
    left = "() => { const s = document.getElementById('scroller'); return s.scrollHeight - s.clientHeight - s.scrollTop; }"
    await expect(page.locator("#captions .text")).to_have_count(60)
    assert await page.evaluate(left) < 5
    await page.mouse.move(600, 500)
    await page.mouse.wheel(0, -900)
    await expect(page.locator("#newest")).to_have_text("Jump to newest")
    await asyncio.sleep(0.4)  # the wheel scrolls smoothly
    top = await page.evaluate("document.getElementById('scroller').scrollTop")
    await gateway.say("3A", "caption 60")
    await gateway.say("3A", "caption 61")
    await expect(page.locator("#newest")).to_have_text("2 new captions · jump to newest")
    assert await page.evaluate("document.getElementById('scroller').scrollTop") == top
    await page.keyboard.press("End")
    await expect(page.locator("#newest")).to_be_hidden()
    assert await page.evaluate(left) < 5


async def test_language_theme_and_size_are_switched_and_remembered(visit: Visit, gateway: StandIn) -> None:
    """The browser's language first; a switch changes every word and the lang of the page."""
    await gateway.become("3A", "offline", 1_700_000_000)
    await gateway.say("3A", "早安")
    page = await follow(await visit("/beds/3A", locale="zh-TW", color_scheme="light"), gateway)
    await expect(page.locator("h1")).to_have_text("3A 床")
    await expect(page.locator("#bed-warning")).to_contain_text("麥克風關閉")
    assert await page.evaluate("document.documentElement.lang") == "zh-Hant"
    assert await page.evaluate("document.documentElement.dataset.theme") == "light"
    await page.locator("#language").click()
    await page.locator("#theme").click()
    await page.keyboard.press("+")
    size = await page.evaluate("document.documentElement.style.getPropertyValue('--caption-size')")
    await page.reload()
    await expect(page.locator("h1")).to_have_text("Bed 3A")
    await expect(page.locator("#bed-warning")).to_contain_text("Microphone off since")
    assert await page.evaluate("document.documentElement.lang") == "en"
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert await page.evaluate("document.documentElement.style.getPropertyValue('--caption-size')") == size


async def test_unclear_sound_is_a_small_mark_and_the_list_is_bounded(visit: Visit, gateway: StandIn) -> None:
    """Suppressed captions are counted, not gone; the page keeps the last few hundred."""
    for i in range(320):
        await gateway.say("3A", f"caption {i}")
    page = await follow(await visit("/beds/3A"), gateway)
    await gateway.say("3A", "", suppressed="no_speech")
    await gateway.say("3A", "", suppressed="no_speech")
    await expect(page.locator("#captions .unclear p")).to_have_text("Sound without clear speech × 2")
    assert await page.locator("#captions > li").count() <= 300


async def test_a_bed_without_microphone_says_so(visit: Visit, gateway: StandIn) -> None:
    """An unknown bed is not a silent one; the demo model is named."""
    gateway.demo = True
    page = await follow(await visit("/beds/9Z"), gateway)
    await expect(page.locator("#bed-state")).to_have_text("No microphone yet")
    await expect(page.locator("#waiting")).to_be_visible()
    await expect(page.locator("#waiting-microphone")).to_have_attribute("href", "/microphone?bed=9Z")
    await expect(page.locator("#demo")).to_contain_text("synthetic speech only")


@pytest.mark.parametrize("path", ["/", "/beds/3A", "/microphone?bed=3A"])
async def test_everything_has_a_name_and_fits_a_phone(visit: Visit, gateway: StandIn, path: str) -> None:
    """Every control has an accessible name and is reached by Tab in reading order; nothing is wider than 360 px."""
    gateway.demo = True
    await gateway.say("3A", "Could-somebody-please-bring-an-exceptionally-long-unbroken-word-to-bed-three?")
    page = await visit(path, viewport={"width": 360, "height": 740})
    await expect(page.locator("h1")).not_to_be_empty()
    unnamed = """() => [...document.querySelectorAll('button, a, input, select, textarea, [role=log], [role=meter]')].filter((n) =>
        n.offsetParent && !(n.getAttribute('aria-label') || n.textContent.trim() || n.labels?.length)).map((n) => n.outerHTML)"""
    assert await page.evaluate(unnamed) == []
    await asyncio.sleep(0.3)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    order = []
    for _ in range(12):
        await page.keyboard.press("Tab")
        order.append(
            await page.evaluate(
                "(() => { const r = document.activeElement.getBoundingClientRect(); return [r.top, r.left]; })()"
            )
        )
    header = order[1:5]
    assert header == sorted(header, key=lambda place: (place[0] // 40, place[1]))


async def test_a_viewer_is_asked_only_for_its_bed(visit: Visit, gateway: StandIn) -> None:
    """Another bed's captions never reach this page."""
    page = await follow(await visit("/beds/3A"), gateway)
    await until(lambda: gateway.watches != [])
    assert gateway.watches[0]["beds"] == ["3A"]
    await gateway.say("4B", "not for you")
    await gateway.say("3A", "for you")
    await expect(page.locator("#captions .text")).to_have_text("for you")


async def test_lost_sound_and_lost_captions_are_never_hidden(visit: Visit, gateway: StandIn) -> None:
    """A gap is a marked row with its length, in the live region; what could not be recovered is marked at once."""
    page = await follow(await visit("/beds/3A"), gateway)
    await gateway.say("3A", "before")
    await gateway.say("3A", "", gap_s=12.0)
    await expect(page.locator("[role=log] .gap p")).to_have_text("12.0 s of audio lost")
    border = "(n) => getComputedStyle(n).borderTopStyle"
    assert await page.locator(".gap p").evaluate(border) == "dashed"
    gateway.recovered = False
    await gateway.cut()
    await expect(page.locator("[role=log] .lost p")).to_have_text(
        "Some captions may be missing before this point"
    )
    gateway.recovered = True
    await gateway.say("3A", "after")
    await expect(page.locator("#captions .text")).to_have_text(["before", "after"])
    rows = "() => [...document.querySelectorAll('#captions > li')].map((n) => n.className)"
    assert await page.evaluate(rows) == ["caption", "gap", "lost", "caption"]
    await page.locator("#language").click()
    await expect(page.locator(".gap p")).to_have_text("遺失 12.0 秒聲音")


async def test_a_lost_microphone_is_not_one_that_is_off(visit: Visit, gateway: StandIn) -> None:
    """Since when it is waited for, and what that means."""
    await gateway.become("3A", "reconnecting", time.mktime((2025, 5, 3, 3, 12, 45, 0, 0, -1)))
    page = await follow(await visit("/beds/3A"), gateway)
    await expect(page.locator("#bed-state")).to_have_text("Microphone lost")
    await expect(page.locator("#bed-warning")).to_contain_text("03:12:45. Waiting for it to reconnect.")
    await gateway.become("3A", "online")
    await expect(page.locator("#bed-warning")).to_be_hidden()
