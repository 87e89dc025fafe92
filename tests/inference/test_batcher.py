from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.config import InferenceSettings
from gateway.events import Job, Kind
from gateway.inference.batcher import Batch, Batcher
from gateway.inference.context import ContextRule
from tests.inference.fakes import job, name

RULE = ContextRule(short_context=True)
EAGER, FINAL, PARTIAL = Kind.EAGER, Kind.FINAL, Kind.PARTIAL


def make(max_batch_size: int = 4, target_pass_ms: int = 60_000, max_queued_finals: int = 1000) -> Batcher:
    """A batcher that time does not limit."""
    limits = InferenceSettings(target_pass_ms=target_pass_ms, max_queued_finals=max_queued_finals)
    return Batcher(limits, max_batch_size, RULE)


def take(batcher: Batcher, now: float = 0.0) -> list[str]:
    """Names of the next batch, which is answered at once."""
    batch = batcher.take(now)
    if batch is None:
        return []
    batcher.done(batch.id, 0.01)
    return [name(item) for item in batch.jobs]


def fill(batcher: Batcher, *jobs: Job) -> Batcher:
    for item in jobs:
        assert batcher.add(item, 0.0)
    return batcher


# --- finals -------------------------------------------------------------------------------------------------


def test_finals_go_before_partials_of_all_sessions() -> None:
    """A final that came last still goes first; eager ones count as finals."""
    batcher = fill(make(), job(1, kind=PARTIAL), job(2, kind=PARTIAL), job(3, kind=EAGER), job(4))
    assert take(batcher) == ["3.1.1", "4.1.1"]
    assert take(batcher) == ["1.1.1", "2.1.1"]
    assert take(batcher) == []


def test_the_oldest_final_chooses_the_bucket() -> None:
    """Others of its bucket share its pass, the rest keep their order."""
    batcher = fill(make(), job(1, frames=900), job(2, frames=100), job(3, frames=900), job(4, frames=150))
    assert take(batcher) == ["1.1.1", "3.1.1"]
    assert take(batcher) == ["2.1.1"]
    assert take(batcher) == ["4.1.1"]


def test_a_session_gets_its_finals_in_order() -> None:
    """A short second utterance does not overtake a long first one by fitting into an earlier batch."""
    batcher = fill(make(), job(1, frames=100), job(2, 1, frames=900), job(2, 2, frames=100))
    assert take(batcher) == ["1.1.1"]
    assert take(batcher) == ["2.1.1"]
    assert take(batcher) == ["2.2.1"]


def test_finals_of_one_session_may_share_a_pass() -> None:
    assert take(fill(make(), job(1, 1), job(1, 2), job(1, 3))) == ["1.1.1", "1.2.1", "1.3.1"]


def test_too_many_finals_are_refused_not_dropped() -> None:
    """What was accepted is answered; partials are not affected."""
    batcher = fill(make(max_queued_finals=2), job(1), job(2))
    assert not batcher.add(job(3), 0.0)
    assert not batcher.add(job(3, kind=EAGER), 0.0)
    assert batcher.add(job(3, kind=PARTIAL), 0.0)
    assert take(batcher) == ["1.1.1", "2.1.1"]
    assert batcher.add(job(3), 0.0)


def test_a_voided_eager_job_is_dropped() -> None:
    """Only that one, and only while it waits."""
    batcher = fill(make(), job(1, kind=EAGER), job(1, 2, kind=EAGER), job(2, kind=EAGER), job(3))
    batcher.withdraw(1, 1, 1)
    batcher.withdraw(3, 1, 1)  # a final cannot be withdrawn
    batcher.withdraw(9, 9, 9)
    assert take(batcher) == ["1.2.1", "2.1.1", "3.1.1"]


# --- partials -----------------------------------------------------------------------------------------------


def test_a_newer_partial_replaces_the_waiting_one_and_keeps_its_place() -> None:
    batcher = fill(make(1), job(1, kind=PARTIAL), job(2, kind=PARTIAL), job(1, revision=2, kind=PARTIAL))
    assert take(batcher) == ["1.1.2"]
    assert take(batcher) == ["2.1.1"]
    assert take(batcher) == []
    assert batcher.dropped_partials == 1


def test_a_final_removes_the_waiting_partial_of_its_utterance() -> None:
    """Not that of the next utterance."""
    batcher = fill(make(), job(1, 1, 1, PARTIAL), job(1, 1, 2, FINAL))
    assert batcher.depth == (1, 0)
    fill(batcher, job(2, 2, 1, PARTIAL), job(2, 1, 9, EAGER))
    assert batcher.depth == (2, 1)


