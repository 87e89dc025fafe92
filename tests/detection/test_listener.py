"""Listener: bytes in, what was heard out, on real audio."""

import struct
from itertools import pairwise

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import DetectionSettings
from gateway.detection.audio import AudioError
from gateway.detection.listener import Listener
from gateway.detection.silero import SileroModel, load_silero
from gateway.events import Audio, AudioFormat, Heard, Kind, Snapshot, SpeechStarted, UtteranceEnded
from tests.detection.clips import REFERENCES, clip, noises, s16, segments

SPEECH = [name for name in REFERENCES if REFERENCES[name]["segments"]]


@pytest.fixture(scope="module")
def silero() -> SileroModel:
    return load_silero()


def listener(
    audio: AudioFormat | None = None, silero: SileroModel | None = None, **changes: object
) -> Listener:
    chosen = DetectionSettings().model_copy(update=changes)
    return Listener(audio or AudioFormat(), chosen, 80, silero)


def hear(ears: Listener, payload: bytes, message: int = 3_200) -> list[Heard]:
    heard = [e for i in range(0, len(payload), message) for e in ears.receive(payload[i : i + message])]
    return heard + ears.flush()


def finals(heard: list[Heard]) -> list[Snapshot]:
    snapshots = {(s.utterance, s.revision): s for s in heard if isinstance(s, Snapshot)}
    return [snapshots[e.utterance, e.final_revision] for e in heard if isinstance(e, UtteranceEnded)]


def missed_s(heard: list[Heard], spans: list[tuple[float, float]]) -> float:
    """Seconds of the spans that lie in no final."""
    inside = np.zeros(80 * 100, bool)
    for final in finals(heard):
        inside[round(final.start_samples / 160) : round(final.end_samples / 160)] = True
    return sum(float((~inside[round(a * 100) : round(b * 100)]).sum()) / 100 for a, b in spans)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPEECH)
def test_every_word_is_in_an_utterance(name: str, silero: SileroModel) -> None:
    """No more than 50 ms of the reference's speech lies outside the finals; no utterance is without speech."""
    heard = hear(listener(silero=silero), s16(clip(name)))
    assert missed_s(heard, segments(name)) <= 0.05
    for ended in (event for event in heard if isinstance(event, UtteranceEnded)):
        start, end = ended.start_samples / 16_000, ended.end_samples / 16_000
        assert any(start < b + 0.3 and end > a - 0.3 for a, b in segments(name))


@pytest.mark.parametrize("gain", [1.0, 0.03])
@pytest.mark.parametrize(
    ("name", "spans"),
    [
        ("real/jfk.flac", [(0.35, 2.2), (3.3, 4.3), (5.4, 7.5), (8.2, 10.5)]),
        ("real/LJ001-0006.wav", [(0.1, 5.5)]),
    ],
)
def test_people_are_found(
    name: str, spans: list[tuple[float, float]], gain: float, silero: SileroModel
) -> None:
    """Every phrase of two real recordings, also 30 dB fainter, is inside an utterance."""
    heard = hear(listener(silero=silero), s16(clip(name) * np.float32(gain)))
    assert missed_s(heard, spans) <= 0.05


@pytest.mark.parametrize(
    "name", [*noises(0.1), "nospeech_hum.wav", "nospeech_silence.wav", "nospeech_white_noise.wav"]
)
def test_nothing_comes_of_noise(name: str, silero: SileroModel) -> None:
    """Silence, noise, hum, clipping, clicks and alarms are no utterance."""
    sound = clip(name) if name.endswith(".wav") else noises(10)[name]
    assert hear(listener(silero=silero), s16(sound)) == []


