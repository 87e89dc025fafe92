"""core: what a viewer is told (docs/protocol.md has the fields)."""

from msgspec import Struct


class Caption(Struct, frozen=True, tag="caption"):
    """A final: numbered 1, 2, 3 ... within its bed and epoch."""

    bed: str
    number: int
    at: float
    speaker: int
    utterance: int
    start: float
    end: float
    text: str
    language: str
    confidence: float
    corrected: bool = False
    suppressed: str | None = None
    gap_s: float = 0.0
    """Above 0: so many seconds of audio were lost here; there is no text."""


class BedPartial(Struct, frozen=True, tag="partial"):
    """Replaced by the next of the same (speaker, utterance), ended by its caption."""

    bed: str
    at: float
    speaker: int
    utterance: int
    revision: int
    stable: str
    tentative: str


class BedState(Struct, frozen=True, tag="bed"):
    bed: str
    state: str
    """online | reconnecting | degraded | offline"""
    since: float


class BedSnapshot(Struct, frozen=True, tag="snapshot"):
    """What a viewer that just came has missed."""

    bed: str
    epoch: str
    state: str
    since: float
    captions: list[Caption]
    partial: BedPartial | None
    recovered: bool
    """False: captions after the number that the viewer named are not kept any more."""


class Heartbeat(Struct, frozen=True, tag="heartbeat"):
    at: float
    demo: bool


class ViewerError(Struct, frozen=True, tag="error"):
    code: str
    message: str
    fatal: bool


class Watch(Struct, frozen=True, tag="watch"):
    """Viewer -> gateway."""

    beds: list[str]
    after: dict[str, int] = {}
    """Bed -> the last caption the viewer has."""
    epoch: str | None = None
    """Of those numbers; when the gateway's is another one, they mean nothing and all is sent."""


ViewerMessage = Caption | BedPartial | BedState | BedSnapshot | Heartbeat | ViewerError
