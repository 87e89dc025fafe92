"""core: what connections need from the rest of the gateway; app.py provides it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from gateway.config import Settings
from gateway.connection.access import Principal
from gateway.connection.closing import CloseCode
from gateway.connection.effects import Record
from gateway.connection.messages import ClientMessage, Final, Notice, Partial, ServerMessage, Start
from gateway.connection.opening import Refused, Surroundings
from gateway.connection.resuming import Identity, Past
from gateway.connection.session import Session
from gateway.events import AudioFormat, Hypothesis, Job
from gateway.ward.captions import Caption
from gateway.ward.hub import Hub
from gateway.ward.records import CaptionRow, SessionRow


class EngineBusy(Exception):
    """The engine has no room for another job now."""


class Voice(Protocol):
    """What a session says to its client, in the client's protocol, on one connection."""

    @property
    def protocol(self) -> str:
        """native, openai, deepgram ...: a label of the metrics."""

    def say(self, message: ServerMessage) -> None: ...
    def close(self, code: int, reason: str) -> None:
        """Close the connection, after what was said before."""


class Tap(Protocol):
    """Where the audio of a recorded bed goes besides."""

    def hear(self, payload: bytes) -> None: ...
    def end(self) -> None: ...


class Member(Protocol):
    """A speaker, as the gateway sees it."""

    session: Session

    @property
    def protocol(self) -> str:
        """What its client speaks."""

    def deliver(self, hypothesis: Hypothesis) -> None: ...
    def written(self, durable: bool) -> None: ...
    def tick(self) -> None: ...
    def stretch_partials(self, factor: float | None, notice: Notice) -> None: ...
    def notify(self, notice: Notice) -> None: ...
    def drain(self) -> None: ...
    def cut(self, code: CloseCode, reason: str) -> None: ...
    def attach(self, voice: Voice, after: int) -> None: ...
    def speaks_through(self, voice: Voice) -> bool: ...
    def lose(self, voice: Voice, clean: bool) -> None: ...
    def receive(self, message: ClientMessage) -> None: ...
    def receive_mistake(self, code: str, message: str) -> None: ...
    def fail(self, refused: Refused) -> None: ...
    def give_way(self) -> None: ...
    def restore(self, identity: Identity, start: Start, past: Past) -> None: ...


class Admission(Protocol):
    """Ends connections whose principal's time is over (connection/gate.py)."""

    def guard(self, principal: Principal, close: Callable[[int, str], None]) -> AbstractContextManager[None]:
        """While the block runs: `close(code, reason)` may be called, once."""


class Archive(Protocol):
    """What was said (ward/journal.py)."""

    def last_numbers(self) -> dict[str, int]:
        """The last caption of each bed."""

    async def captions(
        self, bed: str, after: int, since: float | None, until: float | None, limit: int
    ) -> list[CaptionRow]:
        """Raises JournalError when the file cannot be read."""


class Certificate(Protocol):
    """What a page may know of TLS (tls.py)."""

    @property
    def self_signed(self) -> bool: ...
    @property
    def ca_pem(self) -> bytes | None: ...
    @property
    def fingerprint(self) -> str: ...


class Ports(Protocol):
    """The gateway around a connection."""

    settings: Settings
    hub: Hub

    @property
    def tls(self) -> Certificate | None: ...
    @property
    def gate(self) -> Admission: ...
    @property
    def journal(self) -> Archive: ...

    def refusal(self) -> str | None:
        """Why nobody is let in now (starting, draining, overloaded, full); None: welcome. A full gateway lets
        in while a session has lost its client, which may be the one at the door."""

    def refusal_of_new(self) -> str | None:
        """Why no new session can begin now (overloaded, full); sessions that are there may be resumed."""

    def surroundings(self) -> Surroundings: ...
    def next_speaker(self) -> int:
        """A number that no speaker had before, in earlier runs of the gateway neither."""

    def admit(self, member: Member) -> None: ...
    def dismiss(self, member: Member) -> None:
        """The session is closed, its last final given."""

    def find(self, session: str) -> Member | None:
        """A session of this process by its name."""

    async def settled(self, session: str) -> None:
        """Wait while a session that was ended gives its last finals: it takes no more audio."""

    def has_expired(self, session: str) -> bool:
        """It was here, and its grace time is over."""

    async def past(self, session: str) -> SessionRow | None:
        """Where a session stands that the journal knows."""

    async def missed(self, row: SessionRow, after: int) -> list[Final]:
        """The finals of that session after number `after`."""

    async def history(self, bed: str, numbers: range) -> list[Caption]:
        """What the journal has of these captions, oldest first."""

    def submit(self, job: Job) -> bool: ...
    def withdraw(self, session: int, utterance: int, revision: int) -> None: ...
    def enter(self, session: int, bed: str) -> None: ...
    def tap(self, session: str, bed: str, audio: AudioFormat) -> Tap | None:
        """None: this bed is not recorded."""

    def presence(self, session: int, bed: str, connected: bool) -> None: ...
    def publish(self, session: int, bed: str, partial: Partial) -> None: ...
    def record(self, member: Member, record: Record) -> None: ...
    def measure(self, name: str, value: float, label: str) -> None:
        """`label`: of a figure of a session, the protocol; of a refusal or an error, its code; of an upload,
        its outcome."""

    async def transcribe(self, job: Job) -> Hypothesis:
        """A job that belongs to no speaker, answered after everything live. Raises EngineBusy."""

    def health(self) -> dict[str, Any]: ...
    def exposition(self) -> bytes:
        """The metrics as Prometheus reads them."""
