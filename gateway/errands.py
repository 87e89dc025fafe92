"""Jobs of the engine that belong to no speaker: each is awaited by whoever asked."""

import asyncio
from collections.abc import Callable

from gateway.connection.ports import EngineBusy
from gateway.events import Hypothesis, Job

Identity = tuple[int, int, int]


class Errands:
    def __init__(self, submit: Callable[[Job], bool], forget: Callable[[int], None]) -> None:
        self._submit = submit
        self._forget = forget
        self._waiting: dict[Identity, asyncio.Future[Hypothesis]] = {}

    async def run(self, job: Job) -> Hypothesis:
        """The answer to this job. Raises EngineBusy. When it is cancelled, the engine forgets the job's
        session."""
        identity = job.session, job.utterance, job.revision
        answer: asyncio.Future[Hypothesis] = asyncio.get_running_loop().create_future()
        self._waiting[identity] = answer
        try:
            if not self._submit(job):
                raise EngineBusy
            return await answer
        except asyncio.CancelledError:
            self._forget(job.session)
            raise
        finally:
            del self._waiting[identity]

    def deliver(self, hypothesis: Hypothesis) -> bool:
        """False: nobody here asked for it."""
        answer = self._waiting.get((hypothesis.session, hypothesis.utterance, hypothesis.revision))
        if answer and not answer.done():
            answer.set_result(hypothesis)
        return answer is not None
