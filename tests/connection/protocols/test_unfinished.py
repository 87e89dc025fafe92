"""Rules of the text that has no final yet, of the pulse of silent clients, and of a partial's language."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.messages import Ping
from gateway.connection.protocols import native
from gateway.connection.protocols.unfinished import PING_S, Pulse, Unfinished
from tests.connection.protocols.wires import final, partial


def test_what_is_open_reads_in_order() -> None:
    """Each utterance with its newest text, the oldest first, however they came; empty ones leave no gap."""
    unfinished = Unfinished()
    assert (unfinished.text, unfinished.span_s) == ("", (0.0, 0.0))
    for message in (
        partial(2, "two", 2.0, 3.0),
        partial(1, "on", 0.5, 1.0),
        partial(3, ""),
        partial(1, "one ", 0.5, 1.5),
    ):
        unfinished.show(message)
    assert unfinished.text == "one two"
    unfinished.settle(final(1, "One."))
    assert (unfinished.text, unfinished.span_s[0]) == ("two", 2.0)
    unfinished.show(partial(1, "late"))
    assert unfinished.text == "two"


@given(st.lists(st.integers(1, 6)))
def test_a_final_ends_what_came_before(utterances: list[int]) -> None:
    """Nothing of an utterance is open after its final, nor of any before it."""
    unfinished, settled = Unfinished(), 0
    for number in utterances:
        if number % 2:
            unfinished.show(partial(number, f"w{number}"))
        else:
            unfinished.settle(final(number, ""))
            settled = max(settled, number)
        assert all(int(word[1:]) > settled for word in unfinished.text.split())


@pytest.mark.parametrize("idle_timeout_s", [1.0, 60.0, 3600.0])
def test_a_pulse_beats_well_before_patience_ends(idle_timeout_s: float) -> None:
    """And not more often than it must."""
    pulse = Pulse(idle_timeout_s, now=0.0)
    beats = [now for tick in range(1000) if pulse.beat(now := tick * 0.25) == Ping()]
    assert beats
    assert all(b - a <= idle_timeout_s / 2 for a, b in pairwise([0.0, *beats]))
    assert all(b - a >= min(PING_S, idle_timeout_s / 3) for a, b in pairwise(beats))


def test_a_partial_tells_its_language_only_when_it_has_one() -> None:
    """In the native protocol as well: where `start` named a language, nothing is different."""
    assert "language" not in native.encode_server(partial(1, "one"))
    assert '"language":"en"' in native.encode_server(partial(1, "one", language="en"))
