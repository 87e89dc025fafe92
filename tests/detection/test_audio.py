"""Bytes -> 16 kHz mono: every encoding, every rate, every split."""

import struct
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detection.audio import AudioDecoder, AudioError, alaw_table, mulaw_table
from gateway.events import Audio, AudioFormat
from tests.detection.clips import clip, s16

RATES = [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000]


def decode(audio_format: AudioFormat, messages: list[bytes]) -> Audio:
    decoder = AudioDecoder(audio_format)
    return np.concatenate([*(decoder.receive(message) for message in messages), decoder.flush()])


@pytest.mark.parametrize(
    "audio_format",
    [
        AudioFormat("pcm_s24le"),
        AudioFormat(""),
        AudioFormat(sample_rate=7_999),
        AudioFormat(sample_rate=48_001),
        AudioFormat(sample_rate=0),
        AudioFormat(channels=0),
        AudioFormat(channels=3),
        AudioFormat("opus", 44_100),
        AudioFormat("opus", 16_000, 6),
    ],
)
def test_a_format_it_cannot_read_is_refused_by_name(audio_format: AudioFormat) -> None:
    """Nothing is guessed: the error says what to use instead."""
    with pytest.raises(AudioError) as refused:
        AudioDecoder(audio_format)
    assert refused.value.code == "bad_audio_format"
    assert "use" in str(refused.value) or "send" in str(refused.value)


def test_s16_is_scaled_to_one() -> None:
    """-32768 is -1, 32767 just under 1."""
    audio = decode(AudioFormat(), [struct.pack("<4h", -32768, 0, 16384, 32767)])
    assert audio.dtype == np.float32
    assert audio.tolist() == [-1, 0, 0.5, 32767 / 32768]


def test_floats_are_clipped() -> None:
    """Louder than full scale is full scale."""
    assert decode(AudioFormat("pcm_f32le"), [struct.pack("<3f", -7, 0.25, 1.5)]).tolist() == [-1, 0.25, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_float_that_is_no_number_is_refused(bad: float) -> None:
    """One NaN would silence everything after it; the message is not taken, the next one is."""
    decoder = AudioDecoder(AudioFormat("pcm_f32le"))
    with pytest.raises(AudioError) as refused:
        decoder.receive(struct.pack("<2f", 0, bad))
    assert refused.value.code == "not_finite"
    assert decoder.received == 0
    assert decoder.receive(struct.pack("<f", 0.5)).tolist() == [0.5]


@pytest.mark.parametrize(
    ("audio_format", "size"),
    [
        (AudioFormat(), 641),
        (AudioFormat(channels=2), 642),
        (AudioFormat("pcm_f32le"), 642),
        (AudioFormat("pcm_f32le", channels=2), 644),
        (AudioFormat("mulaw", 8_000, 2), 161),
    ],
)
def test_half_a_sample_is_refused(audio_format: AudioFormat, size: int) -> None:
    """A byte too few or too many would turn all later samples into noise."""
    decoder = AudioDecoder(audio_format)
    with pytest.raises(AudioError, match="multiple") as refused:
        decoder.receive(bytes(size))
    assert refused.value.code == "odd_bytes"
    assert decoder.received == 0


def test_an_empty_message_is_no_error() -> None:
    """It is a whole number of samples: none."""
    decoder = AudioDecoder(AudioFormat())
    assert len(decoder.receive(b"")) == 0


def test_stereo_is_mixed_down() -> None:
    """The mean of left and right; positions count samples per channel."""
    decoder = AudioDecoder(AudioFormat(channels=2))
    assert decoder.receive(struct.pack("<4h", 16384, 0, -32768, -32768)).tolist() == [0.25, -1]
    assert decoder.received == 2


def test_g711_tables_hold_the_values_of_the_standard() -> None:
    """ITU-T G.711, tables 1 and 2, scaled to 16 bits: extremes, smallest steps, both zeros of mu-law."""
    mulaw, alaw = (table() * 32768 for table in (mulaw_table, alaw_table))
    assert [mulaw[b] for b in (0x00, 0x80, 0xFF, 0x7F, 0xFE, 0x7E, 0xF0, 0x0F)] == [
        -32124, 32124, 0, 0, 8, -8, 120, -16764,
    ]  # fmt: skip
    assert [alaw[b] for b in (0xD5, 0x55, 0xAA, 0x2A, 0x80, 0x00, 0xD4, 0x54)] == [
        8, -8, 32256, -32256, 5504, -5504, 24, -24,
    ]  # fmt: skip


@pytest.mark.parametrize(("encoding", "codec"), [("mulaw", "pcm_mulaw"), ("alaw", "pcm_alaw")])
def test_g711_agrees_with_another_implementation(encoding: str, codec: str) -> None:
    """All 256 bytes decode as FFmpeg decodes them."""
    reference = av.CodecContext.create(codec, "r")
    reference.layout, reference.sample_rate = "mono", 16_000
    [frame] = reference.decode(av.Packet(bytes(range(256))))
    assert decode(AudioFormat(encoding), [bytes(range(256))]).tolist() == [
        value / 32768 for value in frame.to_ndarray().ravel().tolist()
    ]


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from(RATES),
    channels=st.sampled_from([1, 2]),
    cuts=st.lists(st.integers(0, 3_000), max_size=8),
)
def test_the_split_into_messages_does_not_matter(rate: int, channels: int, cuts: list[int]) -> None:
    """Any split between samples gives the same audio, bit for bit, at every rate."""
    width = 2 * channels
    payload = np.random.default_rng(3).integers(-9000, 9000, 3_000 * channels).astype("<i2").tobytes()
    places = [0, *sorted(cuts), 3_000]
    messages = [payload[a * width : b * width] for a, b in pairwise(places)]
    audio_format = AudioFormat(sample_rate=rate, channels=channels)
    assert np.array_equal(decode(audio_format, messages), decode(audio_format, [payload]))


