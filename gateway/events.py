"""The vocabulary between the stages: frozen, without behaviour that decides anything.

Inside the gateway audio is 16 kHz mono float32 in [-1, 1]; positions are counts of 16 kHz samples since the
first sample of the stream. Only connection/ converts them to the client's own samples or to seconds.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Hz, of all audio inside the gateway."""
HOP_SAMPLES = 160
"""Samples per log-mel frame (10 ms)."""
FRAME_SAMPLES = 320
"""Samples per VAD frame (20 ms)."""

Audio = NDArray[np.float32]
"""(samples,) 16 kHz mono in [-1, 1]."""
LogMel = NDArray[np.float32]
"""(mel bands, frames), normalised as Whisper wants it."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How the binary messages of a stream are to be read."""

    encoding: str = "pcm_s16le"
    """pcm_s16le | pcm_f32le | mulaw | alaw | opus (one raw packet per binary message)."""
    sample_rate: int = 16_000
    """Hz, 8 000 to 48 000."""
    channels: int = 1
    """1, or 2 interleaved: mixed down to mono."""


class Kind(Enum):
    """Why a snapshot is decoded: what is lost if it is not."""

    PARTIAL = "partial"
    """Somebody is speaking; a newer snapshot makes this one worthless."""
    EAGER = "eager"
    """Speech seems over: decoded as a final, thrown away if speech goes on."""
    FINAL = "final"
    """The utterance is over. Never dropped."""
    UPLOAD = "upload"
    """Of an uploaded file: decoded like a FINAL, behind everything live."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """An utterance has begun (its minimum of speech was heard)."""

    utterance: int
    at_samples: int
    """Where the speech begins, pre-roll not included."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An utterance as far as heard, asked to be decoded."""

    utterance: int
    revision: int
    """1, 2, 3 ... within the utterance."""
    kind: Kind
    start_samples: int
    """Position of the first sample of `features` (pre-roll included)."""
    end_samples: int
    speech_samples: int
    """How much of it the VAD called speech."""
    features: LogMel


@dataclass(frozen=True, slots=True)
class EagerVoided:
    """Speech went on after an EAGER snapshot: its hypothesis is only a partial now."""

    utterance: int
    revision: int


@dataclass(frozen=True, slots=True)
class UtteranceEnded:
    """The utterance is closed; the hypothesis of `final_revision` is its final."""

    utterance: int
    start_samples: int
    """Where the speech begins, pre-roll not included."""
    end_samples: int
    """The true end of speech, hangover not included."""
    final_revision: int
    cut: bool = False
    """It was as long as one may be: the speech goes on in the next one."""


Heard = SpeechStarted | Snapshot | EagerVoided | UtteranceEnded
"""What detection tells the session, in the order in which it happened."""


@dataclass(frozen=True, slots=True)
class Job:
    """A snapshot on its way to the engine, with what its session wants of it."""

    session: int
    utterance: int
    revision: int
    kind: Kind
    features: LogMel
    speech_s: float
    """Seconds of speech in it."""
    language: str | None = None
    """None: detect it."""
    task: str = "transcribe"
    """transcribe | translate (into English)."""
    prompt: str = ""
    hotwords: str = ""
    words: bool = False
    """Word times are wanted (finals only)."""
    temperature: float = 0.0
    """Of the first attempt, 0..1; 0: the most probable words."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word, or one character of a script without spaces, with the punctuation and space it carries."""

    text: str
    start_s: float
    """Seconds since the start of the snapshot."""
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The engine's answer to a job; (session, utterance, revision) says which."""

    session: int
    utterance: int
    revision: int
    kind: Kind
    text: str = ""
    language: str = ""
    language_probability: float = 0.0
    """1.0 when the job named the language."""
    average_logprob: float = 0.0
    """Per token, end of text included."""
    no_speech_probability: float = 0.0
    compression_ratio: float = 0.0
    """len(utf-8) / len(zlib of it): above 2.4 it repeats itself."""
    words: tuple[Word, ...] = ()
    failure: str | None = None
    """Named reason why there is no text (decode_failed); never taken for silence."""
    queue_s: float = 0.0
    """Seconds the job waited for its batch."""
    batch_s: float = 0.0
    """Seconds the batch took."""
    batch_size: int = 0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the loaded engine says of itself."""

    name: str
    device: str
    compute_type: str
    mel_bands: int
    languages: tuple[str, ...]
    """Codes such as en, zh."""
    demo: bool
    """The bundled demo model: understands clear synthetic speech only."""
    device_reason: str = ""
    """Why it is that device: `as asked`, or `since ...`."""
