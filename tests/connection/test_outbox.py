"""Rules of the outbox: order, newest partial, what a slow reader loses."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.outbox import Outbox


def drain(box: Outbox) -> list[str]:
    return list(iter(box.take, None))


def test_messages_leave_in_the_order_they_came() -> None:
    """First in, first out."""
    box = Outbox(10)
    for text in "abc":
        box.put(text)
    assert drain(box) == ["a", "b", "c"]
    assert box.take() is None


def test_a_newer_partial_replaces_the_waiting_one() -> None:
    """Only the newest partial of a key waits, after everything that was said before it."""
    box = Outbox(10)
    box.put("old", partial_of=1)
    box.put("final")
    box.put("other", partial_of=2)
    box.put("new", partial_of=1)
    assert drain(box) == ["final", "other", "new"]
    assert box.dropped_partials == 1
    assert repr(box) == "<Outbox 0 waiting, 1 partials dropped>"


def test_partials_go_first_when_it_is_full() -> None:
    """A full box drops its partials before it gives up."""
    box = Outbox(2)
    box.put("p", partial_of=1)
    box.put("a")
    box.put("b")
    assert not box.overflowed
    assert drain(box) == ["a", "b"]


def test_a_reader_too_slow_for_finals_overflows() -> None:
    """Finals are never dropped in silence: beyond the limit the box says so."""
    box = Outbox(2)
    for text in "abc":
        box.put(text)
    assert box.overflowed
    assert drain(box) == ["a", "b"]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=100), st.integers(1, 10))
def test_finals_are_a_prefix_of_what_was_put(items: list[tuple[int, bool]], limit: int) -> None:
    """Without overflow every final is there, in order; with one, a prefix of them; never more than limit + keys wait."""
    box = Outbox(limit)
    finals = []
    for n, (key, is_partial) in enumerate(items):
        if is_partial:
            box.put(f"p{n}", partial_of=key)
        else:
            box.put(f"f{n}")
            finals.append(f"f{n}")
        assert len(box) <= limit + 4
    left = [text for text in drain(box) if text.startswith("f")]
    assert left == (finals[: len(left)] if box.overflowed else finals)
