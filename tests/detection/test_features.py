"""Log-mel equal to faster-whisper's, however the audio came."""

from functools import cache

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detection.features import IncrementalLogMel, mel_filters, settled_frames
from gateway.events import Audio, LogMel
from tests.detection.clips import clip, noises

BANDS = [80, 128]
TOLERANCE = 1e-4


@cache
def reference(bands: int) -> FeatureExtractor:
    return FeatureExtractor(feature_size=bands)


def features(audio: Audio, bands: int) -> LogMel:
    mel = IncrementalLogMel(bands)
    mel.push(audio)
    return mel.snapshot(len(audio))


def assert_equal(ours: LogMel, audio: Audio, bands: int) -> None:
    theirs = reference(bands)(audio)
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float32
    assert ours.flags.c_contiguous
    assert np.abs(ours - theirs).max() < TOLERANCE


@pytest.mark.parametrize("bands", BANDS)
def test_the_filters_are_slaneys(bands: int) -> None:
    """The same triangles as the reference."""
    assert np.abs(mel_filters(bands).T - reference(bands).mel_filters).max() < 1e-8


@pytest.mark.parametrize("bands", BANDS)
@pytest.mark.parametrize("name", ["en_00.wav", "zh_05.wav", "nospeech_hum.wav", "real/LJ001-0006.wav"])
def test_a_recording_at_once(name: str, bands: int) -> None:
    """Pushed whole, it gives the reference's features."""
    audio = clip(name)
    assert_equal(features(audio, bands), audio, bands)


@pytest.mark.parametrize("bands", BANDS)
@pytest.mark.parametrize("name", noises(0.5))
def test_sounds_that_are_no_speech(name: str, bands: int) -> None:
    """Digital silence, full-scale noise and pure tones included."""
    audio = noises(1)[name]
    assert_equal(features(audio, bands), audio, bands)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), bands=st.sampled_from(BANDS))
def test_any_split_and_any_snapshots(data: st.DataObject, bands: int) -> None:
    """Every snapshot on the way equals the reference on the samples so far."""
    speech = clip(data.draw(st.sampled_from(["en_12.wav", "zh_02.wav", "dialog_en.wav"])))
    begin = data.draw(st.integers(0, 10_000))
    mel, end = IncrementalLogMel(bands), begin
    for size in data.draw(st.lists(st.integers(1, 4_000), min_size=1, max_size=10)):
        mel.push(speech[end : end + size])
        end += size
        if data.draw(st.booleans()):
            assert_equal(mel.snapshot(end - begin), speech[begin:end], bands)
    assert_equal(mel.snapshot(end - begin), speech[begin:end], bands)
    assert np.array_equal(mel.audio, speech[begin:end])


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(1, 8_000), bands=st.sampled_from(BANDS))
def test_a_snapshot_may_end_before_the_audio_does(samples: int, bands: int) -> None:
    """The first n samples give what they would give alone, though more is known."""
    speech = clip("en_00.wav")[9_000:17_000]
    mel = IncrementalLogMel(bands)
    mel.push(speech)
    mel.snapshot(len(speech))
    assert_equal(mel.snapshot(samples), speech[:samples], bands)


@pytest.mark.parametrize(
    "samples", [*range(1, 8), 40, 41, 42, 159, 160, 161, 199, 200, 201, 202, 359, 360, 361]
)
def test_very_short_audio(samples: int) -> None:
    """Both reflections may overlap; the reference still has an answer, and so have we."""
    audio = clip("en_00.wav")[12_000 : 12_000 + samples]
    assert_equal(features(audio, 80), audio, 80)
    mel = IncrementalLogMel(80)
    for sample in audio:
        mel.push(np.array([sample]))
    mel.snapshot(samples // 2 + 1)
    assert_equal(mel.snapshot(samples), audio, 80)


def test_thirty_seconds() -> None:
    """The longest window, piece by piece."""
    audio = clip("mono_en.wav")[: 30 * 16_000]
    mel = IncrementalLogMel(80)
    for place in range(0, len(audio), 16_000):
        mel.push(audio[place : place + 16_000])
        mel.snapshot(min(place + 16_000, len(audio)))
    assert_equal(mel.snapshot(len(audio)), audio, 80)


def test_a_snapshot_is_a_copy() -> None:
    """What was handed out does not change when louder audio moves the clamp."""
    mel = IncrementalLogMel(80)
    mel.push(clip("en_00.wav")[:8_000] * np.float32(0.1))
    first = mel.snapshot(8_000)
    kept = first.copy()
    mel.push(noises(1)["white, clipped"])
    second = mel.snapshot(24_000)
    assert np.array_equal(first, kept)
    assert not np.allclose(second[:, : first.shape[1] - 3], first[:, :-3])


def test_only_frames_at_the_end_are_unsettled() -> None:
    """At most two of the frames of a snapshot are computed again by the next one."""
    for samples in range(201, 2_000):
        assert 0 <= samples // 160 + 1 - settled_frames(samples) <= 2
