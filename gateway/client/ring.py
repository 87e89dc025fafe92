"""core: the audio a speaker still answers for: what was not sent, and what was sent but is not committed.

Positions are samples (per channel) since the first one of the source, over all connections and sessions. Only
a commit forgets audio; when the ring overflows the oldest chunk goes, and if it was still to be sent (again),
take() declares the loss: it is never silent. A chunk of PCM is cut where sending has to go on within it; an
Opus packet cannot be.

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

    def cut(self, samples: int) -> "tuple[Chunk, Chunk]":
        """PCM only: the first `samples`, and the rest."""
        at = len(self.payload) // self.samples * samples
        return Chunk(self.payload[:at], samples), Chunk(self.payload[at:], self.samples - samples)


@dataclass(frozen=True, slots=True)
class Lost:
    """So many samples fell out of the ring before they could be sent (again)."""

    samples: int


class Ring:
    def __init__(self, max_samples: int, can_cut: bool = True) -> None:
        """`can_cut`: a chunk may be sent in part (not Opus)."""
        self._max_samples = max_samples
        self._can_cut = can_cut
        self._chunks: deque[Chunk] = deque()
        self._unsent = 0
        self._sent = 0
        """Nothing at or after it was ever sent."""
        self.committed = 0
        """Everything before it is final, and kept by the gateway."""
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
            self._advance(lost.samples)
            return lost
        if not self._unsent:
            return None
        chunk = self._chunks[-self._unsent]
        self._unsent -= 1
        self._advance(chunk.samples)
        return chunk

    def commit(self, position: int) -> None:
        """Everything before `position` is final; what was never sent cannot be."""
        self.committed = max(self.committed, min(position, self.cursor))
        while self._chunks and self.start + self._chunks[0].samples <= self.committed:
            self._forget_oldest()

    def rewind(self, position: int) -> int:
        """Sending goes on at the returned position, which is `position` wherever that can be.

        Within a chunk that cannot be cut it is the beginning of the chunk; beyond what was ever sent, the end
        of that. From a position that is not here any more on, take() declares the loss.
        """
        position = max(0, min(position, self._sent))
        index, start = 0, self.start
        while index < len(self._chunks) and start + self._chunks[index].samples <= position:
            start += self._chunks[index].samples
            index += 1
        if start < position and self._can_cut:
            self._chunks[index], rest = self._chunks[index].cut(position - start)
            index += 1
            self._chunks.insert(index, rest)
            start = position
        self._unsent = len(self._chunks) - index
        self.cursor = min(start, position)
        return self.cursor

    def _advance(self, samples: int) -> None:
        self.cursor += samples
        self._sent = max(self._sent, self.cursor)

    def _forget_oldest(self) -> None:
        self._unsent = min(self._unsent, len(self._chunks) - 1)
        self.start += self._chunks.popleft().samples
