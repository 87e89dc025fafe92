"""core: the configuration of an OpenAI Realtime session: read, merged, told back, and as our own `start`.

An update changes the fields that it names and no others; null clears one. GA nests them
(`audio.input.format`), the beta does not (`input_audio_format`): either is read on either. Unknown fields are
ignored, because popular clients give up at the first error.
"""

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from gateway.config import Settings
from gateway.connection.messages import Start
from gateway.connection.opening import Refused, open_stream
from gateway.connection.protocols.openai_events import Event, Wrong
from gateway.connection.protocols.openai_turns import (
    MANUAL_ENDPOINTING_MS,
    Asked,
    Number,
    Text,
    Turns,
    turned,
)
from gateway.connection.protocols.wishes import prompt_of
from gateway.events import AudioFormat, ModelInfo
from gateway.transcript.tags import Tongue, read_tag

MAX_BYTES = 1 << 16
"""Of a configuration: it is kept, and told back."""
RATES = (8_000, 48_000)
G711_RATE = 8_000
DEFAULT_AUDIO = AudioFormat("pcm_s16le", 24_000)
ENCODINGS = {
    "pcm_s16le": ("audio/pcm", "pcm16"),
    "mulaw": ("audio/pcmu", "g711_ulaw"),
    "alaw": ("audio/pcma", "g711_alaw"),
}
"""Ours -> GA's name, the beta's."""
INPUT = {
    "format": "input_audio_format",
    "transcription": "input_audio_transcription",
    "noise_reduction": "input_audio_noise_reduction",
    "turn_detection": "turn_detection",
}
"""What GA has under `audio.input` -> its name in the beta."""
REFUSALS = {
    "unknown_language": "transcription.language",
    "too_many_hotwords": "transcription.keywords",
    "prompt_too_long": "transcription.keywords",
    "bad_start": "transcription.keywords",
}
"""Which field a refusal of the `start` is about."""


# --- as clients send it ---


class Format(Struct, frozen=True):
    type: Text = UNSET
    rate: Number = UNSET


class Transcription(Struct, frozen=True):
    """Also as it is in effect: what was never named is not told back."""

    model: Text = UNSET
    language: Text = UNSET
    prompt: Text = UNSET
    languages: list[str] | UnsetType | None = UNSET
    keywords: list[str] | UnsetType | None = UNSET
    delay: Text = UNSET


class NoiseReduction(Struct, frozen=True):
    """Told back, and nothing else."""

    type: Literal["near_field", "far_field"] | UnsetType | None = UNSET
    strength: Number = UNSET


class Input(Struct, frozen=True):
    """What may change; all of it in one shape."""

    format: Format | str | UnsetType | None = UNSET
    transcription: Transcription | UnsetType | None = UNSET
    noise_reduction: NoiseReduction | UnsetType | None = UNSET
    turn_detection: Asked | UnsetType | None = UNSET


class Audio(Struct, frozen=True):
    input: Input | UnsetType | None = UNSET


class Update(Struct, frozen=True):
    """`session`, in either shape."""

    type: Text = UNSET
    include: list[str] | UnsetType | None = UNSET
    audio: Audio | UnsetType | None = UNSET
    input_audio_format: Format | str | UnsetType | None = UNSET
    input_audio_transcription: Transcription | UnsetType | None = UNSET
    input_audio_noise_reduction: NoiseReduction | UnsetType | None = UNSET
    turn_detection: Asked | UnsetType | None = UNSET

    @property
    def flat(self) -> bool:
        return not self.audio

    @property
    def input(self) -> Input:
        if self.audio:
            return self.audio.input or Input()
        return Input(*(getattr(self, name) for name in INPUT.values()))


# --- as it is in effect ---


