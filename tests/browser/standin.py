"""A stand-in for the gateway: its paths, its headers, and viewer messages that a test scripts.

It keeps the rules of docs/protocol.md that the pages lean on (numbers, epochs, snapshots after a number), and
records what a microphone page sends. Recognition is none of its business.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import WSCloseCode, WSMsgType, web

from tests.browser.standin_microphones import SUBPROTOCOL, Microphones, send

STATIC = Path(__file__).resolve().parents[2] / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "media-src 'self'; worker-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


class StandIn(Microphones):
    def __init__(self) -> None:
        super().__init__()
        self.epoch = "e1"
        self.captions: dict[str, list[dict]] = {}
        self.states: dict[str, dict] = {}
        self.watches: list[dict] = []
        self.who: dict | int = {"access": "open", "id": "", "role": "admin", "beds": ["*"]}
        """The answer to whoami, or its status."""
        self.status = "ok"
        self.posts: list[str] = []
        self.changed: dict[str, str] = {}
        """Text of scripts -> what is served instead."""
        self.viewers: dict[web.WebSocketResponse, list[str]] = {}
        self.beating = True
        self.recovered = True
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

    async def cut(self, code: int = WSCloseCode.SERVICE_RESTART) -> None:
        """Closes every socket of viewers and microphones."""
        for socket in [*self.viewers, *(s.socket for s in self.streams)]:
            if not socket.closed:
                await socket.close(code=code)
        self.viewers.clear()

    async def die(self) -> None:
        """A restart: sockets break, and of sessions only what is committed is left."""
        for stream in self.streams:
            stream.kill()
        for session in self.sessions.values():
            del session.pcm[2 * session.committed :]
        await self.cut()

    # --- what the pages see ---------------------------------------------------------------------------------

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", page("ward.html"))
        app.router.add_get("/beds/{bed}", page("captions.html"))
        app.router.add_get("/microphone", page("microphone.html"))
        app.router.add_get("/static/{name}", self.static)
        app.router.add_get("/v1/captions", self.viewer)
        app.router.add_get("/v1/stream", self.speaker)
        app.router.add_get("/v1/whoami", self.whoami)
        app.router.add_post("/v1/{what:login|logout}", self.post)
        app.router.add_get("/v1/beds/{bed}/captions", self.export)
        app.router.add_get("/login", login)
        app.router.add_get("/health", self.health)
        return app

    async def static(self, request: web.Request) -> web.Response:
        return answer(request.match_info["name"], self.changed)

    async def whoami(self, _: web.Request) -> web.Response:
        return web.Response(status=self.who) if isinstance(self.who, int) else web.json_response(self.who)

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": self.status})

    async def post(self, request: web.Request) -> web.Response:
        assert request.headers["X-Care-Voice"] == "1"
        self.posts.append(request.match_info["what"])
        return web.json_response({})

    async def export(self, request: web.Request) -> web.Response:
        said = self.captions.get(request.match_info["bed"], [])
        return web.Response(text="".join(f"{c['text']}\n" for c in said))

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
        known = message["epoch"] in {None, self.epoch}
        for bed in everything:
            after = message["after"].get(bed, 0) if known else 0
            state = self.states.get(bed, {"state": "offline", "since": 0})
            snapshot = {
                "type": "snapshot", "bed": bed, "epoch": self.epoch, "state": state["state"],
                "since": state["since"], "partial": None,
                "recovered": self.recovered and (known or bed not in message["after"]),
                "captions": [c for c in self.captions.get(bed, []) if c["number"] > after],
            }  # fmt: skip
            await send(socket, snapshot)

    async def beat(self, socket: web.WebSocketResponse) -> None:
        while True:
            if self.beating:
                await send(socket, {"type": "heartbeat", "at": time.time(), "demo": self.demo})
            await asyncio.sleep(0.4)


async def login(_: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><link rel=icon href=data:,>log in", content_type="text/html")


def page(name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(_: web.Request) -> web.Response:
        return answer(name)

    return serve


def answer(name: str, changed: dict[str, str] | None = None) -> web.Response:
    path = STATIC / name
    if not path.is_file():
        return web.Response(status=404)
    text = path.read_text()
    for before, after in (changed or {}).items():
        text = text.replace(before, after)
    return web.Response(
        text=text,
        content_type=KINDS[path.suffix],
        charset="utf-8",
        headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"},
    )
