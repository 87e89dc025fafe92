"""Units: what they are, that none is lost, and how two rows of them are compared."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transcript.agreement import align_prefix, body_end, common_prefix, keys, normalise, split

TEXTS = st.one_of(
    st.text(max_size=60),
    st.text("請給我水痛好a bE1.,。，「」 ()'-\u0301ส\u0e31é9３Ａ\u3000", max_size=60),
)
ROWS = st.lists(st.sampled_from("abcd"), max_size=9)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("", []),
        ("♪", ["♪"]),
        ("I am cold.", ["I", " am", " cold."]),
        ("請給我水。", ["請", "給", "我", "水。"]),
        ("請給我 water 好嗎？", ["請", "給", "我", " water", " 好", "嗎？"]),
        ("給我OK繃", ["給", "我", "OK", "繃"]),
        ('He said: "no".', ["He", " said:", ' "no".']),
        ("他說：「好，走。」然後", ["他", "說：", "「好，", "走。」", "然", "後"]),
        ("I don't know Jean-Luc", ["I", " don't", " know", " Jean-Luc"]),
        ("BP 120/80, 36.5 at 10:30", ["BP", " 120/80,", " 36.5", " at", " 10:30"]),
        ("1,200 ml", ["1,200", " ml"]),
        ("well...I", ["well...", "I"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("नमस्ते दुनिया", ["नमस्ते", " दुनिया"]),
        ("안녕하세요 여러분", ["안녕하세요", " 여러분"]),
        ("水が欲しい", ["水", "が", "欲", "し", "い"]),
    ],
)
def test_units_of_a_text(text: str, units: list[str]) -> None:
    """Words where there are spaces, characters where there are none, each with its punctuation."""
    assert split(text) == units


@given(TEXTS)
def test_units_join_to_the_text(text: str) -> None:
    """Splitting loses nothing, whatever the text."""
    units = split(text)
    assert "".join(units) == text
    assert all(units)


@given(TEXTS)
def test_splitting_a_unit_gives_the_unit(text: str) -> None:
    """A unit is one unit, also alone."""
    assert all(len(split(unit)) == 1 for unit in split(text))


@given(TEXTS)
def test_a_mark_stays_with_its_base(text: str) -> None:
    """No unit begins with a combining mark (unless the text does), nor does its punctuation."""
    for unit in split(text)[1:]:
        assert not unicodedata.category(unit[0]).startswith("M")
        rest = unit[body_end(unit) :]
        assert not rest or not unicodedata.category(rest[0]).startswith("M") or unit == rest


@given(TEXTS)
def test_a_word_and_its_punctuation(text: str) -> None:
    """What follows the word in a unit is no letter and no digit."""
    for unit in split(text):
        assert not any(c.isalnum() for c in unit[body_end(unit) :])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Cold.", " cold"),
        ("ＡＢＣ", "abc"),
        ("水。", "水"),
        ("don’t", "don't"),
        ("臺", "台"),
        ("1,200", "1200"),
        ("Jean-Luc", "jeanluc"),
    ],
)
def test_the_same_unit(a: str, b: str) -> None:
    """Case, width and punctuation make no difference."""
    assert normalise(a) == normalise(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("3.5", "35"),
        ("120/80", "12080"),
        ("10:30", "1030"),
        ("5%", "5"),
        ("痛", "通"),
        ("ส", "สั"),
        ("♪", ""),
        ("?", "!"),
    ],
)
def test_another_unit(a: str, b: str) -> None:
    """A point inside a number is meaning: a dose of 3.5 is not one of 35."""
    assert normalise(a) != normalise(b)


@given(TEXTS)
def test_normalising_twice_changes_nothing(text: str) -> None:
    """The compared form is its own compared form."""
    for key in keys(split(text)):
        assert normalise(key) == key


@given(ROWS, ROWS)
def test_common_prefix(a: list[str], b: list[str]) -> None:
    """Equal so far, and not one further."""
    n = common_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


def distance(a: list[str], b: list[str]) -> int:
    """The textbook edit distance, for comparison."""
    if not a or not b:
        return len(a) + len(b)
    return min(distance(a[1:], b[1:]) + (a[0] != b[0]), distance(a[1:], b) + 1, distance(a, b[1:]) + 1)


@given(st.lists(st.sampled_from("abc"), max_size=4), st.lists(st.sampled_from("abc"), max_size=5))
def test_alignment_is_the_best_there_is(shown: list[str], heard: list[str]) -> None:
    """No beginning of the new row is nearer to the shown one than that which was chosen."""
    end, edits = align_prefix(shown, heard)
    assert edits == distance(shown, heard[:end])
    assert edits == min(distance(shown, heard[:j]) for j in range(len(heard) + 1))


@pytest.mark.parametrize(
    ("shown", "heard", "end"),
    [
        ("abc", "abcd", 3),
        ("abc", "abxd", 3),
        ("abc", "ab", 2),
        ("abc", "xabcd", 4),
        ("abc", "acd", 2),
        ("abc", "xyzw", 3),
        ("", "ab", 0),
    ],
)
def test_where_the_shown_text_ends(shown: str, heard: str, end: int) -> None:
    """Replaced, inserted and left out words move the end accordingly; replaced ones win over the others."""
    assert align_prefix(shown, heard)[0] == end
