from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.ward.backlog import ROW_BYTES, Backlog, Item
from gateway.ward.records import Entry, ForgetSession, Purge, Work
from tests.ward.rows import said


def item(seq: int, work: Work | None = None) -> Item:
    return Item(seq, work or said(number=seq))


def seqs(items: list[Item]) -> list[int]:
    return [item.seq for item in items]


def test_entries_go_together_and_a_command_alone() -> None:
    """A deletion happens after what was recorded before it, and before what was recorded after it."""
    backlog = Backlog(100, 1 << 20)
    for work in (said(), said(), Purge("3A"), said(), ForgetSession("s")):
        backlog.push(item(len(backlog) + 1, work))
    taken = []
    while len(backlog):
        taken.append(seqs(backlog.take(10)))
        backlog.done()
    assert taken == [[1, 2], [3], [4], [5]]


def test_what_could_not_be_written_comes_first_again() -> None:
    """Nothing overtakes."""
    backlog = Backlog(100, 1 << 20)
    for seq in (1, 2, 3):
        backlog.push(item(seq))
    assert seqs(backlog.take(2)) == [1, 2]
    backlog.push(item(4))
    backlog.give_back()
    assert seqs(backlog.take(10)) == [1, 2, 3, 4]
    assert "0 waiting, 4 being written" in repr(backlog)


def test_beyond_the_bound_the_oldest_entries_are_given_up() -> None:
    """Never a command, and never what is being written just now."""
    backlog = Backlog(3, 1 << 20)
    backlog.push(item(1))
    backlog.take(1)
    backlog.push(item(2, Purge("3A")))
    backlog.push(item(3))
    assert seqs(backlog.push(item(4))) == [3]
    assert seqs(list(backlog)) == [1, 2, 4]


def test_long_texts_count_by_their_bytes() -> None:
    """A few huge captions fill the memory as well as many small ones."""
    backlog = Backlog(1000, 10 * ROW_BYTES)
    long = said(text="字" * ROW_BYTES)
    assert backlog.push(item(1, long)) == []
    assert seqs(backlog.push(item(2, long))) == []
    assert seqs(backlog.push(item(3, long))) == [1]


class BacklogModel(RuleBasedStateMachine):
    """Against a plain list: order, bounds, nothing lost without being told."""

    MAX = 6

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog(self.MAX, 1 << 30)
        self.expected: deque[int] = deque()
        self.flying: list[int] = []
        self.commands: set[int] = set()
        self.seq = 0

    @rule(work=st.sampled_from([said(), Purge("3A"), ForgetSession("s")]))
    def push(self, work: Work) -> None:
        self.seq += 1
        self.expected.append(self.seq)
        if not isinstance(work, Entry):
            self.commands.add(self.seq)
        for gone in self.backlog.push(item(self.seq, work)):
            oldest = next(s for s in self.expected if s not in self.commands and s not in self.flying)
            assert gone.seq == oldest
            self.expected.remove(oldest)
        entries = [s for s in self.expected if s not in self.commands and s not in self.flying]
        assert len(self.backlog) <= self.MAX or not entries

    @precondition(lambda self: not self.flying)
    @rule(limit=st.integers(1, 4))
    def take(self, limit: int) -> None:
        self.flying = seqs(self.backlog.take(limit))
        assert self.flying == list(self.expected)[: len(self.flying)]
        assert len(self.flying) <= limit
        assert len(self.flying) == 1 or not set(self.flying) & self.commands
        assert self.flying or not self.expected

    @rule(written=st.booleans())
    def answer(self, written: bool) -> None:
        if written:
            self.backlog.done()
            for _ in self.flying:
                self.expected.popleft()
        else:
            self.backlog.give_back()
        self.flying = []

    @invariant()
    def holds_what_is_expected(self) -> None:
        assert seqs(list(self.backlog)) == list(self.expected)
        assert len(self.backlog) == len(self.expected)


BacklogModel.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestBacklogModel = BacklogModel.TestCase
