"""Rules of catching up: what a viewer missed comes from the journal, as much as it may be at once."""

from dataclasses import dataclass, field

import pytest

from gateway.config import Settings, WardSettings
from gateway.connection import viewer
from gateway.connection.access import OPEN
from gateway.connection.viewer import Viewers
from gateway.ward.captions import BedSnapshot, Caption, ViewerMessage, Watch
from gateway.ward.hub import Hub


def caption(bed: str, number: int) -> Caption:
    return Caption(bed, number, 1.0, 1, number, 0.0, 1.0, str(number), "en", 1.0)


@dataclass
class Inbox:
    messages: list[ViewerMessage] = field(default_factory=list)

    def put(self, message: ViewerMessage, text: str) -> None:
        self.messages.append(message)

    def close(self, code: int, reason: str) -> None: ...


class Ward:
    """A gateway that keeps two captions of each bed in memory and 30 in its journal."""

    def __init__(self, *beds: str) -> None:
        self.settings = Settings(ward=WardSettings(kept_captions=2))
        self.hub = Hub(self.settings.ward, "e")
        self.hub.go_on("e", dict.fromkeys(beds, 30))
        for bed in beds:
            self.hub.remember(caption(bed, number) for number in range(1, 31))
        self.read: list[tuple[str, range]] = []
        self.viewers = Viewers(self)  # type: ignore[arg-type]  # only these of the ports are used

    async def history(self, bed: str, numbers: range) -> list[Caption]:
        self.read.append((bed, numbers))
        return [caption(bed, number) for number in numbers]

    async def snapshots(self, beds: list[str], after: dict[str, int]) -> dict[str, tuple[list[int], bool]]:
        """Bed -> the numbers that a viewer gets, and whether they are all."""
        inbox = Inbox()
        await self.viewers.watch(self.viewers.join(inbox, OPEN), Watch(beds, after))
        return {
            m.bed: ([c.number for c in m.captions], m.recovered)
            for m in inbox.messages
            if isinstance(m, BedSnapshot)
        }


async def test_what_is_not_in_memory_comes_from_the_journal() -> None:
    """Every number after the one that was named, once."""
    assert await Ward("a").snapshots(["a"], {"a": 3}) == {"a": (list(range(4, 31)), True)}


async def test_what_is_not_watched_is_not_read() -> None:
    """A message that names many beds in `after` does not make the gateway read them."""
    ward = Ward("a", "b")
    assert await ward.snapshots(["a"], {"a": 29, "b": 0}) == {"a": ([30], True)}
    assert ward.read == []
    assert set(await ward.snapshots(["*"], {"b": 0})) == {"a", "b"}
    assert ward.read == [("b", range(1, 29))]


@pytest.mark.parametrize(("most", "first", "recovered"), [(28, 1, True), (27, 2, False), (0, 29, False)])
async def test_one_answer_is_bounded(
    monkeypatch: pytest.MonkeyPatch, most: int, first: int, recovered: bool
) -> None:
    """At the edge all of it; beyond it the newest, and the snapshot says so."""
    monkeypatch.setattr(viewer, "MAX_CATCH_UP", most)
    assert await Ward("a").snapshots(["a"], {"a": 0}) == {"a": (list(range(first, 31)), recovered)}


async def test_all_beds_of_an_answer_share_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty beds are not sixty times as much."""
    monkeypatch.setattr(viewer, "MAX_CATCH_UP", 40)
    got = await Ward("a", "b", "c").snapshots(["a", "b", "c"], {"a": 0, "b": 0, "c": 0})
    assert sum(len(numbers) for numbers, _ in got.values()) == 40 + 3 * 2
    assert sorted(recovered for _, recovered in got.values()) == [False, False, True]
