"""Rules of arrivals: when a position of the stream arrived."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.arrivals import KEPT_SAMPLES, Arrivals


def test_a_position_arrives_with_the_message_that_covers_it() -> None:
    """The first message that reaches the position brought it."""
    arrivals = Arrivals()
    arrivals.push(1600, 0.1)
    arrivals.push(3200, 0.2)
    assert arrivals.at(1600) == 0.1
    assert arrivals.at(1601) == 0.2
    assert arrivals.at(3201) is None


@given(st.lists(st.integers(1, 16_000), min_size=1, max_size=300))
def test_memory_is_bounded_to_a_minute(chunks: list[int]) -> None:
    """Only the last minute is kept, and it is answered right."""
    arrivals, position, pushed = Arrivals(), 0, []
    for n, chunk in enumerate(chunks):
        position += chunk
        arrivals.push(position, float(n))
        pushed.append(position)
    recent = [(p, float(n)) for n, p in enumerate(pushed) if p >= position - KEPT_SAMPLES]
    assert all(arrivals.at(p) == now for p, now in recent)
