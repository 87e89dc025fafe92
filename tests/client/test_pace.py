"""How fast: live audio never waits, a backlog is spread, the gateway's limit is never met."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client import pace as p
from gateway.client.pace import Bucket, Pace
from gateway.config import ServerSettings
from gateway.connection.allowance import MESSAGE_COST_S, Allowance

CHUNK_S = 0.1


def started(speed: float = 1.0) -> Pace:
    pace = Pace(speed)
    pace.connect()
    pace.begin(0.0, afresh=True)
    return pace


def sent(pace: Pace, begin_s: float, seconds: float) -> float:
    """Send as much as it lets one for so long; seconds of audio."""
    now, total = begin_s, 0.0
    while (now := now + (pace.wait_s(now) or 0.0)) < begin_s + seconds:
        pace.spend(CHUNK_S, now)
        total += CHUNK_S
    return total


def test_nothing_is_sent_before_the_gateway_is_ready() -> None:
    """None: there is nothing to wait for but its answer; also on a later connection."""
    pace = Pace(1.0)
    assert pace.wait_s(0.0) is None
    pace.begin(1.0, afresh=True)
    assert (pace.wait_s(1.0), pace.began_at) == (0.0, 1.0)
    pace.connect()
    assert (pace.wait_s(2.0), pace.began_at) == (None, None)


@pytest.mark.parametrize("speed", [1.0, 3.0])
def test_live_audio_never_waits(speed: float) -> None:
    """At real time, or a speed below CATCH_UP, for hours."""
    pace = started(speed)
    for chunk in range(40_000):
        now = chunk * CHUNK_S / speed
        assert pace.wait_s(now) == 0.0
        pace.spend(CHUNK_S, now)


def test_a_backlog_is_sent_faster_than_real_time_but_not_at_once() -> None:
    """CATCH_UP times real time, after the first second."""
    assert sent(started(), 0.0, 10.0) == pytest.approx(p.AT_ONCE_S + 10 * p.CATCH_UP, abs=2 * CHUNK_S)


def test_a_fast_source_is_slowed_in_the_end() -> None:
    """A file at 16 times real time gets its burst, then what the gateway allows for good."""
    total = sent(started(speed=16.0), 0.0, 60.0)
    assert p.BURST_S < total <= p.BURST_S + 60 * p.SUSTAINED + CHUNK_S


def test_a_resumed_session_keeps_its_account() -> None:
    """The gateway has not forgotten the burst either, unless it is another process."""
    pace = started(speed=16.0)
    sent(pace, 0.0, 30.0)
    pace.connect()
    pace.begin(30.0, afresh=False)
    assert sent(pace, 30.0, 1.0) < 6.0
    pace.connect()
    pace.begin(31.0, afresh=True)
    assert sent(pace, 31.0, 1.0) > 16.0


def test_who_was_too_fast_begins_to_count_again() -> None:
    """The gateway counted otherwise, and a new process of it begins from nothing."""
    pace = started(speed=16.0)
    sent(pace, 0.0, 30.0)
    pace.refused()
    assert pace.wait_s(30.0) is None
    pace.begin(31.0, afresh=False)
    assert sent(pace, 31.0, 1.0) > 16.0


def test_many_gaps_are_as_slow_as_the_gateway_wants_them() -> None:
    """A gap costs as much as a second of audio."""
    pace = started()
    for _ in range(150):
        pace.spend_gap(0.0)
    assert (pace.wait_s(0.0) or 0) > 0


@given(st.lists(st.tuples(st.floats(0.001, 5.0), st.floats(0, 30)), max_size=60), st.floats(1, 16))
def test_the_gateways_limit_is_never_met(todo: list[tuple[float, float]], speed: float) -> None:
    """Whatever the chunks and pauses: its allowance with the default settings is not overdrawn."""
    settings = ServerSettings()
    allowance = Allowance(settings.max_ahead_s, settings.max_audio_rate, 0.0)
    pace, now = started(speed), 0.0
    for chunk_s, pause_s in todo * 3:
        now += pause_s + (pace.wait_s(now) or 0.0)
        pace.spend(chunk_s, now)
        assert allowance.spend(chunk_s + MESSAGE_COST_S, now)


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), max_size=30))
def test_a_bucket_says_exactly_when_it_is_not_empty(todo: list[tuple[float, float]]) -> None:
    """After wait_s, and not before, there is something to spend."""
    bucket, now = Bucket(1.0, 2.0, 0.0), 0.0
    for seconds, later in todo:
        bucket.spend(seconds, now)
        wait_s = bucket.wait_s(now)
        assert wait_s >= 0
        assert bucket.wait_s(now + wait_s) == pytest.approx(0.0, abs=1e-9)
        if wait_s > 1e-6:
            assert bucket.wait_s(now + wait_s / 2) > 0
        now += later
