"""core: which jobs share the next pass.

Finals (and EAGER ones) before partials over all sessions, the oldest first; a session's finals are taken in
order. A session has at most one partial waiting and one in flight: a newer snapshot replaces the waiting one
and keeps its place, so sessions take turns. A batch holds one length bucket, and finals or partials but not
both: with different beams they would share only the encoder, and the finals would wait for the partials.

The batch is whatever is queued when the engine is free, capped by `max_batch_size` and by what a pass may
cost (cost.py). What was in flight when the worker died comes back to its old place, ahead of all that is
newer; a job that was there twice goes alone, at the third death it is given up.

Uploaded files come behind all that, never into the same pass, and only into passes below the target. An
engine that takes longer even for one of their jobs works on them only when nobody has spoken for HUSH_S: what
somebody is saying never waits for the pass of a file.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from gateway.config import InferenceSettings
from gateway.events import Job, Kind
from gateway.inference.context import ContextRule
from gateway.inference.cost import PassCost
from gateway.inference.load import Strain
from gateway.inference.waiting import ALONE_AFTER, UploadQueue, Waiting

GIVEN_UP_AFTER = 3
"""Deaths of the worker with the same job in flight."""
HUSH_S = 2.0
"""Partials of somebody who speaks are no farther apart, even when they are stretched."""
LOOK_AHEAD = 8
"""Waiting jobs looked at per free place of a batch: `take` is bounded whatever waits."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs for one pass."""

    id: int
    jobs: tuple[Job, ...]
    padded_frames: int
    """Frames of each item, padding included."""
    queue_s: tuple[float, ...]
    """How long each job has waited."""


