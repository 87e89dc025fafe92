"""Rules of the outbox: order, newest partial, what a slow reader loses."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.outbox import Outbox


def drain(box: Outbox) -> list[str]:
    return list(iter(box.take, None))


def test_messages_leave_in_the_order_they_came() -> None:
    """First in, first out."""
    box = Outbox(10, 1000)
    for text in "abc":
        box.put(text)
    assert drain(box) == ["a", "b", "c"]
    assert box.take() is None


def test_a_newer_partial_replaces_the_waiting_one() -> None:
    """Only the newest partial of a key waits, after everything that was said before it."""
    box = Outbox(10, 1000)
    box.put("old", partial_of=1)
    box.put("final")
    box.put("other", partial_of=2)
    box.put("new", partial_of=1)
    assert drain(box) == ["final", "other", "new"]
    assert box.dropped_partials == 1
    assert repr(box) == "<Outbox 0 waiting, 1 partials dropped>"


def test_partials_go_first_when_it_is_full() -> None:
    """A full box drops its partials before it gives up."""
    box = Outbox(2, 1000)
    box.put("p", partial_of=1)
    box.put("a")
    box.put("b")
    assert not box.overflowed
    assert drain(box) == ["a", "b"]


def test_a_reader_too_slow_for_finals_overflows() -> None:
    """Finals are never dropped in silence: beyond the limit the box says so."""
    box = Outbox(2, 1000)
    for text in "abc":
        box.put(text)
    assert box.overflowed
    assert drain(box) == ["a", "b"]


def test_bytes_count_as_messages_do() -> None:
    """UTF-8 bytes, not characters: exactly the limit may wait, one byte more may not."""
    box = Outbox(100, limit_bytes=6)
    box.put("你")
    box.put("abc")
    assert not box.overflowed
    box.put("d")
    assert box.overflowed
    assert drain(box) == ["你", "abc"]


def test_partials_go_first_when_there_are_too_many_bytes() -> None:
    """A final takes the room of partials; a partial takes nobody's."""
    box = Outbox(100, limit_bytes=6)
    box.put("four", partial_of=1)
    box.put("abc")
    assert (drain(box), box.dropped_partials) == (["abc"], 1)
    box.put("abcd")
    box.put("xyz", partial_of=1)
    assert not box.overflowed
    assert (drain(box), box.dropped_partials) == (["abcd"], 2)


def test_one_message_may_be_of_any_size() -> None:
    """A long final to a reader that keeps up is no fault of the reader."""
    box = Outbox(100, limit_bytes=6)
    box.put("longer than the limit")
    assert not box.overflowed
    assert box.take() == "longer than the limit"
    box.put("longer than the limit")
    assert not box.overflowed


def test_answers_do_not_count() -> None:
    """Snapshots of all beds may be long and many, as long as they are asked for one at a time."""
    box = Outbox(2, limit_bytes=6)
    for _ in range(10):
        box.put("a snapshot", asked=True)
    box.put("abc")
    box.put("def")
    assert not box.overflowed
    while box.has_asked:
        assert box.take() == "a snapshot"
    assert drain(box) == ["abc", "def"]
    box.put("abc")
    box.put("def")
    box.put("g")
    assert box.overflowed


@given(
    st.lists(st.tuples(st.text("a你", max_size=5), st.sampled_from([None, 1, 2]), st.booleans())),
    st.integers(1, 30),
    st.data(),
)
def test_the_count_of_bytes_never_drifts(
    puts: list[tuple[str, int | None, bool]], limit_bytes: int, data: st.DataObject
) -> None:
    """Whatever came and went, nothing is left behind in the count: the limit is where it was."""
    box = Outbox(1000, limit_bytes)
    waiting: list[str] = []
    for text, partial_of, asked in puts:
        box.put(text, partial_of if not asked else None, asked)
        if data.draw(st.booleans()):
            box.take()
    waiting = drain(box)
    assert len(waiting) <= len(puts)
    box.overflowed = False
    box.put("a" * limit_bytes)
    box.put("")
    assert not box.overflowed
    box.put("b")
    assert box.overflowed


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=100), st.integers(1, 10))
def test_finals_are_a_prefix_of_what_was_put(items: list[tuple[int, bool]], limit: int) -> None:
    """Without overflow every final is there, in order; with one, a prefix of them; never more than limit + keys wait."""
    box = Outbox(limit, 1000)
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
