import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ward.wrapping import LINE_COLUMNS, LINES, cleaned, columns, split

LATIN = "The patient slept well, took her medicine at eight and asked for a glass of water before breakfast."
CHINESE = (
    "早安，今天覺得怎麼樣？昨天晚上睡得好不好？等一下護理師會來幫您量血壓，量完之後我們再去吃早餐，好嗎？"
)
TEXTS = st.text(
    alphabet=st.one_of(st.sampled_from("ab cd 早安，。？「」.,!? \n"), st.characters()), max_size=300
)


def test_short_texts_stay_as_they_are() -> None:
    """One line when it fits in one."""
    assert split("Good morning.") == [("Good morning.",)]
    assert split("早安。") == [("早安。",)]
    assert split("  \n ") == []


def test_latin_is_cut_between_words() -> None:
    """Two lines of 42 columns, no word torn."""
    assert split(LATIN) == [
        ("The patient slept well, took her medicine", "at eight and asked for a glass of water"),
        ("before breakfast.",),
    ]


def test_chinese_is_cut_after_a_sentence_or_clause() -> None:
    """21 characters a line; a piece ends where people pause, if that is in the second half of what fits."""
    assert split(CHINESE) == [
        ("早安，今天覺得怎麼樣？昨天晚上睡得好不好？", "等一下護理師會來幫您量血壓，"),
        ("量完之後我們再去吃早餐，好嗎？",),
    ]


@pytest.mark.parametrize("text", ["一二三四五六七八九十一二三四五六七八九十一。", "x" * 40 + "。", "「" * 30])
def test_no_line_begins_with_a_closing_mark(text: str) -> None:
    """Nor does a closing mark go to the next line alone."""
    lines = [line for piece in split(text) for line in piece]
    assert all(line[0] not in "，。？！」.,!?" for line in lines)


def test_what_has_no_place_to_cut_is_cut_all_the_same() -> None:
    """A line is never longer than the screen."""
    pieces = split("w" * 200)
    assert [columns(line) for piece in pieces for line in piece] == [42, 42, 42, 42, 32]


def test_widths_are_those_of_a_terminal() -> None:
    """Chinese and full-width characters are two columns, accents on top of others none."""
    assert columns("ab") == 2
    assert columns("早安ＡＢ") == 8
    assert columns("e\u0301\u200d") == 1


def test_control_characters_are_dropped() -> None:
    """They could forge a cue, or hide something."""
    assert cleaned("a\r\n\r\nb\x00\x1b[1m\tc\ud800") == "a b[1m c"


@given(TEXTS)
def test_pieces_joined_are_the_text(text: str) -> None:
    """No character is lost, doubled or moved; only spaces at the cuts."""
    joined = "".join(line for piece in split(text) for line in piece)
    assert re.sub(r"\s", "", joined) == re.sub(r"\s", "", cleaned(text))


@given(TEXTS)
def test_pieces_fit_on_the_screen(text: str) -> None:
    """One or two lines each, of 42 columns at most, none empty."""
    for piece in split(text):
        assert 1 <= len(piece) <= LINES
        for line in piece:
            assert line == line.strip()
            assert line
            assert columns(line) <= LINE_COLUMNS


@given(TEXTS)
def test_words_are_torn_only_where_they_must(text: str) -> None:
    """A word of Latin letters that fits in a line stays whole."""
    lines = [line for piece in split(text) for line in piece]
    for word in re.findall(r"(?<!\S)[abcd]{1,42}(?!\S)", cleaned(text)):
        assert any(word in line for line in lines)
