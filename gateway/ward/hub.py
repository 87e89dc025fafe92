"""core: beds, who speaks there and who watches. Time is Unix seconds, because people read it.

A bed exists while somebody speaks or has spoken there; the longest silent beds make room when there are too
many. Captions are kept in memory (WardSettings.kept_captions a bed), for viewers that come late or come back.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

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
    speakers: set[int] = field(default_factory=set)
    partials: dict[int, BedPartial] = field(default_factory=dict)
    """The newest of each speaker."""
    last_number: int = 0


class Hub:
    """Who is told what. Every method returns the deliveries it causes."""

    def __init__(self, settings: WardSettings, epoch: str) -> None:
        """`epoch` names this run of numbers: a viewer's numbers of another epoch mean nothing here."""
        self._settings = settings
        self._epoch = epoch
        self._beds: dict[str, Bed] = {}
        self._watchers: dict[str, set[int]] = {}
        self._watched: dict[int, tuple[str, ...]] = {}
        self._degraded = False

    def __repr__(self) -> str:
        online = sum(1 for bed in self._beds.values() if bed.speakers)
        return f"<Hub {online} of {len(self._beds)} beds online, {len(self._watched)} viewers>"

    @property
    def beds_online(self) -> int:
        return sum(1 for bed in self._beds.values() if bed.speakers)

    # --- speakers ---

    def enter(self, bed_name: str, speaker: int, at: float) -> list[Delivery]:
        """A speaker's session begins at a bed."""
        bed = self._bed(bed_name, at)
        was_silent = not bed.speakers
        bed.speakers.add(speaker)
        return self._changed(bed, at) if was_silent else []

    def leave(self, bed_name: str, speaker: int, at: float) -> list[Delivery]:
        """The session is over, its last final published."""
        bed = self._beds.get(bed_name)
        if bed is None or speaker not in bed.speakers:
            return []
        bed.speakers.discard(speaker)
        bed.partials.pop(speaker, None)
        return [] if bed.speakers else self._changed(bed, at)

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

    def publish(self, caption: Caption) -> list[Delivery]:
        """Number a caption within its bed, keep it and tell it."""
        bed = self._bed(caption.bed, caption.at)
        bed.last_number += 1
        numbered = _numbered(caption, bed.last_number)
        bed.captions.append(numbered)
        newest = bed.partials.get(caption.speaker)
        if newest and newest.utterance <= caption.utterance:
            del bed.partials[caption.speaker]
        return self._tell(bed.name, numbered)

    # --- viewers ---

    def watch(self, viewer: int, beds: Iterable[str], after: dict[str, int], at: float) -> list[Delivery]:
        """A viewer watches these beds from now on, instead of those before."""
        self.forget(viewer)
        names = tuple(dict.fromkeys(beds))
        self._watched[viewer] = names
        for name in names:
            self._watchers.setdefault(name, set()).add(viewer)
        shown = self._beds if EVERY_BED in names else dict.fromkeys(names)
        return [Delivery((viewer,), self._snapshot(name, after.get(name), at)) for name in shown]

    def forget(self, viewer: int) -> None:
        for name in self._watched.pop(viewer, ()):
            self._watchers[name].discard(viewer)
            if not self._watchers[name]:
                del self._watchers[name]

    def _snapshot(self, name: str, after: int | None, at: float) -> BedSnapshot:
        bed = self._beds.get(name)
        if bed is None:
            return BedSnapshot(name, self._epoch, "offline", at, [], None, recovered=not after)
        captions = [c for c in bed.captions if after is None or c.number > after]
        oldest = bed.captions[0].number if bed.captions else bed.last_number + 1
        recovered = after is None or oldest - 1 <= after <= bed.last_number
        newest = max(bed.partials.values(), key=lambda p: p.at, default=None)
        return BedSnapshot(name, self._epoch, self._state(bed), bed.since, captions, newest, recovered)

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
        return "degraded" if self._degraded else "online"

    def _changed(self, bed: Bed, at: float) -> list[Delivery]:
        bed.since = at
        return self._tell(bed.name, BedState(bed.name, self._state(bed), at))

    def _tell(self, bed: str, message: ViewerMessage) -> list[Delivery]:
        viewers = self._watchers.get(bed, set()) | self._watchers.get(EVERY_BED, set())
        return [Delivery(tuple(sorted(viewers)), message)] if viewers else []


def _numbered(caption: Caption, number: int) -> Caption:
    return Caption(
        **{field: getattr(caption, field) for field in caption.__struct_fields__} | {"number": number}
    )
