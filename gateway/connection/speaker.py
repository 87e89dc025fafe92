"""shell: a session and the socket that it has at the moment; performs what the session decides."""

import secrets
import time
import traceback
from collections.abc import Callable

import structlog

from gateway.connection.closing import CloseCode
from gateway.connection.effects import (
    Close,
    Effect,
    Enter,
    Measure,
    Presence,
    Publish,
    Record,
    Send,
    Since,
    Submit,
    Withdraw,
)  # fmt: skip
from gateway.connection.messages import Audio, ClientMessage, Notice, ServerMessage, Start
from gateway.connection.opening import Refused
from gateway.connection.ports import Ports, Tap, Voice
from gateway.connection.resuming import Identity, Past
from gateway.connection.session import Session, State
from gateway.events import Hypothesis

log = structlog.get_logger()


class Speaker:
    """Outlives its sockets until the session is closed."""

    def __init__(self, ports: Ports, voice: Voice, principal: str) -> None:
        identity = Identity(secrets.token_hex(16), secrets.token_urlsafe(32), principal)
        self.session = Session(ports.next_speaker(), identity, ports.surroundings(), time.monotonic())
        self._ports = ports
        self._voice: Voice | None = voice
        self.protocol = voice.protocol
        self._tap: Tap | None = None
        ports.admit(self)

    def speaks_through(self, voice: Voice) -> bool:
        """False: another socket has taken the session over."""
        return self._voice is voice

    # --- what its socket tells it ---

    def receive(self, message: ClientMessage) -> None:
        if self._tap and isinstance(message, Audio):
            self._tap.hear(message.payload)
        self._do(lambda: self.session.receive(message, time.monotonic()))

    def receive_mistake(self, code: str, message: str) -> None:
        self._do(lambda: self.session.receive_mistake(code, message, time.monotonic()))

    def fail(self, refused: Refused) -> None:
        self._do(lambda: self.session.fail(refused))

    def attach(self, voice: Voice, after: int) -> None:
        """The client is back; a socket that it still had is fenced off."""
        if self._voice:
            self._voice.close(CloseCode.SUPERSEDED, "continued on another socket")
        self._voice = voice
        self._do(lambda: self.session.attach(after, time.monotonic()))

    def restore(self, identity: Identity, start: Start, past: Past) -> None:
        """Go on where another gateway process stopped."""
        self.session.identity = identity
        self._do(lambda: self.session.receive(start, time.monotonic(), past))

    def give_way(self) -> None:
        """The socket belongs to an older session: this one never began."""
        self._voice = None
        self._do(lambda: self.session.finish(time.monotonic()))

    def lose(self, voice: Voice, clean: bool) -> None:
        """A socket is no more; the session waits for another one, unless the client has said goodbye."""
        if self._voice is voice:
            voice.close(CloseCode.DONE, "")
            self._voice = None
            now = time.monotonic()
            self._do(lambda: self.session.finish(now) if clean else self.session.detach(now))

    # --- what the gateway tells it ---

    def deliver(self, hypothesis: Hypothesis) -> None:
        self._do(lambda: self.session.receive_hypothesis(hypothesis, time.monotonic()))

    def written(self, durable: bool) -> None:
        self._do(lambda: self.session.written(durable, time.monotonic()))

    def tick(self) -> None:
        self._do(lambda: self.session.handle_timeout(time.monotonic()))

    def stretch_partials(self, factor: float | None, notice: Notice) -> None:
        self._do(lambda: self.session.stretch_partials(factor, notice))

    def notify(self, notice: Notice) -> None:
        self._do(lambda: self.session.notify(notice))

    def drain(self) -> None:
        """The gateway stops: give the open utterance its final, then close."""
        self._do(lambda: self.session.finish(time.monotonic(), CloseCode.GOING_AWAY))

    def cut(self, code: CloseCode, reason: str) -> None:
        """Close the socket without waiting for the session."""
        if self._voice:
            self._voice.close(code, reason)

    # --- effects ---

    def _do(self, step: Callable[[], list[Effect]]) -> None:
        """A fault of ours ends this session alone, and says where it is (never with what was said)."""
        try:
            self._perform(step())
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{where.filename}:{where.lineno}"
            log.error("session failed", session=self.session.number, error=type(error).__name__, where=place)
            self.session.state = State.CLOSED
            self.cut(CloseCode.INTERNAL, "internal error")
            self._leave()

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._perform_one(effect)
        if self.session.state is State.CLOSED:
            self._leave()

    def _leave(self) -> None:
        self._ports.dismiss(self)
        if self._tap:
            self._tap.end()
            self._tap = None

    def _perform_one(self, effect: Effect) -> None:
        number, ports = self.session.number, self._ports
        match effect:
            case Send(message):
                self._send(message)
            case Submit(job):
                if not ports.submit(job):
                    self._perform(self.session.refuse(job))
            case Withdraw(utterance, revision):
                ports.withdraw(number, utterance, revision)
            case Enter(bed):
                ports.enter(number, bed)
                self._tap = ports.tap(self.session.identity.name, bed, self.session.start.audio)
            case Presence(bed, connected):
                ports.presence(number, bed, connected)
            case Publish(bed, partial):
                ports.publish(number, bed, partial)
            case Record():
                ports.record(self, effect)
            case Measure(name, value, label):
                ports.measure(name, value, label or self.protocol)
            case Since(name, started_at):
                ports.measure(name, time.monotonic() - started_at, self.protocol)
            case Close(code, reason):
                self.cut(CloseCode(code), reason)

    def _send(self, message: ServerMessage) -> None:
        if self._voice:
            self._voice.say(message)
