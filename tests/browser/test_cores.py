"""The pure modules of static/, run by the browser that will run them."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.browser.standin import STATIC

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]
HERE = Path(__file__).parent
KEYWORDS = ["痛", "喘", "喘不過氣", "help", "pain", "can't breathe", "fall"]


async def test_both_languages_say_everything(js) -> None:
    """English and Chinese have the same keys, each with the same {values}, none empty."""
    texts = await js("i18n.js", "m.TEXTS")
    assert texts["en"].keys() == texts["zh-Hant"].keys()
    for key, english in texts["en"].items():
        chinese = texts["zh-Hant"][key]
        assert english.strip(), key
        assert chinese.strip(), key
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", chinese)), key


async def test_every_text_that_a_page_asks_for_exists(js) -> None:
    """data-text and data-label of the pages, and t("...") of the scripts, name texts that exist."""
    texts = await js("i18n.js", "m.TEXTS.en")
    asked = set()
    for path in STATIC.glob("*.html"):
        asked |= set(re.findall(r'data-(?:text|label)="(\w+)"', path.read_text()))
    for path in STATIC.glob("*.js"):
        asked |= set(re.findall(r'\bt\("(\w+)"', path.read_text()))
        asked |= set(re.findall(r'help: "(\w+)"', path.read_text()))
    assert asked - texts.keys() == set()
    assert len(asked) > 60


@pytest.mark.parametrize(
    ("stored", "preferred", "chosen"),
    [
        (None, ["zh-TW", "en"], "zh-Hant"),
        (None, ["zh-Hant-HK"], "zh-Hant"),
        (None, ["fr", "zh"], "zh-Hant"),
        (None, ["en-GB", "zh-TW"], "en"),
        (None, ["fr"], "en"),
        ("zh-Hant", ["en"], "zh-Hant"),
        ("klingon", ["zh-TW"], "zh-Hant"),
    ],
)
async def test_language_is_the_stored_one_or_the_browsers_first(js, stored, preferred, chosen) -> None:
    """A switch is remembered; otherwise the browser's order decides; English is the last resort."""
    assert await js("i18n.js", "m.chooseLanguage(...x)", [stored, preferred]) == chosen


async def test_ages_are_told_in_words_of_the_language(js) -> None:
    """Seconds become minutes, hours, days."""
    ages = await js("i18n.js", "[2, 13, 61, 7200, 90000].map((s) => m.agoText('en', s))")
    assert ages == ["just now", "10 s ago", "1 min ago", "2 h ago", "1 d ago"]
    assert await js("i18n.js", "m.agoText('zh-Hant', 200)") == "3 分鐘前"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("我好痛", ["痛"]),
        ("我喘不過氣", ["喘不過氣"]),  # the longest wins
        ("Help! I can’t breathe.", ["help", "can't breathe"]),  # typographic apostrophe
        ("ＨＥＬＰ", ["help"]),  # full width
        ("a helpful painter in the waterfall", []),  # whole words only
        ("我help你", ["help"]),  # Chinese has no spaces
        ("no pain", ["pain"]),  # a negated mention counts
        ("", []),
    ],
)
async def test_alert_words_are_found(js, text: str, found: list[str]) -> None:
    """Anywhere in Chinese, as whole words in Latin script, whatever the case, width and apostrophe."""
    matches = await js("alerts.js", "m.findAlerts(...x)", [text, KEYWORDS])
    assert [match["keyword"] for match in matches] == found
    assert all(0 <= match["start"] < match["end"] <= len(text) for match in matches)


async def test_default_alert_words_cover_the_dangers(js) -> None:
    """Each danger of the list is caught in both languages without any setting."""
    for text in [
        "救命",
        "好痛",
        "不能呼吸",
        "有點喘",
        "我跌倒了",
        "help",
        "pain",
        "I cannot breathe",
        "I fell",
    ]:
        assert await js("alerts.js", "m.findAlerts(x, m.DEFAULT_KEYWORDS).length > 0", text), text


async def test_typed_keywords_are_separated_by_lines_or_commas(js) -> None:
    """Blank and repeated ones go; the list is bounded."""
    assert await js("alerts.js", "m.parseKeywords(' 痛\\n\\nhelp， 喘、痛 ')") == ["痛", "help", "喘"]
    assert (
        len(await js("alerts.js", "m.parseKeywords(Array.from({length: 999}, (_, i) => `w${i}`).join())"))
        == 200
    )


async def test_nothing_is_missed_or_doubled_whatever_the_wire_does(blank: Page) -> None:
    """Losses, repeats, cuts and restarts, 500 random lives: the page holds exactly what was said, in order."""
    assert await blank.evaluate((HERE / "reconnect_model.js").read_text(), 500) is None


