"""Rules of arrivals: when a position of the stream arrived."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.arrivals import KEPT_SAMPLES, STEP_SAMPLES, TRIMMED_MARKS, Arrivals


def test_a_position_arrives_with_the_message_that_covers_it() -> None:
    """The first message that reaches the position brought it."""
    arrivals = Arrivals()
    arrivals.push(1600, 0.1)
    arrivals.push(3200, 0.2)
    assert arrivals.at(1600) == 0.1
    assert arrivals.at(1601) == 0.2
    assert arrivals.at(3201) is None


@given(st.lists(st.integers(STEP_SAMPLES, 16_000), min_size=1, max_size=300))
def test_memory_is_bounded_to_a_minute(chunks: list[int]) -> None:
    """Only the last minute is kept, and it is answered right."""
    arrivals, position, pushed = Arrivals(), 0, []
    for n, chunk in enumerate(chunks):
        position += chunk
        arrivals.push(position, float(n))
        pushed.append(position)
    recent = [(p, float(n)) for n, p in enumerate(pushed) if p >= position - KEPT_SAMPLES]
    assert all(arrivals.at(p) == now for p, now in recent)
    assert len(arrivals) <= len(recent) + TRIMMED_MARKS


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3)), min_size=1, max_size=300))
def test_tiny_messages_share_a_mark(chunks: list[tuple[int, int]]) -> None:
    """Also those without any audio: the memory follows the audio, not the messages, and no answer is early."""
    arrivals, position, now = Arrivals(), 0, 0
    arrived = {}
    for samples, seconds in chunks:
        now += seconds
        arrived |= dict.fromkeys(range(position + 1, position + samples + 1), now)
        position += samples
        arrivals.push(position, float(now))
    assert len(arrivals) <= 2 * position // STEP_SAMPLES + 2
    assert all((arrivals.at(p) or 0) >= at for p, at in arrived.items() if p % 50 == 0)
    assert arrivals.at(position) is not None
