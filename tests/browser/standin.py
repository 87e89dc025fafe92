"""A stand-in for the gateway: its paths, its headers, and viewer messages that a test scripts.

It keeps the rules of docs/protocol.md that the pages lean on (numbers, epochs, snapshots after a number), and
records what a microphone page sends. Recognition is none of its business.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import WSCloseCode, WSMsgType, web

STATIC = Path(__file__).resolve().parents[2] / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "media-src 'self'; worker-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
SUBPROTOCOL = "care-voice.v1"
KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass
class Stream:
    """One session of a microphone page."""

    socket: web.WebSocketResponse
    start: dict
    audio: bytearray = field(default_factory=bytearray)
    controls: list[dict] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)


class StandIn:
    def __init__(self) -> None:
        self.epoch = "e1"
        self.captions: dict[str, list[dict]] = {}
        self.states: dict[str, dict] = {}
        self.watches: list[dict] = []
        self.streams: list[Stream] = []
        self.viewers: dict[web.WebSocketResponse, list[str]] = {}
        self.demo = False
        self.beating = True
        self.recovered = True
        self.accepting = True
        self.start_error: dict | None = None
        self.url = ""

    # --- what a test scripts --------------------------------------------------------------------------------

    async def say(self, bed: str, text: str, **fields: object) -> dict:
        said = self.captions.setdefault(bed, [])
        caption = {
            "type": "caption", "bed": bed, "number": len(said) + 1, "at": time.time(), "speaker": "s1",
            "utterance": len(said) + 1, "start": 0.0, "end": 1.0, "text": text,
            "language": "zh" if any("\u4e00" <= c <= "\u9fff" for c in text) else "en",
            "confidence": 0.9, "corrected": False, "suppressed": None,
        } | fields  # fmt: skip
        said.append(caption)
        await self.send(bed, caption)
        return caption

    async def murmur(self, bed: str, stable: str, tentative: str = "", **fields: object) -> None:
        """A partial of the utterance that the next `say` ends."""
        utterance = len(self.captions.get(bed, [])) + 1
        partial = {
            "type": "partial", "bed": bed, "at": time.time(), "speaker": "s1", "utterance": utterance,
            "revision": 1, "stable": stable, "tentative": tentative,
        }  # fmt: skip
        await self.send(bed, partial | fields)

    async def become(self, bed: str, state: str, since: float | None = None) -> None:
        self.states[bed] = {"type": "bed", "bed": bed, "state": state, "since": since or time.time()}
        await self.send(bed, self.states[bed])

    async def send(self, bed: str, message: dict) -> None:
        for socket, beds in list(self.viewers.items()):
            if bed in beds or "*" in beds:
                await send(socket, message)

    async def cut(self) -> None:
        """Closes every socket of viewers and microphones, as a restart does."""
        for socket in [*self.viewers, *(s.socket for s in self.streams)]:
            if not socket.closed:
                await socket.close(code=WSCloseCode.SERVICE_RESTART)
        self.viewers.clear()

    # --- what the pages see ---------------------------------------------------------------------------------

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", page("ward.html"))
        app.router.add_get("/beds/{bed}", page("captions.html"))
        app.router.add_get("/microphone", page("microphone.html"))
        app.router.add_get("/static/{name}", static)
        app.router.add_get("/v1/captions", self.viewer)
        app.router.add_get("/v1/stream", self.speaker)
        return app

    async def viewer(self, request: web.Request) -> web.StreamResponse:
        if not self.accepting:
            return web.Response(status=503)
        socket = web.WebSocketResponse(protocols=[SUBPROTOCOL])
        await socket.prepare(request)
        beat = asyncio.create_task(self.beat(socket))
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    await self.watch(socket, json.loads(frame.data))
        finally:
            self.viewers.pop(socket, None)
            beat.cancel()
        return socket

    async def watch(self, socket: web.WebSocketResponse, message: dict) -> None:
        self.watches.append(message)
        self.viewers[socket] = message["beds"]
        everything = list(self.captions | self.states) if "*" in message["beds"] else message["beds"]
        for bed in everything:
            after = message.get("after", {}).get(bed, 0)
            state = self.states.get(bed, {"state": "offline", "since": 0})
            snapshot = {
                "type": "snapshot", "bed": bed, "epoch": self.epoch, "state": state["state"],
                "since": state["since"], "partial": None, "recovered": self.recovered,
                "captions": [c for c in self.captions.get(bed, []) if c["number"] > after],
            }  # fmt: skip
            await send(socket, snapshot)

    async def beat(self, socket: web.WebSocketResponse) -> None:
        while True:
            if self.beating:
                await send(socket, {"type": "heartbeat", "at": time.time(), "demo": self.demo})
            await asyncio.sleep(0.4)

    async def speaker(self, request: web.Request) -> web.StreamResponse:
        if not self.accepting:
            return web.Response(status=503)
        socket = web.WebSocketResponse(protocols=[SUBPROTOCOL])
        await socket.prepare(request)
        stream = Stream(socket, await socket.receive_json())
        if self.start_error:
            await send(socket, self.start_error)
            await socket.close(code=1008)
            return socket
        self.streams.append(stream)
        await send(socket, {"type": "started", "session": "s1", "resume_from": 0, "demo": self.demo})
        async for frame in socket:
            await self.hear(stream, frame.data)
        return socket

    async def hear(self, stream: Stream, data: bytes | str) -> None:
        if isinstance(data, bytes):
            stream.audio += data
            await send(stream.socket, {"type": "ack", "received": len(stream.audio) // 2, "committed": 0})
            return
        stream.controls.append(json.loads(data))
        if stream.controls[-1]["type"] == "stop":
            await send(stream.socket, {"type": "stopped", "received": len(stream.audio) // 2, "finals": 0})


async def send(socket: web.WebSocketResponse, message: dict) -> None:
    if not socket.closed:
        with contextlib.suppress(ConnectionError):  # the page went away meanwhile
            await socket.send_json(message)


async def static(request: web.Request) -> web.Response:
    return answer(request.match_info["name"])


def page(name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(_: web.Request) -> web.Response:
        return answer(name)

    return serve


def answer(name: str) -> web.Response:
    path = STATIC / name
    if not path.is_file():
        return web.Response(status=404)
    return web.Response(
        body=path.read_bytes(),
        content_type=KINDS[path.suffix],
        charset="utf-8",
        headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"},
    )
