"""Wyoming's framing and audio without a network: any split, any bytes, any width."""

import asyncio
import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.protocols.wyoming_audio import BadAudio, Narrower, Pcm, read_pcm
from gateway.connection.protocols.wyoming_frames import (
    MAX_DATA_BYTES,
    MAX_HEADER_BYTES,
    Event,
    Frames,
    Malformed,
    encode,
)
from tests.wyoming_peer import async_read_event, audio

MAX_PAYLOAD_BYTES = 4096


def packed(
    kind: str, data: dict[str, Any] | None = None, payload: bytes = b"", inline: bool = False
) -> bytes:
    """An event as the wyoming package writes it; `inline`: as older ones did."""
    header: dict[str, Any] = {"type": kind, "version": "1.10.2"}
    block = b""
    if data is not None and inline:
        header["data"] = data
    elif data is not None:
        block = json.dumps(data, ensure_ascii=False).encode()
        header["data_length"] = len(block)
    if payload:
        header["payload_length"] = len(payload)
    return json.dumps(header).encode() + b"\n" + block + payload


def events_of(stream: bytes, size: int = 1 << 20) -> list[Event]:
    frames, found = Frames(MAX_PAYLOAD_BYTES), []
    for i in range(0, len(stream), size):
        frames.push(stream[i : i + size])
        while event := frames.take():
            found.append(event)
    assert not frames.inside
    return found


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
some_events = st.lists(
    st.builds(
        Event, texts, st.dictionaries(texts, texts | st.integers(-(2**53), 2**53)), st.binary(max_size=50)
    ),
    max_size=5,
)


@given(some_events, st.integers(1, 60), st.booleans())
def test_a_stream_is_the_same_events_however_it_is_split(
    events: list[Event], size: int, inline: bool
) -> None:
    """Pieces of any size; data in the header or behind it."""
    stream = b"".join(packed(event.type, event.data, event.payload, inline) for event in events)
    assert events_of(stream, size) == events


def test_the_data_block_overrides_the_header() -> None:
    """Both are read; what only the header has stays."""
    header = b'{"type":"x","data":{"a":1,"b":1},"data_length":7,"payload_length":null,"new":[]}\n'
    assert events_of(header + b'{"b":2}') == [Event("x", {"a": 1, "b": 2}, b"")]


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (b"GET / HTTP/1.1\r\n", "bad_event"),
        (b"\n", "bad_event"),
        (b"\x16\x03\x01\x02\x00\n", "bad_event"),
        (b"[]\n", "bad_event"),
        (b'{"data":{}}\n', "bad_event"),
        (b'{"type":1}\n', "bad_event"),
        (b'{"type":"x","data":[]}\n', "bad_event"),
        (b'{"type":"x","data_length":-1}\n', "bad_event"),
        (b'{"type":"x","payload_length":"1"}\n', "bad_event"),
        (b'{"type":"x","payload_length":1.5}\n', "bad_event"),
        (b'{"type":"x","data_length":2}\n[]', "bad_event"),
        (b'{"type":"x","data_length":2}\n\xff\xff', "bad_event"),
        (b'{"type":' + b"[" * 5000 + b"\n", "bad_event"),
        (b'{"type":"x","payload_length":4097}\n', "too_big"),
        (b'{"type":"x","payload_length":%s}\n' % (b"9" * 5000), "bad_event"),
        (b'{"type":"x","data_length":%d}\n' % (MAX_DATA_BYTES + 1), "too_big"),
        (b"x" * MAX_HEADER_BYTES, "too_big"),
    ],
)  # fmt: skip
def test_what_is_no_wyoming_is_refused_by_name(stream: bytes, code: str) -> None:
    """Also before the bytes that it announces have come."""
    with pytest.raises(Malformed) as caught:
        events_of(stream)
    assert caught.value.code == code
    assert len(caught.value.message) < 300


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_no_bytes_raise_anything_else(pieces: list[bytes]) -> None:
    """Events, or Malformed."""
    frames = Frames(MAX_PAYLOAD_BYTES)
    with contextlib.suppress(Malformed):
        for piece in pieces:
            frames.push(piece)
            while frames.take():
                pass


@given(st.text(max_size=20), st.text(max_size=20))
async def test_what_is_said_is_read_by_the_package(kind: str, text: str) -> None:
    """Any text, lone surrogates replaced; an event without data has no block."""
    reader = asyncio.StreamReader()
    said = encode(kind, {"text": text}) + encode("transcript-stop", {})
    reader.feed_data(said.encode())
    first, second = await async_read_event(reader), await async_read_event(reader)
    assert first is not None
    assert second is not None
    assert (first.type, first.data) == (kind, {"text": text.encode("utf-8", "replace").decode()})
    assert (second.type, second.data) == ("transcript-stop", {})


# --- audio ---


@pytest.mark.parametrize("width", [1, 2, 4])
@given(st.binary(min_size=64, max_size=64))
def test_widths_are_read_as_the_package_reads_them(width: int, payload: bytes) -> None:
    """One byte is unsigned; of four the high two are heard."""
    theirs = audio.AudioChunkConverter(width=2).convert(audio.AudioChunk(16_000, width, 1, payload))
    assert Narrower(Pcm(width=width)).push(payload) == theirs.audio


def test_three_bytes_are_the_high_two() -> None:
    """Which the package cannot convert itself."""
    assert Narrower(Pcm(width=3)).push(bytes([9, 1, 2, 9, 3, 0xFF])) == bytes([1, 2, 3, 0xFF])


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_a_sample_may_be_cut_anywhere(width: int, channels: int) -> None:
    """Byte by byte is the same as at once; at most two channels are left, the first ones."""
    payload = np.random.default_rng(1).bytes(width * channels * 7)
    whole, bytewise = Narrower(Pcm(16_000, width, channels)), Narrower(Pcm(16_000, width, channels))
    heard = whole.push(payload)
    assert b"".join(bytewise.push(payload[i : i + 1]) for i in range(len(payload))) == heard
    assert len(heard) == 7 * 2 * min(channels, 2)
    first = payload[: width * channels][width - 2 : width] if width > 1 else None
    assert first is None or heard[:2] == first
    assert whole.pcm.audio.channels == min(channels, 2)


@pytest.mark.parametrize(
    "data",
    [{"rate": 7999}, {"rate": 48_001}, {"rate": "16000"}, {"rate": 1e4}, {"rate": 10**400}, {"width": 0},
     {"width": 5}, {"channels": 0}, {"channels": 9}, {"channels": True}],
)  # fmt: skip
def test_audio_that_cannot_be_read_is_refused(data: dict[str, Any]) -> None:
    """The text names the field."""
    with pytest.raises(BadAudio, match=next(iter(data))):
        read_pcm(data, Pcm())


def test_a_chunk_need_not_say_what_audio_start_has_said() -> None:
    """Each field on its own; null says nothing."""
    default = Pcm(48_000, 4, 2)
    assert read_pcm({}, default) == default
    assert read_pcm({"rate": None, "width": 2, "timestamp": "x"}, default) == Pcm(48_000, 2, 2)
