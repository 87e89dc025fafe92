"""Uploaded files in the batcher: behind everything live, in turns, in small passes."""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.config import InferenceSettings
from gateway.events import Job, Kind
from gateway.inference.batcher import HUSH_S, Batch, Batcher
from gateway.inference.context import ContextRule
from gateway.inference.waiting import MAX_UPLOADS
from tests.inference.fakes import job, name

EAGER, FINAL, PARTIAL, UPLOAD = Kind.EAGER, Kind.FINAL, Kind.PARTIAL, Kind.UPLOAD
RULE = ContextRule(short_context=True)
LATER = 1000.0
"""Nobody has spoken for long."""


def make(max_batch_size: int = 4, target_pass_ms: int = 60_000) -> Batcher:
    return Batcher(InferenceSettings(target_pass_ms=target_pass_ms), max_batch_size, RULE)


def fill(batcher: Batcher, *jobs: Job, now: float = 0.0) -> Batcher:
    for item in jobs:
        assert batcher.add(item, now)
    return batcher


def take(batcher: Batcher, now: float = LATER) -> list[str]:
    """Names of the next batch, which is answered at once."""
    batch = batcher.take(now)
    if batch is None:
        return []
    batcher.done(batch.id, 0.01)
    return [name(item) for item in batch.jobs]


def upload(session: int, utterance: int = 1, frames: int = 100) -> Job:
    return job(session, utterance, 1, UPLOAD, frames)


def test_a_file_waits_for_everything_live() -> None:
    """However long it has waited, and never in the same pass."""
    batcher = fill(make(), upload(9), job(1, kind=PARTIAL), job(2, kind=EAGER), job(3))
    assert take(batcher) == ["2.1.1", "3.1.1"]
    assert take(batcher) == ["1.1.1"]
    assert take(batcher) == ["9.1.1"]
    assert take(batcher) == []


def test_files_take_turns() -> None:
    """One that came later, with less, is not behind all of the first one."""
    batcher = fill(make(2), *(upload(8, n) for n in range(1, 5)), upload(9, 1), upload(9, 2))
    assert take(batcher) == ["8.1.1", "9.1.1"]
    assert take(batcher) == ["8.2.1", "9.2.1"]
    assert take(batcher) == ["8.3.1", "8.4.1"]


def test_a_pass_of_files_has_one_length() -> None:
    """Another length waits for its turn, which comes."""
    batcher = fill(make(), upload(7, frames=100), upload(8, frames=900), upload(9, frames=100), upload(8, 2))
    assert take(batcher) == ["7.1.1", "9.1.1"]
    assert take(batcher) == ["8.1.1"]
    assert take(batcher) == ["8.2.1"]


def test_passes_of_files_are_shorter_than_the_target() -> None:
    """Finals may take twice of what one job takes alone, where that is more; files may not."""
    batcher = make(8, target_pass_ms=100)
    for _ in range(200):
        fill(batcher, job(1), now=-LATER)
        batch = batcher.take(0.0)
        assert batch
        batcher.done(batch.id, 0.2)
    fill(batcher, *(upload(9, n) for n in range(8)))
    assert len(take(batcher)) == 1
    quick = make(8, target_pass_ms=60_000)
    fill(quick, *(upload(9, n) for n in range(8)))
    assert len(take(quick)) == 8


def slow() -> Batcher:
    """An engine for which one job takes longer than the target."""
    return make(target_pass_ms=10)


def test_a_slow_engine_works_on_files_only_while_nobody_speaks() -> None:
    """Else what somebody says next would wait for a pass that has only begun."""
    batcher = fill(slow(), upload(9))
    fill(batcher, job(1, kind=PARTIAL), now=50.0)
    assert take(batcher, 50.0) == ["1.1.1"]
    assert take(batcher, 51.0) == []
    assert batcher.pause_s(51.0) == HUSH_S - 1
    assert take(batcher, 50.0 + HUSH_S) == ["9.1.1"]
    assert batcher.pause_s(60.0) is None


def test_a_quick_engine_does_not_wait_for_silence() -> None:
    batcher = fill(make(), upload(9), now=50.0)
    fill(batcher, job(1, kind=PARTIAL), now=50.0)
    assert take(batcher, 50.0) == ["1.1.1"]
    assert take(batcher, 50.0) == ["9.1.1"]


def test_files_are_no_strain() -> None:
    """Neither by waiting, nor by what has to wait for their pass."""
    batcher = fill(make(), upload(9))
    assert batcher.strain(LATER).final_wait_s == 0
    batch = batcher.take(LATER)
    assert batch
    fill(batcher, job(1), job(2, kind=PARTIAL), now=LATER)
    strain = batcher.strain(LATER + 5)
    assert (strain.final_wait_s, strain.partial_wait_s) == (0, 0)
    batcher.done(batch.id, 0.1)
    assert batcher.strain(LATER + 5).final_wait_s == 5


def test_too_many_are_refused_and_cost_the_finals_nothing() -> None:
    batcher = fill(make(), *(upload(9, n) for n in range(MAX_UPLOADS)))
    assert not batcher.add(upload(9, MAX_UPLOADS), 0.0)
    assert batcher.add(job(1), 0.0)
    assert (batcher.depth, batcher.waiting_uploads) == ((1, 0), MAX_UPLOADS)


