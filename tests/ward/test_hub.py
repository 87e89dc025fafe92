"""Rules of the hub: numbering, snapshots, who is told what."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.config import WardSettings
from gateway.ward.captions import BedPartial, BedSnapshot, BedState, Caption
from gateway.ward.hub import Delivery, Hub


def hub(**settings: int) -> Hub:
    return Hub(WardSettings(**settings), epoch="e1")


def caption(
    bed: str = "3A", text: str = "hello", utterance: int = 1, speaker: int = 7, at: float = 1.0
) -> Caption:
    return Caption(bed, 0, at, speaker, utterance, 0.0, 1.0, text, "en", 0.9)


def partial(
    bed: str = "3A", utterance: int = 1, speaker: int = 7, revision: int = 1, at: float = 1.0
) -> BedPartial:
    return BedPartial(bed, at, speaker, utterance, revision, "hel", "lo")


def say(ward: Hub, said: Caption) -> list[Delivery]:
    """Number and publish, as when the journal is quick."""
    return ward.publish(ward.number(said))


def snapshot_of(deliveries: list[Delivery]) -> BedSnapshot:
    [delivery] = deliveries
    assert isinstance(delivery.message, BedSnapshot)
    return delivery.message


def test_captions_are_numbered_within_their_bed() -> None:
    """Numbers are 1, 2, 3 ... in each bed, whatever happens in the others."""
    ward = hub()
    ward.watch(1, ["a", "b"], {}, {}, 0)
    numbers = [
        (d.message.bed, d.message.number)
        for bed in "abaab"
        for d in say(ward, caption(bed))
        if isinstance(d.message, Caption)
    ]
    assert numbers == [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2)]


def test_a_late_viewer_gets_what_it_missed() -> None:
    """The snapshot has the kept captions, the newest partial and the bed's state."""
    ward = hub()
    ward.enter("3A", 7, 1)
    say(ward, caption(text="one"))
    ward.publish_partial(partial(utterance=2))
    seen = snapshot_of(ward.watch(1, ["3A"], {}, {}, 2))
    assert [c.text for c in seen.captions] == ["one"]
    assert seen.partial == partial(utterance=2)
    assert (seen.state, seen.recovered) == ("online", True)


def test_a_caption_ends_its_partial() -> None:
    """A snapshot never shows the partial of an utterance whose final is there."""
    ward = hub()
    ward.publish_partial(partial(utterance=1))
    say(ward, caption(utterance=1))
    assert snapshot_of(ward.watch(1, ["3A"], {}, {}, 2)).partial is None


def test_the_partial_of_the_next_utterance_survives_a_late_final() -> None:
    """A final only ends partials of its own and earlier utterances."""
    ward = hub()
    ward.publish_partial(partial(utterance=2))
    say(ward, caption(utterance=1))
    assert snapshot_of(ward.watch(1, ["3A"], {}, {}, 2)).partial == partial(utterance=2)


def test_a_viewer_that_returns_gets_only_what_is_after_its_number() -> None:
    """`after` gives each caption once."""
    ward = hub()
    for text in ("one", "two", "three"):
        say(ward, caption(text=text))
    seen = snapshot_of(ward.watch(1, ["3A"], {"3A": 1}, {}, 2))
    assert [c.text for c in seen.captions] == ["two", "three"]
    assert seen.recovered


def test_a_viewer_is_told_when_captions_are_gone() -> None:
    """`recovered` is false when captions after its number are not kept, or its number was never given."""
    ward = hub(kept_captions=2)
    for text in ("one", "two", "three", "four"):
        say(ward, caption(text=text))
    assert not snapshot_of(ward.watch(1, ["3A"], {"3A": 1}, {}, 2)).recovered
    assert snapshot_of(ward.watch(1, ["3A"], {"3A": 2}, {}, 2)).recovered
    assert not snapshot_of(ward.watch(1, ["3A"], {"3A": 99}, {}, 2)).recovered
    assert not snapshot_of(ward.watch(1, ["new"], {"new": 5}, {}, 2)).recovered


def test_only_those_who_watch_are_told() -> None:
    """A message goes to the watchers of its bed and to those who watch every bed."""
    ward = hub()
    ward.watch(1, ["a"], {}, {}, 0)
    ward.watch(2, ["b"], {}, {}, 0)
    ward.watch(3, ["*"], {}, {}, 0)
    [delivery] = say(ward, caption("a"))
    assert delivery.viewers == (1, 3)
    ward.watch(1, ["b"], {}, {}, 0)
    [delivery] = say(ward, caption("a"))
    assert delivery.viewers == (3,)
    ward.forget(3)
    assert say(ward, caption("a")) == []