def test_a_session_has_one_partial_in_flight() -> None:
    """Its next one waits for the answer; other sessions do not wait for it."""
    batcher = fill(make(1), job(1, kind=PARTIAL))
    first = batcher.take(0.0)
    fill(batcher, job(1, revision=2, kind=PARTIAL), job(2, kind=PARTIAL))
    assert take(batcher) == ["2.1.1"]
    assert batcher.take(0.0) is None
    assert first
    batcher.done(first.id, 0.01)
    assert take(batcher) == ["1.1.2"]


@given(st.lists(st.integers(50, 2900), min_size=2, max_size=12), st.integers(1, 4))
def test_no_session_starves(lengths: list[int], max_batch_size: int) -> None:
    """Sessions that all speak without pause, in utterances of any length, are served equally often."""
    batcher = make(max_batch_size)
    served: Counter[int] = Counter()
    for turn in range(6 * len(lengths)):
        for session, frames in enumerate(lengths):
            batcher.add(job(session, revision=turn, kind=PARTIAL, frames=frames), float(turn))
        batch = batcher.take(float(turn))
        assert batch
        batcher.done(batch.id, 0.01)
        served.update(item.session for item in batch.jobs)
    assert min(served[session] for session in range(len(lengths))) >= 5


# --- size of a pass -----------------------------------------------------------------------------------------


def test_a_single_job_always_goes() -> None:
    """However long its pass will take."""
    batcher = make(target_pass_ms=10)
    assert take(fill(batcher, job(frames=3000))) == ["1.1.1"]


def test_a_pass_is_kept_under_its_target() -> None:
    """As many jobs as the learnt cost allows: 20 ms and 20 ms for each job make four in 100 ms."""
    batcher = make(32, target_pass_ms=100)
    for turn in range(200):
        batch = batcher.take(float(turn)) if turn else None
        if batch:
            batcher.done(batch.id, 0.02 * (1 + len(batch.jobs)))
        for session in range(1 + turn % 5):
            batcher.add(job(session, turn), float(turn))
    while batch := batcher.take(0.0):
        batcher.done(batch.id, 0.02 * (1 + len(batch.jobs)))
    fill(batcher, *(job(session) for session in range(20)))
    assert len(take(batcher)) == pytest.approx(4, abs=1)


def test_a_slow_engine_still_batches() -> None:
    """Where one job alone misses the target, a pass may take twice as long as one job."""
    batcher = make(32, target_pass_ms=100)
    for turn in range(100):
        fill(batcher, *(job(session, turn) for session in range(1 + turn % 3)))
        batch = batcher.take(0.0)
        assert batch
        batcher.done(batch.id, 1.0 + 0.1 * len(batch.jobs))
        batcher.forget(0), batcher.forget(1), batcher.forget(2)
    fill(batcher, *(job(session) for session in range(32)))
    assert len(take(batcher)) > 5


# --- the worker dies ----------------------------------------------------------------------------------------


def die(batcher: Batcher) -> tuple[list[str], list[str]]:
    """Take a batch that kills the worker: (what was in it, what is given up)."""
    batch = batcher.take(0.0)
    assert batch
    return [name(item) for item in batch.jobs], [name(item) for item in batcher.put_back(batch.id)]


def test_finals_come_back_to_the_front_in_order() -> None:
    batcher = fill(make(3), *(job(session) for session in range(1, 5)))
    assert die(batcher) == (["1.1.1", "2.1.1", "3.1.1"], [])
    assert take(batcher) == ["1.1.1", "2.1.1", "3.1.1"]
    assert take(batcher) == ["4.1.1"]


def test_partials_come_back_to_the_front_in_order() -> None:
    batcher = fill(make(2), *(job(session, kind=PARTIAL) for session in range(1, 4)))
    assert die(batcher) == (["1.1.1", "2.1.1"], [])
    assert take(batcher) == ["1.1.1", "2.1.1"]


def test_a_job_that_was_there_twice_goes_alone_and_is_given_up_at_the_third_death() -> None:
    """So one poisonous job costs nobody else their text."""
    batcher = fill(make(), job(1), job(2), job(3))
    assert die(batcher) == (["1.1.1", "2.1.1", "3.1.1"], [])
    assert die(batcher) == (["1.1.1", "2.1.1", "3.1.1"], [])
    assert die(batcher) == (["1.1.1"], ["1.1.1"])
    assert take(batcher) == ["2.1.1"]
    assert take(batcher) == ["3.1.1"]
    assert take(batcher) == []