@pytest.mark.parametrize("rate", RATES)
def test_a_sweep_keeps_its_positions(rate: int) -> None:
    """Resampled audio is where it was: best alignment with the same sweep made at 16 kHz is at 0 +- 2 ms."""
    seconds = 3
    original, wanted = (np.arange(r * seconds) / r for r in (rate, 16_000))
    sweep = [0.5 * np.sin(2 * np.pi * (200 * t + 500 * t**2)) for t in (original, wanted)]
    heard = decode(
        AudioFormat("pcm_f32le", rate),
        [sweep[0][i : i + 441].astype("<f4").tobytes() for i in range(0, len(sweep[0]), 441)],
    )
    assert abs(len(heard) - 16_000 * seconds) <= 1
    for place in range(8_000, 40_000, 4_000):
        window = sweep[1][place : place + 1_600]
        scores = [window @ heard[place + lag : place + lag + 1_600] for lag in range(-64, 65)]
        assert abs(int(np.argmax(scores)) - 64) <= 32


@settings(max_examples=30, deadline=None)
@given(
    rate=st.sampled_from(RATES),
    steps=st.lists(
        st.tuples(st.sampled_from(["receive", "flush", "skip"]), st.integers(0, 2_000)), max_size=15
    ),
)
def test_positions_never_drift(rate: int, steps: list[tuple[str, int]]) -> None:
    """After each flush our position is the client's * 16000 / rate, rounded down, gaps included."""
    decoder, given_samples, sent = AudioDecoder(AudioFormat(sample_rate=rate)), 0, 0
    for step, samples in steps:
        if step == "receive":
            given_samples += len(decoder.receive(bytes(2 * samples)))
        else:
            given_samples += len(decoder.flush())
        if step == "skip":
            given_samples += decoder.skip(samples)
        sent += samples if step != "flush" else 0
        assert decoder.received == sent
        if step != "receive":
            assert given_samples == sent * 16_000 // rate


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le", "mulaw", "alaw"])
@settings(max_examples=50, deadline=None)
@given(payload=st.binary(max_size=600), rate=st.integers(8_000, 48_000))
def test_any_bytes_are_audio_or_an_error(encoding: str, payload: bytes, rate: int) -> None:
    """Nothing but AudioError comes out of a decoder, and nothing beyond full scale."""
    decoder = AudioDecoder(AudioFormat(encoding, rate))
    try:
        audio = decoder.receive(payload)
    except AudioError:
        return
    audio = np.concatenate([audio, decoder.flush()])
    assert audio.dtype == np.float32
    assert np.abs(audio).max(initial=0) <= 1


def test_full_scale_speech_survives_resampling() -> None:
    """48 kHz s16 of a recording gives the recording again."""
    speech = clip("en_00.wav")
    heard = decode(AudioFormat(sample_rate=16_000), [s16(speech)])
    assert np.abs(heard - speech).max() < 1e-4
