"""core: a job that waits, and the queue of those that wait behind everything live: uploaded files.

Files take turns: a pass holds the oldest job of the file whose turn it is, then of the next one, and so on;
a file that was served goes to the end of the line.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.events import Job

ALONE_AFTER = 2
"""Deaths of the worker with the same job in flight, from which it goes alone."""
MAX_UPLOADS = 256
"""Jobs of files that may wait; a file has only a few of them here at a time."""


@dataclass(slots=True)
class Waiting:
    job: Job
    number: int
    """In order of arrival."""
    bucket: int
    added: float
    placed: float
    """Since when its place in the queue is held: before `added` if it replaced another."""
    deaths: int = 0


class UploadQueue:
    """Jobs of uploaded files, by their sessions."""

    def __init__(self) -> None:
        self._files: OrderedDict[int, deque[Waiting]] = OrderedDict()
        """session -> its jobs, oldest first; whose turn it is first."""

    def __len__(self) -> int:
        return sum(map(len, self._files.values()))

    def add(self, waiting: Waiting) -> bool:
        """False: too many wait."""
        if len(self) >= MAX_UPLOADS:
            return False
        self._files.setdefault(waiting.job.session, deque()).append(waiting)
        return True

    def put_back(self, waiting: Waiting) -> None:
        """It was in flight: it is this file's next one, and the file's turn."""
        self._files.setdefault(waiting.job.session, deque()).appendleft(waiting)
        self._files.move_to_end(waiting.job.session, last=False)

    def forget(self, session: int) -> None:
        self._files.pop(session, None)

    def first(self) -> Waiting | None:
        """Whose turn it is."""
        return next((jobs[0] for jobs in self._files.values()), None)

    def take(self, places: int) -> list[Waiting]:
        """The first one, and up to `places` in all that may share its pass."""
        first = self.first()
        if first is None:
            return []
        chosen = [self._take(first.job.session)]
        if first.deaths < ALONE_AFTER:
            for waiting in self._in_turn(first.bucket):
                if len(chosen) >= places:
                    break
                chosen.append(self._take(waiting.job.session))
        return chosen

    def _in_turn(self, bucket: int) -> Iterator[Waiting]:
        """What fits, round by round; whoever asks for the next one has taken the last one."""
        while True:
            fitting = [jobs[0] for jobs in self._files.values() if _fits(jobs[0], bucket)]
            if not fitting:
                return
            yield fitting[0]

    def _take(self, session: int) -> Waiting:
        jobs = self._files[session]
        waiting = jobs.popleft()
        if jobs:
            self._files.move_to_end(session)
        else:
            del self._files[session]
        return waiting


def _fits(waiting: Waiting, bucket: int) -> bool:
    return waiting.bucket == bucket and waiting.deaths < ALONE_AFTER
