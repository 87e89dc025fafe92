"""Raw Opus packets: read at their place, hostile ones refused, the stream goes on."""

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detection.audio import AudioDecoder, AudioError
from gateway.detection.opus import packet_samples
from gateway.events import Audio, AudioFormat
from tests.detection.clips import clip


def opus_packets(audio: Audio, packet_ms: int, rate: int = 48_000, channels: int = 1) -> list[bytes]:
    """Encoded by libopus at 24 kbit/s."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.format, encoder.layout = rate, "s16", "mono" if channels == 1 else "stereo"
    encoder.bit_rate, encoder.time_base = 24_000 * channels, Fraction(1, rate)
    encoder.options = {"frame_duration": str(packet_ms)}
    pcm = np.repeat((audio * 32767).astype(np.int16), channels)
    size, packets = rate * packet_ms // 1000 * channels, []
    for place in range(0, len(pcm) - size + 1, size):
        frame = av.AudioFrame.from_ndarray(pcm[None, place : place + size], "s16", encoder.layout.name)
        frame.sample_rate, frame.pts = rate, place // channels
        packets += encoder.encode(frame)
    return [bytes(packet) for packet in packets]


@pytest.mark.parametrize("packet_ms", [20, 60])
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (48_000, 1), (16_000, 2), (8_000, 1)])
def test_opus_packets_sound_like_what_was_encoded(packet_ms: int, rate: int, channels: int) -> None:
    """Speech encoded at 24 kbit/s comes back at its place: its loudness over time is the same."""
    speech = clip("en_00.wav")
    packets = opus_packets(speech, packet_ms, 16_000, channels)
    decoder = AudioDecoder(AudioFormat("opus", rate, channels))
    heard = np.concatenate([*(decoder.receive(packet) for packet in packets), decoder.flush()])
    assert decoder.received == len(packets) * packet_ms * rate // 1000
    assert len(heard) == len(packets) * packet_ms * 16
    loudness = [
        np.log(1e-3 + np.abs(x[: len(heard)][: len(heard) // 320 * 320].reshape(-1, 320)).mean(axis=1))
        for x in (speech, heard)
    ]
    assert np.corrcoef(loudness[0][: len(loudness[1])], loudness[1])[0, 1] > 0.97


@pytest.mark.parametrize(
    ("first_bytes", "samples"),
    [
        (b"", 0),
        (b"\x08", 960),  # SILK 20 ms
        (b"\x18\x00", 2880),  # SILK 60 ms
        (b"\x78\x00", 960),  # hybrid 20 ms
        (b"\xf8", 960),  # CELT 20 ms
        (b"\xe1", 240),  # two CELT frames of 2.5 ms
        (b"\xfb\x06", 5760),  # six CELT frames of 20 ms
        (b"\xfb\x07", 6720),  # 140 ms: too long
        (b"\xfb\x00", 0),  # no frame at all
        (b"\xfb", 0),  # the count is missing
    ],
)
def test_an_opus_packet_says_how_long_it_is(first_bytes: bytes, samples: int) -> None:
    """RFC 6716, section 3.1: configuration, frame count code, frame count byte."""
    assert packet_samples(first_bytes) == samples


@pytest.mark.parametrize("packet", [b"", b"\xfb\x3f" + bytes(200), b"\xfb\x00", b"\xff\xff", b"OggS" * 9])
def test_no_opus_packet_is_an_error_and_the_stream_goes_on(packet: bytes) -> None:
    """Empty, longer than 120 ms, or torn: named, counted as nothing, and the next packet is decoded."""
    decoder = AudioDecoder(AudioFormat("opus"))
    with pytest.raises(AudioError) as refused:
        decoder.receive(packet)
    assert refused.value.code == "bad_opus"
    assert decoder.received == 0
    for good in opus_packets(clip("en_00.wav"), 20, 16_000):
        decoder.receive(good)
    assert decoder.received > 16_000


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4))
def test_hostile_bytes_as_opus_do_no_harm(packets: list[bytes]) -> None:
    """Whatever comes, a packet gives at most 120 ms of finite audio or AudioError."""
    decoder = AudioDecoder(AudioFormat("opus", 16_000))
    total = 0
    for packet in packets:
        try:
            audio = decoder.receive(packet)
        except AudioError:
            continue
        assert np.isfinite(audio).all()
        total += packet_samples(packet) // 3
        assert packet_samples(packet) <= 48_000 * 120 // 1000
    assert decoder.received <= total