def test_a_file_that_nobody_wants_is_forgotten() -> None:
    """What waits, and what would come back from a dead worker."""
    batcher = fill(make(1), upload(8, 1), upload(8, 2), upload(9))
    batch = batcher.take(LATER)
    assert batch
    batcher.forget(8)
    assert batcher.put_back(batch.id) == []
    assert take(batcher) == ["9.1.1"]
    assert take(batcher) == []


def test_after_a_death_files_go_on_where_they_were() -> None:
    """A job that was there twice goes alone, at the third death it is given up."""
    batcher = fill(make(2), upload(8, 1), upload(8, 2), upload(9, 1))
    for expected in (["8.1.1", "9.1.1"], ["8.1.1", "9.1.1"]):
        batch = batcher.take(LATER)
        assert batch
        assert [name(item) for item in batch.jobs] == expected
        assert batcher.put_back(batch.id) == []
    batch = batcher.take(LATER)
    assert batch
    assert [name(item) for item in batcher.put_back(batch.id)] == ["8.1.1"]
    assert sorted(take(batcher) + take(batcher) + take(batcher)) == ["8.2.1", "9.1.1"]


class Priority(RuleBasedStateMachine):
    """Any order of calls: a file never goes where something live could, and nothing is lost."""

    @initialize(size=st.integers(1, 5), target_ms=st.sampled_from([10, 60_000]))
    def start(self, size: int, target_ms: int) -> None:
        self.batcher = make(size, target_ms)
        self.waiting: dict[str, Job] = {}
        self.flying: list[Batch] = []
        self.gone: set[str] = set()
        self.number = 0
        self.now = 0.0

    @rule(
        session=st.integers(0, 3),
        kind=st.sampled_from([EAGER, FINAL, PARTIAL]),
        frames=st.sampled_from([50, 390, 2900]),
    )
    def add_live(self, session: int, kind: Kind, frames: int) -> None:
        self.number += 1
        added = job(session, self.number, 1, kind, frames)
        assert self.batcher.add(added, self.now)
        if kind is PARTIAL:
            replaced = [n for n, j in self.waiting.items() if j.kind is PARTIAL and j.session == session]
            for key in replaced:
                del self.waiting[key]
        self.waiting[name(added)] = added

    @rule(session=st.integers(10, 13), frames=st.sampled_from([50, 390, 2900]))
    def add_upload(self, session: int, frames: int) -> None:
        self.number += 1
        added = job(session, self.number, 1, UPLOAD, frames)
        assert self.batcher.add(added, self.now)
        self.waiting[name(added)] = added

    @rule(session=st.integers(10, 13))
    def leave(self, session: int) -> None:
        self.batcher.forget(session)
        self.waiting = {key: item for key, item in self.waiting.items() if item.session != session}
        for batch in self.flying:
            self.gone |= {name(item) for item in batch.jobs if item.session == session}

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0]))
    def take(self, seconds: float) -> None:
        self.now += seconds
        if self.flying:
            return  # the worker has one pass at a time
        batch = self.batcher.take(self.now)
        live = [item for item in self.waiting.values() if item.kind is not UPLOAD]
        if batch is None:
            assert not live
            assert not self.waiting or ((pause := self.batcher.pause_s(self.now)) is not None and pause > 0)
            return
        kinds = {item.kind is UPLOAD for item in batch.jobs}
        assert len(kinds) == 1
        assert kinds == {not live}
        for item in batch.jobs:
            assert self.waiting.pop(name(item)) is item
        self.flying.append(batch)

    @precondition(lambda self: self.flying)
    @rule(seconds=st.sampled_from([0.001, 0.05, 2.0]))
    def done(self, seconds: float) -> None:
        self.batcher.done(self.flying.pop().id, seconds)

    @precondition(lambda self: self.flying)
    @rule()
    def die(self) -> None:
        batch = self.flying.pop()
        given_up = {name(item) for item in self.batcher.put_back(batch.id)}
        for item in batch.jobs:
            newer = item.kind is PARTIAL and any(
                j.kind is PARTIAL and j.session == item.session for j in self.waiting.values()
            )
            if name(item) not in given_up | self.gone and not newer:
                self.waiting[name(item)] = item

    @invariant()
    def what_waits_is_counted(self) -> None:
        uploads = sum(item.kind is UPLOAD for item in self.waiting.values())
        assert self.batcher.waiting_uploads == uploads
        assert sum(self.batcher.depth) == len(self.waiting) - uploads

    def teardown(self) -> None:
        """What waits is answered to the end, live first."""
        if not hasattr(self, "batcher"):
            return
        for batch in self.flying:
            self.batcher.done(batch.id, 0.01)
        answered: list[str] = []
        while names := take(self.batcher, math.inf):
            answered += names
        kinds = [self.waiting.pop(key).kind is UPLOAD for key in answered]
        assert kinds == sorted(kinds)
        assert not self.waiting


TestPriority = Priority.TestCase
TestPriority.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