def test_snapshots_are_what_faster_whisper_would_compute(silero: SileroModel) -> None:
    """Features of every snapshot equal the reference on [start, end) of the stream."""
    audio = clip("en_07.wav")
    pcm = s16(audio)
    decoded: Audio = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    extract = FeatureExtractor(80)
    snapshots = [event for event in hear(listener(silero=silero), pcm) if isinstance(event, Snapshot)]
    assert {snapshot.kind for snapshot in snapshots} >= {Kind.PARTIAL}
    for snapshot in snapshots:
        wanted = extract(decoded[snapshot.start_samples : snapshot.end_samples])
        assert np.abs(wanted - snapshot.features).max() < 1e-4


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 30_000), max_size=30),
    rate=st.sampled_from([16_000, 44_100]),
    with_silero=st.booleans(),
)
def test_the_split_into_messages_does_not_matter(
    cuts: list[int], rate: int, with_silero: bool, silero: SileroModel
) -> None:
    """Any split at samples: the same events at the same places with the same features."""
    payload = s16(clip("en_00.wav")[:30_000])
    whole, split = (
        listener(AudioFormat(sample_rate=rate), silero if with_silero else None) for _ in range(2)
    )
    expected = whole.receive(payload) + whole.flush()
    places = [0, *sorted(cuts), 30_000]
    heard = [event for a, b in pairwise(places) for event in split.receive(payload[2 * a : 2 * b])]
    heard += split.flush()
    assert len(heard) == len(expected)
    assert expected or (with_silero and rate > 16_000)  # which is too high a voice for Silero
    for ours, theirs in zip(heard, expected, strict=True):
        if isinstance(ours, Snapshot) and isinstance(theirs, Snapshot):
            assert np.allclose(ours.features, theirs.features, atol=1e-5)
            ours, theirs = (
                (e.utterance, e.revision, e.kind, e.start_samples, e.end_samples, e.speech_samples)
                for e in (ours, theirs)
            )
        assert ours == theirs


