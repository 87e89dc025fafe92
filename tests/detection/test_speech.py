"""SpeechDetector: all speech, and nothing that is none."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import DetectionSettings
from gateway.detection.silero import SileroModel, load_silero
from gateway.detection.speech import SpeechDetector
from gateway.events import FRAME_SAMPLES, Audio
from tests.detection.clips import REFERENCES, clip, noises, segments


@pytest.fixture(scope="module")
def silero() -> SileroModel:
    return load_silero()


def flags(audio: Audio, detector: SpeechDetector) -> list[bool]:
    """One per 20 ms."""
    return detector.push(audio[: len(audio) // FRAME_SAMPLES * FRAME_SAMPLES])


def share(audio: Audio, silero: SileroModel | None) -> float:
    return float(np.mean(flags(audio, SpeechDetector(DetectionSettings(), silero))))


@pytest.mark.parametrize("name", [name for name in REFERENCES if name[:3] in {"en_", "zh_"}])
def test_synthetic_speech_is_speech(name: str, silero: SileroModel) -> None:
    """In every clip most of the reference's speech is heard, with Silero too."""
    heard = flags(clip(name), SpeechDetector(DetectionSettings(), silero))
    for start, end in segments(name):
        assert np.mean(heard[int(start * 50) : int(end * 50)]) > 0.6


@pytest.mark.parametrize("gain", [1.0, 0.1, 0.03])
@pytest.mark.parametrize(("name", "least"), [("real/jfk.flac", 0.5), ("real/LJ001-0006.wav", 0.8)])
def test_people_are_heard_from_afar(name: str, least: float, gain: float, silero: SileroModel) -> None:
    """Real voices, also 30 dB fainter: Silero is given them turned up."""
    assert share(clip(name) * np.float32(gain), silero) > least


@pytest.mark.parametrize("name", noises(0.1))
def test_noise_is_not_speech(name: str, silero: SileroModel) -> None:
    """Less than min_speech_ms of it in five seconds, however loud."""
    assert share(noises()[name], silero) < 0.08 / 5


def test_silero_can_be_switched_off(silero: SileroModel) -> None:
    """Then webrtcvad alone decides, and takes a hum for speech."""
    hum = noises()["hum"]
    off = SpeechDetector(DetectionSettings(silero=False), silero)
    assert np.mean(flags(hum, off)) == share(hum, None) > 0.9


def test_a_crackle_does_not_last() -> None:
    """One loud sample is at most 100 ms of speech for webrtcvad alone, which lets it ring on, ..."""
    crackle = np.zeros(FRAME_SAMPLES * 50, np.float32)
    crackle[FRAME_SAMPLES * 25 + 100] = 0.5
    assert sum(flags(crackle, SpeechDetector(DetectionSettings()))) <= 5


def test_silero_does_not_hear_a_crackle(silero: SileroModel) -> None:
    """... and none with Silero."""
    crackle = np.zeros(FRAME_SAMPLES * 50, np.float32)
    crackle[FRAME_SAMPLES * 25 + 100] = 0.5
    assert share(crackle, silero) == 0


def test_a_short_frame_is_judged_too(silero: SileroModel) -> None:
    """At a flush fewer than 320 samples are left; one sample is enough not to raise."""
    detector = SpeechDetector(DetectionSettings(), silero)
    for size in (1, 161, 319):
        assert detector.push(np.zeros(size, np.float32)) == [False]


NOISY = np.concatenate(
    [clip("en_00.wav")[:32_000], noises(1)["hum"], noises(1)["silence"], clip("zh_01.wav")]
)


@settings(max_examples=40, deadline=None)
@given(cuts=st.sets(st.integers(1, len(NOISY) // FRAME_SAMPLES), max_size=12), with_silero=st.booleans())
def test_blocks_are_judged_as_frames(cuts: set[int], with_silero: bool, silero: SileroModel) -> None:
    """However the frames are joined into blocks, each has the same flag."""
    by_frame, by_block = (SpeechDetector(DetectionSettings(silero=with_silero), silero) for _ in range(2))
    places = [FRAME_SAMPLES * n for n in (0, *sorted(cuts))]
    heard = [flag for a, b in pairwise([*places, len(NOISY)]) if a < b for flag in by_block.push(NOISY[a:b])]
    expected = [
        flag
        for at in range(0, len(NOISY), FRAME_SAMPLES)
        for flag in by_frame.push(NOISY[at : at + FRAME_SAMPLES])
    ]
    assert heard == expected


def test_full_scale_does_not_wrap() -> None:
    """+1 and -1 stay what they are as 16 bit: a full-scale square wave is the same either way up."""
    square = np.sign(np.sin(np.arange(16_000) * 0.07)).astype(np.float32)
    up, down = (flags(sign * square, SpeechDetector(DetectionSettings())) for sign in (1, -1))
    assert up == down


def test_reset_forgets(silero: SileroModel) -> None:
    """After a hole the same sound gives the same answers as at the start."""
    speech = clip("en_00.wav")
    detector = SpeechDetector(DetectionSettings(), silero)
    first = flags(speech, detector)
    detector.reset()
    assert flags(speech, detector) == first
