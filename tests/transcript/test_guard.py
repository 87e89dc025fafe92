"""Real words are never suppressed; what Whisper makes up is, by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import TranscriptSettings
from gateway.transcript.guard import judge, loop
from gateway.transcript.script import Script, fold
from tests.transcript.hypotheses import heard, recorded

SETTINGS = TranscriptSettings()
RECORDED = recorded()
CARE = (
    "痛 好痛 救命 不要 水 我要喝水 尿尿 冷 熱 對 不是 好 嗯 謝謝 媽 護理師 請幫幫我 想吐 喘不過氣 我要回家 拜拜 晚安 "
    "help|Help!|no|No, no!|water|yes|okay|thank you|Thank you.|bye|nurse|It hurts.|stop|I can't breathe|Oh|ow|Mum?"
)
SHORT = CARE.split("|")[0].split() + CARE.split("|")[1:]


def reason(text: str, speech_s: float = 2.0, **fields: float) -> str | None:
    return judge(heard(text, **fields), speech_s, SETTINGS)


@given(
    st.sampled_from([r.reference for r in RECORDED]),
    st.floats(-0.95, 0),
    st.floats(0, 0.55),
    st.floats(0.5, 1.3),
)
def test_sentences_with_good_scores_pass(text: str, logprob: float, no_speech: float, ratio: float) -> None:
    """Every sentence of the test audio, in either script, at a quick pace."""
    scores = {"average_logprob": logprob, "no_speech_probability": no_speech, "compression_ratio": ratio}
    assert reason(text, len(text) / 15, **scores) is None
    assert reason(fold(text), len(text) / 15, **scores) is None


@pytest.mark.parametrize("spoken", RECORDED, ids=lambda r: r.reference[:16])
def test_real_decodes_pass(spoken) -> None:
    """What the demo model made of the test audio, partials too."""
    assert judge(spoken.final, spoken.speech_s, SETTINGS) is None
    for partial in spoken.partials:
        assert judge(partial, spoken.speech_s, SETTINGS) in (None, "empty")


@pytest.mark.parametrize("text", SHORT)
@pytest.mark.parametrize(
    ("logprob", "no_speech"), [(-0.1, 0.0), (-0.4, 0.9), (-0.9, 0.5), (-0.99, 0.1)], ids=str
)
def test_short_care_speech_passes(text: str, logprob: float, no_speech: float) -> None:
    """One or two words in a fifth of a second, with any scores a real word may have."""
    assert reason(text, 0.2, average_logprob=logprob, no_speech_probability=no_speech) is None


@pytest.mark.parametrize("text", ["痛", "救命", "help", "不要", "It hurts", "no", "我不能呼吸", "喘"])
@pytest.mark.parametrize("no_speech", [0.0, 0.7, 0.99])
def test_a_cry_for_help_passes_with_poor_scores(text: str, no_speech: float) -> None:
    """The model doubts that anybody spoke: a false alarm is cheaper than a missed one."""
    assert reason(text, 0.3, average_logprob=-1.6, no_speech_probability=no_speech) is None


@pytest.mark.parametrize(
    ("phrase", "times", "speech_s"),
    [
        ("痛", 12, 4),
        ("救命", 8, 5),
        ("不要", 6, 2.5),
        ("help ", 10, 5),
        ("no, ", 8, 3),
        ("help me please. ", 8, 12),
    ],
)
def test_a_person_in_distress_repeats_himself(phrase: str, times: int, speech_s: float) -> None:
    """The same cry over and over is no hallucination as long as a person can say it so fast."""
    for no_speech in (0.0, 0.9):
        found = reason(phrase * times, speech_s, compression_ratio=5.0, no_speech_probability=no_speech)
        assert found is None


def test_a_repeated_wish() -> None:
    """Also words that are no cry for help, as long as the model heard speech."""
    assert reason("我要回家，" * 9, 12, compression_ratio=5.0) is None
    assert reason("我要回家，" * 9, 12, compression_ratio=5.0, no_speech_probability=0.9) == "repetition"


@pytest.mark.parametrize("text", ["", " ", "...", "。", "?!", "\u200b"])
def test_empty(text: str) -> None:
    """Nothing that could be read."""
    assert reason(text) == "empty"


@pytest.mark.parametrize(
    "text",
    [
        "♪",
        "♪ ♪ ♪",
        "(音樂)",
        "（音乐播放中）",
        "[Music]",
        "[MUSIC PLAYING]",
        "♪ (upbeat music) ♪",
        "[BLANK_AUDIO]",
        "(掌聲)",
    ],
)
def test_music(text: str) -> None:
    """A sound that is described, not speech."""
    assert reason(text) == "music"


@pytest.mark.parametrize(
    "text", ["音樂太大聲了", "Turn the music off", "(哭聲)", "[screaming]", "♪ 生日快樂 ♪"]
)
def test_words_about_music_pass(text: str) -> None:
    """Somebody speaks of music or sings, or the description is news to a carer."""
    assert reason(text) is None


def test_no_speech_needs_two_signs() -> None:
    """The no-speech probability alone is wrong too often, and so is the log-probability."""
    assert reason("我在", no_speech_probability=0.99, average_logprob=-1.2) == "no_speech"
    assert reason("我在", no_speech_probability=0.99, average_logprob=-0.3) is None
    assert reason("我在", no_speech_probability=0.01, average_logprob=-1.2) is None


def test_low_confidence() -> None:
    """Far below the minimum it is noise, even with an urgent word in it."""
    assert reason("我", average_logprob=-6.4) == "low_confidence"
    assert reason("help", average_logprob=-2.1) == "low_confidence"
    assert reason("我", average_logprob=-6.4, no_speech_probability=0.99) == "no_speech"


@pytest.mark.parametrize(
    "text",
    [
        "字幕由 Amara.org 社群提供", "由 Amara.org 社群提供的字幕", "請不吝點贊訂閱轉發打賞支持明鏡與點點欄目", "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
        "字幕by索兰娅", "中文字幕志愿者 李宗盛", "字幕製作：貝爾", "谢谢观看", "謝謝觀看！", "謝謝大家收看。", "感謝您的觀看", "我們下集再見",
        "謝謝觀看 謝謝觀看 謝謝觀看 謝謝觀看", "Thanks for watching!", "Thank you for watching.", "Thank you so much for watching, see you",
        "Please subscribe to my channel", "Subtitles by the Amara.org community", "Transcription by CastingWords", "ご視聴ありがとうございました",
    ],
)  # fmt: skip
def test_phantom_phrases(text: str) -> None:
    """End credits, however sure the model is of them, in both scripts."""
    assert reason(text, 4.0) == "phantom_phrase"


@pytest.mark.parametrize(
    "text",
    [
        "字幕太小了看不到",
        "請幫我訂閱報紙",
        "謝謝你來看我",
        "謝謝大家來看我",
        "Thanks for watching over my mother",
        "我想看 YouTube 頻道",
        "翻譯請過來",
        "thank you for coming",
    ],
)
def test_sentences_like_phantoms_pass(text: str) -> None:
    """Only a text that is the phantom as a whole."""
    assert reason(text) is None


@pytest.mark.parametrize("text", ["Thank you.", "Bye.", "Bye-bye!", "謝謝", "谢谢大家", "you", "再見", "嗯"])
def test_what_people_say_is_a_phantom_only_with_poor_scores(text: str) -> None:
    """At a bedside people do say thanks and goodbye."""
    assert reason(text) is None
    assert reason(text, no_speech_probability=0.8) is None
    assert reason(text, average_logprob=-1.1) == "phantom_phrase"
    assert reason(text, average_logprob=-0.7, no_speech_probability=0.8) == "phantom_phrase"


@pytest.mark.parametrize(
    ("phrase", "times"), [("謝謝你的", 30), ("I'm sorry. ", 30), ("好", 60), ("the ", 100)]
)
def test_repetition(phrase: str, times: int) -> None:
    """A loop that is faster than anybody can speak, also where compression does not show it."""
    assert reason(phrase * times, 2.0) == "repetition"
    assert reason(phrase * times, 60.0) is None
    assert reason(phrase * times, 60.0, no_speech_probability=0.9) == "repetition"


def test_compression_ratio() -> None:
    """A text that zlib finds repetitive, said too fast for a person who repeats himself."""
    text = "well, so it is and so it was, so it is and so it is and it was so and it is so"
    assert loop(text.split()) is None
    assert reason(text, 1.5, compression_ratio=2.6) == "repetition"
    assert reason(text, 1.5, compression_ratio=2.3) is None


def test_too_fast() -> None:
    """More than anybody can say in that time; a Chinese character counts three letters."""
    assert reason("我今天早上已經吃過藥了不用再拿來給我了", 0.3) == "too_fast"
    assert reason("我今天早上已經吃過藥了不用再拿來給我了", 3.0) is None
    assert reason("I have taken all of my medicine this morning already", 0.3) == "too_fast"


def test_settings_are_obeyed() -> None:
    """The limits come from the settings."""
    strict = TranscriptSettings(max_chars_per_s=5, min_average_logprob=-0.2, max_no_speech_probability=0.1)
    assert judge(heard("I am cold today"), 1.0, strict) == "too_fast"
    assert judge(heard("I am cold", average_logprob=-0.5), 5.0, strict) == "low_confidence"
    assert judge(heard("我在", average_logprob=-0.3, no_speech_probability=0.2), 5.0, strict) == "no_speech"


@given(st.text(max_size=40), st.floats(0, 30), st.floats(-8, 0), st.floats(0, 1), st.floats(0, 20))
def test_any_text_is_judged(
    text: str, speech_s: float, logprob: float, no_speech: float, ratio: float
) -> None:
    """No text breaks the guard, and every reason has a known name."""
    found = reason(
        text, speech_s, average_logprob=logprob, no_speech_probability=no_speech, compression_ratio=ratio
    )
    names = "empty music no_speech low_confidence phantom_phrase repetition too_fast"
    assert found is None or found in names.split()


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=3), st.integers(4, 9), st.integers(0, 2))
def test_loops(phrase: list[str], times: int, stub: int) -> None:
    """A phrase four times or more, and perhaps the beginning of another time."""
    units = phrase * times + phrase[: min(stub, len(phrase))]
    found = loop(units)
    assert found is not None
    assert (found * len(units))[: len(units)] == units


def test_traditional_and_simplified_are_judged_alike() -> None:
    """The phrase lists hold one script; the text may come in either."""
    for text in ("謝謝觀看", "字幕製作", "請不吝點贊"):
        assert reason(Script("cn").convert(text)) == reason(text) == "phantom_phrase"
