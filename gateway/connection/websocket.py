"""shell: one speaker's socket. Reads messages, performs the session's effects, writes what it says."""

import asyncio
import secrets
import time

import structlog
from aiohttp import WSMsgType, web

from gateway.connection.closing import CloseCode
from gateway.connection.effects import Close, Effect, Enter, Measure, Publish, Send, Submit, Withdraw
from gateway.connection.messages import Audio, Notice, Partial, ServerMessage
from gateway.connection.ports import Ports
from gateway.connection.protocols import native
from gateway.connection.session import Session, State
from gateway.connection.writing import Writer
from gateway.events import Hypothesis

SUBPROTOCOL = "care-voice.v1"
MAX_WAITING_MESSAGES = 1000
"""Messages that wait for a speaker that does not read; partials are dropped before, finals never."""
log = structlog.get_logger()


class Speaker:
    """A session and its socket; outlives the socket until the last final is given."""

    def __init__(self, number: int, ports: Ports, writer: Writer) -> None:
        self.session = Session(number, secrets.token_hex(16), ports.surroundings(), time.monotonic())
        self._ports = ports
        self._writer = writer
        ports.admit(self)

    # --- what the gateway tells it ---

    def deliver(self, hypothesis: Hypothesis) -> None:
        self.perform(self.session.receive_hypothesis(hypothesis, time.monotonic()))

    def tick(self) -> None:
        self.perform(self.session.handle_timeout(time.monotonic()))

    def stretch_partials(self, factor: float | None, notice: Notice) -> None:
        self.perform(self.session.stretch_partials(factor, notice))

    def notify(self, notice: Notice) -> None:
        self.perform(self.session.notify(notice))

    def drain(self) -> None:
        """The gateway stops: give the open utterance its final, then close."""
        self.perform(self.session.finish(time.monotonic(), CloseCode.GOING_AWAY))

    def cut(self) -> None:
        """The grace time is over."""
        self._writer.close(CloseCode.GOING_AWAY, "the gateway stops")

    # --- what its socket tells it ---

    async def read(self, socket: web.WebSocketResponse) -> None:
        """Until the peer closes or vanishes."""
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                self.perform(self.session.receive(Audio(message.data), time.monotonic()))
            elif message.type is WSMsgType.TEXT:
                self._read_text(message.data)
        self.perform(self.session.finish(time.monotonic()))
        self._writer.close(CloseCode.DONE, "")

    def _read_text(self, text: str) -> None:
        now = time.monotonic()
        try:
            message = native.decode_client(text)
        except native.ProtocolError as error:
            self.perform(self.session.receive_mistake(error.code, error.message, now))
        else:
            self.perform(self.session.receive(message, now))

    # --- effects ---

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._perform_one(effect)
        if self.session.state is State.CLOSED:
            self._ports.dismiss(self)

    def _perform_one(self, effect: Effect) -> None:
        number = self.session.number
        match effect:
            case Send(message):
                self._send(message)
            case Submit(job):
                if not self._ports.submit(job):
                    self.perform(self.session.refuse(job))
            case Withdraw(utterance, revision):
                self._ports.withdraw(number, utterance, revision)
            case Enter(bed):
                self._ports.enter(number, bed)
            case Publish():
                self._ports.publish(number, effect)
            case Measure():
                self._ports.measure(effect)
            case Close(code, reason):
                self._writer.close(code, reason)

    def _send(self, message: ServerMessage) -> None:
        self._writer.put(native.encode_server(message), "partial" if isinstance(message, Partial) else None)


async def stream(request: web.Request, ports: Ports, number: int) -> web.StreamResponse:
    """GET /v1/stream: a speaker's WebSocket, from upgrade to close."""
    if reason := ports.refusal():
        return web.json_response({"error": reason}, status=503, headers={"Retry-After": "5"})
    server = ports.settings.server
    socket = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,), compress=False, max_msg_size=server.max_message_bytes, timeout=5
    )
    writer = Writer(socket, request, MAX_WAITING_MESSAGES, server.send_timeout_s)
    speaker = Speaker(number, ports, writer)
    log.info("speaker connected", session=number)
    try:
        await socket.prepare(request)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.run())
            await speaker.read(socket)
    finally:
        speaker.perform(speaker.session.finish(time.monotonic()))
        log.info("speaker disconnected", session=number, code=socket.close_code)
    return socket
