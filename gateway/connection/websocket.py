"""shell: one speaker's socket: reads its messages, and finds the session that it begins or continues."""

import asyncio

import structlog
from aiohttp import WSMsgType, web
from msgspec import structs

from gateway.connection.access import Principal
from gateway.connection.admission import check_bed, check_new
from gateway.connection.closing import CloseCode
from gateway.connection.messages import Audio, Partial, Resume, ServerMessage, Start
from gateway.connection.opening import Refused
from gateway.connection.ports import Member, Ports
from gateway.connection.protocols import native
from gateway.connection.resuming import Identity, Past, cannot_resume, check_resume, token_hash
from gateway.connection.session import State
from gateway.connection.speaker import Speaker
from gateway.connection.writing import Writer
from gateway.ward.journal import JournalError

SUBPROTOCOL = "care-voice.v1"
MAX_WAITING_MESSAGES = 1000
"""Messages that wait for a speaker that does not read; partials are dropped before, finals never."""
CLEAN = {1000, 1001}
"""The client closed on purpose: it will not come back for this session."""
SETTLING_S = 15.0
"""For the last final of a session that was ended, before a client may go on after it."""
NOT_NOW = Refused(
    "cannot_resume_now",
    "Where this session stands cannot be told at the moment: keep its audio and try again in a while.",
    CloseCode.OVERLOADED,
)
log = structlog.get_logger()


class NativeVoice:
    """A session's messages as native JSON, on one socket."""

    protocol = "native"

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.close = writer.close

    def say(self, message: ServerMessage) -> None:
        self._writer.put(native.encode_server(message), "partial" if isinstance(message, Partial) else None)


class Connection:
    """One socket. Its speaker is new, or had other sockets before."""

    def __init__(self, voice: NativeVoice, ports: Ports, principal: Principal) -> None:
        self._voice = voice
        self._ports = ports
        self._principal = principal
        self._speaker: Member = Speaker(ports, voice, principal.id)

    @property
    def number(self) -> int:
        return self._speaker.session.number

    async def read(self, socket: web.WebSocketResponse) -> None:
        """Until the peer closes or vanishes, or another socket takes the session over."""
        async for message in socket:
            if not self._speaker.speaks_through(self._voice):
                break
            if message.type is WSMsgType.BINARY:
                self._speaker.receive(Audio(message.data))
            elif message.type is WSMsgType.TEXT:
                await self._read_text(message.data)
        self.lose(clean=socket.close_code in CLEAN)

    def lose(self, clean: bool) -> None:
        """The socket is no more."""
        self._speaker.lose(self._voice, clean)

    async def _read_text(self, text: str) -> None:
        try:
            message = native.decode_client(text)
        except native.ProtocolError as error:
            self._speaker.receive_mistake(error.code, error.message)
            return
        if isinstance(message, Start) and self._speaker.session.state is State.NEW:
            try:
                await self._start(message)
            except Refused as refused:
                self._speaker.fail(refused)
        else:
            self._speaker.receive(message)

    async def _start(self, start: Start) -> None:
        """Raises Refused."""
        if start.resume:
            try:
                await self._resume(start, start.resume)
            except (JournalError, TimeoutError):
                raise NOT_NOW from None
        else:
            check_new(self._ports, self._principal, start.bed)
            self._speaker.receive(start)

    async def _resume(self, start: Start, resume: Resume) -> None:
        """Continue a session of this process, or one that the journal knows.

        Raises Refused, JournalError, TimeoutError.
        """
        async with asyncio.timeout(SETTLING_S):
            await self._ports.settled(resume.session)
        past = None if self._ports.find(resume.session) else await self._past(start, resume)
        # Looked for again: while the journal was read, another socket may have brought the session back.
        if known := self._ports.find(resume.session):
            identity = known.session.identity
            check_resume(resume, self._principal.id, token_hash(identity.token), identity.principal)
            check_bed(self._ports, self._principal, known.session.start.bed)
            if start.audio != known.session.start.audio:
                raise Refused("bad_start", "A session goes on with the `audio` that it began with.")
            self._speaker.give_way()
            self._speaker = known
            known.attach(self._voice, resume.after)
        elif past:
            identity = Identity(resume.session, resume.token, self._principal.id)
            self._speaker.restore(identity, structs.replace(start, bed=past.bed), past)
        else:
            raise cannot_resume(expired=self._ports.has_expired(resume.session))

    async def _past(self, start: Start, resume: Resume) -> Past | None:
        """Where the session stands that another gateway process began. Raises Refused."""
        row = await self._ports.past(resume.session)
        if row is None:
            return None
        check_resume(resume, self._principal.id, row.token_hash, row.principal)
        check_bed(self._ports, self._principal, row.bed)
        if (start.audio.sample_rate, start.audio.channels) != (row.sample_rate, row.channels):
            raise Refused("bad_start", "A session goes on with the `audio` that it began with.")
        missed = await self._ports.missed(row, resume.after)
        return Past(row.committed, row.finals, tuple(missed), row.bed)


async def stream(request: web.Request, ports: Ports, principal: Principal) -> web.StreamResponse:
    """GET /v1/stream: a speaker's WebSocket, from upgrade to close."""
    if reason := ports.refusal():
        return web.json_response({"error": reason}, status=503, headers={"Retry-After": "5"})
    server = ports.settings.server
    most = server.max_message_bytes + 1  # aiohttp refuses a message of exactly so many
    socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,), compress=False, max_msg_size=most, timeout=5)
    writer = Writer(socket, request, MAX_WAITING_MESSAGES, server.send_timeout_s, server.max_unsent_bytes)
    connection = Connection(NativeVoice(writer), ports, principal)
    log.info("speaker connected", session=connection.number)
    try:
        await socket.prepare(request)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.run())
            with ports.gate.guard(principal, writer.close):
                # In a task of its own: each message wakes all coroutines of its task, here none of aiohttp's.
                await tasks.create_task(connection.read(socket))
            writer.close(CloseCode.DONE, "")
    finally:
        connection.lose(clean=False)
        log.info("speaker disconnected", session=connection.number, code=int(socket.close_code or 0))
    return socket
