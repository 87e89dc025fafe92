"""The search for the capacity, on gateways whose capacity is known."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.loadtest.search import PRECISION, Search


@given(st.integers(0, 3000), st.integers(1, 100), st.integers(100, 4000))
def test_it_finds_what_a_gateway_holds(true_capacity: int, first: int, most: int) -> None:
    """Within the precision, never above it, in few steps; the last one ran for the whole duration."""
    search, steps = Search(first, most), []
    while step := search.next():
        steps.append(step)
        assert 0 < step.streams <= most
        assert not steps[:-1] or not steps[-2].full
        search.record(step.streams <= true_capacity)
    reachable = min(true_capacity, most)
    assert search.capacity is not None
    assert search.capacity <= reachable
    assert reachable - search.capacity <= max(1, PRECISION * reachable)
    assert len(steps) < 40
    assert search.capacity == 0 or steps[-1].full


@given(st.integers(20, 2000), st.floats(0.3, 1.0))
def test_the_full_duration_may_hold_less_than_a_short_step(short: int, share: float) -> None:
    """Then it steps back until one holds for all of it."""
    search = Search(4, 4000)
    full_capacity = int(short * share)
    while step := search.next():
        search.record(step.streams <= (full_capacity if step.full else short))
    assert search.capacity is not None
    assert full_capacity * 0.85 - 2 <= search.capacity <= full_capacity


def test_not_even_one() -> None:
    """A gateway that holds nothing has the capacity 0; nothing is tried twice."""
    search, tried = Search(8, 100), []
    while step := search.next():
        tried.append(step.streams)
        search.record(False)
    assert (search.capacity, tried) == (0, [8, 4, 2, 1])


def test_the_most_that_was_allowed_is_no_limit_of_the_gateway() -> None:
    """Nothing broke."""
    search = Search(4, 10)
    while search.next():
        search.record(True)
    assert (search.capacity, search.broke_at) == (10, None)
