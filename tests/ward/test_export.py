import json
import re
from dataclasses import asdict, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.ward.export import MIN_CUE_MS, as_json, as_srt, as_txt, as_vtt, cues
from gateway.ward.records import CaptionRow
from gateway.ward.wrapping import cleaned


def clock(at: float) -> str:
    return f"<{at:.1f}>"


def spoken(
    text: str, start: float, end: float, at: float | None = None, speaker: int = 1, language: str = "en"
) -> CaptionRow:
    """By default written down half a second after it was said, in a stream that began at 1000."""
    at = 1000.5 + end if at is None else at
    return CaptionRow("3A", 1, at, speaker, 1, start, end, text, language, 0.9)


def lost(start: float, seconds: float) -> CaptionRow:
    return replace(spoken("", start, start + seconds), language="", gap_s=seconds)


MORNING = [spoken("Good morning.", 1.0, 2.0), lost(3.0, 12.0), spoken("How are you?", 16.0, 17.5)]

ROWS = st.lists(
    st.builds(
        lambda text, start, length, at, speaker, gap, suppressed: replace(
            spoken("" if gap else text, start, start + (gap or length), at, speaker),
            gap_s=gap,
            suppressed=suppressed,
        ),
        text=st.text(alphabet=st.one_of(st.sampled_from("ab 早安。,>-&<"), st.characters()), max_size=150),
        start=st.floats(0, 1e5),
        length=st.floats(0, 30),
        at=st.floats(1e9, 1e9 + 1e5),
        speaker=st.integers(1, 3),
        gap=st.sampled_from([0.0, 0.0, 0.0, 2.5]),
        suppressed=st.sampled_from([None, None, "known_phantom"]),
    ),
    max_size=12,
)


def test_srt_counts_from_the_first_caption() -> None:
    """Numbered cues with a comma in the times; lost audio is shown where it was."""
    assert as_srt(MORNING) == (
        "1\n00:00:00,000 --> 00:00:01,000\nGood morning.\n\n"
        "2\n00:00:02,000 --> 00:00:14,000\n[12.0 s of audio lost]\n\n"
        "3\n00:00:15,000 --> 00:00:16,500\nHow are you?\n"
    )


def test_srt_counts_from_since_when_it_is_given() -> None:
    """So that exports of several beds lie over each other."""
    assert as_srt(MORNING[:1], since=991.5) == "1\n00:00:10,000 --> 00:00:11,000\nGood morning.\n"


def test_vtt_says_when_it_begins() -> None:
    """And text cannot be taken for markup or for a cue."""
    rows = [spoken("a <b> & --> c", 3600.0, 3601.0)]
    assert as_vtt(rows, clock) == (
        "WEBVTT\n\nNOTE 00:00:00.000 is <4600.5>\n\n"
        "00:00:00.000 --> 00:00:01.000\na &lt;b&gt; &amp; --&gt; c\n"
    )
    assert as_vtt(rows, clock, since=1000.5) == (
        "WEBVTT\n\nNOTE 00:00:00.000 is <1000.5>\n\n"
        "01:00:00.000 --> 01:00:01.000\na &lt;b&gt; &amp; --&gt; c\n"
    )


def test_txt_is_one_line_a_caption() -> None:
    """With the time at which it was said."""
    assert as_txt(MORNING, clock) == (
        "<1001.5>  Good morning.\n<1003.5>  [12.0 s of audio lost]\n<1016.5>  How are you?\n"
    )


def test_json_has_everything() -> None:
    """Suppressed captions too, with every field that is kept."""
    rows = [*MORNING, replace(spoken("", 20.0, 21.0), suppressed="known_phantom")]
    captions = json.loads(as_json(rows, clock))["captions"]
    assert [c.pop("time") for c in captions] == ["<1002.5>", "<1015.5>", "<1018.0>", "<1021.5>"]
    assert captions == [asdict(row) for row in rows]
    assert "早安" in as_json([spoken("早安", 0.0, 1.0)], clock)