def test_a_suspect_does_not_join_the_batch_of_others() -> None:
    """A job that may be poison is not taken along by a newer one either."""
    batcher = fill(make(), job(1, kind=PARTIAL), job(2, kind=PARTIAL))
    die(batcher)
    die(batcher)
    fill(batcher, job(3, kind=PARTIAL))
    assert take(batcher) == ["1.1.1"]
    assert take(batcher) == ["2.1.1"]
    assert take(batcher) == ["3.1.1"]


def test_a_partial_that_was_overtaken_does_not_come_back() -> None:
    """By a newer partial of its session, or by the final of its utterance."""
    batcher = fill(make(), job(1, kind=PARTIAL), job(2, kind=PARTIAL), job(3, kind=PARTIAL))
    batch = batcher.take(0.0)
    assert batch
    fill(batcher, job(1, revision=2, kind=PARTIAL), job(2, revision=2, kind=FINAL))
    assert batcher.put_back(batch.id) == []
    assert take(batcher) == ["2.1.2"]
    assert take(batcher) == ["3.1.1", "1.1.2"]
    assert batcher.dropped_partials == 2


def test_what_nobody_wants_does_not_come_back() -> None:
    """A session that left, an eager job that was voided while it ran."""
    batcher = fill(make(), job(1), job(2, kind=EAGER), job(3))
    batch = batcher.take(0.0)
    assert batch
    batcher.forget(1)
    batcher.withdraw(2, 1, 1)
    assert batcher.put_back(batch.id) == []
    assert take(batcher) == ["3.1.1"]


# --- what is seen from outside --------------------------------------------------------------------------------


def test_forgetting_a_session_drops_its_waiting_jobs() -> None:
    batcher = fill(make(), job(1), job(1, 2, kind=PARTIAL), job(2))
    batcher.forget(1)
    batcher.forget(7)
    assert repr(batcher) == "<Batcher finals=1 partials=0 in_flight=0>"


def test_strain_is_what_the_oldest_jobs_have_waited() -> None:
    """A partial's turn counts from its place in the line, not from the newest snapshot in it."""
    batcher = make(max_queued_finals=10)
    assert batcher.strain(5.0).final_wait_s == batcher.strain(5.0).partial_wait_s == 0.0
    batcher.add(job(1, kind=PARTIAL), 1.0)
    batcher.add(job(1, revision=2, kind=PARTIAL), 3.0)
    batcher.add(job(2, frames=900), 2.0)
    batcher.add(job(3), 4.0)
    strain = batcher.strain(5.0)
    assert (strain.final_wait_s, strain.partial_wait_s, strain.queue_fill) == (3.0, 4.0, 0.2)


def test_a_batch_says_how_long_each_job_waited_and_its_length() -> None:
    batcher = make()
    batcher.add(job(1, frames=150), 1.0)
    batcher.add(job(2, frames=190), 2.0)
    batch = batcher.take(2.5)
    assert batch
    assert batch.queue_s == (1.5, 0.5)
    assert batch.padded_frames == RULE.padded_frames(150, FINAL) == 300


