"""core: the audio a speaker still answers for: what was not sent, and what was sent but is not yet final.

The ring holds the newest `max_samples` of a stream as chunks, because an Opus packet cannot be cut. Positions
are samples (per channel) since the first one of the source, over all connections. Only a commit forgets
audio; when the ring overflows the oldest chunk goes, and if it was still to be sent, take() declares the gap:
a loss is never silent.

    committed      start             cursor          end
        |            |--- sent -------|--- unsent ----|
"""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chunk:
    """One binary message and how many samples (per channel) it carries."""

    payload: bytes
    samples: int


@dataclass(frozen=True, slots=True)
class Lost:
    """So many samples fell out of the ring before they could be sent (again)."""

    samples: int


class Ring:
    def __init__(self, max_samples: int) -> None:
        self._max_samples = max_samples
        self._chunks: deque[Chunk] = deque()
        self._unsent = 0
        self.committed = 0
        """Everything before it is final."""
        self.start = 0
        """The first sample that is still here."""
        self.cursor = 0
        """The next sample to send."""
        self.end = 0

    @property
    def is_full(self) -> bool:
        return self.end - self.start >= self._max_samples

    @property
    def is_settled(self) -> bool:
        """Nothing is left to send and nothing is left to be committed."""
        return self.cursor == self.end and self.committed == self.end

    def push(self, chunk: Chunk) -> None:
        """The newest audio; drops the oldest beyond `max_samples`."""
        self._chunks.append(chunk)
        self._unsent += 1
        self.end += chunk.samples
        while self.end - self.start > self._max_samples and len(self._chunks) > 1:
            self._forget_oldest()

    def take(self) -> Chunk | Lost | None:
        """What is to be sent next; None: nothing at the moment."""
        if self.cursor < self.start:
            lost = Lost(self.start - self.cursor)
            self.cursor = self.start
            return lost
        if not self._unsent:
            return None
        chunk = self._chunks[-self._unsent]
        self._unsent -= 1
        self.cursor += chunk.samples
        return chunk

    def commit(self, position: int) -> None:
        """Everything before `position` is final; what was never sent cannot be."""
        self.committed = max(self.committed, min(position, self.cursor))
        while self._chunks and self.start + self._chunks[0].samples <= self.committed:
            self._forget_oldest()

    def rewind(self) -> int:
        """Sending starts again at the returned position: the first sample that is not final.

        A chunk of which a part is committed is sent whole; what is not here any more becomes a gap.
        """
        self.cursor = min(self.start, self.committed)
        self._unsent = len(self._chunks)
        return self.cursor

    def _forget_oldest(self) -> None:
        self._unsent = min(self._unsent, len(self._chunks) - 1)
        self.start += self._chunks.popleft().samples
