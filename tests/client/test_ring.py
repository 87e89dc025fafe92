"""The ring: nothing is forgotten but what is committed or overflows, and no loss is silent."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.client.ring import Chunk, Lost, Ring


def chunk(position: int, samples: int = 10) -> Chunk:
    """Sixteen-bit samples, each of which is its own position."""
    return Chunk(b"".join((position + n).to_bytes(2, "big") for n in range(samples)), samples)


def positions(taken: Chunk) -> list[int]:
    return [int.from_bytes(taken.payload[n : n + 2], "big") for n in range(0, len(taken.payload), 2)]


def filled(max_samples: int, chunks: int, can_cut: bool = True) -> Ring:
    ring = Ring(max_samples, can_cut)
    for number in range(chunks):
        ring.push(chunk(10 * number))
    return ring


def sent(max_samples: int, chunks: int, can_cut: bool = True) -> Ring:
    """The same, and all of it was sent."""
    ring = filled(max_samples, chunks, can_cut)
    while ring.take():
        pass
    return ring


def test_chunks_come_out_in_order_then_nothing() -> None:
    """take() gives each chunk once, oldest first."""
    ring = filled(100, 3)
    assert [ring.take() for _ in range(4)] == [chunk(0), chunk(10), chunk(20), None]
    assert ring.cursor == ring.end == 30


def test_sent_audio_is_kept_until_it_is_committed() -> None:
    """After a rewind everything from there on is given again; committed chunks are gone."""
    ring = sent(100, 3)
    ring.commit(10)
    assert (ring.start, ring.rewind(10)) == (10, 10)
    assert [ring.take() for _ in range(3)] == [chunk(10), chunk(20), None]


def test_a_rewind_goes_to_the_sample() -> None:
    """A chunk of PCM is cut where the gateway wants audio from, and neither part is forgotten."""
    ring = sent(100, 2)
    assert ring.rewind(13) == 13
    assert [ring.take() for _ in range(2)] == [chunk(13, 7), None]
    assert ring.rewind(4) == 4
    assert [ring.take() for _ in range(3)] == [chunk(4, 6), chunk(10, 3), chunk(13, 7)]


def test_an_opus_packet_is_sent_whole() -> None:
    """It cannot be cut: sending goes on at its beginning."""
    ring = sent(100, 2, can_cut=False)
    ring.commit(15)
    assert ring.rewind(15) == 10
    assert ring.take() == chunk(10)


def test_a_rewind_forward_to_what_was_heard_skips_it() -> None:
    """What the gateway has already is not sent again."""
    ring = sent(100, 3)
    assert ring.rewind(30) == 30
    assert ring.take() is None
    ring.push(chunk(30))
    assert ring.take() == chunk(30)


def test_nothing_that_was_never_sent_is_skipped() -> None:
    """A gateway that wants audio from beyond what was sent gets all that it cannot have."""
    ring = filled(100, 3)
    ring.take()
    assert ring.rewind(25) == 10
    assert ring.take() == chunk(10)


def test_what_was_never_sent_cannot_be_committed() -> None:
    """A gateway that acknowledges too much makes the client forget nothing."""
    ring = filled(100, 2)
    ring.take()
    ring.commit(1_000_000)
    assert ring.committed == 10
    assert ring.take() == chunk(10)


def test_a_commit_never_goes_back() -> None:
    """An old acknowledgement that comes late changes nothing."""
    ring = sent(100, 2)
    ring.commit(20)
    ring.commit(10)
    assert ring.committed == 20


def test_overflow_of_unsent_audio_is_declared_before_what_follows() -> None:
    """The oldest goes first, and the next thing to send says how much is missing."""
    ring = filled(30, 5)
    assert ring.take() == Lost(20)
    assert ring.take() == chunk(20)


def test_overflow_of_sent_audio_is_a_loss_only_for_who_does_not_have_it() -> None:
    """The session that has the audio misses nothing; one that goes back before it is told, to the sample."""
    ring = sent(30, 4)
    assert ring.take() is None
    assert ring.rewind(40) == 40
    assert ring.take() is None
    assert ring.rewind(4) == 4
    assert [ring.take() for _ in range(2)] == [Lost(6), chunk(10)]


def test_a_chunk_longer_than_the_ring_is_kept_alone() -> None:
    """The newest audio is never dropped."""
    ring = Ring(5)
    ring.push(chunk(0))
    ring.push(chunk(10))
    assert [ring.take(), ring.take(), ring.take()] == [Lost(10), chunk(10), None]


def test_settled_means_all_is_sent_and_committed() -> None:
    """An empty ring is settled; one with sent but uncommitted audio is not."""
    ring = filled(100, 1)
    assert not ring.is_settled
    ring.take()
    assert not ring.is_settled
    ring.commit(10)
    assert ring.is_settled
    assert Ring(10).is_settled


operations = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(1, 30)),
        st.tuples(st.just("take"), st.integers(1, 5)),
        st.tuples(st.just("commit"), st.integers(0, 600)),
        st.tuples(st.just("resume"), st.floats(0, 1)),
    ),
    max_size=60,
)


@given(operations, st.integers(20, 200))
def test_a_gateway_hears_every_sample_once_or_is_told(
    todo: list[tuple[str, float]], max_samples: int
) -> None:
    """Any sequence of push, ack, cut, resume from anywhere it may, overflow: what the gateway has is a prefix
    of the source without hole or repeat, except for declared gaps of what the ring really does not have."""
    ring = Ring(max_samples)
    heard: list[int | None] = []  # by position; None: declared lost
    for action, value in [*todo, ("take", 1000)]:
        match action:
            case "push":
                ring.push(chunk(ring.end, int(value)))
            case "commit":
                ring.commit(min(int(value), len(heard)))
            case "resume":  # anywhere between what was committed and what was heard
                position = ring.committed + round(value * (len(heard) - ring.committed))
                assert ring.rewind(position) == position
                del heard[position:]
        for _ in range(int(value) if action == "take" else 0):
            match ring.take():
                case Chunk() as taken:
                    heard += positions(taken)
                case Lost(samples):
                    assert ring.start == len(heard) + samples
                    heard += [None] * samples
        assert all(sample in {position, None} for position, sample in enumerate(heard))
        assert len(heard) == ring.cursor
        assert ring.end - ring.start <= max(max_samples, 30)
        assert ring.start <= ring.end
    assert len(heard) == ring.end
