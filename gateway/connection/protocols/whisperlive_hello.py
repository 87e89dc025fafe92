"""core: the hello of a WhisperLive client, as our own `start`. Unknown fields are ignored."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from gateway.connection.messages import Start
from gateway.connection.opening import Refused
from gateway.connection.protocols.codec import Handshake
from gateway.connection.protocols.wishes import fitting, prompt_of
from gateway.events import AudioFormat
from gateway.transcript.tags import read_tag

SAMPLE_RATE = 16_000
ENCODINGS = {"float32": "pcm_f32le", "int16": "pcm_s16le", "uint8": "pcm_s16le"}
"""The last one only after `to_s16`."""
_TO_SIGNED = bytes(byte ^ 0x80 for byte in range(256))


class _Named(Struct):
    uid: Annotated[str, Meta(max_length=128)]


class Hello(_Named):
    """The first frame."""

    language: str | None = None
    task: str | None = None
    send_last_n_segments: int | None = None
    hotwords: str | list[str] | None = None
    initial_prompt: str | None = None
    word_timestamps: bool | None = None
    audio_format: str | None = None


_decoder = msgspec.json.Decoder(Hello, strict=False)


def decode(frame: str | bytes) -> Hello:
    """The first frame. Raises ValueError for whatever is no hello."""
    try:
        return _decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ValueError(str(error)) from None


def start_of(hello: Hello, shake: Handshake) -> Start:
    """What the hello asks for. Raises Refused."""
    encoding = ENCODINGS.get(hello.audio_format or "float32")
    if encoding is None:
        raise Refused("bad_audio_format", f"`audio_format` must be one of: {', '.join(ENCODINGS)}.")
    hotwords = hello.hotwords.split(",") if isinstance(hello.hotwords, str) else hello.hotwords
    tongue, server = read_tag(hello.language), shake.settings.server
    return Start(
        AudioFormat(encoding, SAMPLE_RATE),
        language=tongue.language,
        script=tongue.script,
        bed=shake.bed,
        words=bool(hello.word_timestamps),
        hotwords=fitting(hotwords or [], server),
        prompt=prompt_of(hello.initial_prompt or "", server),
        task=hello.task or "transcribe",
    )


def uid_of(frame: str | bytes) -> str:
    """As far as it can be read: the package shows its user no error without it."""
    try:
        return msgspec.json.decode(frame, type=_Named).uid
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return ""


def to_s16(frame: bytes) -> bytes:
    """Unsigned bytes around 128 as pcm_s16le."""
    pcm = bytearray(2 * len(frame))
    pcm[1::2] = frame.translate(_TO_SIGNED)
    return bytes(pcm)
