"""A gateway for the client's tests: a real WebSocket server that does, connection by connection, as scripted."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed

from gateway.connection import messages as m
from gateway.connection.protocols.native import decode_client, encode_server

LIMITS = m.Limits(
    max_message_bytes=1 << 20,
    max_hotwords=100,
    max_prompt_chars=1000,
    idle_timeout_s=60.0,
    max_utterance_ms=28_000,
)
STARTED = m.Started(
    session="s", token="t", resume_from=0, limits=LIMITS, model="demo", device="cpu", languages=("en",), demo=True,
)  # fmt: skip


def started(resume_from: int, session: str = "s") -> m.Started:
    return msgspec.structs.replace(STARTED, resume_from=resume_from, session=session)


@dataclass
class Talk:
    """What one connection has said."""

    link: ServerConnection
    received: int = 0
    """Position in the stream (pcm_s16le mono), gaps included; kept from one connection to the next."""
    start: m.Start = field(default_factory=m.Start)
    audio: list[bytes] = field(default_factory=list)
    controls: list[m.Control] = field(default_factory=list)

    @property
    def payload(self) -> bytes:
        return b"".join(self.audio)

    @property
    def headers(self) -> Headers:
        """Of the request."""
        assert self.link.request is not None
        return self.link.request.headers

    async def say(self, *messages: m.ServerMessage) -> None:
        for message in messages:
            await self.link.send(encode_server(message))

    async def read_start(self) -> m.Start:
        start = decode_client(await self.link.recv())
        assert isinstance(start, m.Start)
        self.start = start
        return start

    async def open(self, resume_from: int | None = None, session: str = "s") -> None:
        """Read `start`, answer `started`: from where the last connection stopped, if it asks for that."""
        resume = (await self.read_start()).resume
        if resume_from is None:
            resume_from = self.received if resume else 0
        self.received = resume_from
        await self.say(started(resume_from, session))

    async def hear(self) -> m.Control | bytes:
        message = await self.link.recv()
        if isinstance(message, bytes):
            self.audio.append(message)
            self.received += len(message) // 2
            return message
        control = decode_client(message)
        self.received += control.samples if isinstance(control, m.Gap) else 0
        self.controls.append(control)
        return control


Script = Callable[[Talk], Coroutine[None, None, None]]


class Scripted:
    """Connection n gets script n; the last script is for all that follow. An int refuses with that HTTP status."""

    def __init__(self, *scripts: Script | int) -> None:
        self._scripts = list(scripts)
        self.talks: list[Talk] = []
        self.opened = asyncio.Event()
        self.url = ""
        self._tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def run(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Scripted"]:
        async with serve(
            self._talk,
            "127.0.0.1",
            0,
            process_request=self._admit,
            subprotocols=["care-voice.v1"],
            close_timeout=1,
            ssl=tls,
        ) as server:
            port = server.sockets[0].getsockname()[1]
            self.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{port}"
            try:
                yield self
            finally:
                for talk in self.talks:
                    talk.link.transport.abort()
                for task in self._tasks:
                    task.cancel()

    def _admit(self, link: ServerConnection, request: Request) -> Response | None:
        if request.path != "/v1/stream":
            return link.respond(HTTPStatus.NOT_FOUND, "no such page\n")
        if isinstance(self._scripts[0], int):
            script = self._scripts[0] if len(self._scripts) == 1 else self._scripts.pop(0)
            return link.respond(HTTPStatus(script), "no\n")
        return None

    async def _talk(self, link: ServerConnection) -> None:
        script = self._scripts[0] if len(self._scripts) == 1 else self._scripts.pop(0)
        talk = Talk(link, self.talks[-1].received if self.talks else 0)
        self.talks.append(talk)
        self.opened.set()
        task = asyncio.create_task(script(talk))
        self._tasks.append(task)
        with contextlib.suppress(ConnectionClosed, asyncio.CancelledError):
            await task


async def proper(talk: Talk) -> None:
    """A well-behaved gateway: acknowledges, commits at once, gives one partial and one final, stops when asked."""
    await talk.open()
    await converse(talk)


async def converse(talk: Talk) -> None:
    """What follows `started`."""
    number = 1 + (talk.start.resume.after if talk.start.resume else 0)
    await talk.say(m.Partial(number, 1, 0.0, 0.1, "hello ", "wor"))
    while not isinstance(heard := await talk.hear(), m.Stop):
        if isinstance(heard, bytes):
            await talk.say(m.Ack(talk.received, talk.received))
        elif isinstance(heard, m.Ping):
            await talk.say(m.Pong(heard.id))
    final = m.Final(number, number, 0.0, 0.5, "hello world", "en", 0.9)
    await talk.say(final, m.Stopped(talk.received, number))


def cut_after(messages: int, committed_messages: int = 0) -> Script:
    """Hears so many audio messages, commits the first of them, then the link is gone without a word."""

    async def script(talk: Talk) -> None:
        await talk.open()
        first = talk.received
        while len(talk.audio) < messages:
            await talk.hear()
        committed = first + sum(len(payload) // 2 for payload in talk.audio[:committed_messages])
        await talk.say(m.Ack(talk.received, committed))
        await asyncio.sleep(0.05)
        talk.link.transport.abort()

    return script


def refuse(code: int, name: str = "nope") -> Script:
    """A fatal error, then the close code."""

    async def script(talk: Talk) -> None:
        await talk.read_start()
        await talk.say(m.Error(name, "you may not", fatal=True))
        await talk.link.close(code, name)

    return script


async def stall(talk: Talk) -> None:
    """Starts, then neither reads nor writes."""
    await talk.open()
    talk.link.transport.pause_reading()
    await asyncio.sleep(3600)
