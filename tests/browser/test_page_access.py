"""What the pages do about logins, against a scripted gateway: downloads, renewal, and the way to the login page."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit, until
from tests.browser.standin import StandIn
from tests.browser.test_captions_page import follow

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_captions_can_be_downloaded(visit: Visit, gateway: StandIn) -> None:
    """In four formats, named after the bed, by those who may read them."""
    await gateway.say("3A", "早安")
    page = await follow(await visit("/beds/3A"), gateway)
    await page.locator("#save").click()
    async with page.expect_download() as download:
        await page.locator("a[data-format=txt]").click()
    saved = await download.value
    assert saved.suggested_filename == "3A.txt"
    assert (await saved.path()).read_text() == "早安\n"
    links = "() => [...document.querySelectorAll('#save-dialog a')].map((n) => n.getAttribute('href'))"
    formats = [f"/v1/beds/3A/captions?format={f}" for f in ("txt", "srt", "vtt", "json")]
    assert await page.evaluate(links) == formats


@pytest.mark.parametrize("who", [401, {"access": "locked", "role": None, "beds": []}])
async def test_who_is_not_logged_in_is_sent_to_the_login_page(visit: Visit, gateway: StandIn, who) -> None:
    """Whether the page is opened or its login ends: and back to the same page from there."""
    page = await follow(await visit("/beds/3A"), gateway)
    await expect(page.locator("#logout")).to_be_hidden()
    gateway.who = who
    await gateway.cut(4401)
    await page.wait_for_url("**/login?next=%2Fbeds%2F3A")
    await page.goto(f"{gateway.url}/beds/3A")
    await page.wait_for_url("**/login?next=%2Fbeds%2F3A")


async def test_a_speakers_key_does_not_read(visit: Visit, gateway: StandIn) -> None:
    """Another login is asked for, and the login page is told so: it would send back at once."""
    gateway.who = {"access": "locked", "id": "k", "role": "speaker", "beds": ["3A"]}
    page = await visit("/beds/3A")
    await page.wait_for_url("**/login?next=%2Fbeds%2F3A&denied=1")


async def test_a_login_is_renewed_and_ended(visit: Visit, gateway: StandIn) -> None:
    """As long as the page is open; the button logs out. A renewed login is simply connected again."""
    gateway.who = {"access": "locked", "id": "k", "role": "viewer", "beds": ["*"]}
    gateway.changed = {"30 * 60_000": "200"}
    page = await follow(await visit("/beds/3A"), gateway)
    await until(lambda: "login" in gateway.posts)
    await gateway.cut(4401)
    await until(lambda: len(gateway.watches) == 2)
    await page.locator("#logout").click()
    await page.wait_for_url("**/login")
    assert gateway.posts[-1] == "logout"


async def test_a_gateway_that_knows_no_logins_is_open(visit: Visit, gateway: StandIn) -> None:
    """No whoami: nothing is asked for and nothing is hidden."""
    gateway.who = 404
    page = await follow(await visit("/beds/3A"), gateway)
    await expect(page.locator("#save")).to_be_visible()
    await expect(page.locator("#logout")).to_be_hidden()
