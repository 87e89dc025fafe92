"""core: what must be on disk before it is said: journal, then send, then ack.

Each record waits for its turn; what was to be said with it or after it waits behind. A session without a bed
is not journalled: there everything is said at once, and audio is committed when its final is sent.
"""

from collections import deque
from dataclasses import dataclass, field

from gateway.connection.effects import Effect, Record, Send
from gateway.connection.messages import Ack, Final

KEPT_FINALS = 500
"""Finals that a client which comes back can get again."""


@dataclass(slots=True)
class Waiting:
    committed: int
    then: list[Effect] = field(default_factory=list)


class Ledger:
    """Records in flight to the journal, and how far the client may forget its audio."""

    def __init__(self, journalled: bool, committed: int = 0) -> None:
        self._journalled = journalled
        self.committed = committed
        self._asked = committed
        self._waiting: deque[Waiting] = deque()
        self._said: deque[Final] = deque(maxlen=KEPT_FINALS)

    def __len__(self) -> int:
        """Records that are not on disk yet."""
        return len(self._waiting)

    def record(self, record: Record, then: list[Effect]) -> list[Effect]:
        """Say `then` when the record is on disk."""
        self._asked = max(self._asked, record.committed)
        if not self._journalled:
            self.committed = self._asked
            return self._say(then)
        self._waiting.append(Waiting(record.committed, then))
        return [record]

    def progress(self, record: Record, received: int) -> list[Effect]:
        """Acknowledge; silence that became committable is recorded first."""
        if record.committed > self._asked and self._journalled:
            self.record(record, [])
            return [record]
        self.committed = max(self.committed, record.committed) if not self._journalled else self.committed
        # While a record waits, what is committed is about to change: its own Ack says it then.
        return [] if self._waiting else [Send(Ack(received, self.committed))]

    def after_records(self, effect: Effect) -> list[Effect]:
        """Perform an effect after everything that waits now."""
        if not self._waiting:
            return [effect]
        self._waiting[-1].then.append(effect)
        return []

    def written(self, durable: bool, received: int) -> list[Effect]:
        """The oldest record was written, or (not durable) the disk fails and captions flow all the same."""
        if not self._waiting:
            return []
        done = self._waiting.popleft()
        if durable:
            self.committed = max(self.committed, done.committed)
        return [*self._say(done.then), Send(Ack(received, self.committed))]

    def said_after(self, number: int) -> list[Final]:
        """Finals that a client which saw `number` last has missed."""
        return [final for final in self._said if final.number > number]

    def _say(self, effects: list[Effect]) -> list[Effect]:
        self._said.extend(
            effect.message
            for effect in effects
            if isinstance(effect, Send) and isinstance(effect.message, Final)
        )
        return effects
