"""The speakers' side of the stand-in: keeps what each microphone sent by position, and resumes sessions."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field

from aiohttp import web

SUBPROTOCOL = "care-voice.v1"


@dataclass
class Session:
    """What the gateway knows of one microphone: its samples (16 bits each) by position, zeros in gaps."""

    name: str
    pcm: bytearray = field(default_factory=bytearray)
    committed: int = 0
    gaps: list[int] = field(default_factory=list)
    finals: list[dict] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)
    """All that ever came, and `mistaken`: messages that said otherwise when they came again."""
    mistaken: int = 0

    @property
    def received(self) -> int:
        return len(self.pcm) // 2

    def hear(self, data: bytes) -> None:
        before = self.heard[len(self.pcm) : len(self.pcm) + len(data)]
        self.mistaken += data[: len(before)] != before
        self.heard += data[len(before) :]
        self.pcm += data


@dataclass
class Stream:
    """One connection of a microphone page."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport
    start: dict
    session: Session
    dead: bool = False
    audio: bytearray = field(default_factory=bytearray)
    controls: list[dict] = field(default_factory=list)

    def kill(self) -> None:
        """As when the gateway dies: nothing more is heard, nobody says goodbye."""
        self.dead = True
        self.transport.abort()

    async def final(self, text: str, start: float = 0.0) -> None:
        number = len(self.session.finals) + 1
        self.session.finals.append(
            {"type": "final", "number": number, "utterance": number, "start": start, "end": start + 1,
             "text": text, "language": "en", "confidence": 0.9}
        )  # fmt: skip
        await send(self.socket, self.session.finals[-1])


class Microphones:
    """`GET /v1/stream` of the stand-in, and what a test scripts of it."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.sessions: dict[str, Session] = {}
        self.committing_s = 1.0
        """What is older is committed."""
        self.answering = True
        """False: microphones are heard, but get no answer."""
        self.accepting = True
        self.start_error: dict | None = None
        self.demo = False

    async def speaker(self, request: web.Request) -> web.StreamResponse:
        if not self.accepting:
            return web.Response(status=503)
        socket = web.WebSocketResponse(protocols=[SUBPROTOCOL])
        await socket.prepare(request)
        start = await socket.receive_json()
        resume = start.get("resume")
        if self.start_error:
            await send(socket, self.start_error)
            await socket.close(code=1008)
            return socket
        if resume and resume["session"] not in self.sessions:
            await socket.close(code=4410)
            return socket
        name = resume["session"] if resume else f"s{len(self.streams) + 1}"
        session = self.sessions.setdefault(name, Session(name))
        stream = Stream(socket, request.transport, start, session)
        self.streams.append(stream)
        await self.welcome(stream, resume["after"] if resume else 0)
        async for frame in socket:
            if not stream.dead:
                await self.hear(stream, frame.data)
        return socket

    async def welcome(self, stream: Stream, after: int) -> None:
        session = stream.session
        await send(stream.socket, {
            "type": "started", "session": session.name, "token": f"secret of {session.name}",
            "resume_from": session.received, "demo": self.demo,
        })  # fmt: skip
        for final in session.finals[after:]:
            await send(stream.socket, final)

    async def hear(self, stream: Stream, data: bytes | str) -> None:
        session = stream.session
        if isinstance(data, bytes):
            stream.audio += data
            session.hear(data)
            lag = self.committing_s * stream.start["audio"]["sample_rate"]
            session.committed = int(max(session.committed, session.received - lag))
            await self.acknowledge(stream)
            return
        message = json.loads(data)
        if message["type"] == "ping":
            if self.answering:
                await send(stream.socket, {"type": "pong"})
            return
        stream.controls.append(message)
        if message["type"] == "gap":
            session.gaps.append(message["samples"])
            session.hear(bytes(2 * message["samples"]))
        if message["type"] == "stop":
            await send(stream.socket, {"type": "stopped", "received": session.received, "finals": 0})

    async def acknowledge(self, stream: Stream) -> None:
        session = stream.session
        if self.answering:
            ack = {"type": "ack", "received": session.received, "committed": session.committed}
            await send(stream.socket, ack)


async def send(socket: web.WebSocketResponse, message: dict) -> None:
    if not socket.closed:
        with contextlib.suppress(ConnectionError):  # the page went away meanwhile
            await socket.send_json(message)
