"""Logging in with a browser on the real gateway, and what pages of other sites can do with that login: nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, expect

from gateway.connection.access import Principal
from gateway.connection.keys import ApiKeys
from tests.running import RunningGateway
from tests.talking import SECRETS

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]
HIJACK = """async (url) => {
  const socket = new WebSocket(url, "care-voice.v1");
  return await new Promise((resolve) => {
    socket.onmessage = ({ data }) => data.includes("snapshot") && resolve(data);
    socket.onopen = () => socket.send('{"type": "watch", "beds": ["3A"]}');
    socket.onclose = ({ code }) => resolve(code);
  });
}"""
STEAL = """async (url) => {
  try {
    return await (await fetch(url, { credentials: "include" })).text();
  } catch {
    return "refused";
  }
}"""
LOG_OUT = """async (url) => {
  await fetch(url, { method: "POST", mode: "no-cors", credentials: "include" });
}"""


class Ward:
    """A gateway with keys, and a browser."""

    def __init__(self, gateway: RunningGateway, keys: ApiKeys, context: BrowserContext) -> None:
        self.url, self.keys, self.context = gateway.url, keys, context

    def key(self, role, *beds: str, name: str = "") -> str:
        key = self.keys.create(Principal("", role, beds or ("*",), name))[1]
        SECRETS.add(key.rsplit("_", 1)[1])
        return key

    async def open(self, path: str) -> Page:
        page = await self.context.new_page()
        page.set_default_timeout(8000)
        await page.goto(self.url + path)
        return page

    async def log_in(self, page: Page, key: str) -> None:
        await page.locator("#key").fill(key)
        await page.keyboard.press("Enter")


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("locked")
    keys = ApiKeys(directory / "data")
    keys.create(Principal("", "admin", ("*",)))
    gateway = RunningGateway.start(directory / "log")
    yield gateway, keys
    assert gateway.stop() == 0, gateway.log()


@pytest_asyncio.fixture(loop_scope="session")
async def ward(locked, browser: Browser) -> AsyncIterator[Ward]:
    context = await browser.new_context(locale="en-US")
    yield Ward(*locked, context)
    await context.close()


@contextlib.asynccontextmanager
async def other_site(host: str) -> AsyncIterator[str]:
    """An empty page of somebody else."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>evil</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://{host}:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_a_key_opens_the_page_that_was_wanted(ward: Ward) -> None:
    """To the login and back; a wrong key is said; the cookie is not for scripts."""
    page = await ward.open("/beds/3A?x=1")
    await expect(page).to_have_url(f"{ward.url}/login?next=%2Fbeds%2F3A%3Fx%3D1")
    await ward.log_in(page, "cv_wrong_key")
    await expect(page.locator("#failure")).to_contain_text("not known")
    await ward.log_in(page, ward.key("viewer", "3*"))
    await expect(page).to_have_url(f"{ward.url}/beds/3A?x=1")
    await expect(page.locator("#link")).to_have_text("Connected")
    assert await page.evaluate("document.cookie") == ""
    [cookie] = await ward.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")


@pytest.mark.parametrize(
    ("role", "beds", "path"),
    [
        ("speaker", ["3A"], "/microphone?bed=3A"),
        ("viewer", ["床 1"], "/beds/%E5%BA%8A%201"),
        ("viewer", ["3*"], "/"),
        ("admin", [], "/"),
    ],
)
async def test_each_role_lands_where_it_belongs(ward: Ward, role, beds: list[str], path: str) -> None:
    """Who was not on the way to a page."""
    page = await ward.open("/login")
    await ward.log_in(page, ward.key(role, *beds))
    await expect(page).to_have_url(ward.url + path)


@pytest.mark.parametrize(
    "target", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:1"]
)
async def test_the_login_leads_to_no_other_site(ward: Ward, target: str) -> None:
    """Whatever a link says."""
    page = await ward.context.new_page()
    await page.goto(f"{ward.url}/login?next={target}")
    await ward.log_in(page, ward.key("admin"))
    await expect(page).to_have_url(f"{ward.url}/")


