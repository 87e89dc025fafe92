"""The answer to an upload over a real socket: in one piece, as events, cut short, and for nobody."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.connection.access import OPEN, Principal
from gateway.connection.replying import Gone, Reply, attended
from gateway.upload import formats
from gateway.upload.failure import UploadFailed

ROUTE = "/v1/audio/transcriptions"
Handler = Callable[[web.Request, Reply], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Its address; the handler's Reply is what is answered."""

    async def answer(request: web.Request) -> web.StreamResponse:
        reply = Reply(request, 5.0)
        try:
            await handler(request, reply)
        except UploadFailed as why:
            await reply.fail(why)
        return reply.response

    app = web.Application()
    app.router.add_post(ROUTE, answer)
    async with TestServer(app) as server:
        yield str(server.make_url(ROUTE))


async def post(url: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as client, client.post(url) as answer:
        return answer.status, answer.content_type, await answer.text()


class Gate:
    """Ends whoever it guards when told to."""

    def __init__(self) -> None:
        self.close: Callable[[int, str], None] = lambda code, reason: None

    @contextmanager
    def guard(self, principal: Principal, close: Callable[[int, str], None]) -> Iterator[None]:
        self.close = close
        yield


async def test_a_failure_before_the_first_event_is_plain_http() -> None:
    """With OpenAI's body; one that may pass says when to come again."""

    async def handler(request: web.Request, reply: Reply) -> None:
        raise UploadFailed(400, "invalid_audio", "No audio.", "file")

    async with serving(handler) as url:
        status, kind, body = await post(url)
    assert (status, kind) == (400, "application/json")
    assert '"param": "file"' in body


async def test_a_failure_after_it_is_the_last_event() -> None:
    """The status is out by then."""

    async def handler(request: web.Request, reply: Reply) -> None:
        await reply.send(formats.delta("Good"))
        raise UploadFailed(500, "decode_failed", "From 1.0 to 2.0 s.")

    async with serving(handler) as url:
        status, kind, body = await post(url)
    assert (status, kind) == (200, "text/event-stream")
    events = [line.removeprefix("data: ") for line in body.split("\n\n")[:-1]]
    assert events[0].startswith('{"type":"transcript.text.delta"')
    assert '"message":"From 1.0 to 2.0 s."' in events[1]
    assert events[2:] == ["[DONE]"]


@pytest.mark.parametrize(("why", "status"), [("revoked", 401), ("stopped", 503), ("left", None)])
async def test_work_goes_on_only_while_it_is_wanted(why: str, status: int | None) -> None:
    """A key that is revoked, a gateway that stops, a client that leaves: each ends it, and it cleans up."""
    gate, running, stopped, cleaned = Gate(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    async def handler(request: web.Request, reply: Reply) -> None:
        with suppress(Gone):
            await attended(request, gate, OPEN, work(), stopped.is_set)

    async with serving(handler) as url, asyncio.timeout(20):
        asking = asyncio.create_task(post(url))
        await running.wait()
        if why == "revoked":
            gate.close(4401, "revoked")
        elif why == "stopped":
            stopped.set()
        else:
            asking.cancel()
        if status:
            assert (await asking)[0] == status
        await cleaned.wait()


async def test_what_the_work_raises_comes_out() -> None:
    """Also when it ends at once."""
    raised: list[type[BaseException]] = []

    async def work() -> None:
        raise UploadFailed(400, "bad_form", "No form.")

    async def handler(request: web.Request, reply: Reply) -> None:
        try:
            await attended(request, Gate(), OPEN, work(), lambda: True)
        except UploadFailed as why:
            raised.append(type(why))
            raise

    async with serving(handler) as url:
        assert (await post(url))[0] == 400
    assert raised == [UploadFailed]
