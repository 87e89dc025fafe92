"""Rules of the ledger: journal, then say, then acknowledge."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.effects import Effect, Record, Send
from gateway.connection.ledger import KEPT_FINALS, Ledger
from gateway.connection.messages import Ack, Final, Flushed


def final(number: int) -> Final:
    return Final(number, number, 0.0, 1.0, "hello", "en", 0.9)


def record(number: int, committed: int) -> Record:
    return Record("3A", final(number), committed, number)


def say(number: int) -> list[Effect]:
    return [Send(final(number))]


def test_a_final_is_said_when_it_is_written() -> None:
    """Before that nothing is said and nothing committed."""
    ledger = Ledger(journalled=True)
    assert ledger.record(record(1, 100), say(1)) == [record(1, 100)]
    assert (len(ledger), ledger.committed) == (1, 0)
    assert ledger.written(True, 150) == [Send(final(1)), Send(Ack(150, 100))]
    assert (len(ledger), ledger.committed) == (0, 100)


def test_without_a_bed_it_is_said_at_once() -> None:
    """There is no journal to wait for."""
    ledger = Ledger(journalled=False)
    assert ledger.record(record(1, 100), say(1)) == say(1)
    assert ledger.progress(record(1, 120), 150) == [Send(Ack(150, 120))]


def test_a_failing_disk_lets_captions_flow_uncommitted() -> None:
    """Not durable: said, but the client must keep its audio; the next durable record commits all."""
    ledger = Ledger(journalled=True)
    ledger.record(record(1, 100), say(1))
    ledger.record(record(2, 200), say(2))
    assert ledger.written(False, 250) == [Send(final(1)), Send(Ack(250, 0))]
    assert ledger.written(True, 250) == [Send(final(2)), Send(Ack(250, 200))]


def test_what_comes_after_a_record_waits_behind_it() -> None:
    """`flushed` never overtakes the final before it."""
    ledger = Ledger(journalled=True)
    ledger.record(record(1, 100), say(1))
    assert ledger.after_records(Send(Flushed("f"))) == []
    assert ledger.written(True, 100) == [Send(final(1)), Send(Flushed("f")), Send(Ack(100, 100))]
    assert ledger.after_records(Send(Flushed("g"))) == [Send(Flushed("g"))]


def test_silence_is_recorded_before_it_is_acknowledged() -> None:
    """A gateway that dies must not ask for audio that the client was told to forget."""
    ledger = Ledger(journalled=True)
    progress = Record("3A", None, 100, 0)
    assert ledger.progress(progress, 150) == [progress]
    assert ledger.committed == 0
    assert ledger.written(True, 160) == [Send(Ack(160, 100))]
    assert ledger.progress(progress, 170) == [Send(Ack(170, 100))]


def test_finals_can_be_said_again() -> None:
    """A client that comes back names the last final it saw."""
    ledger = Ledger(journalled=True)
    for number in (1, 2, 3):
        ledger.record(record(number, number), say(number))
        ledger.written(True, 10)
    assert ledger.said_after(1) == [final(2), final(3)]
    assert ledger.said_after(3) == []


def test_memory_is_bounded() -> None:
    """Only the newest finals are kept for those who come back."""
    ledger = Ledger(journalled=False)
    for number in range(1, KEPT_FINALS + 10):
        ledger.record(record(number, number), say(number))
    assert len(ledger.said_after(0)) == KEPT_FINALS
    assert ledger.written(True, 0) == []


STEP = st.sampled_from(["final", "silence", "flush", "written", "failed"])


@given(st.lists(STEP, max_size=60), st.booleans())
def test_the_order_holds_whatever_happens(steps: list[str], journalled: bool) -> None:
    """Finals are said in order, once, after their record; committed only grows and never passes a record that
    is not durable."""
    ledger, position, number, said, durable = Ledger(journalled), 0, 0, [], 0
    asked: list[int] = []
    for step in [*steps, *["written"] * len(steps)]:
        effects: list[Effect] = []
        position += 10
        if step == "final":
            number += 1
            effects = ledger.record(record(number, position), say(number))
        elif step == "silence":
            effects = ledger.progress(Record("3A", None, position, number), position)
        elif step == "flush":
            effects = ledger.after_records(Send(Flushed(number)))
        elif len(ledger):
            durable = asked.pop(0) if step == "written" else (asked.pop(0), durable)[1]
            effects = ledger.written(step == "written", position)
        asked += [e.committed for e in effects if isinstance(e, Record)]
        said += [e.message for e in effects if isinstance(e, Send)]
        if journalled:
            assert ledger.committed == durable
    finals = [m.number for m in said if isinstance(m, Final)]
    assert finals == list(range(1, number + 1))
    acks = [m.committed for m in said if isinstance(m, Ack)]
    assert acks == sorted(acks)
    for flushed in (m for m in said if isinstance(m, Flushed)):
        before = [m.number for m in said[: said.index(flushed)] if isinstance(m, Final)]
        assert len(before) >= int(flushed.id)
