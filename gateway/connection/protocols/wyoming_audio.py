"""core: the audio of Wyoming (any width, any channels) -> 16-bit samples of one or two channels."""

from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct

from gateway.detection.audio import MAX_RATE, MIN_RATE
from gateway.events import AudioFormat

MAX_CHANNELS = 8
HEARD_CHANNELS = 2
"""Of more than these, the first ones are heard."""


class BadAudio(Exception):
    """This audio cannot be read; the text says what to send instead."""


class Pcm(Struct, frozen=True):
    """How samples are stored; what audio-start and every audio-chunk say of themselves."""

    rate: int = 16_000
    """Hz."""
    width: int = 2
    """Bytes of a sample: signed little-endian, but unsigned when it is one (as in WAV files)."""
    channels: int = 1
    """Interleaved."""

    @property
    def audio(self) -> AudioFormat:
        """What a session hears of it."""
        return AudioFormat("pcm_s16le", self.rate, min(self.channels, HEARD_CHANNELS))


class _Fields(Struct, frozen=True):
    rate: Annotated[int, Meta(ge=MIN_RATE, le=MAX_RATE)] | None = None
    width: Annotated[int, Meta(ge=1, le=4)] | None = None
    channels: Annotated[int, Meta(ge=1, le=MAX_CHANNELS)] | None = None


def read_pcm(data: dict[str, Any], default: Pcm) -> Pcm:
    """The format that an event's data names; `default` where it names none. Raises BadAudio."""
    try:
        said = msgspec.convert(data, _Fields)
    except (msgspec.ValidationError, ValueError) as error:
        raise BadAudio(f"This audio cannot be read: {str(error)[:200]}.") from None
    return Pcm(
        default.rate if said.rate is None else said.rate,
        default.width if said.width is None else said.width,
        default.channels if said.channels is None else said.channels,
    )


class Narrower:
    """Bytes of a stream -> s16le of what is heard; a sample cut in two waits for its rest."""

    def __init__(self, pcm: Pcm) -> None:
        self.pcm = pcm
        self._rest = b""

    def push(self, payload: bytes) -> bytes:
        """Whole samples of all channels heard, in order."""
        width, channels = self.pcm.width, self.pcm.channels
        payload = self._rest + payload
        whole = len(payload) - len(payload) % (width * channels)
        self._rest = payload[whole:]
        if width == 2 and channels <= HEARD_CHANNELS:
            return payload[:whole]
        samples = np.frombuffer(payload[:whole], np.uint8).reshape(-1, channels, width)[:, :HEARD_CHANNELS]
        if width == 1:
            return ((samples.astype("<i2") - 128) << 8).tobytes()
        if width > 2:
            samples = samples[..., -2:]  # the high bytes come last
        return samples.tobytes()