async def test_who_may_not_see_a_page_is_told_so(ward: Ward) -> None:
    """And may log out to come back as somebody else."""
    page = await ward.open("/login")
    await ward.log_in(page, ward.key("speaker", "3A", name="tablet of 3A"))
    await expect(page).to_have_url(f"{ward.url}/microphone?bed=3A")
    await page.goto(f"{ward.url}/beds/3A")
    await expect(page.locator("#who")).to_contain_text("tablet of 3A (microphone, 3A)")
    await expect(page.locator("#onward")).to_have_attribute("href", "/microphone?bed=3A")
    await page.locator("#logout").click()
    await expect(page.locator("#key")).to_be_visible()
    await ward.log_in(page, ward.key("viewer", "3A"))
    await expect(page).to_have_url(f"{ward.url}/beds/3A")


async def test_a_page_of_another_site_hears_and_changes_nothing(ward: Ward) -> None:
    """Cross-site WebSocket hijacking: of another site, and of the same site but another port, where the cookie goes
    along and only the Origin tells them apart."""
    page = await ward.open("/beds/3A")
    await ward.log_in(page, ward.key("viewer", "*"))
    await expect(page.locator("#link")).to_have_text("Connected")
    ws = ward.url.replace("http", "ws") + "/v1/captions"
    assert "snapshot" in await page.evaluate(HIJACK, ws), "from our own page it works"
    for host in ("localhost", "127.0.0.1"):
        async with other_site(host) as url:
            evil = await ward.context.new_page()
            await evil.goto(url)
            assert await evil.evaluate(HIJACK, ws) == 1006
            assert await evil.evaluate(STEAL, f"{ward.url}/v1/beds") == "refused"
            with contextlib.suppress(Exception):
                await evil.evaluate(LOG_OUT, f"{ward.url}/v1/logout")
            await evil.close()
    await page.reload()
    await expect(page.locator("#link")).to_have_text("Connected")


async def test_a_revoked_key_ends_an_open_page(ward: Ward) -> None:
    """It is led to the login, and a reload is too."""
    page = await ward.open("/beds/3A")
    key = ward.key("viewer", "3A")
    await ward.log_in(page, key)
    await expect(page.locator("#link")).to_have_text("Connected")
    await asyncio.to_thread(ward.keys.revoke, key.split("_")[1])
    await expect(page.locator("#key")).to_be_visible(timeout=15_000)
    await page.goto(f"{ward.url}/beds/3A")
    await expect(page.locator("#key")).to_be_visible()


async def test_both_languages(ward: Ward) -> None:
    """Like the other pages."""
    page = await ward.open("/login")
    await expect(page.locator("h1")).to_have_text("Log in")
    await page.locator("#language").click()
    await expect(page.locator("h1")).to_have_text("登入")
    await expect(page).to_have_title("登入 · Care Voice")


async def test_a_device_learns_how_to_trust_the_gateway(browser: Browser, tmp_path: Path) -> None:
    """The fingerprint and the steps, in the reader's language; the CA is a download."""
    gateway = RunningGateway.start(tmp_path / "log", "--tls-self-signed", ready=False)
    context = await browser.new_context(locale="zh-TW", ignore_https_errors=True)
    try:
        page = await context.new_page()
        await page.goto(f"{gateway.url}/trust")
        await expect(page.locator("#fingerprint")).to_contain_text(":")
        await expect(page.locator("article[lang=zh-Hant]")).to_be_visible()
        await expect(page.locator("article[lang=en]")).to_be_hidden()
        async with page.expect_download() as download:
            await page.locator("#download").click()
        assert (await download.value).suggested_filename == "care-voice-ca.crt"
        assert await page.evaluate("isSecureContext && 'mediaDevices' in navigator")
    finally:
        await context.close()
        gateway.stop()
