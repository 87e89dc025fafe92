"""Every encoding carries the audio it was given, in messages of the asked size."""

import math

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.encoding import ENCODINGS, OPUS_RATES, chunk_samples, encode
from gateway.detection.audio import AudioDecoder
from gateway.events import AudioFormat

RATE = 16_000


def tone(seconds: float, channels: int = 1, rate: int = RATE) -> np.ndarray:
    """(samples * channels,) int16: 440 Hz at half level, the same on every channel."""
    times = np.arange(round(seconds * rate)) / rate
    return np.repeat((0.5 * np.sin(2 * np.pi * 440 * times) * 32_767).astype(np.int16), channels)


def decoded(chunks, format: AudioFormat) -> np.ndarray:
    """What the gateway's own decoder hears, (samples,) float32."""
    decoder = AudioDecoder(format)
    heard = [decoder.receive(chunk.payload) for chunk in chunks]
    return np.concatenate([*heard, decoder.flush()])


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_gateway_hears_what_was_said(encoding: str, channels: int) -> None:
    """A tone survives each encoding: G.711 and Opus with their noise, PCM exactly."""
    pcm = tone(1.0, channels)
    format = AudioFormat(encoding, RATE, channels)
    heard = decoded(encode([pcm.tobytes()], format, 100), format)
    assert RATE <= len(heard) <= RATE + 2 * 960
    wanted = pcm[::channels] / 32_768
    if encoding == "opus":  # delayed by the encoder's look-ahead (6.5 ms) and no waveform coder
        spectrum = np.abs(np.fft.rfft(heard[1600:14_400] * np.hanning(12_800)))
        assert np.argmax(spectrum) * RATE / 12_800 == pytest.approx(440, abs=3)
        assert np.std(heard[1600:14_400]) == pytest.approx(np.std(wanted), rel=0.1)
    else:
        tolerance = 0.0 if encoding.startswith("pcm") else 0.02
        assert np.max(np.abs(heard[:RATE] - wanted)) <= tolerance + 1e-6


@pytest.mark.parametrize("rate", OPUS_RATES)
def test_opus_packets_are_plain_and_small(rate: int) -> None:
    """20 or 60 ms each, decodable one by one by libopus, about 24 kbit/s."""
    format = AudioFormat("opus", rate, 1)
    noise = np.random.default_rng(0).normal(0, 3000, rate).astype(np.int16)
    for chunk_ms, packet_ms in [(20, 20), (40, 20), (60, 60), (100, 60)]:
        chunks = list(encode([noise.tobytes()], format, chunk_ms))
        assert {chunk.samples for chunk in chunks} == {rate * packet_ms // 1000}
        bits = 8 * sum(len(chunk.payload) for chunk in chunks)
        assert bits / (len(chunks) * packet_ms / 1000) < 36_000
        decoder = av.CodecContext.create("libopus", "r")
        decoder.sample_rate, decoder.layout = 48_000, "mono"
        frames = [frame for chunk in chunks for frame in decoder.decode(av.Packet(chunk.payload))]
        assert sum(frame.samples for frame in frames) == pytest.approx(
            len(chunks) * packet_ms * 48, abs=48 * packet_ms
        )


@pytest.mark.parametrize(("chunk_ms", "samples"), [(10, 160), (100, 1600), (1000, 16_000)])
def test_pcm_chunks_have_the_asked_length(chunk_ms: int, samples: int) -> None:
    """chunk_ms of samples per channel, whatever the channels."""
    assert chunk_samples(AudioFormat("pcm_s16le", RATE, 2), chunk_ms) == samples


@given(
    st.lists(st.binary(max_size=3000), max_size=8),
    st.sampled_from([1, 2]),
    st.integers(10, 200),
)
def test_no_split_of_the_bytes_matters(blocks: list[bytes], channels: int, chunk_ms: int) -> None:
    """The messages joined are the blocks joined, less an incomplete last sample; each says its own length."""
    format = AudioFormat("pcm_s16le", RATE, channels)
    chunks = list(encode(blocks, format, chunk_ms))
    whole = b"".join(blocks)
    width = 2 * channels
    assert b"".join(chunk.payload for chunk in chunks) == whole[: len(whole) // width * width]
    assert all(len(chunk.payload) == chunk.samples * width for chunk in chunks)
    assert len(chunks) == math.ceil(len(whole) // width / chunk_samples(format, chunk_ms))


@given(st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=400))
def test_loudness_extremes_stay_in_range(samples: list[int]) -> None:
    """Full-scale samples do not wrap around in any encoding the gateway reads sample by sample."""
    pcm = np.array(samples, np.int16)
    for encoding in ("pcm_f32le", "mulaw", "alaw"):
        format = AudioFormat(encoding, RATE, 1)
        heard = decoded(encode([pcm.tobytes()], format, 100), format)
        assert np.max(np.abs(heard - pcm / 32_768)) <= 0.035


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_nothing_makes_nothing(encoding: str) -> None:
    """An empty source is an empty stream."""
    assert sum(len(chunk.payload) for chunk in encode([], AudioFormat(encoding, RATE, 1), 20)) < 200
