"""core: the first bytes of a WAV file or stream -> how its audio is written, and where it begins."""

import struct

from gateway.detection.audio import AudioDecoder, AudioError
from gateway.events import AudioFormat

MAX_HEADER_BYTES = 1 << 14
"""Audio begins within them, whatever else is noted before it."""
EXTENSIBLE = 0xFFFE
ENCODINGS = {(1, 16): "pcm_s16le", (3, 32): "pcm_f32le", (6, 8): "alaw", (7, 8): "mulaw"}
"""(format tag, bits of a sample)"""


class UnreadableAudio(ValueError):
    """It is no WAV file, or not one of a kind that we read."""


class WaveHeader:
    """Collects a header, however it is cut into frames."""

    def __init__(self) -> None:
        self._bytes = b""

    def push(self, payload: bytes) -> tuple[AudioFormat, bytes] | None:
        """The format, and the audio that came so far; None: the header goes on. Raises UnreadableAudio."""
        self._bytes += payload
        return read_wave(self._bytes)


def read_wave(data: bytes) -> tuple[AudioFormat, bytes] | None:
    """Everything behind the header is audio: sizes are 0 or wrong where a file is written while it is spoken.

    Raises UnreadableAudio.
    """
    if not (b"RIFF".startswith(data[:4]) and b"WAVE".startswith(data[8:12])):
        raise UnreadableAudio("neither `encoding` was named nor does the audio begin as a WAV file")
    at, audio = 12, None
    while at + 8 <= min(len(data), MAX_HEADER_BYTES):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if name == b"data" and audio:
            return audio, data[at:]
        if name == b"fmt " and len(data) >= at + min(size, MAX_HEADER_BYTES):
            audio = _read_format(data[at : at + size])
        at += size + size % 2
    if max(at, len(data)) > MAX_HEADER_BYTES:
        raise UnreadableAudio("the WAV file's audio does not begin")
    return None


def _read_format(chunk: bytes) -> AudioFormat:
    if len(chunk) < 16:
        raise UnreadableAudio("the WAV file's format is cut short")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == EXTENSIBLE:
        tag = int.from_bytes(chunk[24:26], "little")
    audio = AudioFormat(ENCODINGS.get((tag, bits), f"{bits}-bit format {tag}"), rate, channels)
    try:
        AudioDecoder(audio)
    except AudioError as error:
        raise UnreadableAudio(str(error)) from error
    return audio