SCRIPT = """(() => {
  let s = {...m.initialState(0, ["痛"]), epoch: "e"};
  const out = [];
  for (const event of x) {
    s = m.reduce(s, {now: 0, bed: "B", speaker: 1, at: 1, state: "online", since: 1, epoch: "e", captions: [], stable: "",
      tentative: "", partial: null, recovered: true, ...event});
    out.push({link: s.link, raised: s.alertsRaised, open: m.openAlerts(s).map((a) => a.word),
      partials: (s.beds.B?.partials ?? []).map((p) => p.stable + p.tentative), captions: (s.beds.B?.captions ?? []).map((c) => c.text ?? c.kind)});
  }
  return out;
})()"""


async def test_an_utterance_alerts_once(js) -> None:
    """The partial raises it, later partials and the final do not; seen stays seen."""
    events = [
        {"type": "partial", "utterance": 1, "revision": 1, "tentative": "好痛"},
        {"type": "partial", "utterance": 1, "revision": 2, "stable": "好痛", "tentative": "啊"},
        {"type": "seen"},
        {"type": "caption", "number": 1, "utterance": 1, "text": "好痛啊"},
        {"type": "caption", "number": 2, "utterance": 2, "text": "還是痛"},
    ]
    states = await js("captions.js", SCRIPT, events)
    assert [s["raised"] for s in states] == [1, 1, 1, 1, 2]
    assert [s["open"] for s in states] == [["痛"], ["痛"], [], [], ["痛"]]


async def test_a_final_without_the_word_takes_the_alert_back(js) -> None:
    """A tentative word that was misheard does not stay an alert."""
    events = [
        {"type": "partial", "utterance": 1, "revision": 1, "tentative": "好痛"},
        {"type": "caption", "number": 1, "utterance": 1, "text": "好的"},
    ]
    assert [s["open"] for s in await js("captions.js", SCRIPT, events)] == [["痛"], []]


async def test_a_page_that_opens_alerts_only_for_what_is_recent(js) -> None:
    """Old captions are highlighted only; those missed during an outage alert whatever their age."""
    old = {"number": 1, "utterance": 1, "speaker": 1, "text": "痛", "at": 1}
    events = [
        {"type": "snapshot", "now": 1_000_000, "captions": [old]},
        {"type": "snapshot", "now": 2_000_000, "captions": [old | {"number": 2, "utterance": 2}]},
    ]
    assert [s["raised"] for s in await js("captions.js", SCRIPT, events)] == [0, 1]


async def test_partials_are_replaced_by_newer_ones_and_ended_by_their_caption(js) -> None:
    """An older revision, or one that comes after its caption, shows nothing."""
    events = [
        {"type": "partial", "utterance": 1, "revision": 2, "stable": "b"},
        {"type": "partial", "utterance": 1, "revision": 1, "stable": "a"},
        {"type": "caption", "number": 1, "utterance": 1, "text": "c"},
        {"type": "partial", "utterance": 1, "revision": 3, "stable": "d"},
    ]
    assert [s["partials"] for s in await js("captions.js", SCRIPT, events)] == [["b"], ["b"], [], []]


def said(number: int, text: str, **fields: object) -> dict:
    return {"number": number, "utterance": number, "speaker": 1, "text": text, "at": number} | fields


async def test_what_the_gateway_no_longer_has_is_marked(js) -> None:
    """A snapshot that could not recover everything puts a mark, once, before what follows."""
    events = [
        {"type": "snapshot", "captions": [said(1, "a")]},
        {"type": "snapshot", "recovered": False},
        {"type": "snapshot", "recovered": False, "captions": [said(9, "z")]},
    ]
    states = await js("captions.js", SCRIPT, events)
    assert states[1]["captions"] == ["a", "lost"]
    assert states[2]["captions"] == ["a", "lost", "z"]


async def test_another_epoch_means_that_all_numbers_are_new(js) -> None:
    """Its captions come after a mark, those held under another number are not shown twice, and `watch` names it."""
    events = [
        {"type": "snapshot", "captions": [said(1, "a"), said(2, "b")]},
        {"type": "snapshot", "epoch": "f", "recovered": False, "captions": [said(1, "b", at=2, utterance=2), said(2, "c", at=9)]},
        {"type": "caption", "number": 3, "utterance": 3, "text": "d"},
    ]  # fmt: skip
    states = await js("captions.js", SCRIPT, events)
    assert states[-1]["captions"] == ["a", "b", "lost", "c", "d"]
    watch = f"m.watchMessage({SCRIPT.replace('return out', 'return s')}, ['B'])"
    assert await js("captions.js", watch, events) == {
        "type": "watch", "beds": ["B"], "after": {"B": 3}, "epoch": "f",
    }  # fmt: skip


