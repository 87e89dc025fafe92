"""core: what a session wants done. Sessions decide, shells perform (the shape of websockets' outboxes)."""

from dataclasses import dataclass

from gateway.connection.messages import Final, Partial, ServerMessage
from gateway.events import Job


@dataclass(frozen=True, slots=True)
class Send:
    """To the speaker, in this order."""

    message: ServerMessage


@dataclass(frozen=True, slots=True)
class Submit:
    """To the shared engine. If it refuses, tell the session (`Session.refuse`)."""

    job: Job


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The answer to this job is no longer wanted."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class Enter:
    """The session speaks for this bed from now on."""

    bed: str


@dataclass(frozen=True, slots=True)
class Presence:
    """The bed's device is there, or has lost its connection and may come back."""

    bed: str
    connected: bool


@dataclass(frozen=True, slots=True)
class Publish:
    """To everybody who watches the bed, now."""

    bed: str
    partial: Partial


@dataclass(frozen=True, slots=True)
class Lost:
    """Audio that the speaker had to drop: shown as a gap, never hidden."""

    utterance: int
    """The last one before it."""
    start: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Record:
    """To the journal, in one transaction; then to everybody who watches the bed. The session is told when
    it is written (`Session.written`), one call for each Record, in their order."""

    bed: str
    caption: Final | Lost | None
    """None: only progress."""
    committed: int
    """The client's samples before which all is final, silence or gap with this record."""
    finals: int
    """Finals so far, this one included."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure for the metrics: audio_s, suppressed, corrected_words, stable_words, error."""

    name: str
    value: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Since:
    """A latency for the metrics (ttfs_s, partial_latency_s), until this effect is performed."""

    name: str
    started_at: float


@dataclass(frozen=True, slots=True)
class Close:
    """The last effect: close the socket with this code, after what was sent before it."""

    code: int
    reason: str


Told = Send | Publish | Record | Measure | Since | Close
Effect = Told | Submit | Withdraw | Enter | Presence