@dataclass(frozen=True, slots=True)
class Config:
    turns: Turns | None
    """None: the client says where a turn ends."""
    audio: AudioFormat = DEFAULT_AUDIO
    transcription: Transcription | None = None
    noise_reduction: NoiseReduction | None = None
    include: list[str] | None = None

    @property
    def endpointing_ms(self) -> int:
        return self.turns.silence_duration_ms if self.turns else MANUAL_ENDPOINTING_MS

    def start(self, bed: str | None, settings: Settings) -> Start:
        """What our own session is asked for."""
        asked = self.transcription or Transcription()
        tongue = _tongue(asked)
        return Start(
            audio=self.audio,
            language=tongue.language,
            script=tongue.script,
            bed=bed,
            hotwords=asked.keywords or [],
            prompt=prompt_of(asked.prompt or "", settings.server),
            endpointing_ms=self.endpointing_ms,
            pre_roll_ms=self.turns.prefix_padding_ms if self.turns else None,
        )

    def said(self, session_id: str, expires_at: int, flat: bool) -> Event:
        """The session object of GA, or the flat one of the beta. `expires_at`: Unix seconds."""
        about = {"object": "realtime.transcription_session", "id": session_id, "expires_at": expires_at}
        ga, beta = ENCODINGS[self.audio.encoding]
        rate = {"rate": self.audio.sample_rate} if ga == "audio/pcm" else {}
        said = {
            "format": beta if flat else {"type": ga} | rate,
            "transcription": msgspec.to_builtins(self.transcription),
            "noise_reduction": msgspec.to_builtins(self.noise_reduction),
            "turn_detection": self.turns.said() if self.turns else None,
        }
        if flat:
            beta_only = {"modalities": ["text"], "client_secret": None}
            return about | beta_only | {"include": self.include} | {INPUT[k]: v for k, v in said.items()}
        return about | {"type": "transcription", "include": self.include, "audio": {"input": said}}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a configuration must agree with."""

    settings: Settings
    model: ModelInfo
    bed: str | None = None

    def default(self, model: str = "") -> Config:
        """`model`: the name in the address, where clients cannot leave it out."""
        named = Transcription(model=model) if model else None
        return Config(Turns.default(self.settings.detection), transcription=named)

    def merged(self, config: Config, session: bytes) -> Config:
        """An update in JSON over a configuration. Raises Wrong, and then nothing of it counts."""
        update = _read(session)
        if update.type not in (UNSET, None, "transcription", "realtime"):
            raise Wrong("invalid_value", "`session.type`: transcription.", "session.type")
        place = "session." if update.flat else "session.audio.input."
        try:
            new = _merged(config, update, self.settings)
        except Wrong as wrong:
            raise Wrong(wrong.code, wrong.message, place + _named(wrong.param or "", update.flat)) from None
        try:
            open_stream(new.start(self.bed, self.settings), self.settings, self.model)
        except Refused as no:
            name = _named(REFUSALS.get(no.code, "transcription"), update.flat)
            raise Wrong("invalid_value", no.message, place + name) from None
        return new


def _named(path: str, flat: bool) -> str:
    head, dot, rest = path.partition(".")
    return (INPUT[head] if flat else head) + dot + rest


def _read(session: bytes) -> Update:
    if len(session) > MAX_BYTES:
        raise Wrong("invalid_value", f"A session of more than {MAX_BYTES} bytes is not kept.", "session")
    try:
        return msgspec.json.decode(session, type=Update)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise Wrong("invalid_value", f"{what}.", "session" + where.rstrip("`")) from None
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise Wrong("invalid_value", "This cannot be read.", "session") from None


def _merged(old: Config, update: Update, settings: Settings) -> Config:
    asked, new = update.input, old
    if asked.format is not UNSET:
        new = replace(new, audio=_audio(asked.format))
    if asked.transcription is not UNSET:
        new = replace(new, transcription=_over(old.transcription, asked.transcription))
    if asked.noise_reduction is not UNSET:
        new = replace(new, noise_reduction=_over(old.noise_reduction, asked.noise_reduction))
    if update.include is not UNSET:
        new = replace(new, include=update.include)
    if asked.turn_detection is None:
        return replace(new, turns=None)
    if asked.turn_detection is not UNSET:
        try:
            return replace(new, turns=turned(old.turns, asked.turn_detection, settings.detection))
        except Wrong as wrong:
            raise Wrong(wrong.code, wrong.message, f"turn_detection{wrong.param}") from None
    return new


Part = TypeVar("Part", Transcription, NoiseReduction)


def _over(old: Part | None, new: Part | None) -> Part | None:
    """The fields that are there, over the old ones."""
    if old is None or new is None:
        return new
    there = {name: value for name in new.__struct_fields__ if (value := getattr(new, name)) is not UNSET}
    return structs.replace(old, **there)


def _audio(asked: Format | str | None) -> AudioFormat:
    if asked is None:
        return DEFAULT_AUDIO
    form = Format(type=asked) if isinstance(asked, str) else asked
    name = form.type or "audio/pcm"
    encoding = next((ours for ours, theirs in ENCODINGS.items() if name in theirs), None)
    if encoding is None:
        known = ", ".join(ga for ga, _ in ENCODINGS.values())
        raise Wrong("invalid_value", f"The format's type is one of {known}.", "format")
    if encoding != "pcm_s16le":
        return AudioFormat(encoding, G711_RATE)
    rate = form.rate or DEFAULT_AUDIO.sample_rate
    if not RATES[0] <= rate <= RATES[1]:
        raise Wrong("invalid_value", f"`rate`: {RATES[0]} to {RATES[1]} samples per second.", "format")
    return AudioFormat(encoding, round(rate))


def _tongue(asked: Transcription) -> Tongue:
    """The language is detected where several are possible."""
    only = asked.languages[0] if asked.languages and len(asked.languages) == 1 else ""
    return read_tag(asked.language or only)
