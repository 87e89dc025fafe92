"""shell: the answer to an upload, in one piece or as server-sent events, and who is there to read it."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine

from aiohttp import web

from gateway.connection.access import Principal
from gateway.connection.ports import Admission
from gateway.connection.refusals import refusal
from gateway.upload import formats
from gateway.upload.failure import UploadFailed

TICK_S = 0.25
PRIVATE = {"Cache-Control": "no-store"}


class Gone(Exception):
    """The client has left, or does not read."""


class Reply:
    """Either one body, or events; a failure in the way that fits what was said before."""

    def __init__(self, request: web.Request, send_timeout_s: float) -> None:
        self._request = request
        self._send_timeout_s = send_timeout_s
        self._stream: web.StreamResponse | None = None
        self._body: web.Response | None = None

    @property
    def response(self) -> web.StreamResponse:
        """What the handler returns."""
        return self._stream or self._body or web.Response(status=204)

    def say(self, text: str, content_type: str) -> None:
        self._body = web.Response(text=text, content_type=content_type, charset="utf-8", headers=PRIVATE)

    async def send(self, event: str) -> None:
        """The first one says that all is well: what fails after it fails in the stream. Raises Gone."""
        try:
            async with asyncio.timeout(self._send_timeout_s):
                if self._stream is None:
                    self._stream = web.StreamResponse(headers=PRIVATE)
                    self._stream.content_type, self._stream.charset = "text/event-stream", "utf-8"
                    await self._stream.prepare(self._request)
                await self._stream.write(event.encode())
        except (TimeoutError, ConnectionError):
            if self._request.transport:
                self._request.transport.abort()
            raise Gone from None

    async def fail(self, why: UploadFailed) -> None:
        """Raises Gone."""
        resource = self._request.match_info.route.resource
        route = resource.canonical if resource else ""
        said = refusal(route, why.status, why.code, why.message, str(uuid.uuid4()), why.param)
        if self._stream is not None:
            await self.send(formats.failed(said.body))
        else:
            self._body = web.json_response(said.body, status=said.status, headers=PRIVATE | said.headers)


async def attended(
    request: web.Request,
    gate: Admission,
    principal: Principal,
    work: Coroutine[None, None, None],
    stopped: Callable[[], bool],
) -> None:
    """Work, for as long as the client is there and may have it. Raises Gone, UploadFailed (401, 503)."""
    task = asyncio.create_task(work, name="upload")

    def close(code: int, reason: str) -> None:
        task.cancel()

    try:
        with gate.guard(principal, close):
            while not task.done():
                await asyncio.wait({task}, timeout=TICK_S)
                if request.transport is None or request.transport.is_closing():
                    raise Gone
                if stopped() and not task.done():
                    raise UploadFailed(503, "draining", "This gateway stops. Send the file to the next one.")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    if task.cancelled():
        raise UploadFailed(
            401, "access_ended", "The key was revoked, or its time is over. Ask for a new one."
        )
    task.result()
