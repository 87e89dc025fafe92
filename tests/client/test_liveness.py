"""A dead link is noticed in time, a quiet one is asked, a slow one is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.liveness import PING_SHARE, Liveness
from gateway.connection import messages as m
from tests.client.scripted import STARTED


def connected(now: float = 0.0) -> Liveness:
    liveness = Liveness(5.0)
    liveness.connect(now)
    return liveness


def test_a_silent_gateway_is_asked_then_given_up() -> None:
    """Once, in time for an answer."""
    liveness = connected(10.0)
    assert liveness.ping_at() == pytest.approx(10.0 + 5.0 * PING_SHARE)
    liveness.ping()
    assert liveness.ping_at() is None
    assert liveness.dead_at() == 15.0


@pytest.mark.parametrize("message", [STARTED, m.Pong(), m.Ack(1600, 0)])
def test_what_proves_that_it_hears_us_counts(message: m.ServerMessage) -> None:
    """Its answer to `start`, a pong, audio acknowledged."""
    liveness = connected()
    liveness.ping()
    liveness.receive(message, 4.0)
    assert liveness.dead_at() == 9.0
    assert liveness.ping_at() is not None


@pytest.mark.parametrize("message", [m.Notice("still", "here"), m.Partial(1, 1, 0, 1, "", "a")])
def test_talk_alone_proves_nothing(message: m.ServerMessage) -> None:
    """It may come from a link of which only one direction is left."""
    liveness = connected()
    liveness.receive(message, 4.0)
    assert liveness.dead_at() == 5.0


def test_an_acknowledgement_of_nothing_new_is_talk() -> None:
    """Only progress counts; a commit is progress too."""
    liveness = connected()
    liveness.receive(m.Ack(1600, 0), 1.0)
    liveness.receive(m.Ack(1600, 0), 2.0)
    assert liveness.dead_at() == 6.0
    liveness.receive(m.Ack(1600, 800), 3.0)
    assert liveness.dead_at() == 8.0


def test_a_new_connection_begins_anew() -> None:
    """Also when the gateway acknowledges the same as on the one before."""
    liveness = connected()
    liveness.receive(m.Ack(1600, 0), 1.0)
    liveness.connect(100.0)
    assert liveness.dead_at() == 105.0
    liveness.receive(m.Ack(1600, 0), 101.0)
    assert liveness.dead_at() == 106.0


@given(st.lists(st.floats(0.01, 3.0), max_size=50))
def test_a_gateway_that_answers_every_ping_within_its_time_is_never_dead(delays: list[float]) -> None:
    """However long nothing else is said."""
    liveness, now = connected(), 0.0
    for delay in delays:
        ping_at = liveness.ping_at()
        assert ping_at is not None
        liveness.ping()
        now = ping_at + min(delay, 5.0 * (1 - PING_SHARE) - 0.001)
        assert now < liveness.dead_at()
        liveness.receive(m.Pong(), now)
