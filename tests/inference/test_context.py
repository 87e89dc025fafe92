from hypothesis import given
from hypothesis import strategies as st

from gateway.events import Kind
from gateway.inference.context import BUCKETS, EVERY_CONTEXT, FULL_FRAMES, SHORT_MARGIN, ContextRule, bucket

RULES = st.builds(ContextRule, st.booleans(), st.sampled_from(["auto", "short", "full"]))
FRAMES = st.integers(1, FULL_FRAMES)


def test_no_bucket_is_taken_for_features() -> None:
    """An encoder output as long as there are mel bands (80, 128) would be encoded again."""
    assert not {159, 160, 255, 256} & set(BUCKETS)
    assert list(BUCKETS) == sorted(BUCKETS)
    assert BUCKETS[-1] == FULL_FRAMES


@given(FRAMES)
def test_a_bucket_is_the_smallest_that_holds_the_frames(frames: int) -> None:
    size = bucket(frames)
    assert size >= frames
    assert all(other < frames for other in BUCKETS if other < size)


@given(RULES, FRAMES, st.sampled_from(Kind))
def test_the_length_is_a_bucket_that_holds_the_audio(rule: ContextRule, frames: int, kind: Kind) -> None:
    """Nothing is cut, nothing is longer than the model allows."""
    padded = rule.padded_frames(frames, kind)
    assert padded in BUCKETS
    assert padded >= frames


@given(FRAMES)
def test_a_short_context_leaves_room_after_the_audio(frames: int) -> None:
    """The model sees a second of silence where the window has room for it."""
    padded = ContextRule(short_context=True).padded_frames(frames, Kind.PARTIAL)
    assert padded >= min(frames + SHORT_MARGIN, FULL_FRAMES)


@given(FRAMES, st.sampled_from([Kind.FINAL, Kind.EAGER]))
def test_finals_follow_the_setting(frames: int, kind: Kind) -> None:
    """full: always 30 s; short: never more than needed; auto: what the model was made for."""
    assert ContextRule(True, "full").padded_frames(frames, kind) == FULL_FRAMES
    assert ContextRule(False, "auto").padded_frames(frames, kind) == FULL_FRAMES
    assert ContextRule(True, "auto").padded_frames(frames, kind) == bucket(frames + SHORT_MARGIN)
    short = ContextRule(False, "short").padded_frames(frames, kind)
    assert short == ContextRule(False).padded_frames(frames, Kind.PARTIAL)


@given(FRAMES, FRAMES, RULES, st.sampled_from(Kind))
def test_more_audio_never_gets_less_context(a: int, b: int, rule: ContextRule, kind: Kind) -> None:
    low, high = sorted((a, b))
    assert rule.padded_frames(low, kind) <= rule.padded_frames(high, kind)


@given(RULES, FRAMES, st.sampled_from(Kind))
def test_a_warm_up_meets_every_context(rule: ContextRule, frames: int, kind: Kind) -> None:
    """No first speaker pays for the kernels of a length that nobody had before."""
    warmed = {rule.padded_frames(length, kind) for length in EVERY_CONTEXT}
    assert rule.padded_frames(frames, kind) in warmed
