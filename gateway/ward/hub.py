"""core: beds, who speaks there and who watches. Time is Unix seconds, because people read it.

A bed exists while somebody speaks or has spoken there; the longest silent beds make room when there are too
many. Captions are kept in memory (WardSettings.kept_captions a bed), for viewers that come late or come back.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import structs

from gateway.config import WardSettings
from gateway.ward.captions import BedPartial, BedSnapshot, BedState, Caption, ViewerMessage

EVERY_BED = "*"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for these viewers."""

    viewers: tuple[int, ...]
    message: ViewerMessage


@dataclass(slots=True)
class Bed:
    name: str
    since: float
    captions: deque[Caption]
    speakers: dict[int, bool] = field(default_factory=dict)
    """Speaker -> is it connected now?"""
    partials: dict[int, BedPartial] = field(default_factory=dict)
    """The newest of each speaker."""


class Hub:
    """Who is told what. Every method returns the deliveries it causes."""

    def __init__(self, settings: WardSettings, epoch: str = "") -> None:
        """`epoch` names this run of numbers: a viewer's numbers of another epoch mean nothing here."""
        self._settings = settings
        self.epoch = epoch
        self._beds: dict[str, Bed] = {}
        self._watchers: dict[str, set[int]] = {}
        self._watched: dict[int, tuple[str, ...]] = {}
        self._degraded = False
        self._numbers: dict[str, int] = {}
        """The last that was given in each bed, those that are not kept included."""
        self._told: dict[str, int] = {}
        """The last that was told: later ones are still on their way to the journal."""

    def __repr__(self) -> str:
        online = sum(1 for bed in self._beds.values() if bed.speakers)
        return f"<Hub {online} of {len(self._beds)} beds online, {len(self._watched)} viewers>"

    @property
    def kept(self) -> int:
        """Captions kept of each bed."""
        return self._settings.kept_captions

    def go_on(self, epoch: str, numbers: dict[str, int]) -> None:
        """Number on from what the journal has, in its epoch."""
        self.epoch = epoch
        for bed, number in numbers.items():
            self._numbers[bed] = self._told[bed] = max(number, self._numbers.get(bed, 0))

    @property
    def beds_online(self) -> int:
        return sum(1 for bed in self._beds.values() if bed.speakers)

    # --- speakers ---

    def enter(self, bed_name: str, speaker: int, at: float) -> list[Delivery]:
        """A speaker's session begins at a bed."""
        return self.presence(bed_name, speaker, True, at)

    def presence(self, bed_name: str, speaker: int, connected: bool, at: float) -> list[Delivery]:
        """A speaker's device is there, or has lost its connection and may come back."""
        bed = self._bed(bed_name, at)
        before = self._state(bed)
        bed.speakers[speaker] = connected
        return self._changed(bed, at) if self._state(bed) != before else []

    def leave(self, bed_name: str, speaker: int, at: float) -> list[Delivery]:
        """The session is over, its last final published."""
        bed = self._beds.get(bed_name)
        if bed is None or speaker not in bed.speakers:
            return []
        before = self._state(bed)
        del bed.speakers[speaker]
        bed.partials.pop(speaker, None)
        return self._changed(bed, at) if self._state(bed) != before else []

    def degrade(self, degraded: bool, at: float) -> list[Delivery]:
        """The gateway's load makes captions slower (or does not any more)."""
        if degraded == self._degraded:
            return []
        self._degraded = degraded
        return [d for bed in self._beds.values() if bed.speakers for d in self._changed(bed, at)]

    def publish_partial(self, partial: BedPartial) -> list[Delivery]:
        bed = self._bed(partial.bed, partial.at)
        bed.partials[partial.speaker] = partial
        return self._tell(bed.name, partial)

    def has_room(self, bed: str) -> bool:
        """It is known, or may become so. (Numbers are never forgotten: a bed must not count anew.)"""
        return bed in self._numbers or len(self._numbers) < self._settings.max_known_beds

    def number(self, caption: Caption) -> Caption:
        """Give a caption the next number of its bed: the order in which it goes to the journal."""
        self._numbers[caption.bed] = self._numbers.get(caption.bed, 0) + 1
        return structs.replace(caption, number=self._numbers[caption.bed])

    def publish(self, caption: Caption) -> list[Delivery]:
        """Keep a numbered caption, now that the journal has it, and tell it."""
        bed = self._bed(caption.bed, caption.at)
        bed.captions.append(caption)
        self._told[bed.name] = caption.number
        newest = bed.partials.get(caption.speaker)
        if newest and newest.utterance <= caption.utterance:
            del bed.partials[caption.speaker]
        return self._tell(bed.name, caption)

    def remember(self, captions: Iterable[Caption]) -> None:
        """Captions of an earlier run of the gateway, oldest first."""
        for caption in captions:
            self._bed(caption.bed, caption.at).captions.append(caption)

    def expire(self, before: float) -> None:
        """Forget captions of before this time: memory keeps nothing for longer than the journal."""
        for bed in self._beds.values():
            while bed.captions and bed.captions[0].at < before:
                bed.captions.popleft()

    # --- viewers ---

    def watch(
        self,
        viewer: int,
        beds: Iterable[str],
        after: dict[str, int],
        history: dict[str, list[Caption]],
        at: float,
    ) -> list[Delivery]:
        """A viewer watches these beds from now on, instead of those before.

        `after` are the numbers that it has; `history` is what the journal had of the `missing` ones.
        """
        self.forget(viewer)
        names = tuple(dict.fromkeys(beds))
        self._watched[viewer] = names
        for name in names:
            self._watchers.setdefault(name, set()).add(viewer)
        shown = self._beds if EVERY_BED in names else dict.fromkeys(names)
        return [
            Delivery((viewer,), self._snapshot(name, after.get(name), history.get(name, []), at))
            for name in shown
        ]

    def forget(self, viewer: int) -> None:
        for name in self._watched.pop(viewer, ()):
            self._watchers[name].discard(viewer)
            if not self._watchers[name]:
                del self._watchers[name]

    def missing(self, bed_name: str, after: int) -> range:
        """Numbers after `after` that are not kept here any more (the journal may have them)."""
        bed = self._beds.get(bed_name)
        kept = bed.captions[0].number if bed and bed.captions else self._told.get(bed_name, 0) + 1
        return range(after + 1, kept)

    def _snapshot(self, name: str, after: int | None, history: list[Caption], at: float) -> BedSnapshot:
        bed = self._beds.get(name) or Bed(name, at, deque())
        kept = [*history, *bed.captions]
        captions = [c for c in kept if after is None or c.number > after]
        last = self._told.get(name, 0)
        first = captions[0].number if captions else last + 1
        recovered = after is None or (first <= after + 1 and after <= last)
        newest = max(bed.partials.values(), key=lambda p: p.at, default=None)
        return BedSnapshot(name, self.epoch, self._state(bed), bed.since, captions, newest, recovered)

    def states(self) -> list[BedState]:
        """Every bed that is known here."""
        return [BedState(bed.name, self._state(bed), bed.since) for bed in self._beds.values()]

    def recent(self, bed_name: str) -> list[Caption]:
        """The captions of a bed that are kept here, oldest first."""
        bed = self._beds.get(bed_name)
        return list(bed.captions) if bed else []

    # --- small ---

    def _bed(self, name: str, at: float) -> Bed:
        if name not in self._beds:
            self._make_room()
            self._beds[name] = Bed(name, at, deque(maxlen=self._settings.kept_captions))
        return self._beds[name]

    def _make_room(self) -> None:
        """Of too many beds, forget the one that is silent for longest."""
        silent = [bed for bed in self._beds.values() if not bed.speakers]
        if len(self._beds) >= self._settings.max_beds and silent:
            del self._beds[min(silent, key=lambda bed: bed.since).name]

    def _state(self, bed: Bed) -> str:
        if not bed.speakers:
            return "offline"
        if not any(bed.speakers.values()):
            return "reconnecting"
        return "degraded" if self._degraded else "online"

    def _changed(self, bed: Bed, at: float) -> list[Delivery]:
        bed.since = at
        return self._tell(bed.name, BedState(bed.name, self._state(bed), at))

    def _tell(self, bed: str, message: ViewerMessage) -> list[Delivery]:
        viewers = self._watchers.get(bed, set()) | self._watchers.get(EVERY_BED, set())
        return [Delivery(tuple(sorted(viewers)), message)] if viewers else []
