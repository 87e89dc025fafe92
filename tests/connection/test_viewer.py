"""Rules of who sees what: nothing of a bed reaches somebody who may not see it."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Settings
from gateway.connection.access import Principal, may_watch
from gateway.connection.closing import CloseCode
from gateway.connection.opening import Refused
from gateway.connection.viewer import MAX_KNOWN_BEDS, Viewers, Watcher
from gateway.ward.captions import BedPartial, Caption, ViewerMessage, Watch
from gateway.ward.hub import Hub

ADMIN = Principal("a", "admin", ("*",))
NURSE = Principal("n", "viewer", ("3*",))


@dataclass
class Inbox:
    messages: list[ViewerMessage] = field(default_factory=list)

    def put(self, message: ViewerMessage, text: str) -> None:
        self.messages.append(message)

    def close(self, code: int, reason: str) -> None: ...

    def beds(self) -> set[str]:
        return {message.bed for message in self.messages if hasattr(message, "bed")}


class Ward:
    """A hub and its viewers."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.hub = Hub(self.settings.ward, "e")
        self.asked: list[str] = []
        self.viewers = Viewers(self)  # type: ignore[arg-type]  # only these of the ports are used

    async def history(self, bed: str, numbers: range) -> list[Caption]:
        self.asked.append(bed)
        return []

    async def watching(self, principal: Principal, *beds: str, **after: int) -> Inbox:
        inbox = Inbox()
        await self.viewers.watch(self.viewers.join(inbox, principal), Watch(list(beds), after))
        return inbox

    def speak(self, bed: str) -> None:
        self.viewers.deliver(self.hub.enter(bed, 1, 1.0))
        self.viewers.deliver(self.hub.publish_partial(BedPartial(bed, 1.0, 1, 1, 1, "", "psst")))
        caption = self.hub.number(Caption(bed, 0, 1.0, 1, 1, 0.0, 1.0, "secret", "en", 1.0))
        self.viewers.deliver(self.hub.publish(caption))
        self.viewers.deliver(self.hub.leave(bed, 1, 2.0))


async def test_every_bed_is_every_bed_one_may_see() -> None:
    """Those that were there, and those that come later."""
    ward = Ward()
    ward.speak("3A")
    ward.speak("4A")
    nurse, admin = await ward.watching(NURSE, "*"), await ward.watching(ADMIN, "*")
    assert (nurse.beds(), admin.beds()) == ({"3A"}, {"3A", "4A"})
    ward.speak("3B")
    ward.speak("4B")
    assert (nurse.beds(), admin.beds()) == ({"3A", "3B"}, {"3A", "3B", "4A", "4B"})
    ward.viewers.beat()
    assert nurse.messages[-1] == admin.messages[-1], "the heartbeat is everybody's"


async def test_a_bed_that_one_may_not_see_is_refused() -> None:
    """4403, by name; nothing of it comes, none of its history is read."""
    ward = Ward()
    ward.speak("4A")
    with pytest.raises(Refused) as refused:
        await ward.watching(NURSE, "3A", "4A")
    assert (refused.value.code, refused.value.close_code) == ("forbidden_bed", CloseCode.FORBIDDEN)
    inbox = await ward.watching(NURSE, "3A", **{"4A": 0})
    await ward.watching(Principal("s", "viewer", ("4A",)), "4A", **{"4A": 0})
    ward.speak("4A")
    assert "4A" not in inbox.beds()
    assert ward.asked in ([], ["4A"])


@given(
    st.lists(st.sampled_from(["3A", "3B", "4A", "床3", "3[A]"]), max_size=6),
    st.lists(st.sampled_from(["3*", "3A", "4?", "床*", "*", "3[A]"]), min_size=1, max_size=3),
    st.sampled_from(["speaker", "viewer", "admin"]),
)
async def test_whatever_is_spoken_only_the_right_ones_see_it(
    spoken: list[str], beds: list[str], role
) -> None:
    """Exactly the beds of its principal."""
    ward, principal = Ward(), Principal("k", role, tuple(beds))
    inbox = await ward.watching(principal, "*")
    for bed in spoken:
        ward.speak(bed)
    assert inbox.beds() == {bed for bed in spoken if may_watch(principal, bed)}


def test_what_is_remembered_of_beds_is_bounded() -> None:
    """A device that invents beds fills no memory; the answers stay right."""
    watcher = Watcher(Inbox(), NURSE)
    for number in range(3 * MAX_KNOWN_BEDS):
        assert watcher.may_see(f"3-{number}")
        assert not watcher.may_see(f"4-{number}")
        assert len(watcher.known) <= MAX_KNOWN_BEDS
