"""core: PCM to the binary messages of a stream, in each encoding the gateway reads."""

from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from gateway.client.ring import Chunk
from gateway.events import AudioFormat

ENCODINGS = ("pcm_s16le", "pcm_f32le", "mulaw", "alaw", "opus")
OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
"""Hz that libopus takes."""
OPUS_BIT_RATE = 24_000
G711 = {"mulaw": "pcm_mulaw", "alaw": "pcm_alaw"}

Pcm = NDArray[np.int16]
"""(samples * channels,) interleaved."""


def chunk_samples(format: AudioFormat, chunk_ms: int) -> int:
    """Samples per channel of one message: `chunk_ms`, but an Opus packet has 20 or 60 ms."""
    if format.encoding == "opus":
        chunk_ms = 60 if chunk_ms >= 60 else 20
    return format.sample_rate * chunk_ms // 1000


def encode(blocks: Iterable[bytes], format: AudioFormat, chunk_ms: int) -> Generator[Chunk, None, None]:
    """Interleaved s16le in blocks of any size to messages of one size; the last may be shorter.

    The last Opus packet is padded with silence; an incomplete last sample is dropped.
    """
    samples = chunk_samples(format, chunk_ms)
    encoder = _opus(format, samples) if format.encoding == "opus" else None
    for pcm in _regroup(blocks, samples * format.channels, format.channels):
        if encoder is None:
            yield Chunk(_payload(pcm, format), len(pcm) // format.channels)
        else:
            padded = np.pad(pcm, (0, samples * format.channels - len(pcm)))
            yield from (Chunk(bytes(p), samples) for p in encoder.encode(_frame(padded, format)))
    if encoder is not None:
        yield from (Chunk(bytes(packet), samples) for packet in encoder.encode(None))


def _regroup(blocks: Iterable[bytes], size: int, channels: int) -> Iterator[Pcm]:
    pending = bytearray()
    for block in blocks:
        pending += block
        while len(pending) >= 2 * size:
            yield np.frombuffer(bytes(pending[: 2 * size]), "<i2")
            del pending[: 2 * size]
    whole = len(pending) // (2 * channels) * 2 * channels
    if whole:
        yield np.frombuffer(bytes(pending[:whole]), "<i2")


def _payload(pcm: Pcm, format: AudioFormat) -> bytes:
    match format.encoding:
        case "pcm_s16le":
            return pcm.tobytes()
        case "pcm_f32le":
            return (pcm / np.float32(32_768)).astype("<f4").tobytes()
    codec = av.CodecContext.create(G711[format.encoding], "w")
    _configure(codec, format)
    return b"".join(bytes(packet) for packet in codec.encode(_frame(pcm, format)))


def _opus(format: AudioFormat, samples: int) -> av.AudioCodecContext:
    codec = av.CodecContext.create("libopus", "w")
    _configure(codec, format)
    codec.bit_rate = OPUS_BIT_RATE
    codec.options = {
        "application": "voip",
        "frame_duration": str(samples * 1000 // format.sample_rate),
    }
    return codec


def _configure(codec: av.AudioCodecContext, format: AudioFormat) -> None:
    codec.sample_rate = format.sample_rate
    codec.layout = "mono" if format.channels == 1 else "stereo"
    codec.format = "s16"
    codec.time_base = Fraction(1, format.sample_rate)


def _frame(pcm: Pcm, format: AudioFormat) -> av.AudioFrame:
    layout = "mono" if format.channels == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout=layout)
    frame.sample_rate = format.sample_rate
    return frame
