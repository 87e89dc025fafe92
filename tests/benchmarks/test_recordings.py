"""What the benchmark streams, and what is said in it when."""

import numpy as np
import pytest

from benchmarks.recordings import BYTES_PER_S, joined, load, looped, silence, spoken
from tests.detection.clips import clip


def test_every_recording_with_words_is_spoken() -> None:
    """Both languages, single sentences, dialogues and monologues; no noise."""
    names = {recording.name for recording in spoken()}
    assert {"en_00.wav", "zh_15.wav", "dialog_zh.wav", "mono_en.wav"} <= names
    assert not any(name.startswith("nospeech") for name in names)
    assert {recording.language for recording in spoken()} == {"en", "zh"}


def test_joined_recordings_keep_their_sentences_in_place() -> None:
    """Behind each other, with a pause after each."""
    parts = [load("en_00.wav"), load("en_01.wav")]
    both = joined(parts, 0.8)
    assert both.seconds == pytest.approx(sum(part.seconds + 0.8 for part in parts))
    offset = parts[0].seconds + 0.8
    assert both.sentences[1].start == pytest.approx(offset + parts[1].sentences[0].start)
    assert both.pcm[round(offset * BYTES_PER_S) :].startswith(parts[1].pcm)
    assert both.text == "I am cold. I don't have a desk in my bedroom."


@pytest.mark.parametrize("phase_s", [0.0, 1.234, 59.0])
def test_a_loop_says_the_right_sentence_at_the_right_time(phase_s: float) -> None:
    """Also across the seam; what is cut by an edge is not counted on."""
    mono = load("mono_en.wav")
    loop = looped(mono, phase_s, 70)
    assert loop.seconds == pytest.approx(70)
    original = clip("mono_en.wav")
    for sentence in loop.sentences:
        assert 0 <= sentence.start < sentence.end <= 70
        source = next(s for s in mono.sentences if s.text == sentence.text)
        heard = np.frombuffer(loop.pcm, "<i2")[round(sentence.start * 16_000) :][:800] / 32768
        said = original[round(source.start * 16_000) :][:800]
        assert np.abs(heard - said).max() < 0.2  # one sample off at most
    assert len(loop.sentences) >= len(mono.sentences)


def test_silence_is_as_long_as_it_says() -> None:
    """In bytes of 16-bit samples."""
    assert len(silence(0.5)) == BYTES_PER_S // 2
