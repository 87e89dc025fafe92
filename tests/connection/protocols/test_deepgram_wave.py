"""WAV headers of files and of streams."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.protocols.deepgram_wave import (
    MAX_HEADER_BYTES,
    UnreadableAudio,
    WaveHeader,
    read_wave,
)
from gateway.events import AudioFormat
from tests.connection.speech import AUDIO

PCM = bytes(range(1, 101))


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    length = len(content) if size is None else size
    return name + length.to_bytes(4, "little") + content + bytes(len(content) % 2)


def wave(
    tag: int = 1, channels: int = 1, rate: int = 16_000, bits: int = 16, before: bytes = b"",
    size: int | None = None, more: bytes = b"",
) -> bytes:  # fmt: skip
    """A file; `more`: behind the 16 bytes of its format, `before`: chunks before its audio."""
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * width, width, bits) + more
    body = b"WAVE" + chunk(b"fmt ", form) + before + chunk(b"data", PCM, size)
    return chunk(b"RIFF", body, size)


@pytest.mark.parametrize(
    ("data", "audio"),
    [
        (wave(), AudioFormat("pcm_s16le", 16_000, 1)),
        (wave(size=0), AudioFormat("pcm_s16le", 16_000, 1)),
        (wave(size=0xFFFFFFFF), AudioFormat("pcm_s16le", 16_000, 1)),
        (wave(3, 2, 48_000, 32), AudioFormat("pcm_f32le", 48_000, 2)),
        (wave(6, 1, 8_000, 8, more=b"\0\0"), AudioFormat("alaw", 8_000, 1)),
        (wave(7, 1, 8_000, 8), AudioFormat("mulaw", 8_000, 1)),
        (wave(0xFFFE, more=struct.pack("<HHIH14s", 22, 16, 4, 1, bytes(14))), AudioFormat()),
        (wave(before=chunk(b"LIST", b"odd")), AudioFormat()),
        (wave(before=chunk(b"JUNK", bytes(4000))), AudioFormat()),
    ],
)
def test_headers(data: bytes, audio: AudioFormat) -> None:
    """Everything behind them is audio, whatever size they claim."""
    assert read_wave(data) == (audio, PCM)


@pytest.mark.parametrize("size", [1, 3, 11, 45])
def test_a_header_cut_into_frames(size: int) -> None:
    """It is read when it is whole; no byte of the audio is lost."""
    data, header = wave(before=chunk(b"LIST", bytes(30))), WaveHeader()
    for start in range(0, len(data), size):
        if found := header.push(data[start : start + size]):
            audio, first = found
            assert audio == AudioFormat()
            assert first + data[start + size :] == PCM
            return
    raise AssertionError("never read")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"OggS", "WAV"),
        (b"RIFX", "WAV"),
        (b"RIFF\0\0\0\0AVI ", "WAV"),
        (wave(bits=24), "24-bit"),
        (wave(0x55), "format 85"),
        (wave(channels=6), "6 channels"),
        (wave(rate=96_000), "96000 Hz"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", b"short"), "cut short"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"LIST", b"", 1 << 30), "does not begin"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", b"", 1 << 30), "does not begin"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"data", bytes(MAX_HEADER_BYTES)), "does not begin"),
        (b"RIFF\0\0\0\0WAVE" + b"none\0\0\0\0" * MAX_HEADER_BYTES, "does not begin"),
    ],
)
def test_what_is_no_such_file(data: bytes, why: str) -> None:
    """It is refused at once, or when it goes on for too long; never collected for ever."""
    with pytest.raises(UnreadableAudio, match=why):
        read_wave(data)


def test_a_real_clip() -> None:
    """As a recorder writes it."""
    data = (AUDIO / "en_00.wav").read_bytes()
    assert read_wave(data) == (AudioFormat(), data[44:])


@given(data=st.binary(max_size=200), begin=st.booleans())
def test_any_bytes_are_read_refused_or_waited_for(data: bytes, begin: bool) -> None:
    """Nothing else is raised."""
    try:
        found = read_wave(b"RIFF\0\0\0\0WAVE" + data if begin else data)
    except UnreadableAudio:
        return
    assert found is None or found[0].channels in {1, 2}
