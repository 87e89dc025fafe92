"""Rules of patience: who waits how long for what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ServerSettings
from gateway.connection.patience import DETACHED_FLUSH_S, Patience, Verdict

SETTINGS = ServerSettings(start_timeout_s=10, idle_timeout_s=60, resume_grace_s=30)


def test_a_start_is_waited_for() -> None:
    """NO_START after start_timeout_s, whatever else is sent."""
    patience = Patience(SETTINGS, 0)
    assert patience.verdict(9.9) is None
    assert patience.verdict(10) is Verdict.NO_START


def test_a_started_session_may_be_idle_for_longer() -> None:
    """Each message begins the time anew."""
    patience = Patience(SETTINGS, 0)
    patience.start()
    patience.hear(50)
    assert patience.verdict(109) is None
    assert patience.verdict(110) is Verdict.IDLE


def test_a_lost_client_gets_its_grace_time() -> None:
    """First its words so far are given, once; then the session ends."""
    patience = Patience(SETTINGS, 0)
    patience.start()
    patience.detach(100)
    assert patience.detached
    assert patience.verdict(100 + DETACHED_FLUSH_S - 0.1) is None
    assert patience.verdict(100 + DETACHED_FLUSH_S) is Verdict.FLUSH
    assert patience.verdict(129) is None
    assert patience.verdict(130) is Verdict.EXPIRED


def test_a_client_that_comes_back_is_waited_for_anew() -> None:
    """Attached, only silence counts again."""
    patience = Patience(SETTINGS, 0)
    patience.start()
    patience.detach(100)
    patience.attach(125)
    assert not patience.detached
    assert patience.verdict(184) is None
    assert patience.verdict(185) is Verdict.IDLE
    patience.detach(190)
    assert patience.verdict(193) is Verdict.FLUSH


@pytest.mark.parametrize("grace_s", [0, 1])
def test_a_short_grace_needs_no_flush(grace_s: float) -> None:
    """Ending the session gives the words as well."""
    patience = Patience(ServerSettings(resume_grace_s=grace_s), 0)
    patience.start()
    patience.detach(0)
    assert patience.verdict(grace_s) is Verdict.EXPIRED


@given(st.lists(st.tuples(st.sampled_from(["hear", "detach", "attach"]), st.floats(0, 20)), max_size=30))
def test_nothing_is_due_before_its_deadline(steps: list[tuple[str, float]]) -> None:
    """deadline() is exactly when verdict() begins to answer."""
    patience, now = Patience(SETTINGS, 0), 0.0
    patience.start()
    for step, wait in steps:
        now += wait
        getattr(patience, step)(now)
        assert patience.verdict(patience.deadline() - 0.001) is None
