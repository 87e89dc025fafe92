"""Rules of the limits: who gets a place, who does not, and that nothing is kept of those who left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.limits import (
    ADDRESS_FULL,
    FULL,
    KEY_FULL,
    Limits,
    Quota,
    Refusal,
    Ticket,
    source_of,
)


def test_the_last_place_is_given_and_the_next_one_is_not() -> None:
    """At the edge: yes; beyond it: 503, until somebody leaves."""
    limits = Limits(Quota(in_all=2))
    first = limits.enter("10.0.0.1")
    assert isinstance(first, Ticket)
    assert isinstance(limits.enter("10.0.0.2"), Ticket)
    assert limits.enter("10.0.0.3") == FULL
    limits.leave(first)
    assert isinstance(limits.enter("10.0.0.3"), Ticket)


def test_an_address_has_its_share() -> None:
    """429 for that address; others get in."""
    limits = Limits(Quota(in_all=10, per_address=2))
    assert isinstance(limits.enter("10.0.0.1"), Ticket)
    assert isinstance(limits.enter("10.0.0.1"), Ticket)
    assert limits.enter("10.0.0.1") == ADDRESS_FULL
    assert isinstance(limits.enter("10.0.0.2"), Ticket)


def test_a_key_has_its_share_from_any_address() -> None:
    """A leaked key cannot fill the gateway from everywhere."""
    limits = Limits(Quota(in_all=10, per_key=1))
    assert isinstance(limits.enter("10.0.0.1", "ward"), Ticket)
    assert limits.enter("10.0.0.2", "ward") == KEY_FULL
    assert isinstance(limits.enter("10.0.0.2", "other"), Ticket)


def test_what_is_unknown_is_not_counted_together() -> None:
    """No key (an open gateway) and no address (a proxy that is trusted) are no share of anybody."""
    limits = Limits(Quota(in_all=10, per_address=1, per_key=1))
    assert all(isinstance(limits.enter("", ""), Ticket) for _ in range(10))
    assert limits.enter("", "") == FULL


def test_no_limit_is_no_limit() -> None:
    """0 takes everybody."""
    limits = Limits(Quota(in_all=0))
    assert all(isinstance(limits.enter("10.0.0.1", "key"), Ticket) for _ in range(1000))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "unix:", False),
        ("nonsense", "nonsense", True),
    ],
)
def test_addresses_of_one_client_count_together(one: str, other: str, same: bool) -> None:
    """IPv4 by address, also where it is mapped into IPv6; IPv6 by /64."""
    assert (source_of(one) == source_of(other)) is same


@given(st.text())
def test_any_address_has_a_source(address: str) -> None:
    """Of bounded size."""
    assert len(source_of(address)) <= 64


@given(
    st.lists(st.tuples(st.sampled_from(["1.1.1.1", "2.2.2.2", "::1", ""]), st.sampled_from(["a", "b", ""]))),
    st.integers(1, 6),
    st.integers(0, 3),
    st.integers(0, 3),
    st.data(),
)
def test_the_counts_are_those_of_who_is_in(
    arrivals: list[tuple[str, str]], in_all: int, per_address: int, per_key: int, data: st.DataObject
) -> None:
    """A refusal exactly when a count of the open tickets is at its limit; when all have left, nothing is kept."""
    limits = Limits(Quota(in_all, per_address, per_key))
    inside: list[Ticket] = []
    for address, key in arrivals:
        if inside and data.draw(st.booleans()):
            limits.leave(inside.pop(data.draw(st.integers(0, len(inside) - 1))))
        same_address = sum(1 for t in inside if address and t.source == source_of(address))
        same_key = sum(1 for t in inside if key and t.key == key)
        full = (
            len(inside) >= in_all
            or bool(per_address and address and same_address >= per_address)
            or bool(per_key and key and same_key >= per_key)
        )
        answer = limits.enter(address, key)
        assert isinstance(answer, Refusal) is full
        if isinstance(answer, Ticket):
            inside.append(answer)
        assert len(limits) == len(inside)
    for ticket in inside:
        limits.leave(ticket)
    assert repr(limits) == "<Limits 0 in, 0 addresses, 0 keys>"
