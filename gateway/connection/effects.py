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
class Publish:
    """To everybody who watches the bed."""

    bed: str
    caption: Final | Partial


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure for the metrics: ttfs_s, partial_latency_s, audio_s, suppressed, corrected_words, words."""

    name: str
    value: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Close:
    """The last effect: close the socket with this code, after what was sent before it."""

    code: int
    reason: str


Effect = Send | Submit | Withdraw | Enter | Publish | Measure | Close
