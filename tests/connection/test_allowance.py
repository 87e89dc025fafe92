"""Rules of the allowance: a burst for replay, a multiple of real time for good."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.allowance import Allowance


def test_a_burst_is_allowed_and_a_sample_more_is_not() -> None:
    """At the edge: yes; beyond it: no."""
    assert Allowance(150, 4, now=0).spend(150, now=0)
    assert not Allowance(150, 4, now=0).spend(150.1, now=0)


def test_it_fills_up_at_its_rate() -> None:
    """Ten seconds later there are forty again, and never more than the burst."""
    allowance = Allowance(150, 4, now=0)
    assert allowance.spend(150, now=0)
    assert allowance.spend(40, now=10)
    assert not allowance.spend(0.1, now=10)
    later = Allowance(150, 4, now=0)
    assert later.spend(0, now=10_000)
    assert not later.spend(151, now=10_000)
    assert repr(later) == "<Allowance -1.0 of 150 s left>"


def test_a_clock_that_stands_still_gives_nothing() -> None:
    """Nor does one that goes back."""
    allowance = Allowance(1, 4, now=100)
    assert allowance.spend(1, now=100)
    assert not allowance.spend(0.5, now=50)
    assert not allowance.spend(0.1, now=100)


@given(
    st.floats(1, 200),
    st.floats(0.5, 10),
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 20)), max_size=50),
)
def test_the_sum_is_bounded_at_any_time(
    burst_s: float, rate: float, steps: list[tuple[float, float]]
) -> None:
    """Whatever was allowed until t is at most burst + rate * t, and a client within that is never refused."""
    allowance = Allowance(burst_s, rate, now=0)
    now = spent = 0.0
    for wait, seconds in steps:
        now += wait
        if not allowance.spend(seconds, now):
            break
        spent += seconds
        assert spent <= burst_s + rate * now + 1e-6


@given(st.lists(st.floats(0.01, 0.2), max_size=200), st.floats(1, 4))
def test_real_time_is_never_too_fast(chunks: list[float], rate: float) -> None:
    """Audio sent as it is spoken passes, whatever the size of the chunks, once a chunk fits the burst."""
    allowance, now = Allowance(1, rate, now=0), 0.0
    for seconds in chunks:
        now += seconds
        assert allowance.spend(seconds, now)


@given(st.floats(0.01, 400), st.floats(0, 100), st.lists(st.floats(0.01, 60), max_size=20))
def test_who_waits_as_told_is_never_too_fast(burst_s: float, now: float, costs: list[float]) -> None:
    """wait_s says exactly when the next cost may be spent, unless it is more than fits at once."""
    allowance = Allowance(burst_s, 4, now)
    for cost in costs:
        now += allowance.wait_s(cost, now) + 1e-6
        assert allowance.spend(cost, now) or cost > burst_s - 1e-3