async def test_a_gap_is_a_row_and_takes_no_alert_back(js) -> None:
    """Lost sound is numbered as a caption is, belongs to the utterance before it, and never hides."""
    events = [
        {"type": "caption", "number": 1, "utterance": 1, "text": "好痛"},
        {"type": "caption", "number": 2, "utterance": 1, "text": "", "gap_s": 12.0, "at": 2},
    ]
    assert [s["open"] for s in await js("captions.js", SCRIPT, events)] == [["痛"], ["痛"]]
    rows = f"m.rowsOf({SCRIPT.replace('return out', 'return s')}.beds.B, () => 'today').map((r) => r.kind)"
    assert await js("captions.js", rows, events) == ["caption", "gap"]


async def test_bed_states_are_told_apart(js) -> None:
    """A microphone that may come back is neither on nor off; a bed that never had one is unknown."""
    states = [{"state": s, "present": True, "number": 0} for s in ("online", "reconnecting", "offline")]
    shown = await js("captions.js", "x.map(m.shownState)", [*states, {"state": "offline", "number": 0}, None])
    assert shown == ["online", "reconnecting", "offline", "unknown", "unknown"]


async def test_silence_of_five_seconds_stops_and_any_message_revives(js) -> None:
    """Also a clock that jumps back counts as silence."""
    events = [
        {"type": "heartbeat", "now": 10_000},
        {"type": "tick", "now": 14_999},
        {"type": "tick", "now": 15_000},
        {"type": "heartbeat", "now": 15_001},
        {"type": "tick", "now": 1000},
        {"type": "an unknown message", "now": 1000},
    ]
    states = await js("captions.js", SCRIPT, events)
    assert [s["link"] for s in states] == ["live", "live", "stopped", "live", "stopped", "live"]


async def test_unclear_sounds_in_a_row_are_one_row_and_days_are_separated(js) -> None:
    """A night of coughing does not push the conversation off the screen."""
    captions = [
        {"kind": "caption", "key": k, "at": at, "text": text} for k, at, text in
        [("1", 1, "a"), ("2", 2, ""), ("3", 3, " "), ("4", 90_000, "b")]
    ]  # fmt: skip
    rows = await js(
        "captions.js", "m.rowsOf({captions: x}, (ms) => String(Math.floor(ms / 86400000)))", captions
    )
    assert [row["kind"] for row in rows] == ["caption", "unclear", "day", "caption"]
    assert rows[1]["count"] == 2


async def test_text_that_reorders_or_hides_is_disarmed(js) -> None:
    """Bidi overrides and control characters become spaces; the space between the halves of a partial stays."""
    assert await js("captions.js", "m.displayText(x)", "a\u202eb\u2066c\x00d\x1b") == "a b c d"
    halves = await js("captions.js", "m.displayPartial(x)", {"stable": " I am", "tentative": " cold "})
    assert halves == {"stable": "I am ", "tentative": "cold"}


async def test_beds_are_sorted_as_people_count(js) -> None:
    """2 before 10; those with an open alert first when wanted."""
    state = {"beds": {b: {"bed": b} for b in ["10", "2", "3A"]}, "alerts": [{"bed": "10", "seen": False}]}
    order = "m.sortedBeds(x[0], x[1]).map((b) => b.bed)"
    assert await js("captions.js", order, [state, False]) == ["2", "3A", "10"]
    assert await js("captions.js", order, [state, True]) == ["10", "2", "3A"]


async def test_language_of_a_caption_tells_fonts_and_readers(js) -> None:
    """Whisper's zh is Traditional Chinese here; a partial is judged by its characters."""
    said = [["你好", "zh"], ["hello", "en"], ["你好", None], ["hello", None], ["xin chào", "vi"]]
    assert await js("captions.js", "x.map((a) => m.languageOf(...a))", said) == [
        "zh-Hant",
        "en",
        "zh-Hant",
        "en",
        "vi",
    ]


async def test_reconnection_waits_longer_and_never_long(js) -> None:
    """Full jitter: a tenth of a second at least, 5.1 s at most."""
    waits = await js(
        "captions.js", "[1, 2, 3, 4, 5, 99].map((n) => [m.backoffSeconds(n, 0), m.backoffSeconds(n, 1)])"
    )
    assert [low for low, _ in waits] == [0.1] * 6
    assert [high for _, high in waits] == [0.35, 0.6, 1.1, 2.1, 5.1, 5.1]
