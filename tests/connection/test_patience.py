"""Rules of patience: who waits how long for what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ServerSettings
from gateway.connection.patience import (
    DETACHED_FLUSH_S,
    ENDING_NOTICE_S,
    LAST_WORDS_S,
    QUIET_S,
    Patience,
    Verdict,
)

SETTINGS = ServerSettings(start_timeout_s=10, idle_timeout_s=60, resume_grace_s=30)


def test_a_start_is_waited_for() -> None:
    """NO_START after start_timeout_s, whatever else is sent."""
    patience = Patience(SETTINGS, 0)
    patience.hear(5)
    assert patience.verdict(9.9) is None
    assert patience.verdict(10) is Verdict.NO_START


def test_a_started_session_may_be_idle_for_longer() -> None:
    """Each message begins the time anew."""
    patience = Patience(SETTINGS, 0)
    patience.start(0)
    patience.hear(50)
    assert patience.verdict(109) is None
    assert patience.verdict(110) is Verdict.IDLE


def test_a_lost_client_gets_its_grace_time() -> None:
    """First its words so far are given, once; then the session ends."""
    patience = Patience(SETTINGS, 0)
    patience.start(0)
    patience.detach(100)
    assert patience.detached
    assert patience.verdict(100 + DETACHED_FLUSH_S - 0.1) is None
    assert patience.verdict(100 + DETACHED_FLUSH_S) is Verdict.FLUSH
    assert patience.verdict(129) is None
    assert patience.verdict(130) is Verdict.EXPIRED


def test_a_client_that_comes_back_is_waited_for_anew() -> None:
    """Attached, only silence counts again."""
    patience = Patience(SETTINGS, 0)
    patience.start(0)
    patience.detach(100)
    patience.attach(125)
    assert not patience.detached
    assert patience.verdict(184) is None
    assert patience.verdict(185) is Verdict.IDLE
    patience.detach(190)
    assert patience.verdict(193) is Verdict.FLUSH


DAY = ServerSettings(max_session_h=24, idle_timeout_s=1e6)


def test_a_long_session_is_told_and_then_over() -> None:
    """A notice a minute before, once; then OVER, not before its time."""
    patience, day = Patience(DAY, 0), 24 * 3600
    patience.start(0)
    assert patience.verdict(day - ENDING_NOTICE_S - 0.1) is None
    assert patience.verdict(day - ENDING_NOTICE_S) is Verdict.ENDING
    assert patience.verdict(day - 0.1) is None
    assert patience.verdict(day) is Verdict.OVER


def test_a_sentence_may_be_finished() -> None:
    """Nobody is cut off in a word; but nobody talks for ever."""
    patience, day = Patience(DAY, 0), 24 * 3600
    patience.start(0)
    assert patience.verdict(day - 1) is Verdict.ENDING
    assert patience.verdict(day, speaking=True) is None
    assert patience.verdict(day + LAST_WORDS_S - 1, speaking=True) is None
    assert patience.verdict(day + 1, speaking=False) is Verdict.OVER
    assert patience.verdict(day + LAST_WORDS_S, speaking=True) is Verdict.OVER


def test_a_session_that_waits_for_its_client_is_not_over() -> None:
    """The grace time decides; when the client is back, the session's length does again."""
    patience, day = Patience(DAY, 0), 24 * 3600
    patience.start(0)
    patience.detach(day - 5)
    assert patience.verdict(day + 1) is Verdict.FLUSH
    patience.attach(day + 2)
    assert patience.verdict(day + 2) is Verdict.ENDING
    assert patience.verdict(day + 2) is Verdict.OVER


def test_a_client_that_is_lost_may_be_at_the_door_again() -> None:
    """Detached, or silent although it never is; not while it speaks, and not before it has begun."""
    patience = Patience(SETTINGS, 0)
    assert not patience.awaits_client(9)
    patience.start(9)
    assert not patience.awaits_client(9 + QUIET_S)
    assert patience.awaits_client(9.1 + QUIET_S)
    patience.hear(20)
    assert not patience.awaits_client(20)
    patience.detach(20)
    assert patience.awaits_client(20)


@pytest.mark.parametrize("grace_s", [0, 1])
def test_a_short_grace_needs_no_flush(grace_s: float) -> None:
    """Ending the session gives the words as well."""
    patience = Patience(ServerSettings(resume_grace_s=grace_s), 0)
    patience.start(0)
    patience.detach(0)
    assert patience.verdict(grace_s) is Verdict.EXPIRED


@given(st.lists(st.tuples(st.sampled_from(["hear", "detach", "attach"]), st.floats(0, 20)), max_size=30))
def test_nothing_is_due_before_its_deadline(steps: list[tuple[str, float]]) -> None:
    """deadline() is exactly when verdict() begins to answer."""
    patience, now = Patience(SETTINGS, 0), 0.0
    patience.start(0)
    for step, wait in steps:
        now += wait
        getattr(patience, step)(now)
        assert patience.verdict(patience.deadline() - 0.001) is None
