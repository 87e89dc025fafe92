"""Words and characters."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.loadtest.text import Errors, erased, errors, matches, units

WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


def test_units() -> None:
    """Words of Latin letters, single characters of Chinese, without case and punctuation."""
    assert units("Don’t TOUCH 臺北, 3 times!") == ["don't", "touch", "台", "北", "3", "times"]
    assert errors("我會冷。", "我會熱") == Errors(1, 3)


@given(WORDS, WORDS)
def test_errors_are_the_edits_between(wanted: list[str], got: list[str]) -> None:
    """Symmetric, bounded, 0 only for equals; and what matches is what was not edited away."""
    there, back = errors(" ".join(wanted), " ".join(got)), errors(" ".join(got), " ".join(wanted))
    assert there.edits == back.edits
    assert abs(len(wanted) - len(got)) <= there.edits <= max(len(wanted), len(got))
    assert (there.edits == 0) == (wanted == got)
    pairs = matches(wanted, got)
    assert all(wanted[i] == got[j] for i, j in pairs)
    assert [i for i, _ in pairs] == sorted({i for i, _ in pairs})
    assert [j for _, j in pairs] == sorted({j for _, j in pairs})
    assert len(pairs) >= max(len(wanted), len(got)) - there.edits


@given(WORDS, WORDS)
def test_erased_is_what_follows_the_common_beginning(before: list[str], after: list[str]) -> None:
    """Nothing is erased by adding."""
    kept = len(before) - erased(before, after)
    assert before[:kept] == after[:kept]
    assert erased(before, before + after) == 0