def test_suppressed_captions_are_not_for_readers() -> None:
    """Nor are empty ones."""
    rows = [replace(spoken("subscribe", 0.0, 1.0), suppressed="known_phantom"), spoken(" ", 2.0, 3.0)]
    assert as_srt(rows) == ""
    assert as_txt(rows, clock) == ""
    assert as_vtt(rows, clock) == "WEBVTT\n"
    assert as_srt([]) == ""


def test_lost_audio_is_said_in_the_readers_language() -> None:
    """Chinese where most captions are."""
    rows = [
        spoken("早安。", 1.0, 2.0, language="zh"),
        lost(3.0, 12.0),
        spoken("好。", 16.0, 17.0, language="zh"),
    ]
    assert "〔遺失 12.0 秒聲音〕" in as_txt(rows, clock)


def test_replayed_audio_is_shown_when_it_was_said() -> None:
    """Captions that all came at once after an outage keep their distances, and the outage moves nobody else's."""
    late = [spoken(f"late {n}", 10.0 * n, 10.0 * n + 2.0, at=1100.0 + n / 10) for n in range(1, 6)]
    timely = spoken("timely", 60.0, 61.0)
    other = spoken("other speaker", 3.0, 4.0, at=1099.0, speaker=2)
    starts = {cue.lines[0]: cue.start_ms for cue in cues([*late, other, timely], since=1000.5)}
    assert [starts[f"late {n}"] for n in range(1, 6)] == [10_000, 20_000, 30_000, 40_000, 50_000]
    assert starts["other speaker"] == 97_500


def test_long_captions_share_their_time() -> None:
    """Each piece gets as much as it has to read."""
    text = "one two three four five six seven eight nine ten " * 4
    found = cues([spoken(text, 0.0, 20.0)])
    assert len(found) == 3
    assert found[0].start_ms == 0
    assert found[-1].end_ms == 20_000
    assert all(a.end_ms == b.start_ms for a, b in pairwise(found))
    assert all(len(cue.lines) <= 2 for cue in found)


def test_two_who_speak_at_once_are_shown_one_after_the_other() -> None:
    """The first is cut short when the second begins, but stays long enough to be seen."""
    rows = [
        spoken("first", 0.0, 5.0),
        spoken("second", 3.0, 6.0, speaker=2),
        spoken("third", 3.1, 7.0, speaker=3),
    ]
    assert [(cue.start_ms, cue.end_ms) for cue in cues(rows)] == [
        (0, 3000),
        (3000, 3000 + MIN_CUE_MS),
        (3000 + MIN_CUE_MS, 7000),
    ]


@given(ROWS)
def test_cues_are_in_order_and_do_not_overlap(rows: list[CaptionRow]) -> None:
    """Each is long enough to be seen."""
    found = cues(rows)
    assert all(cue.end_ms - cue.start_ms >= MIN_CUE_MS for cue in found)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(found))
    assert not found or found[0].start_ms == 0


@given(ROWS)
def test_no_text_is_lost_on_the_way(rows: list[CaptionRow]) -> None:
    """What a player shows are the captions' characters, each once."""
    shown = [row for row in rows if not row.suppressed]
    expected = "".join(cleaned(row.text) for row in shown)
    gaps = sum(bool(row.gap_s) for row in shown)
    for text, unescape in ((as_srt(rows), False), (as_vtt(rows, clock), True)):
        said = "".join(re.findall(r"\d --> .*\n((?:.+\n)+)", text + "\n"))
        if unescape:
            said = said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        else:
            said = said.replace("→", "-->")
            expected = expected.replace("→", "-->")
        assert said.count("[2.5 s of audio lost]") == gaps
        said = said.replace("[2.5 s of audio lost]", "")
        assert sorted(re.sub(r"\s", "", said)) == sorted(re.sub(r"\s", "", expected))


@given(ROWS)
def test_every_srt_block_can_be_parsed(rows: list[CaptionRow]) -> None:
    """A number, two times, one or two lines; nothing that was said can break out of its block."""
    blocks = as_srt(rows).removesuffix("\n").split("\n\n") if as_srt(rows) else []
    for number, block in enumerate(blocks, 1):
        assert re.fullmatch(
            rf"{number}\n\d\d+:\d\d:\d\d,\d{{3}} --> \d\d+:\d\d:\d\d,\d{{3}}\n[^\n]+(\n[^\n]+)?", block
        )