class BatcherMachine(RuleBasedStateMachine):
    """Any order of calls: every job is answered, replaced, dropped or given up exactly once."""

    @initialize(size=st.integers(1, 5), queued=st.integers(1, 12))
    def start(self, size: int, queued: int) -> None:
        self.size, self.queued = size, queued
        self.batcher = make(size, max_queued_finals=queued)
        self.finals: list[Job] = []
        self.partials: dict[int, Job] = {}
        self.flying: list[Batch] = []
        self.deaths: Counter[str] = Counter()
        self.unwanted: set[str] = set()
        self.number = 0
        self.now = 0.0

    def new(self, session: int, utterance: int, kind: Kind, frames: int) -> Job:
        self.number += 1
        self.now += 0.01
        return job(session, utterance, self.number, kind, frames)

    @rule(
        session=st.integers(0, 5), utterance=st.integers(0, 2), frames=st.sampled_from([50, 150, 390, 2900])
    )
    def add_partial(self, session: int, utterance: int, frames: int) -> None:
        added = self.new(session, utterance, PARTIAL, frames)
        assert self.batcher.add(added, self.now)
        self.partials[session] = added

    @rule(
        session=st.integers(0, 5),
        utterance=st.integers(0, 2),
        kind=st.sampled_from([EAGER, FINAL]),
        frames=st.sampled_from([50, 150, 390, 2900]),
    )
    def add_final(self, session: int, utterance: int, kind: Kind, frames: int) -> None:
        added = self.new(session, utterance, kind, frames)
        accepted = self.batcher.add(added, self.now)
        assert accepted == (len(self.finals) < self.queued)
        if accepted:
            self.finals.append(added)
            if session in self.partials and self.partials[session].utterance == utterance:
                del self.partials[session]

    @precondition(lambda self: self.finals)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.finals))
        self.batcher.withdraw(chosen.session, chosen.utterance, chosen.revision)
        if chosen.kind is EAGER:
            self.finals.remove(chosen)

    @rule(session=st.integers(0, 5))
    def forget(self, session: int) -> None:
        self.batcher.forget(session)
        self.partials.pop(session, None)
        self.finals = [item for item in self.finals if item.session != session]
        flying = [item for batch in self.flying for item in batch.jobs]
        self.unwanted |= {name(item) for item in flying if item.session == session}

    @rule()
    def take(self) -> None:
        batch = self.batcher.take(self.now)
        flying = {
            i.session
            for b in self.flying
            for i in b.jobs
            if i.kind is PARTIAL and name(i) not in self.unwanted
        }
        if batch is None:
            assert not self.finals
            assert set(self.partials) <= flying
            return
        self.flying.append(batch)
        self.check_batch(batch, flying)
        for item in batch.jobs:
            if item.kind is PARTIAL:
                assert self.partials.pop(item.session) is item
            else:
                self.finals = [final for final in self.finals if final is not item]

    def check_batch(self, batch: Batch, flying: set[int]) -> None:
        assert 1 <= len(batch.jobs) <= self.size
        assert {RULE.padded_frames(i.features.shape[-1], i.kind) for i in batch.jobs} == {batch.padded_frames}
        assert min(batch.queue_s) >= 0
        if len(batch.jobs) > 1:
            assert max(self.deaths[name(item)] for item in batch.jobs[1:]) < 2
            assert self.deaths[name(batch.jobs[0])] < 2
        if not self.finals:
            assert not {item.session for item in batch.jobs} & flying
            return
        assert batch.jobs[0] is self.finals[0]
        for session in {item.session for item in batch.jobs}:
            in_order = [final for final in self.finals if final.session == session]
            taken = [item for item in batch.jobs if item.session == session]
            assert [name(i) for i in taken] == [name(i) for i in in_order[: len(taken)]]

    @precondition(lambda self: self.flying)
    @rule()
    def done(self) -> None:
        self.batcher.done(self.flying.pop(0).id, 0.01)

    @precondition(lambda self: self.flying)
    @rule()
    def put_back(self) -> None:
        """The newest batch: with several in flight the others would come back one after the other."""
        batch = self.flying.pop()
        given_up = self.batcher.put_back(batch.id)
        back = [item for item in batch.jobs if name(item) not in self.unwanted]
        self.deaths.update(name(item) for item in back)
        assert [name(i) for i in given_up] == [name(i) for i in back if self.deaths[name(i)] == 3]
        back = [item for item in back if self.deaths[name(item)] < 3]
        finals = [item for item in back if item.kind is not PARTIAL] + self.finals
        self.finals = sorted(finals, key=lambda item: item.revision)
        for item in back:
            answered = any(f.session == item.session and f.utterance == item.utterance for f in self.finals)
            if item.kind is PARTIAL and item.session not in self.partials and not answered:
                self.partials[item.session] = item

    @invariant()
    def depth_is_what_waits(self) -> None:
        assert self.batcher.depth == (len(self.finals), len(self.partials))

    def teardown(self) -> None:
        """Whatever happened, what waits is answered to the end."""
        if not hasattr(self, "batcher"):
            return
        for batch in self.flying:
            self.batcher.done(batch.id, 0.01)
        answered: list[str] = []
        while names := take(self.batcher, self.now):
            answered += names
        expected = [*self.finals, *self.partials.values()]
        assert sorted(answered) == sorted(name(item) for item in expected)
        assert repr(self.batcher) == "<Batcher finals=0 partials=0 in_flight=0>"


TestBatcherMachine = BatcherMachine.TestCase
TestBatcherMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
