"""When to come back, and when not to."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client import returning as r
from gateway.client.returning import GiveUp, Retry, Returning, backoff_s, is_final_status, refusal


def test_backoff_grows_to_its_maximum_and_is_jittered() -> None:
    """Full jitter: anything from 0 to 0.25, 0.5, 1, 2, 5, 5, ... seconds."""
    assert [backoff_s(n, 1.0) for n in range(7)] == [0.25, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0]
    assert backoff_s(3, 0.0) == 0.0


def test_http_refusals_are_final_unless_they_pass() -> None:
    """Wrong token or path: final. Overload, timeout, bad proxy: retried."""
    assert [s for s in (301, 401, 403, 404, 408, 429, 500, 502, 503, 504) if is_final_status(s)] == [
        301, 401, 403, 404,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "hint"),
    [(401, "--token-file"), (4401, "--token-file"), (403, "may not speak"), (4409, "another connection")],
)
def test_a_refusal_says_what_to_do(code: int, hint: str) -> None:
    """After the gateway's own words."""
    verdict = refusal(code, "no")
    assert verdict.refused
    assert verdict.reason.startswith("no; ")
    assert hint in verdict.reason
    assert refusal(1008, "no") == GiveUp("no", refused=True)


def delays(returning: Returning, links: list[tuple[float, float]]) -> list[float]:
    """Of links that held from .. to."""
    verdicts = [returning.lost(began, math.inf, "cut", ended, 1.0) for began, ended in links]
    return [verdict.delay_s for verdict in verdicts if isinstance(verdict, Retry)]


def test_a_stable_link_resets_the_backoff() -> None:
    """After STABLE_S the next loss is the first again."""
    links = [(0.0, 1.0), (2.0, 3.0), (4.0, 4.0 + r.STABLE_S), (50.0, 51.0)]
    assert delays(Returning(), links) == [0.25, 0.5, 0.25, 0.5]


def test_progress_resets_the_backoff() -> None:
    """On a bad link that does its work, the client is back at once each time."""
    returning = Returning()
    assert delays(returning, [(0.0, 1.0), (2.0, 3.0)]) == [0.25, 0.5]
    returning.progress()
    assert delays(returning, [(4.0, 5.0)]) == [0.25]


def test_an_overloaded_gateway_gets_time() -> None:
    """Even if it made some progress."""
    returning = Returning()
    returning.progress()
    returning.busy()
    assert delays(returning, [(4.0, 5.0), (6.0, 7.0)]) == [1.0, 2.0]


def test_it_gives_up_when_no_gateway_was_there_in_time() -> None:
    """From the first failure on."""
    returning, now = Returning(), 100.0
    while isinstance(verdict := returning.lost(None, 5.0, "refused", now, 1.0), Retry):
        now += verdict.delay_s
    assert verdict == GiveUp("refused", refused=False)
    assert 103.0 < now <= 105.0


def test_progress_ends_an_outage() -> None:
    """The time to give up counts from the first loss after it, not from the first of the day."""
    returning = Returning()
    assert isinstance(returning.lost(0.0, 10.0, "cut", 0.0, 0.0), Retry)
    returning.progress()
    assert isinstance(returning.lost(9.0, 10.0, "cut", 25.0, 0.0), Retry)
    assert isinstance(returning.lost(26.0, 10.0, "cut", 36.0, 0.0), GiveUp)


@given(st.lists(st.floats(0, 0.999), min_size=1, max_size=30), st.floats(0, 60))
def test_a_retry_never_ends_after_the_limit(jitter: list[float], limit_s: float) -> None:
    """Each attempt begins within limit_s of the first failure."""
    returning, now = Returning(), 0.0
    for randomness in jitter:
        verdict = returning.lost(None, limit_s, "cut", now, randomness)
        if isinstance(verdict, GiveUp):
            return
        now += verdict.delay_s
        assert now <= limit_s
