"""Segmenter: drawn as strings, one character is 100 ms; `#` is speech, `.` is none."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import DetectionSettings
from gateway.detection.features import IncrementalLogMel
from gateway.detection.utterance import Segmenter
from gateway.events import Audio, EagerVoided, Heard, Kind, Snapshot, SpeechStarted, UtteranceEnded

MS = 16
"""Samples per millisecond."""
BASE = DetectionSettings(
    pre_roll_ms=300,
    endpointing_ms=500,
    min_speech_ms=120,
    first_partial_ms=300,
    partial_interval_ms=500,
    eager_ms=160,
)
QUIET_PARTIALS = {"first_partial_ms": 5_000, "partial_interval_ms": 10_000}


def segmenter(**changes: object) -> Segmenter:
    return Segmenter(BASE.model_copy(update=changes), mel_bands=80)


def frames(pattern: str, frame_ms: int = 20) -> list[tuple[Audio, list[bool]]]:
    """Noise, a little louder where it is speech; no two samples alike."""
    per_character = 100 // frame_ms
    rng = np.random.default_rng(1)
    return [
        (
            rng.standard_normal(frame_ms * MS).astype(np.float32) * (0.1 if mark == "#" else 0.01),
            [mark == "#"],
        )
        for mark in pattern
        for _ in range(per_character)
    ]


def line(heard: Heard) -> str:
    """One event in a few characters, times in ms."""
    match heard:
        case SpeechStarted():
            return f"started {heard.utterance} at {heard.at_samples // MS}"
        case Snapshot():
            name = f"{heard.kind.value} {heard.utterance}.{heard.revision}"
            return f"{name} [{heard.start_samples // MS}, {heard.end_samples // MS})"
        case EagerVoided():
            return f"voided {heard.utterance}.{heard.revision}"
        case UtteranceEnded():
            span = f"[{heard.start_samples // MS}, {heard.end_samples // MS})"
            return f"ended {heard.utterance}.{heard.final_revision} {span}"


def hear(pattern: str, flush: bool = False, **changes: object) -> list[str]:
    ears = segmenter(**changes)
    heard = [event for frame, speech in frames(pattern) for event in ears.push(frame, speech)]
    return [line(event) for event in heard + (ears.flush() if flush else [])]


def test_silence_is_nothing() -> None:
    """No speech, no event; a flush changes nothing."""
    assert hear("." * 50, flush=True) == []


def test_an_utterance_from_pre_roll_to_eager_final() -> None:
    """Started, a partial at once, partials at the cadence, one decode in advance, which becomes the final."""
    assert hear("......##########......") == [
        "started 1 at 600",
        "partial 1.1 [300, 900)",
        "partial 1.2 [300, 1400)",
        "eager 1.3 [300, 1760)",
        "ended 1.3 [600, 1600)",
    ]


def test_without_eager_the_final_is_decoded_at_the_end() -> None:
    """eager_ms 0: a FINAL snapshot when the hangover is over, with 200 ms of what follows the speech."""
    assert hear("....####......", eager_ms=0) == [
        "started 1 at 400",
        "partial 1.1 [100, 700)",
        "partial 1.2 [100, 1200)",
        "final 1.3 [100, 1000)",
        "ended 1.3 [400, 800)",
    ]


def test_speech_that_goes_on_voids_the_eager_final() -> None:
    """A pause shorter than the hangover: the decode in advance is a partial now; the next pause has its own."""
    assert hear("...###...###......") == [
        "started 1 at 300",
        "partial 1.1 [0, 600)",
        "eager 1.2 [0, 760)",
        "voided 1.2",
        "partial 1.3 [0, 1260)",
        "eager 1.4 [0, 1360)",
        "ended 1.4 [300, 1200)",
    ]


def test_too_little_speech_is_nothing_at_all() -> None:
    """Below min_speech_ms there is no event and no number."""
    assert hear("....#.........", flush=True) == []
    assert hear("....#.........##......", **QUIET_PARTIALS)[0] == "started 1 at 1400"


def test_speech_counts_over_short_pauses() -> None:
    """The minimum may come in pieces, as long as the hangover does not run out between them."""
    assert hear("....#..#......", **QUIET_PARTIALS)[0] == "started 1 at 400"


def test_pre_roll_begins_with_the_stream() -> None:
    """There is nothing before the first sample."""
    assert hear("#####......", **QUIET_PARTIALS)[1] == "eager 1.1 [0, 660)"


def test_pre_roll_may_be_none() -> None:
    """pre_roll_ms 0: it begins with the first speech."""
    assert hear("....#####......", pre_roll_ms=0, **QUIET_PARTIALS)[1] == "eager 1.1 [400, 1060)"


def test_pre_roll_never_reaches_into_the_last_final() -> None:
    """With a short hangover the next utterance begins where the final before it ended."""
    heard = hear("...###.##...", endpointing_ms=100, **QUIET_PARTIALS)
    assert heard == [
        "started 1 at 300",
        "final 1.1 [0, 700)",
        "ended 1.1 [300, 600)",
        "started 2 at 700",
        "final 2.1 [700, 1000)",
        "ended 2.1 [700, 900)",
    ]


def test_flush_ends_in_the_middle_of_speech() -> None:
    """All that was heard is in the final; what comes next is a new utterance without pre-roll."""
    ears = segmenter(**QUIET_PARTIALS)
    heard = [event for frame, speech in frames("...###") for event in ears.push(frame, speech)]
    heard += ears.flush()
    heard += [event for frame, speech in frames("###") for event in ears.push(frame, speech)]
    heard += ears.flush()
    assert [line(event) for event in heard] == [
        "started 1 at 300",
        "final 1.1 [0, 600)",
        "ended 1.1 [300, 600)",
        "started 2 at 600",
        "final 2.1 [600, 900)",
        "ended 2.1 [600, 900)",
    ]


def test_flush_takes_the_eager_final() -> None:
    """In the hangover, with the decode in advance on its way, a flush needs no other."""
    assert hear("...###..", flush=True, **QUIET_PARTIALS) == [
        "started 1 at 300",
        "eager 1.1 [0, 760)",
        "ended 1.1 [300, 600)",
    ]


def test_a_flush_twice_is_a_flush_once() -> None:
    """There is nothing left to end."""
    ears = segmenter()
    for frame, speech in frames("...###"):
        ears.push(frame, speech)
    assert ears.flush()
    assert ears.flush() == []


def test_a_hole_ends_the_utterance_and_moves_the_position() -> None:
    """Lost samples: positions go on behind them, and pre-roll does not reach across."""
    ears = segmenter(**QUIET_PARTIALS)
    heard = [event for frame, speech in frames("...###") for event in ears.push(frame, speech)]
    heard += ears.skip(1_000 * MS)
    assert ears.decided_samples == ears.position == 1_600 * MS
    heard += [event for frame, speech in frames(".###......") for event in ears.push(frame, speech)]
    assert [line(event) for event in heard] == [
        "started 1 at 300",
        "final 1.1 [0, 600)",
        "ended 1.1 [300, 600)",
        "started 2 at 1700",
        "eager 2.1 [1600, 2160)",
        "ended 2.1 [1700, 2000)",
    ]


def test_a_partial_needs_new_speech() -> None:
    """In a pause of a long hangover nothing is decoded again and again."""
    heard = hear("...####" + "." * 30, endpointing_ms=5_000, eager_ms=0)
    assert [event for event in heard if "partial" in event] == [
        "partial 1.1 [0, 600)",
        "partial 1.2 [0, 1100)",
    ]


@pytest.mark.parametrize(("factor", "partials"), [(1.0, 4), (2.0, 2), (None, 0)])
def test_partials_are_stretched_and_stopped(factor: float | None, partials: int) -> None:
    """Degradation: 2.0 is twice the interval, None is no partials; the final comes all the same."""
    ears = segmenter()
    ears.stretch_partials(factor)
    heard = [event for frame, speech in frames("#" * 20 + "......") for event in ears.push(frame, speech)]
    kinds = [event.kind for event in heard if isinstance(event, Snapshot)]
    assert kinds == [Kind.PARTIAL] * partials + [Kind.EAGER]


def test_an_endless_sound_is_cut_at_its_quietest_place() -> None:
    """The dip at 1.5 s, in the last third before 2 s; the rest is the next utterance, its speech known."""
    ears = segmenter(max_utterance_ms=2_000, **QUIET_PARTIALS)
    heard: list[Heard] = []
    for index, (frame, _) in enumerate(frames("#" * 22)):
        dip = np.float32(0.01 if 70 <= index < 80 else 1)
        heard += ears.push(frame * dip, [True])
    heard += ears.flush()
    final, ended, started = heard[1:4]
    assert isinstance(final, Snapshot)
    assert isinstance(ended, UtteranceEnded)
    assert final.kind is Kind.FINAL
    assert 1_400 * MS < final.end_samples < 1_600 * MS
    assert ended.end_samples == final.end_samples
    assert started == SpeechStarted(2, final.end_samples)
    assert isinstance(heard[4], Snapshot)
    assert (heard[4].start_samples, heard[4].end_samples) == (final.end_samples, 2_200 * MS)


def test_the_rest_of_a_cut_counts_however_short() -> None:
    """Behind the cut the minimum of speech does not apply: it is the tail of known speech."""
    heard = hear(
        "#" * 20 + "......", max_utterance_ms=2_000, min_speech_ms=500, pre_roll_ms=0, **QUIET_PARTIALS
    )
    assert [event.split()[0] for event in heard] == ["started", "final", "ended", "started", "eager", "ended"]


def test_a_cut_in_the_hangover_takes_the_eager_final() -> None:
    """When the maximum comes while all speech is being decoded already, that is the final."""
    heard = hear("#" * 18 + "......", max_utterance_ms=2_000, **QUIET_PARTIALS)
    assert heard == ["started 1 at 0", "eager 1.1 [0, 1960)", "ended 1.1 [0, 1800)"]


def test_silence_for_an_hour_keeps_only_the_pre_roll() -> None:
    """Memory does not grow while nobody speaks."""
    ears = segmenter()
    frame = np.zeros(320, np.float32)
    for _ in range(3_600 * 50):
        ears.push(frame, [False])
    assert ears.decided_samples == (3_600_000 - 300) * MS
    assert len(ears._before) == 300 * MS
    assert ears._before.base is None


@st.composite
def streams(draw: st.DrawFn) -> tuple[DetectionSettings, list[tuple[str, int]]]:
    """Settings, extreme ones too, and runs of speech and silence with flushes and holes between."""
    chosen = DetectionSettings(
        pre_roll_ms=draw(st.sampled_from([0, 50, 300, 2_000])),
        endpointing_ms=draw(st.sampled_from([100, 500, 1_500, 5_000])),
        min_speech_ms=draw(st.sampled_from([20, 120, 2_000])),
        max_utterance_ms=draw(st.sampled_from([2_000, 2_500, 6_000])),
        first_partial_ms=draw(st.sampled_from([100, 300, 2_000])),
        partial_interval_ms=draw(st.sampled_from([100, 500, 2_000])),
        eager_ms=draw(st.sampled_from([0, 20, 160, 600])),
    )
    step = st.tuples(st.sampled_from(["#", "#", ".", ".", "flush", "skip"]), st.integers(1, 60))
    return chosen, draw(st.lists(step, min_size=1, max_size=12))


def play(chosen: DetectionSettings, steps: list[tuple[str, int]]) -> tuple[list[Heard], Audio, list[int]]:
    """-> events, the audio at its positions (holes as zeros), decided_samples after each step."""
    ears = Segmenter(chosen, mel_bands=80)
    rng = np.random.default_rng(2)
    heard: list[Heard] = []
    audio: list[Audio] = []
    decided: list[int] = []
    for what, count in steps:
        if what == "flush":
            heard += ears.flush()
        elif what == "skip":
            heard += ears.skip(count)
            audio.append(np.zeros(count, np.float32))
        for _ in range(count if what in "#." else 0):
            frame = rng.standard_normal(320).astype(np.float32) * np.float32(0.1)
            audio.append(frame)
            heard += ears.push(frame, [what == "#"])
            decided.append(ears.decided_samples)
        decided.append(ears.decided_samples)
    heard += ears.flush()
    return heard, np.concatenate([np.zeros(0, np.float32), *audio]), [*decided, ears.decided_samples]


def finals(heard: list[Heard]) -> list[Snapshot]:
    """The snapshot that each ended utterance names."""
    snapshots = {(s.utterance, s.revision): s for s in heard if isinstance(s, Snapshot)}
    return [snapshots[e.utterance, e.final_revision] for e in heard if isinstance(e, UtteranceEnded)]


@settings(max_examples=150, deadline=None)
@given(streams())
def test_numbers_and_order(stream: tuple[DetectionSettings, list[tuple[str, int]]]) -> None:
    """Utterances and revisions count 1, 2, 3; each begins with SpeechStarted, ends once, and only then the next."""
    heard, _, _ = play(*stream)
    number, revision, is_open, eager = 0, 0, False, 0
    for event in heard:
        if isinstance(event, SpeechStarted):
            assert not is_open
            number, revision, is_open, eager = number + 1, 0, True, 0
        assert is_open
        assert event.utterance == number
        if isinstance(event, Snapshot):
            revision += 1
            assert event.revision == revision
            assert event.features.shape == (80, (event.end_samples - event.start_samples) // 160 + 1)
            assert not eager
            eager = revision if event.kind is Kind.EAGER else 0
        elif isinstance(event, EagerVoided):
            assert event.revision == eager == revision
            eager = 0
        elif isinstance(event, UtteranceEnded):
            assert event.final_revision == revision
            is_open = False
    assert not is_open


@settings(max_examples=150, deadline=None)
@given(streams())
def test_finals_hold_all_speech_once(stream: tuple[DetectionSettings, list[tuple[str, int]]]) -> None:
    """Finals never overlap, hold their own speech, are never longer than the maximum, and are what was said."""
    chosen, steps = stream
    heard, audio, _ = play(chosen, steps)
    last = finals(heard)
    for before, after in pairwise(last):
        assert before.end_samples <= after.start_samples
    ended = [event for event in heard if isinstance(event, UtteranceEnded)]
    for final, end in zip(last, ended, strict=True):
        assert final.start_samples <= end.start_samples < end.end_samples <= final.end_samples
        assert final.end_samples - final.start_samples <= chosen.max_utterance_ms * MS + 320
        assert 0 < final.speech_samples <= end.end_samples - end.start_samples
        mel = IncrementalLogMel(80)
        mel.push(audio[final.start_samples : final.end_samples])
        alone = mel.snapshot(final.end_samples - final.start_samples)
        assert np.abs(alone - final.features).max() < 1e-4


@settings(max_examples=150, deadline=None)
@given(streams())
def test_long_speech_is_in_finals_without_a_gap(
    stream: tuple[DetectionSettings, list[tuple[str, int]]],
) -> None:
    """Every sample of a stretch of speech that is long enough lies in exactly one final."""
    chosen, steps = stream
    heard, audio, _ = play(chosen, steps)
    inside = np.zeros(len(audio), np.int8)
    for final in finals(heard):
        inside[final.start_samples : final.end_samples] += 1
    assert inside.max(initial=0) <= 1
    position = 0
    for what, count in steps:
        samples = {"#": 320 * count, ".": 320 * count, "skip": count, "flush": 0}[what]
        if what == "#" and count * 20 >= chosen.min_speech_ms:
            assert inside[position : position + samples].all()
        position += samples


@settings(max_examples=150, deadline=None)
@given(streams())
def test_what_is_decided_stays_decided(stream: tuple[DetectionSettings, list[tuple[str, int]]]) -> None:
    """decided_samples never decreases, and no later snapshot reaches behind it."""
    chosen, steps = stream
    _, _, decided = play(chosen, steps)
    assert decided == sorted(decided)
    ears = Segmenter(chosen, mel_bands=80)
    for what, count in steps:
        for _ in range(count if what in "#." else 0):
            before = ears.decided_samples
            for event in ears.push(np.zeros(320, np.float32), [what == "#"]):
                if isinstance(event, Snapshot):
                    assert event.start_samples >= before


@settings(max_examples=100, deadline=None)
@given(streams(), st.sampled_from([1, 2, 5, 7, 50, 1_000]))
def test_blocks_are_heard_as_frames(
    stream: tuple[DetectionSettings, list[tuple[str, int]]], most: int
) -> None:
    """However the frames between two flushes or holes are joined: the same events with the same features."""
    chosen, steps = stream
    by_frame, by_block = Segmenter(chosen, 80), Segmenter(chosen, 80)
    rng = np.random.default_rng(4)
    block: list[tuple[Audio, bool]] = []
    expected: list[Heard] = []
    heard: list[Heard] = []

    def push_block() -> None:
        for at in range(0, len(block), most):
            audio, flags = zip(*block[at : at + most], strict=True)
            heard.extend(by_block.push(np.concatenate(audio), list(flags)))
        block.clear()
        assert by_block.decided_samples == by_frame.decided_samples

    for what, count in [*steps, ("flush", 1)]:
        for _ in range(count if what in "#." else 0):
            block.append((rng.standard_normal(320).astype(np.float32) * np.float32(0.1), what == "#"))
            expected += by_frame.push(block[-1][0], [block[-1][1]])
        if what in {"flush", "skip"}:
            push_block()
            expected += by_frame.flush() if what == "flush" else by_frame.skip(count)
            heard += by_block.flush() if what == "flush" else by_block.skip(count)
    assert [line(event) for event in heard] == [line(event) for event in expected]
    for ours, theirs in zip(heard, expected, strict=True):
        if isinstance(ours, Snapshot) and isinstance(theirs, Snapshot):
            assert ours.speech_samples == theirs.speech_samples
            assert np.allclose(ours.features, theirs.features, atol=1e-5)
