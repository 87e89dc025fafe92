"""core: the items of an OpenAI Realtime session: utterances grouped into turns, and what is said of each.

With VAD an utterance is an item. Without, an item is what was said between two commits, however many
utterances the gateway made of it. Each committed item gets exactly one `completed` or `failed`, in the order
of the commits; deltas only ever append. Positions (`_s`) are seconds of the client's own stream.
"""

import unicodedata
from collections import deque
from dataclasses import dataclass, field

from gateway.connection.messages import Final, Partial
from gateway.connection.protocols.openai_events import Event, Events

MIN_COMMIT_S = 0.1
ROUNDING_S = 0.001
"""Positions are told to the millisecond; no speech is so short."""


def between(before: str, after: str) -> str:
    """What stands between two texts: a space, but not between Chinese or Japanese characters."""
    if not before or not after or before[-1].isspace() or after[0].isspace():
        return ""
    return "" if _is_spaceless(before[-1]) and _is_spaceless(after[0]) else " "


def _is_spaceless(character: str) -> bool:
    wide = unicodedata.east_asian_width(character) in {"W", "F"}
    return wide and not unicodedata.name(character, "").startswith("HANGUL")


def joined(texts: list[str]) -> str:
    whole = ""
    for text in texts:
        whole += between(whole, text) + text
    return whole


@dataclass(slots=True)
class Item:
    """A turn, from its first sample to its transcript."""

    number: int
    id: str
    manual: bool
    """The client ends it; else its only utterance does."""
    start_s: float
    end_s: float | None = None
    """Where it was committed or cleared, once it was."""
    dropped: bool = False
    """It was cleared: the client hears nothing of it any more."""
    texts: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    failed: bool = False
    said: str = ""
    """The newest delta."""
    shown: str = ""
    """What the client has of the utterance that is next to be final."""

    @property
    def seconds(self) -> float:
        return round((self.end_s or self.start_s) - self.start_s, 3)


class Items:
    """One session's items."""

    def __init__(self, events: Events) -> None:
        self.manual = False
        self.pre_roll_s = 0.0
        self.endpointing_s = 0.0
        self._events = events
        self._open: Item | None = None
        """Not committed: of the utterance that is being spoken, or gathering utterances until a commit."""
        self._spoken: dict[int, Item] = {}
        """Utterances without a final, oldest first. The session bounds them, and what waits below."""
        self._flushing: deque[Item] = deque()
        """Ended by the client, until the session has given every final before that."""
        self._items = 0
        self._utterances = 0
        self._previous: str | None = None
        self._end_s = 0.0
        """Where the newest item's audio ends."""

    @property
    def open(self) -> bool:
        """Something was said that is in no committed item."""
        return self._open is not None

    # --- the client's side ---

    def switch(self, manual: bool, position_s: float) -> None:
        """From here on the client ends the items, or the VAD does; none is open but one that ends here."""
        self.manual, self._end_s = manual, position_s

    def buffered_s(self, position_s: float) -> float:
        """How much a commit would take."""
        if self.manual:
            return position_s - self._end_s
        return position_s - self._open.start_s if self._open else 0.0

    def commit(self, position_s: float) -> tuple[int, list[Event]]:
        """The open item ends here -> the id of the flush that must follow, and what is said before that."""
        item = self._open or self._new(self._end_s)
        if item.manual:
            self._flushing.append(item)
        return item.number, self._commit(item, position_s)

    def clear(self, position_s: float) -> int:
        """The open item, and what was not yet known to be one, never was -> the id of the flush to follow."""
        item = self._open or self._new(self._end_s)
        item.dropped, item.end_s = True, position_s
        self._open, self._end_s = None, position_s
        self._flushing.append(item)
        return item.number

    # --- the session's side ---

    def started(self, at_s: float) -> list[Event]:
        """Speech began there."""
        self._utterances += 1
        ended = (i for i in self._flushing if i.end_s is not None and at_s + ROUNDING_S < i.end_s)
        item = next(ended, None) or (self._open if self.manual else None)
        if item is None:
            item = self._open = self._new(self._end_s if self.manual else at_s - self.pre_roll_s)
        self._spoken[self._utterances] = item
        if item.manual or item.end_s is not None:
            return []
        return [self._events.speech_started(item.id, _ms(item.start_s))]

    def stopped(self, at_s: float, position_s: float) -> list[Event]:
        """Speech ended there; so much was received."""
        item = self._spoken.get(self._utterances)
        if item is None or item.manual or item.end_s is not None:
            return []
        end_s = max(item.start_s, min(at_s + self.endpointing_s, position_s))
        return [self._events.speech_stopped(item.id, _ms(end_s)), *self._commit(item, end_s)]

    def partial(self, partial: Partial) -> list[Event]:
        """Only what is stable is said, and only after everything before it."""
        item = self._spoken.get(partial.utterance)
        if item is None or partial.utterance != next(iter(self._spoken)):
            return []
        return self._grow(item, partial.stable)

    def final(self, final: Final) -> list[Event]:
        item = self._spoken.pop(final.utterance, None)
        if item is None or item.dropped:
            return []
        said = self._grow(item, final.text)
        item.shown = ""
        item.failed |= final.suppressed == "decode_failed"
        if final.text:
            item.texts.append(final.text)
            if final.language and final.language not in item.languages:
                item.languages.append(final.language)
        return said if item.manual else [*said, self._complete(item)]

    def flushed(self, number: object) -> list[Event]:
        """Every final before this flush was given."""
        said: list[Event] = []
        while self._flushing and isinstance(number, int) and self._flushing[0].number <= number:
            item = self._flushing.popleft()
            said += [] if item.dropped else [self._complete(item)]
        return said

    def end(self, position_s: float) -> list[Event]:
        """The session is over, all finals given: what nobody has committed is not lost."""
        item = self._open
        if item is None:
            return []
        return [*self._commit(item, position_s), self._complete(item)]

    # --- both ---

    def _new(self, start_s: float) -> Item:
        self._items += 1
        start_s = max(start_s, self._end_s)
        return Item(self._items, self._events.item_id(self._items), self.manual, start_s)

    def _commit(self, item: Item, end_s: float) -> list[Event]:
        item.end_s = self._end_s = end_s
        self._open = None
        previous, self._previous = self._previous, item.id
        return self._events.committed(item.id, previous)

    def _grow(self, item: Item, text: str) -> list[Event]:
        """The rest of an utterance's text, if it goes on from what was said of it."""
        if item.dropped or len(text) <= len(item.shown) or not text.startswith(item.shown):
            return []
        delta = text[len(item.shown) :]
        if not item.shown:
            delta = between(item.said, delta) + delta
        item.shown, item.said = text, delta
        return [self._events.delta(item.id, delta)]

    def _complete(self, item: Item) -> Event:
        if item.failed and not item.texts:
            return self._events.failed(item.id)
        return self._events.completed(item.id, joined(item.texts), item.seconds, item.languages)


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
