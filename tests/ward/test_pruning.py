from hypothesis import given
from hypothesis import strategies as st

from gateway.ward.pruning import Recording, surplus

RECORDINGS = st.lists(
    st.builds(
        Recording,
        name=st.uuids().map(str),
        bed=st.sampled_from(["3A", "3B", "3C"]),
        ended_at=st.floats(0, 1000),
        size_bytes=st.integers(0, 100),
    ),
    max_size=20,
)


def names(recordings: list[Recording]) -> list[str]:
    return [recording.name for recording in recordings]


def test_the_old_ones_go() -> None:
    """By the end of the recording."""
    kept, gone = Recording("kept", "3A", 900.0, 1), Recording("gone", "3A", 899.0, 1)
    assert names(surplus([gone, kept], 1000.0, 100.0, 100, 100)) == ["gone"]


def test_each_bed_has_its_own_bound() -> None:
    """The oldest of the bed that has too much; the other bed keeps what it has."""
    recordings = [Recording(f"3A-{n}", "3A", n, 40) for n in range(4)] + [Recording("3B-0", "3B", 0, 40)]
    assert names(surplus(recordings, 10.0, 100.0, 80, 1000)) == ["3A-1", "3A-0"]


def test_a_recording_from_the_future_is_new() -> None:
    """The clock was set back: it is not deleted for that, and goes last."""
    recordings = [Recording("future", "3A", 9e9, 60), Recording("now", "3A", 1000.0, 60)]
    assert names(surplus(recordings, 1000.0, 10.0, 100, 1000)) == ["now"]


@given(RECORDINGS, st.floats(0, 2000), st.integers(0, 300), st.integers(0, 600))
def test_what_stays_is_within_every_bound(
    recordings: list[Recording], age_s: float, bed_bytes: int, total_bytes: int
) -> None:
    """Age, bytes of each bed, bytes of all."""
    gone = surplus(recordings, 1000.0, age_s, bed_bytes, total_bytes)
    stays = [recording for recording in recordings if recording not in gone]
    assert len(gone) + len(stays) == len(recordings)
    assert all(1000.0 - recording.ended_at <= age_s for recording in stays)
    assert sum(recording.size_bytes for recording in stays) <= total_bytes
    for bed in ("3A", "3B", "3C"):
        assert sum(recording.size_bytes for recording in stays if recording.bed == bed) <= bed_bytes


@given(RECORDINGS)
def test_nothing_goes_without_a_reason(recordings: list[Recording]) -> None:
    """Within all bounds everything stays."""
    assert surplus(recordings, 1000.0, 1000.0, 1 << 30, 1 << 30) == []
