"""The ward overview, in Chromium, against a scripted gateway."""

import time

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.standin import StandIn

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def names(page: Page) -> list[str]:
    return await page.locator(".card h2").all_text_contents()


async def test_every_bed_is_a_card_with_its_last_captions_and_state(visit: Visit, gateway: StandIn) -> None:
    """State in words, the last three captions, the time since the last, and the way to the bed."""
    for text in ("one", "two", "three", "four"):
        await gateway.say("3 A", text, at=time.time() - 125)
    await gateway.become("3 A", "online")
    await gateway.become("12", "offline")
    page = await visit("/")
    card = page.locator(".card").filter(has_text="Bed 3 A")
    await expect(card.locator(".lines li")).to_have_text(["two", "three", "four"])
    await expect(card.locator(".chip")).to_have_text("Microphone on")
    await expect(card.locator(".ago")).to_have_text("2 min ago")
    await expect(card.locator("a")).to_have_attribute("href", "/beds/3%20A")
    await expect(page.locator("#count")).to_have_text("2 beds")
    await card.click()
    await expect(page.locator("h1")).to_have_text("Bed 3 A")


async def test_a_new_bed_appears_by_itself_and_what_is_said_is_shown(visit: Visit, gateway: StandIn) -> None:
    """From the empty ward, which explains how to begin, to the first words."""
    gateway.demo = True
    page = await visit("/")
    await expect(page.locator("#empty")).to_contain_text("care-voice stream FILE.wav --bed 3A")
    await expect(page.locator("#demo")).to_be_visible()
    await gateway.become("7", "online")
    await gateway.murmur("7", "Good", " morning")
    await expect(page.locator("#empty")).to_be_hidden()
    await expect(page.locator(".card .tentative")).to_have_text("Good morning")
    await expect(page.locator(".card .ago")).to_have_text("speaking now")
    await gateway.say("7", "Good morning.")
    await expect(page.locator(".card .lines li")).to_have_text(["Good morning."])


async def test_beds_with_alerts_come_first_until_seen(visit: Visit, gateway: StandIn) -> None:
    """The order can be switched off; marking as seen puts the bed back."""
    for bed in ("2", "10", "3A"):
        await gateway.become(bed, "online")
    page = await visit("/")
    await expect(page.locator(".card")).to_have_count(3)
    assert await names(page) == ["Bed 2", "Bed 3A", "Bed 10"]
    await gateway.say("10", "我跌倒了")
    await expect(page.locator(".card").first).to_contain_text("Alert · 跌倒")
    assert await names(page) == ["Bed 10", "Bed 2", "Bed 3A"]
    assert (await page.title()).startswith("(1)")
    await page.locator("#alerts-first").click()
    await expect(page.locator(".card").first).to_contain_text("Bed 2")
    await page.locator("#alerts-first").click()
    await page.locator(".card-alert button").click()
    await expect(page.locator(".card.has-alert")).to_have_count(0)
    assert await names(page) == ["Bed 2", "Bed 3A", "Bed 10"]


async def test_fifty_beds_fit_a_ward_screen(visit: Visit, gateway: StandIn) -> None:
    """All fifty are seen at once on 1920 x 1080, none cut off at the side."""
    for i in range(50):
        await gateway.become(f"{400 + i}", "online")
        await gateway.say(f"{400 + i}", "Good morning, how do you feel today?")
    page = await visit("/", viewport={"width": 1920, "height": 1080}, locale="zh-TW")
    await expect(page.locator(".card")).to_have_count(50)
    await expect(page.locator(".card h2").first).to_have_text("400 床")
    bottom = (
        "Math.max(...[...document.querySelectorAll('.card')].map((n) => n.getBoundingClientRect().bottom))"
    )
    assert await page.evaluate(bottom) <= 1080
    assert await page.evaluate("document.documentElement.scrollWidth") <= 1920


async def test_reconnection_asks_for_what_each_bed_missed(visit: Visit, gateway: StandIn) -> None:
    """`after` names every bed that the page holds captions of."""
    await gateway.say("1", "a")
    await gateway.say("2", "b")
    await gateway.say("2", "c")
    page = await visit("/")
    await expect(page.locator(".card")).to_have_count(2)
    await gateway.cut()
    await gateway.say("1", "d")
    await expect(page.locator(".card").first.locator(".lines li")).to_have_text(["a", "d"])
    assert gateway.watches[-1] == {"type": "watch", "beds": ["*"], "after": {"1": 1, "2": 2}, "epoch": "e1"}


async def test_lost_sound_and_lost_microphones_are_seen_from_afar(visit: Visit, gateway: StandIn) -> None:
    """A gap is a line of its card, whatever is said after it; a lost microphone is told with its time."""
    await gateway.become("2", "reconnecting", time.mktime((2025, 5, 3, 3, 12, 45, 0, 0, -1)))
    await gateway.say("2", "", gap_s=4.5)
    await gateway.say("2", "Good morning.")
    page = await visit("/")
    card = page.locator(".card")
    await expect(card.locator(".chip")).to_have_text("Microphone lost")
    await expect(card.locator(".card-warning")).to_contain_text("03:12:45")
    await expect(card.locator(".line-gap")).to_have_text("4.5 s of audio lost")
    gateway.recovered = False
    await gateway.cut()
    await expect(card.locator(".line-gap").last).to_have_text("Captions may be missing")
    await gateway.become("2", "online")
    await expect(card.locator(".card-warning")).to_be_hidden()
