"""Rules of the cursor: what a browser gives back is where the reader stands."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.ward.cursor import decode, encode


@given(
    st.text("0123456789abcdef", max_size=16),
    st.dictionaries(st.text(min_size=1).filter(lambda t: t.isprintable()), st.integers(0, 10**12)),
)
def test_it_survives_the_round_trip(epoch: str, numbers: dict[str, int]) -> None:
    """Any bed's name, any number; one line of plain ASCII."""
    text = encode(epoch, numbers)
    assert decode(text) == (epoch, numbers)
    assert text.isascii()
    assert "\n" not in text


@given(st.text())
def test_nonsense_is_no_cursor(text: str) -> None:
    """It never raises; numbers are never negative."""
    _, numbers = decode(text)
    assert all(number >= 0 for number in numbers.values())


def test_half_a_cursor_is_none() -> None:
    """A broken pair makes all of it meaningless."""
    assert decode("e;a=1;b=x") == ("", {})
    assert decode("e;a=-1") == ("", {})
    assert decode("") == ("", {})
