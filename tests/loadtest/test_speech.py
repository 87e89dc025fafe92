"""Where speech is in a clip."""

import numpy as np
import pytest

from gateway.events import SAMPLE_RATE
from gateway.loadtest.schedule import PROFILES
from gateway.loadtest.speech import bounds, clips, turns, whole_clip
from tests.detection.clips import REFERENCES, clip

CLEAN = [name for name, said in REFERENCES.items() if said["kind"] == "single" and said["snr_db"] is None]


@pytest.mark.parametrize("name", CLEAN)
def test_energy_finds_what_the_references_say(name: str) -> None:
    """On clean clips to 80 ms: a soft last consonant is the difference."""
    found = bounds(clip(name))
    assert found
    segments = REFERENCES[name]["segments"]
    assert abs(found[0] / SAMPLE_RATE - segments[0]["start"]) < 0.08
    assert abs(found[1] / SAMPLE_RATE - segments[-1]["end"]) < 0.08


def test_silence_has_no_speech() -> None:
    """Neither zeros nor nothing at all make a clip."""
    assert bounds(np.zeros(16_000, np.float32)) is None
    assert bounds(np.zeros(10, np.float32)) is None
    assert whole_clip(np.zeros(16_000, np.float32), "hello", "en") is None


@pytest.mark.parametrize("profile", PROFILES)
def test_turns_keep_every_sentence_where_it_is(profile: str) -> None:
    """Cut out, joined with breaths: the sound from start to end of each sentence is the recording's."""
    recording, said = clip("dialog_en.wav"), REFERENCES["dialog_en.wav"]
    segments = [(s["start"], s["end"], s["text"]) for s in said["segments"]]
    made = turns(clips(recording, segments, "en"), PROFILES[profile])
    sentences = [(turn, sentence) for turn in made for sentence in turn.sentences]
    assert [sentence.text for _, sentence in sentences] == [text for _, _, text in segments]
    for (turn, sentence), (start, end, _) in zip(sentences, segments, strict=True):
        sound = np.frombuffer(turn.pcm, "<i2")[sentence.start_samples : sentence.end_samples]
        expected = recording[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] * 32767
        assert np.abs(sound - expected).max() <= 1
    assert len(made) == (11 if profile == "turns" else 2)
