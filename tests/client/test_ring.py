"""The ring: nothing is forgotten but what is final or overflows, and no loss is silent."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.client.ring import Chunk, Lost, Ring


def chunk(position: int, samples: int = 10) -> Chunk:
    return Chunk(position.to_bytes(4, "big"), samples)


def filled(max_samples: int, chunks: int) -> Ring:
    ring = Ring(max_samples)
    for number in range(chunks):
        ring.push(chunk(10 * number))
    return ring


def test_chunks_come_out_in_order_then_nothing() -> None:
    """take() gives each chunk once, oldest first."""
    ring = filled(100, 3)
    assert [ring.take() for _ in range(4)] == [chunk(0), chunk(10), chunk(20), None]
    assert ring.cursor == ring.end == 30


def test_sent_audio_is_kept_until_it_is_committed() -> None:
    """After a rewind everything that is not final is given again, committed chunks are not."""
    ring = filled(100, 3)
    for _ in range(3):
        ring.take()
    ring.commit(10)
    assert ring.rewind() == 10
    assert [ring.take() for _ in range(3)] == [chunk(10), chunk(20), None]


def test_a_half_committed_chunk_is_sent_whole() -> None:
    """A chunk cannot be cut (Opus): the stream goes back to its beginning."""
    ring = filled(100, 2)
    ring.take(), ring.take()
    ring.commit(15)
    assert ring.rewind() == 10
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
    ring = filled(100, 2)
    ring.take(), ring.take()
    ring.commit(20)
    ring.commit(10)
    assert ring.committed == 20


def test_overflow_of_unsent_audio_is_declared_before_what_follows() -> None:
    """The oldest goes first, and the next thing to send says how much is missing."""
    ring = filled(30, 5)
    assert ring.take() == Lost(20)
    assert ring.take() == chunk(20)


def test_overflow_of_sent_audio_is_a_loss_only_after_a_rewind() -> None:
    """The session that has the audio misses nothing; the next one must be told."""
    ring = filled(30, 3)
    for _ in range(3):
        ring.take()
    ring.push(chunk(30))
    assert ring.take() == chunk(30)
    assert ring.rewind() == 0
    assert ring.take() == Lost(10)
    assert ring.take() == chunk(10)


def test_a_chunk_longer_than_the_ring_is_kept_alone() -> None:
    """The newest audio is never dropped."""
    ring = Ring(5)
    ring.push(chunk(0))
    ring.push(chunk(10))
    assert [ring.take(), ring.take(), ring.take()] == [Lost(10), chunk(10), None]


def test_settled_means_all_is_sent_and_final() -> None:
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
        st.tuples(st.just("commit"), st.integers(0, 2000)),
        st.tuples(st.just("rewind"), st.just(0)),
    ),
    max_size=60,
)


@given(operations, st.integers(20, 200))
def test_positions_are_always_accounted_for(todo: list[tuple[str, int]], max_samples: int) -> None:
    """Whatever happens: what is taken continues exactly at the cursor, the ring is bounded, order holds."""
    ring = Ring(max_samples)
    for action, value in todo:
        if action == "push":
            ring.push(chunk(ring.end, value))
        elif action == "commit":
            ring.commit(value)
        elif action == "rewind":
            assert ring.rewind() <= ring.committed or not ring.committed
        for _ in range(value if action == "take" else 0):
            cursor = ring.cursor
            match ring.take():
                case Chunk(payload, samples):
                    assert int.from_bytes(payload, "big") == cursor
                    assert ring.cursor == cursor + samples
                case Lost(samples):
                    assert samples > 0
                    assert ring.cursor == ring.start == cursor + samples
                case None:
                    assert cursor == ring.end
        assert ring.committed <= ring.end
        assert ring.cursor <= ring.end
        assert ring.start <= ring.end
        assert ring.end - ring.start <= max(max_samples, 30)
