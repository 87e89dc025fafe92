"""What is said when, and when it leaves."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.events import SAMPLE_RATE
from gateway.loadtest.schedule import (
    PROFILES,
    audio,
    begin_spread_s,
    due_s,
    plans,
    recital,
    sent_s,
    speech_share,
)
from tests.loadtest.making import load, turn

TURNS = (turn(1.0), turn(1.6), turn(2.2, language="zh", text="我會冷"), turn(1.3, language="zh", text="謝謝"))


@given(st.integers(0, 10_000_000), st.integers(20, 100))
def test_the_schedule_never_drifts(index: int, chunk_ms: int) -> None:
    """However long the run, a chunk is due within a nanosecond of when its last sample is spoken."""
    chunk = chunk_ms * SAMPLE_RATE // 1000
    exact = Fraction((index + 1) * chunk, SAMPLE_RATE)
    assert abs(Fraction(due_s(index, chunk)) - exact) < Fraction(1, 10**9)


@given(st.integers(0, 2_000_000), st.integers(20, 100))
def test_samples_have_left_with_the_chunk_that_holds_the_last_of_them(position: int, chunk_ms: int) -> None:
    """Never before they were spoken, and at most a chunk later."""
    chunk = chunk_ms * SAMPLE_RATE // 1000
    left = sent_s(position, chunk)
    assert 0 <= left - position / SAMPLE_RATE < chunk / SAMPLE_RATE
    assert position == 0 or left == due_s(-(-position // chunk) - 1, chunk)


@given(st.integers(1, 12), st.floats(5, 60), st.sampled_from(list(PROFILES)), st.integers(0, 99))
def test_plans_keep_what_they_promise(streams: int, duration_s: float, profile: str, seed: int) -> None:
    """Turns follow each other with a pause that ends the utterance; all begin in time; the seed decides all."""
    asked = load(streams, duration_s, profile, seed=seed)
    made = plans(asked, TURNS)
    assert made == plans(asked, TURNS)
    assert {plan.language for plan in made} == ({"en", "zh"} if streams > 1 else {"en"})
    for plan in made:
        assert 0 <= plan.begins_s <= begin_spread_s(asked, TURNS) <= duration_s / 4
        assert {TURNS[placed.turn].language for placed in plan.placed} == {plan.language}
        ends = [placed.at + TURNS[placed.turn].samples for placed in plan.placed]
        starts = [placed.at for placed in plan.placed[1:]] + [plan.samples]
        assert all(start - end >= asked.pause_samples for end, start in zip(ends, starts, strict=True))


def test_phases_are_spread() -> None:
    """No two streams begin together, nor in the same place of a chunk."""
    begins = [plan.begins_s for plan in plans(load(50), TURNS)]
    assert len({round(begin, 4) for begin in begins}) > 45
    assert len({int(1000 * begin) % 100 // 10 for begin in begins}) == 10


def test_the_profiles_speak_as_much_as_they_say() -> None:
    """40 % in turns of a few seconds; nearly all of the time in a monologue of long ones."""
    short, long = (turn(2.2),), (turn(15.0),)
    assert 0.38 < speech_share(plans(load(20, 120.0), short), short) < 0.43
    monologue = plans(load(20, 120.0, "monologue"), long)
    assert 0.9 < speech_share(monologue, long) < 1


@given(st.integers(0, 60_000), st.integers(1, 20_000))
def test_audio_is_the_turns_and_zeros_between(start: int, length: int) -> None:
    """Any cut of it equals the same cut of the whole."""
    plan = recital(load(), TURNS, "zh")
    whole = audio(plan, TURNS, 0, plan.samples)
    said = b"".join(TURNS[placed.turn].pcm for placed in plan.placed)
    assert whole.replace(b"\0\0" * load().pause_samples, b"") == said
    stop = min(plan.samples, start + length)
    assert audio(plan, TURNS, start, max(start, stop)) == whole[2 * start : 2 * max(start, stop)]
