"""core: what a speaker and the gateway say to each other, whatever the wire protocol.

These are also, field by field, the JSON messages of the native protocol v1 (protocols/native.py); the field
names and units are documented in docs/protocol.md. Times are seconds of the client's own stream; positions
are counts of the client's own samples (per channel) since its first one.
"""

from typing import Annotated

from msgspec import Meta, Struct

from gateway.events import AudioFormat

Id = Annotated[str, Meta(max_length=128)] | int
"""What comes back with the answer. It is kept until then, so it is short."""

# --- speaker -> gateway -------------------------------------------------------------------------------------


class Resume(Struct, frozen=True):
    """Continue a session that lost its socket."""

    session: str
    token: str
    after: int = 0
    """The last final that the client has seen; those after it are sent again."""


class Start(Struct, frozen=True, tag="start"):
    audio: AudioFormat = AudioFormat()
    language: str | None = None
    """None: detect it, and keep it once it is certain."""
    bed: str | None = None
    partials: bool = True
    words: bool = False
    hotwords: list[str] = []
    prompt: str = ""
    script: str | None = None
    """Chinese script: twp (default), tw, hk, cn, off. None: the gateway's setting."""
    task: str = "transcribe"
    endpointing_ms: int | None = None
    pre_roll_ms: int | None = None
    min_speech_ms: int | None = None
    max_utterance_ms: int | None = None
    resume: Resume | None = None


class Configure(Struct, frozen=True):
    """From the next snapshot on everything is as if the session had begun with `start`, its audio and bed
    excepted. Not in the native protocol: others let their clients change their minds."""

    start: Start


class Audio(Struct, frozen=True):
    """A binary message."""

    payload: bytes


class Flush(Struct, frozen=True, tag="flush"):
    id: Id


class Gap(Struct, frozen=True, tag="gap"):
    """The speaker had to drop this many samples."""

    samples: int


class Stop(Struct, frozen=True, tag="stop"):
    pass


class Ping(Struct, frozen=True, tag="ping"):
    id: Id | None = None


Control = Start | Flush | Gap | Stop | Ping
ClientMessage = Control | Configure | Audio


# --- gateway -> speaker -------------------------------------------------------------------------------------


class Limits(Struct, frozen=True):
    max_message_bytes: int
    max_hotwords: int
    max_prompt_chars: int
    idle_timeout_s: float
    max_utterance_ms: int


class Started(Struct, frozen=True, tag="started"):
    session: str
    token: str
    """Secret: whoever has it may continue this session."""
    resume_from: int
    """Position from which audio is wanted: 0 for a new session."""
    limits: Limits
    model: str
    device: str
    languages: tuple[str, ...]
    demo: bool


class Ack(Struct, frozen=True, tag="ack"):
    received: int
    committed: int
    """Everything before it is final: the client may forget that audio."""


class Speech(Struct, frozen=True, tag="speech"):
    state: str
    """started | stopped"""
    at: float


class Partial(Struct, frozen=True, tag="partial", omit_defaults=True):
    utterance: int
    revision: int
    start: float
    end: float
    stable: str
    """Will not change any more; the next partial's stable text begins with it."""
    tentative: str
    """May change. The caption reads stable + tentative."""
    language: str = ""
    """While it is being detected: what it probably is."""


class TimedWord(Struct, frozen=True):
    text: str
    start: float
    end: float
    probability: float


class Final(Struct, frozen=True, tag="final", omit_defaults=True):
    number: int
    utterance: int
    start: float
    end: float
    text: str
    language: str
    confidence: float
    """0..1: the mean probability of a token."""
    corrected: bool = False
    """It changes words that were shown as stable."""
    words: tuple[TimedWord, ...] | None = None
    suppressed: str | None = None
    """The named reason why `text` is empty although something was decoded."""
    cut: bool = False
    """It was as long as one may be: the speech goes on in the next one."""


class Flushed(Struct, frozen=True, tag="flushed"):
    id: str | int


class Notice(Struct, frozen=True, tag="notice"):
    code: str
    detail: str


class Error(Struct, frozen=True, tag="error"):
    code: str
    message: str
    fatal: bool


class Pong(Struct, frozen=True, tag="pong"):
    id: str | int | None = None


class Stopped(Struct, frozen=True, tag="stopped"):
    received: int
    finals: int


ServerMessage = Started | Ack | Speech | Partial | Final | Flushed | Notice | Error | Pong | Stopped
