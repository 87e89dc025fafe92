"""core: raw Opus packets -> samples, through FFmpeg's libopus decoder alone.

No container and no demuxer touches network data here, and libopus is the reference decoder, fuzzed for
years. The first byte (TOC, RFC 6716 section 3.1) says how long a packet plays, so that a hostile one is
refused before it is decoded.
"""

from typing import Any, cast

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

DECODED_RATE = 48_000
"""Hz: libopus, as FFmpeg drives it, always decodes to this rate."""
MAX_PACKET_SAMPLES = DECODED_RATE * 120 // 1000
"""RFC 6716 allows no packet longer than 120 ms."""
_SILK_SAMPLES = (480, 960, 1920, 2880)
_CELT_SAMPLES = (120, 240, 480, 960)


def packet_samples(packet: bytes) -> int:
    """Samples at 48 kHz that the packet claims to hold; 0 where it breaks RFC 6716 on its first two bytes."""
    if not packet:
        return 0
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame = _SILK_SAMPLES[config & 3]
    elif config < 16:
        frame = _SILK_SAMPLES[config & 1]
    else:
        frame = _CELT_SAMPLES[config & 3]
    if code < 3:
        return frame * (1 if code == 0 else 2)
    return frame * (packet[1] & 63) if len(packet) > 1 else 0


class OpusStream:
    """One decoder and its state. One packet in, its samples out."""

    def __init__(self, channels: int) -> None:
        decoder: Any = av.CodecContext.create("libopus", "r")
        decoder.layout = "mono" if channels == 1 else "stereo"
        decoder.sample_rate = DECODED_RATE
        self._decoder = decoder
        self._channels = channels

    def decode(self, packet: bytes) -> NDArray[np.int16]:
        """The packet's samples at 48 kHz, shape (samples, channels).

        Raises ValueError with the reason when it is no packet of at most 120 ms; the decoder goes on.
        """
        expected = packet_samples(packet)
        if not 0 < expected <= MAX_PACKET_SAMPLES:
            raise ValueError("it is not a raw Opus packet of at most 120 ms")
        try:
            frames = self._decoder.decode(av.Packet(packet))
        except FFmpegError as error:
            raise ValueError(f"libopus refuses it ({error.strerror})") from error
        blocks = [frame.to_ndarray().reshape(-1, self._channels) for frame in frames]
        samples = np.concatenate(blocks) if blocks else np.zeros((0, self._channels), np.int16)
        return cast(NDArray[np.int16], samples[:expected])
