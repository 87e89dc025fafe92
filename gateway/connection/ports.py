"""core: what connections need from the rest of the gateway; app.py provides it."""

from typing import Any, Protocol

from gateway.config import Settings
from gateway.connection.effects import Measure, Publish
from gateway.connection.messages import Notice
from gateway.connection.session import Session, Surroundings
from gateway.events import Hypothesis, Job
from gateway.ward.hub import Hub


class Member(Protocol):
    """A speaker's connection, as the gateway sees it."""

    session: Session

    def deliver(self, hypothesis: Hypothesis) -> None: ...
    def tick(self) -> None: ...
    def stretch_partials(self, factor: float | None, notice: Notice) -> None: ...
    def notify(self, notice: Notice) -> None: ...
    def drain(self) -> None: ...
    def cut(self) -> None: ...


class Ports(Protocol):
    """The gateway around a connection."""

    settings: Settings
    hub: Hub

    def refusal(self) -> str | None:
        """Why no new speaker is taken now (starting, overloaded, full, draining); None: welcome."""

    def surroundings(self) -> Surroundings: ...
    def admit(self, member: Member) -> None: ...
    def dismiss(self, member: Member) -> None:
        """The session is closed, its last final given."""

    def submit(self, job: Job) -> bool: ...
    def withdraw(self, session: int, utterance: int, revision: int) -> None: ...
    def enter(self, session: int, bed: str) -> None: ...
    def publish(self, session: int, effect: Publish) -> None: ...
    def measure(self, effect: Measure) -> None: ...
    def health(self) -> dict[str, Any]: ...
    def exposition(self) -> bytes:
        """The metrics as Prometheus reads them."""
