"""One Chromium and one stand-in server for all browser tests, on one event loop.

A test gets `visit(path, **context options)`; when it ends, every page it opened must have logged no error, broken
no Content-Security-Policy and asked for nothing but the server's own paths.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.browser.standin import StandIn

MICROPHONE = Path(__file__).resolve().parents[1] / "data" / "audio" / "dialog_en.wav"
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--autoplay-policy=user-gesture-required", "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={MICROPHONE}",
]  # fmt: skip

Visit = Callable[..., Awaitable[Page]]


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium: install it (Debian: apt-get install chromium), then run this test again")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    executable = chromium()
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield launched
        await launched.close()


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[StandIn]:
    """A fresh stand-in on a free port; its `url` says where."""
    standin = StandIn()
    runner = web.AppRunner(standin.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    standin.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    yield standin
    await standin.cut()
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="session")
async def gateway() -> AsyncIterator[StandIn]:
    async with serving() as standin:
        yield standin


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, gateway: StandIn) -> AsyncIterator[Visit]:
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    async def open_page(path: str, **options: object) -> Page:
        context = await browser.new_context(
            **{"locale": "en-US", "viewport": {"width": 1440, "height": 900}} | options
        )
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(8000)
        listen(page, gateway.url, complaints)
        await page.goto(gateway.url + path)
        return page

    yield open_page
    for context in contexts:
        await context.close()
    assert complaints == []


def listen(page: Page, url: str, complaints: list[str]) -> None:
    def console(message) -> None:
        # Chromium logs each refused WebSocket and each unreachable server by itself; that is what some tests do.
        expected = ("WebSocket connection to" in message.text or "net::ERR_" in message.text
                    or "/v1/whoami" in message.location["url"])  # fmt: skip
        if message.type in ("error", "warning") and not expected:
            complaints.append(message.text)

    def request(asked) -> None:
        if not asked.url.startswith(url):
            complaints.append(f"foreign request: {asked.url}")

    def response(answer) -> None:
        if answer.status >= 400 and not answer.url.endswith("/v1/whoami"):
            complaints.append(f"{answer.status}: {answer.url}")

    page.on("console", console)
    page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
    page.on("request", request)
    page.on("response", response)


async def until(condition: Callable[[], bool], seconds: float = 8) -> None:
    """Waits for something on the server's side of a page."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (the condition is a page's doing: nobody sets an event)
            await asyncio.sleep(0.02)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def blank(browser: Browser) -> AsyncIterator[Page]:
    """A page for running the pure modules: they touch nothing of it."""
    async with serving() as gateway:
        page = await browser.new_page()
        await page.goto(f"{gateway.url}/login")
        yield page
        await page.close()


@pytest.fixture
def js(blank: Page) -> Callable[..., Awaitable]:
    """js(module, expression, argument): evaluates `expression` over the module `m` and the argument `x`."""

    def evaluate(module: str, expression: str, argument: object = None) -> Awaitable:
        source = f"async (x) => {{ const m = await import('/static/{module}'); return ({expression}); }}"
        return blank.evaluate(source, argument)

    return evaluate
