"""The whole way: a microphone in Chromium, the real gateway with the demo model, the caption on the nurse's page."""

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.conftest import MICROPHONE, listen

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]
ROOT = Path(__file__).resolve().parents[2]


def plain(text: str) -> str:
    return re.sub(r"[^a-z0-9 ]", "", text.lower())


def spoken() -> set[str]:
    references = json.loads((MICROPHONE.parent / "refs.json").read_text())
    return {plain(segment["text"]) for segment in references[MICROPHONE.name]["segments"]}


@pytest_asyncio.fixture(loop_scope="session")
async def url() -> AsyncIterator[str]:
    """The address of a gateway of its own, on a free port, once its engine is ready."""
    command = [
        "-m",
        "gateway",
        "serve",
        "--model",
        "demo",
        "--device",
        "cpu",
        "--port",
        "0",
        "--log-format",
        "json",
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield await asyncio.wait_for(ready(process.stdout), 40)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def ready(lines: asyncio.StreamReader) -> str:
    seen = b""
    async for line in lines:
        seen += line
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if entry.get("event") == "ready":
                return entry["url"]
    raise AssertionError(f"the gateway did not start: {seen.decode()}")


async def test_what_is_said_at_the_bed_is_read_on_the_page(browser: Browser, url: str) -> None:
    """Partials first, then a final that is one of the sentences spoken; the ward and the speaker see it too."""
    complaints: list[str] = []
    context = await browser.new_context(locale="en-US")
    ward, bed, microphone = [await context.new_page() for _ in range(3)]
    for page, path in ((ward, "/"), (bed, "/beds/3A"), (microphone, "/microphone?bed=3A")):
        listen(page, url, complaints)
        await page.goto(url + path)
    await expect(ward.locator("#empty")).to_be_visible()
    await microphone.locator("#toggle").click()
    await expect(bed.locator("#bed-state")).to_have_text("Microphone on", timeout=10_000)
    await expect(bed.locator("#partials .caption").first).to_be_attached(timeout=20_000)
    await expect(bed.locator("#captions .text").nth(2)).to_be_visible(timeout=30_000)
    read = {plain(text) for text in await bed.locator("#captions .text").all_text_contents()}
    assert read & spoken()
    await expect(ward.locator(".card .lines li").first).not_to_be_empty()
    await expect(microphone.locator("#captions .text").first).not_to_be_empty()
    await expect(bed.locator("#demo")).to_be_visible()
    await microphone.locator("#toggle").click()
    await expect(bed.locator("#bed-state")).to_have_text("Microphone off", timeout=10_000)
    await context.close()
    assert complaints == []