def test_a_bed_is_online_while_anybody_speaks_there() -> None:
    """Two speakers at one bed: offline only when the last has left."""
    ward = hub()
    ward.watch(1, ["3A"], {}, {}, 0)
    states = [
        d.message.state
        for deliveries in (
            ward.enter("3A", 7, 1),
            ward.enter("3A", 8, 2),
            ward.leave("3A", 7, 3),
            ward.leave("3A", 8, 4),
        )
        for d in deliveries
        if isinstance(d.message, BedState)
    ]
    assert states == ["online", "offline"]
    assert ward.leave("3A", 8, 5) == []
    assert ward.leave("nobody", 8, 5) == []


def test_load_is_told_to_every_bed_that_is_online() -> None:
    """Degraded is a state of online beds, and ends."""
    ward = hub()
    ward.watch(1, ["*"], {}, {}, 0)
    ward.enter("3A", 7, 1)
    say(ward, caption("silent"))
    [told] = ward.degrade(True, 2)
    assert told.message == BedState("3A", "degraded", 2)
    assert ward.degrade(True, 3) == []
    [told] = ward.degrade(False, 4)
    assert told.message == BedState("3A", "online", 4)


def test_the_longest_silent_bed_makes_room() -> None:
    """Memory is bounded by max_beds; a bed with a speaker is never forgotten."""
    ward = hub(max_beds=2)
    ward.enter("a", 1, 1)
    say(ward, caption("b", at=2))
    say(ward, caption("c", at=3))
    assert snapshot_of(ward.watch(1, ["b"], {}, {}, 4)).captions == []
    assert len(snapshot_of(ward.watch(1, ["c"], {}, {}, 4)).captions) == 1
    assert snapshot_of(ward.watch(1, ["a"], {}, {}, 4)).state == "online"
    assert ward.beds_online == 1
    assert repr(ward) == "<Hub 1 of 2 beds online, 1 viewers>"


def test_a_caption_on_its_way_to_the_journal_is_not_told_twice() -> None:
    """A viewer that comes between the number and the answer of the disk: it gets the caption live, once, and
    must not be given it from the journal as well."""
    ward = hub()
    on_its_way = ward.number(caption())
    assert list(ward.missing("3A", 0)) == []
    assert snapshot_of(ward.watch(1, ["3A"], {"3A": 0}, {}, 2)).captions == []
    assert [d.message for d in ward.publish(on_its_way)] == [on_its_way]


def test_memory_forgets_with_the_journal() -> None:
    """Captions older than may be kept are gone, their numbers are not given again."""
    ward = hub()
    for at in (1.0, 2.0, 3.0):
        say(ward, caption(at=at))
    ward.expire(before=2.5)
    assert [c.number for c in snapshot_of(ward.watch(1, ["3A"], {}, {}, 4)).captions] == [3]
    assert list(ward.missing("3A", 0)) == [1, 2]
    ward.expire(before=9)
    assert ward.number(caption()).number == 4


@given(st.lists(st.sampled_from(["publish", "cut", "return"]), max_size=60), st.integers(1, 200))
def test_a_viewer_with_cuts_sees_every_caption_once_and_in_order(steps: list[str], kept: int) -> None:
    """Whatever the cuts: numbers seen rise by one, except where a snapshot said recovered=False."""
    ward = hub(kept_captions=kept)
    seen, connected, lossless = [0], False, True
    for step in [*steps, "return"]:
        if step == "publish":
            for d in say(ward, caption()):
                assert isinstance(d.message, Caption)
                seen.append(d.message.number)
        elif step == "cut":
            ward.forget(1)
            connected = False
        elif not connected:
            snapshot = snapshot_of(ward.watch(1, ["3A"], {"3A": seen[-1]}, {}, 0))
            connected = True
            lossless = lossless and snapshot.recovered
            seen += [c.number for c in snapshot.captions]
    assert seen == sorted(set(seen))
    if lossless:
        assert seen == list(range(len(seen)))


def test_endless_bed_names_are_not_taken_in() -> None:
    """At max_known_beds a new bed is refused; a known one goes on, its numbers too."""
    ward = hub(max_known_beds=2)
    for bed in "ab":
        assert ward.has_room(bed)
        say(ward, caption(bed))
    assert not ward.has_room("c")
    assert ward.has_room("a")
    ward.go_on("e1", {"a": 1, "b": 9})
    assert ward.number(caption("b")).number == 10