class Batcher:
    """Jobs in, batches out. Raises nothing; what it refuses or drops it returns or counts."""

    def __init__(self, settings: InferenceSettings, max_batch_size: int, context: ContextRule) -> None:
        self.max_batch_size = max_batch_size
        self.dropped_partials = 0
        """Waiting partials that a newer snapshot made worthless."""
        self._settings = settings
        self._context = context
        self._finals: dict[int, OrderedDict[int, Waiting]] = {}
        """bucket -> number -> waiting, oldest first."""
        self._session_finals: dict[int, OrderedDict[int, Waiting]] = {}
        self._partials: OrderedDict[int, Waiting] = OrderedDict()
        """session -> waiting, in order of place."""
        self._uploads = UploadQueue()
        self._live_at = -math.inf
        """When the last live job came."""
        self._in_flight: dict[int, list[Waiting]] = {}
        self._final_count = 0
        self._next_number = 0
        self._next_batch = 0
        self._costs = {True: PassCost(0.03, 7e-5), False: PassCost(0.012, 5e-5)}
        """By whether they are finals; starting from a small model on a CPU."""

    def __repr__(self) -> str:
        finals, partials = self.depth
        flying = sum(map(len, self._in_flight.values()))
        return f"<Batcher finals={finals} partials={partials} in_flight={flying}>"

    @property
    def depth(self) -> tuple[int, int]:
        """Waiting (finals, partials)."""
        return self._final_count, len(self._partials)

    @property
    def waiting_uploads(self) -> int:
        """Waiting jobs of uploaded files."""
        return len(self._uploads)

    def pause_s(self, now: float) -> float | None:
        """How long a file has to wait now that `take` gave nothing; None: none waits."""
        first = self._uploads.first()
        return max(0.0, self._live_at + HUSH_S - now) if first else None

    def strain(self, now: float) -> Strain:
        """How long the oldest final and the first partial in line have waited. What waits behind the pass of
        a file is no sign of too many speakers."""
        if any(_is_upload(chosen) for chosen in self._in_flight.values()):
            return Strain(0.0, 0.0, self._final_count / self._settings.max_queued_finals)
        final, partial = self._oldest_final(), next(iter(self._partials.values()), None)
        return Strain(
            now - final.added if final else 0.0,
            now - partial.placed if partial else 0.0,
            self._final_count / self._settings.max_queued_finals,
        )

    def add(self, job: Job, now: float) -> bool:
        """Queue a job. False: refused, too many of its kind wait."""
        bucket = self._context.padded_frames(job.features.shape[-1], job.kind)
        waiting = Waiting(job, self._next_number, bucket, now, now)
        if job.kind is Kind.UPLOAD:
            self._next_number += 1
            return self._uploads.add(waiting)
        self._live_at = now
        if job.kind is not Kind.PARTIAL and self._final_count >= self._settings.max_queued_finals:
            return False
        self._next_number += 1
        if job.kind is Kind.PARTIAL:
            self._add_partial(waiting)
        else:
            self._add_final(waiting)
            replaced = self._partials.get(job.session)
            if replaced and replaced.job.utterance == job.utterance:
                self._drop_partial(job.session)
        return True

    def withdraw(self, session: int, utterance: int, revision: int) -> None:
        """Drop a waiting EAGER job that was voided; one in flight just finishes."""
        identity = (session, utterance, revision)
        for waiting in list(self._session_finals.get(session, {}).values()):
            if waiting.job.kind is Kind.EAGER and _identity(waiting.job) == identity:
                self._remove_final(waiting)
        self._disown(lambda job: job.kind is Kind.EAGER and _identity(job) == identity)

    def forget(self, session: int) -> None:
        """The session is gone: its waiting jobs are dropped."""
        self._partials.pop(session, None)
        self._uploads.forget(session)
        for waiting in list(self._session_finals.get(session, {}).values()):
            self._remove_final(waiting)
        self._disown(lambda job: job.session == session)

    def take(self, now: float) -> Batch | None:
        """What shares the next pass; None when nothing can run."""
        chosen = self._choose_finals() or self._choose_partials() or self._choose_uploads(now)
        if not chosen:
            return None
        batch = Batch(
            self._next_batch,
            tuple(waiting.job for waiting in chosen),
            chosen[0].bucket,
            tuple(now - waiting.added for waiting in chosen),
        )
        self._next_batch += 1
        self._in_flight[batch.id] = chosen
        return batch

    def done(self, batch_id: int, seconds: float) -> None:
        """The batch was answered, in so many seconds."""
        chosen = self._in_flight.pop(batch_id)
        if chosen:
            frames = sum(waiting.bucket for waiting in chosen)
            self._costs[chosen[0].job.kind is not Kind.PARTIAL].learn(frames, seconds)

    def put_back(self, batch_id: int) -> list[Job]:
        """The worker died with this batch: its jobs return to their places. Returns those to fail."""
        given_up = []
        for waiting in reversed(self._in_flight.pop(batch_id)):
            waiting.deaths += 1
            if waiting.deaths >= GIVEN_UP_AFTER:
                given_up.append(waiting.job)
            elif waiting.job.kind is Kind.UPLOAD:
                self._uploads.put_back(waiting)
            elif waiting.job.kind is not Kind.PARTIAL:
                self._add_final(waiting)
            elif self._is_superseded(waiting.job):
                self.dropped_partials += 1
            else:
                self._partials[waiting.job.session] = waiting
                self._partials.move_to_end(waiting.job.session, last=False)
        return given_up[::-1]

    # --- choosing -------------------------------------------------------------------------------------------

    def _oldest_final(self) -> Waiting | None:
        heads = [next(iter(queue.values())) for queue in self._finals.values()]
        return min(heads, key=lambda waiting: waiting.number, default=None)

    def _choose_finals(self) -> list[Waiting]:
        oldest = self._oldest_final()
        if oldest is None:
            return []
        self._remove_final(oldest)
        chosen = [oldest]
        places = self._places(oldest)
        for waiting in list(islice(self._finals.get(oldest.bucket, {}).values(), places * LOOK_AHEAD)):
            if len(chosen) >= places:
                break
            in_turn = next(iter(self._session_finals[waiting.job.session].values())) is waiting
            if in_turn and waiting.deaths < ALONE_AFTER:
                self._remove_final(waiting)
                chosen.append(waiting)
        return chosen

    def _choose_partials(self) -> list[Waiting]:
        flying = {
            waiting.job.session
            for chosen in self._in_flight.values()
            for waiting in chosen
            if waiting.job.kind is Kind.PARTIAL
        }
        free = [waiting for session, waiting in self._partials.items() if session not in flying]
        if not free:
            return []
        places = self._places(free[0])
        fitting = (w for w in free[1:] if w.bucket == free[0].bucket and w.deaths < ALONE_AFTER)
        chosen = [free[0], *islice(fitting, places - 1)]
        for waiting in chosen:
            del self._partials[waiting.job.session]
        return chosen

    def _choose_uploads(self, now: float) -> list[Waiting]:
        first = self._uploads.first()
        if first is None:
            return []
        target_s = self._settings.target_pass_ms / 1000
        if self._costs[True].predict_s(first.bucket) > target_s and now < self._live_at + HUSH_S:
            return []
        return self._uploads.take(self._places_within(target_s, first))

    def _places(self, first: Waiting) -> int:
        """How many jobs like `first` one pass may hold; itself always."""
        if first.deaths >= ALONE_AFTER:
            return 1
        cost = self._costs[first.job.kind is not Kind.PARTIAL]
        # Where one job alone is slower than the target, doubling the pass is worth what it saves the others.
        limit_s = max(self._settings.target_pass_ms / 1000, 2 * cost.predict_s(first.bucket))
        return self._places_within(limit_s, first)

    def _places_within(self, limit_s: float, first: Waiting) -> int:
        cost = self._costs[first.job.kind is not Kind.PARTIAL]
        places = 1
        while places < self.max_batch_size and cost.predict_s((places + 1) * first.bucket) <= limit_s:
            places += 1
        return places

    # --- the queues -----------------------------------------------------------------------------------------

    def _add_partial(self, waiting: Waiting) -> None:
        session = waiting.job.session
        replaced = self._partials.get(session)
        if replaced:
            waiting.placed = replaced.placed
            self.dropped_partials += 1
        self._partials[session] = waiting

    def _drop_partial(self, session: int) -> None:
        del self._partials[session]
        self.dropped_partials += 1

    def _is_superseded(self, partial: Job) -> bool:
        finals = self._session_finals.get(partial.session, OrderedDict[int, Waiting]())
        return partial.session in self._partials or any(
            waiting.job.utterance == partial.utterance for waiting in finals.values()
        )

    def _add_final(self, waiting: Waiting) -> None:
        for queues, key in ((self._finals, waiting.bucket), (self._session_finals, waiting.job.session)):
            queue = queues.setdefault(key, OrderedDict())
            came_back = bool(queue) and next(reversed(queue)) > waiting.number
            queue[waiting.number] = waiting
            if came_back:
                queues[key] = OrderedDict(sorted(queue.items()))
        self._final_count += 1

    def _remove_final(self, waiting: Waiting) -> None:
        for queues, key in ((self._finals, waiting.bucket), (self._session_finals, waiting.job.session)):
            del queues[key][waiting.number]
            if not queues[key]:
                del queues[key]
        self._final_count -= 1

    def _disown(self, unwanted: Callable[[Job], bool]) -> None:
        """What is in flight and no longer wanted does not come back if the worker dies."""
        for chosen in self._in_flight.values():
            chosen[:] = [waiting for waiting in chosen if not unwanted(waiting.job)]


def _identity(job: Job) -> tuple[int, int, int]:
    return job.session, job.utterance, job.revision


def _is_upload(chosen: list[Waiting]) -> bool:
    """A pass holds nothing else then."""
    return bool(chosen) and chosen[0].job.kind is Kind.UPLOAD
