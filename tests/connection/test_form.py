"""A form with a file in it, over a real socket: bounded memory, and a named refusal for everything else."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.connection.form import MAX_FIELD_BYTES, MAX_PARTS, read_form
from gateway.upload.failure import UploadFailed

MOST = 100_000
HEADERS = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
FORM = "Content-Type: multipart/form-data; boundary=B\r\n"


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    """Says what it read, or the code of the refusal."""

    async def answer(request: web.Request) -> web.Response:
        try:
            form = await read_form(request, MOST, 0.3)
        except UploadFailed as no:
            return web.Response(text=f"{no.status} {no.code}")
        size = None if form.file is None else len(form.file)
        return web.Response(text=f"{size} {sorted(form.fields.items())}")

    app = web.Application(client_max_size=1024)
    app.router.add_post("/", answer)
    async with TestServer(app) as running:
        yield running


def part(name: str, content: bytes, more: str = "") -> bytes:
    return f'--B\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


async def post(
    server: TestServer, body: bytes, headers: str = FORM, length: int | None = None, end: bool = True
) -> str:
    """The body of the answer to these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    length = len(body) if length is None else length
    try:
        writer.write(f"{HEADERS}{headers}Content-Length: {length}\r\n\r\n".encode() + body)
        if end and length > len(body):
            writer.write_eof()
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(re.findall(rb"Content-Length: (\d+)", head)[0])
            answer = await reader.readexactly(size)
    finally:
        writer.close()
    return answer.decode()


async def test_a_form_is_read(server: TestServer) -> None:
    """Fields in any order, repeated ones kept, brackets left out, whatever bytes the file has."""
    content = b"\r\n--A\r\n\x00\xff" * 1000
    body = part("model", b"whisper-1") + part("file", content, '; filename="a.wav"')
    body += (
        part("timestamp_granularities[]", b"word")
        + part("timestamp_granularities[]", b"segment")
        + b"--B--\r\n"
    )
    expected = "[('model', ['whisper-1']), ('timestamp_granularities', ['word', 'segment'])]"
    assert await post(server, body) == f"{len(content)} {expected}"


async def test_a_form_without_a_file_says_so(server: TestServer) -> None:
    assert await post(server, part("model", b"x") + b"--B--\r\n") == "None [('model', ['x'])]"


REFUSED = {
    "no form": (b"{}", "Content-Type: application/json\r\n", "415 unsupported_media_type"),
    "no type": (b"{}", "", "415 unsupported_media_type"),
    "no boundary": (b"--B--\r\n", "Content-Type: multipart/form-data\r\n", "400 bad_form"),
    "another boundary": (b"--C\r\n\r\nx\r\n--C--\r\n", FORM, "400 bad_form"),
    "broken off": (part("file", b"abc")[:-5], FORM, "400 bad_form"),
    "empty": (b"", FORM, "400 bad_form"),
    "a part without an end of its headers": (b"--B\r\n" + b"x" * 50_000, FORM, "400 bad_form"),
    "a large file": (part("file", bytes(MOST + 1)) + b"--B--\r\n", FORM, "413 file_too_large"),
    "large fields": (part("prompt", bytes(MAX_FIELD_BYTES + 1)) + b"--B--\r\n", FORM, "413 form_too_large"),
    "many parts": (part("a", b"") * (MAX_PARTS + 1) + b"--B--\r\n", FORM, "400 bad_form"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_no_such_form_is_refused(server: TestServer, case: str) -> None:
    body, headers, expected = REFUSED[case]
    assert await post(server, body, headers) == expected


async def test_a_file_that_announces_itself_as_too_large_is_refused_at_once(server: TestServer) -> None:
    """Before a byte of it has come."""
    assert await post(server, b"", length=10 * MOST, end=False) == "413 file_too_large"


async def test_a_trickle_is_given_up(server: TestServer) -> None:
    """A byte now and then is no pause, but too slow."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(f"{HEADERS}{FORM}Content-Length: 5000\r\n\r\n".encode() + part("file", b"a")[:-2])
        answer = asyncio.create_task(reader.readuntil(b"408 timeout"))
        async with asyncio.timeout(10):
            while not answer.done():
                writer.write(b"aaaa")
                await asyncio.sleep(0.05)
        await answer
    finally:
        writer.close()


async def test_a_file_that_stops_coming_is_given_up(server: TestServer) -> None:
    """Nobody holds a place with a byte now and then."""
    assert await post(server, part("file", b"abc"), length=5000, end=False) == "408 timeout"
