"""Rules of failed logins."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.attempts import MAX_ADDRESSES, MAX_FAILURES, WINDOW_S, Attempts


def failing(address: str, times: int, now: float = 0.0) -> Attempts:
    attempts = Attempts()
    for _ in range(times):
        attempts.fail(address, now)
    return attempts


def test_ten_failures_cost_five_minutes() -> None:
    """And then it may try again."""
    assert failing("10.0.0.1", MAX_FAILURES - 1).wait_s("10.0.0.1", 1) == 0
    attempts = failing("10.0.0.1", MAX_FAILURES)
    assert attempts.wait_s("10.0.0.1", 1) == WINDOW_S - 1
    assert attempts.wait_s("10.0.0.1", WINDOW_S) == 0
    attempts.fail("10.0.0.1", WINDOW_S)
    assert attempts.wait_s("10.0.0.1", WINDOW_S) == 0


def test_others_are_not_locked_out() -> None:
    """Each address for itself; a success starts afresh."""
    attempts = failing("10.0.0.1", MAX_FAILURES)
    assert attempts.wait_s("10.0.0.2", 1) == 0
    attempts.succeed("10.0.0.1")
    assert attempts.wait_s("10.0.0.1", 1) == 0


def test_an_ipv6_network_is_one() -> None:
    """Whoever has one address there has all of them."""
    attempts = failing("2001:db8::1", MAX_FAILURES)
    assert attempts.wait_s("2001:db8::2", 1) > 0
    assert attempts.wait_s("2001:db8:0:1::1", 1) == 0
    assert failing("fe80::1%eth0", MAX_FAILURES).wait_s("fe80::2%eth1", 1) > 0


@given(st.lists(st.tuples(st.text(max_size=5), st.floats(0, 1000)), max_size=50))
def test_nothing_that_is_called_an_address_breaks_it(failures: list[tuple[str, float]]) -> None:
    """A proxy may write anything."""
    attempts = Attempts()
    for address, now in failures:
        attempts.fail(address, now)
        assert 0 <= attempts.wait_s(address, now) <= WINDOW_S + 1000


def test_memory_is_bounded() -> None:
    """The address that failed longest ago is forgotten."""
    attempts = failing("first", 1)
    for number in range(MAX_ADDRESSES + 5):
        attempts.fail(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(attempts) == MAX_ADDRESSES