def test_small_messages_cost_no_time_where_it_matters(silero: SileroModel) -> None:
    """20 ms at a time: the final is asked for at the very frame; while speech goes on, partials may be three
    frames late."""
    ears, payload = listener(silero=silero), s16(clip("dialog_en.wav"))
    late = {Kind.PARTIAL: set[int](), Kind.EAGER: set[int](), Kind.FINAL: set[int]()}
    for at in range(0, len(payload), 640):
        for event in ears.receive(payload[at : at + 640]):
            if isinstance(event, Snapshot):
                late[event.kind].add((at // 2 + 320 - event.end_samples) // 320)
    assert max(late[Kind.PARTIAL]) <= 3
    assert late[Kind.EAGER] == {0}


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_other_rates_hear_the_same_at_the_same_time(rate: int, silero: SileroModel) -> None:
    """The same recording from another microphone: utterances within 60 ms of those at 16 kHz."""
    audio = clip("en_04.wav")
    places = np.arange(int(len(audio) * rate / 16_000)) * (16_000 / rate)
    resampled = np.interp(places, np.arange(len(audio)), audio).astype(np.float32)
    spans = []
    for ears, sound in (
        (listener(silero=silero), audio),
        (listener(AudioFormat(sample_rate=rate), silero), resampled),
    ):
        spans.append(
            [
                (e.start_samples, e.end_samples)
                for e in hear(ears, s16(sound))
                if isinstance(e, UtteranceEnded)
            ]
        )
    assert len(spans[0]) == len(spans[1]) == 1
    assert np.abs(np.array(spans[0]) - spans[1]).max() <= 0.06 * 16_000


def test_flush_gives_all_that_was_received() -> None:
    """The rest of a frame and what the resampler holds are in the final: it ends where the client is."""
    for rate in (16_000, 48_000):
        ears = listener(AudioFormat(sample_rate=rate))
        speech = np.repeat(clip("en_01.wav")[:20_123], rate // 16_000)
        heard = ears.receive(s16(speech)) + ears.flush()
        assert isinstance(heard[-1], UtteranceEnded)
        assert finals(heard)[-1].end_samples == 20_123
        assert ears.client_samples(20_123) == ears.received == len(speech)


def test_the_stream_goes_on_after_a_flush() -> None:
    """Positions and numbers go on; nothing is said twice."""
    ears = listener()
    speech = clip("en_01.wav")
    first, second = hear(ears, s16(speech)), hear(ears, s16(speech))
    ended = [event for event in first + second if isinstance(event, UtteranceEnded)]
    assert [event.utterance for event in ended] == [1, 2]
    assert abs(ended[1].start_samples - ended[0].start_samples - len(speech)) < 3_200
    assert ears.received == 2 * len(speech)


def test_a_gap_counts_as_received_and_as_decided() -> None:
    """skip() ends the open utterance; client and 16 kHz positions advance together."""
    ears = listener(AudioFormat(sample_rate=48_000))
    speech = np.repeat(clip("en_01.wav")[:16_000], 3)
    assert any(isinstance(event, SpeechStarted) for event in ears.receive(s16(speech)))
    heard = ears.skip(96_000)
    assert isinstance(heard[-1], UtteranceEnded)
    assert ears.received == 48_000 + 96_000
    assert ears.decided_samples == 48_000
    assert ears.client_samples(ears.decided_samples) == ears.received


def test_bad_bytes_take_nothing_away() -> None:
    """AudioError in the middle: what was heard before stays, what comes after continues it."""
    speech = s16(clip("en_01.wav"))
    undisturbed = hear(listener(), speech)
    ears = listener()
    heard = ears.receive(speech[:20_000])
    with pytest.raises(AudioError):
        ears.receive(b"odd")
    heard += ears.receive(speech[20_000:]) + ears.flush()
    assert [str(event)[:60] for event in heard] == [str(event)[:60] for event in undisturbed]
    assert ears.received == len(speech) // 2


def test_decided_never_passes_an_open_utterance() -> None:
    """Message by message: it never decreases, and everything it passed is silence or ended."""
    ears = listener()
    payload = s16(clip("dialog_en.wav")[: 16_000 * 12])
    decided, open_since = 0, None
    for place in range(0, len(payload), 3_200):
        for event in ears.receive(payload[place : place + 3_200]):
            if isinstance(event, SpeechStarted):
                open_since = event.at_samples
            if isinstance(event, UtteranceEnded):
                open_since = None
                assert ears.decided_samples <= event.end_samples + 16_000
        assert ears.decided_samples >= decided
        decided = ears.decided_samples
        assert open_since is None or decided <= open_since
    assert decided > 16_000 * 9


def test_partials_stop_when_told() -> None:
    """stretch_partials(None): finals only."""
    ears = listener()
    ears.stretch_partials(None)
    heard = hear(ears, s16(clip("en_01.wav")))
    assert {event.kind for event in heard if isinstance(event, Snapshot)} <= {Kind.EAGER, Kind.FINAL}
    assert finals(heard)


def test_a_monologue_without_end_is_cut(silero: SileroModel) -> None:
    """Speech without pauses for 40 s: utterances of at most max_utterance_ms that follow each other exactly."""
    speech = clip("mono_en.wav")
    dense = np.concatenate(
        [speech[round(a * 16_000) : round(b * 16_000)] for a, b in segments("mono_en.wav")]
    )
    last = finals(hear(listener(silero=silero, max_utterance_ms=10_000), s16(dense)))
    assert len(last) >= 4
    for before, after in pairwise(last):
        assert before.end_samples <= after.start_samples
        assert before.end_samples - before.start_samples <= 160_000 + 320
    cut = [after for before, after in pairwise(last) if before.end_samples == after.start_samples]
    assert cut


def test_a_format_it_cannot_read_is_refused() -> None:
    """The decoder's error comes through."""
    with pytest.raises(AudioError, match="encoding"):
        listener(AudioFormat("mp3"))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=4_000).map(lambda b: ("receive", b)),
            st.integers(0, 50_000).map(lambda n: ("skip", n)),
            st.just(("flush", 0)),
        ),
        max_size=12,
    ),
    st.sampled_from(["pcm_s16le", "pcm_f32le", "mulaw", "alaw", "opus"]),
)
def test_no_client_breaks_it(steps: list[tuple[str, object]], encoding: str) -> None:
    """Arbitrary bytes, gaps and flushes: AudioError at most; positions stay consistent."""
    ears = listener(AudioFormat(encoding, 8_000))
    decided = 0
    for step, argument in steps:
        try:
            ears.receive(argument) if step == "receive" else ears.skip(
                argument
            ) if step == "skip" else ears.flush()
        except AudioError:
            continue
        assert decided <= ears.decided_samples
        decided = ears.decided_samples
        assert ears.client_samples(decided) <= ears.received


def test_an_impulse_is_no_utterance(silero: SileroModel) -> None:
    """A single full-scale sample in silence."""
    payload = bytearray(64_000)
    struct.pack_into("<h", payload, 30_000, 32_767)
    assert hear(listener(silero=silero), bytes(payload)) == []
