"""core: what the journal keeps. Times are Unix seconds; positions are samples of the client's own stream."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CaptionRow:
    """A caption (ward/captions.py) as it is kept: numbered 1, 2, 3 ... in its bed and epoch."""

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
    """Above 0: not a caption but so many seconds of audio that were lost; the text is empty."""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """What a later process must know to let a client resume its session."""

    name: str
    token_hash: str
    principal: str
    bed: str | None
    encoding: str
    sample_rate: int
    channels: int
    committed: int
    """Everything before this sample is final and kept."""
    finals: int
    """The number of its last final."""
    speaker: int
    updated_at: float


@dataclass(frozen=True, slots=True)
class Entry:
    """What is written in one transaction: a caption and the progress that it is part of, or one of them."""

    caption: CaptionRow | None = None
    session: SessionRow | None = None


@dataclass(frozen=True, slots=True)
class ForgetSession:
    """Nobody resumes it any more."""

    name: str


@dataclass(frozen=True, slots=True)
class Purge:
    """Delete every caption of a bed, now."""

    bed: str


@dataclass(frozen=True, slots=True)
class Check:
    """Somebody could not read the file: look whether it is sound."""


Work = Entry | ForgetSession | Purge | Check


@dataclass(frozen=True, slots=True)
class Written:
    """The journal's answer to an entry."""

    entry: Entry
    durable: bool
    """False: the disk fails. The entry is kept in memory and written when the disk recovers."""


@dataclass(frozen=True, slots=True)
class JournalState:
    """How the journal is."""

    epoch: str
    """Names this run of numbers; another one means that the file was lost."""
    reason: str = ""
    """Why it cannot write: disk_full, locked, io_error, read_only, corrupt, slow ... Empty: it can."""
    backlog: int = 0
    """Entries that wait in memory."""
    lost: int = 0
    """Entries given up since the start, because too many waited or the file cannot take them."""
    set_aside: str = ""
    """Where the last file is that could not be used. It holds captions, and is deleted by no one but you."""

    @property
    def ok(self) -> bool:
        return not self.reason
