"""core: which recordings must go: those too old, and the oldest of a bed or of all that take too much."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished file."""

    name: str
    bed: str
    ended_at: float
    size_bytes: int


def surplus(
    recordings: Iterable[Recording], now: float, max_age_s: float, max_bed_bytes: int, max_total_bytes: int
) -> list[Recording]:
    """What to delete. A recording from the future (the clock was set back) counts as new."""
    gone: list[Recording] = []
    total = 0
    of_bed: dict[str, int] = defaultdict(int)
    for recording in sorted(recordings, key=lambda r: (-r.ended_at, r.name)):
        total += recording.size_bytes
        of_bed[recording.bed] += recording.size_bytes
        too_much = total > max_total_bytes or of_bed[recording.bed] > max_bed_bytes
        if too_much or now - recording.ended_at > max_age_s:
            gone.append(recording)
    return gone
