"""Chinese comes out in the script asked for, and Traditional text survives."""

import itertools
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transcript import script
from gateway.transcript.script import MAX_ROUNDS, Script, fold, is_chinese

REFS = json.loads((Path(__file__).parents[1] / "data/audio/refs.json").read_text())
MANDARIN = [s["text"] for ref in REFS.values() if ref["language"] == "zh" for s in ref["segments"]]
CARE = re.findall(
    r"\S+",
    """我肚子很痛，想吐。 護理師，點滴快沒了。 請幫我換尿布。 我要上廁所。 不要碰我的右手。 血壓一百二十、八十。 體溫三十八點五度。
乾淨的毛巾在哪裡？ 裡面很熱，請開冷氣。 後天要抽血。 皇后和王后 范先生今天要出院。 于小姐的藥還沒吃。 余阿姨說她頭暈。 里長來看你了。
不准下床。 台灣 臺灣大學 台北車站 台中市 颱風來了。 什麼時候吃藥？ 甚麼 干擾 若干 幹部 餅乾 晒太陽 一隻手 只有一隻眼睛看得到。 便秘三天了。 有污漬。
麵包和稀飯 面對面 頭髮 發燒 收音機的音量 鐘頭 時鐘 鍾醫師 手術程序 手續 關係 係數 併發症 氧氣 呼吸器 輪椅 助行器 假牙 褥瘡 翻身 拍背
抽痰 鼻胃管 導尿管 心臟 骯髒 肝臟 複診 恢復 覆蓋 松山醫院 放鬆 周太太 這個週末 下週一 注意 註冊 志工 雜誌 傢俱 家人 伙食 夥伴 茶几
計畫 計劃 游泳 旅遊 咖啡 嚐一口 喂，你好。 餵飯 佔用 占卜 徵兆 長征 採檢 風采 了解 瞭解 秘書 姓范 岳母 姓于 電台 舞台 吃不下 我好冷 救命""",
)
HAN = st.text(
    "后里面干台只周松于范幺苎薴余么说話裏裡着著爲氳啤污秘准不先生头发頭髮吃面湾灣軟软件鼠标 a1，。",
    max_size=12,
)
EVERYTHING = st.text(st.characters(min_codepoint=0x3400, max_codepoint=0x9FFF), max_size=12)


@pytest.mark.parametrize("name", ["twp", "tw"])
@pytest.mark.parametrize("text", MANDARIN + CARE)
def test_traditional_text_survives(name: str, text: str) -> None:
    """What is Taiwan's Chinese already is not touched."""
    assert Script(name).convert(text) == text


@pytest.mark.parametrize(
    ("simplified", "traditional"),
    [
        ("请不要动你的右脚。", "請不要動你的右腳。"), ("我要上厕所", "我要上廁所"), ("护士小姐，点滴快没了", "護士小姐，點滴快沒了"),
        ("台湾", "臺灣"), ("里面很热", "裡面很熱"), ("头发", "頭髮"), ("发烧", "發燒"), ("一只手", "一隻手"), ("饼干", "餅乾"),
        ("干什么", "幹什麼"), ("视频", "影片"), ("后面", "後面"), ("后天", "後天"), ("里面", "裡面"), ("吃面", "吃麵"), ("口干", "口乾"),
        ("几天", "幾天"), ("不准动", "不准動"), ("于医生", "于醫生"), ("余小姐说", "余小姐說"), ("我姓范", "我姓范"), ("裏面", "裡面"),
        ("看着", "看著"), ("便秘两天", "便秘兩天"), ("给我 water", "給我 water"), ("台风", "颱風"), ("心脏很难受", "心臟很難受"),
    ],
)  # fmt: skip
def test_simplified_text_becomes_taiwans(simplified: str, traditional: str) -> None:
    """Characters and words, in Whisper's either script."""
    assert Script("twp").convert(simplified) == traditional


@pytest.mark.parametrize("text", MANDARIN)
def test_mandarin_comes_back_from_simplified(text: str) -> None:
    """The references, simplified and converted again, read as before (她, 臺 and such aside)."""
    back = Script("tw").convert(fold(text))
    assert fold(back) == fold(text)
    assert sum(a != b for a, b in zip(back, text, strict=True)) <= 1


@pytest.mark.parametrize("name", ["twp", "tw", "hk", "cn", "off"])
@given(text=st.one_of(HAN, EVERYTHING))
def test_converting_twice_is_converting_once(name: str, text: str) -> None:
    """Partials are converted again and again."""
    once = Script(name).convert(text)
    assert Script(name).convert(once) == once


@pytest.mark.slow
@pytest.mark.parametrize("name", ["twp", "hk", "cn"])
def test_every_character_settles(name: str) -> None:
    """No single character needs more rounds than are made."""
    reader = Script(name)
    assert MAX_ROUNDS > 3
    for code in range(0x3400, 0xA000):
        once = reader.convert(chr(code))
        assert reader.convert(once) == once


@pytest.mark.parametrize(
    ("simplified", "traditional"),
    [
        ("血液循环不好", "血液循環不好"), ("手术程序", "手術程序"), ("请打开窗口", "請打開窗口"), ("不要触摸伤口", "不要觸摸傷口"),
        ("菜单给我看", "菜單給我看"), ("这个设备坏了", "這個設備壞了"), ("数据不对", "數據不對"),
    ],
)  # fmt: skip
def test_words_of_computing_are_not_put_in_a_patients_mouth(simplified: str, traditional: str) -> None:
    """OpenCC's phrases would make it 血液迴圈 (a program's loop) and 視窗 (a window on a screen)."""
    assert Script("twp").convert(simplified) == traditional


def test_other_scripts() -> None:
    """hk writes Hong Kong's variants, cn simplifies characters but keeps the words, off touches nothing."""
    assert Script("hk").convert("里面说") == "裏面説"
    assert Script("cn").convert("護理師說點滴快沒了，軟體") == "护理师说点滴快没了，软体"
    assert Script("off").convert("里面說") == "里面說"
    assert Script("tw").convert("软件") == "軟件"


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=30))
def test_other_languages_are_left_alone(text: str) -> None:
    """A text without Chinese characters passes unchanged."""
    assert Script("twp").convert(text) == text


def test_unknown_script() -> None:
    """A script that does not exist is refused by name."""
    with pytest.raises(ValueError, match="klingon"):
        Script("klingon")


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("痛", "zh", True),
        ("痛", "yue", True),
        ("痛", "ja", False),
        ("痛", None, True),
        ("痛い", None, False),
        ("pain", None, False),
        ("痛", "", True),
    ],
)
def test_when_to_convert(text: str, language: str | None, expected: bool) -> None:
    """Chinese by name, or by its characters while the language is unknown; Japanese never."""
    assert is_chinese(text, language) is expected


def test_a_text_may_grow() -> None:
    """Pieces of a growing text, as partials bring them; phrases settle once they are whole."""
    texts = [
        "请",
        "请帮",
        "请帮我",
        "请帮我把",
        "请帮我把头",
        "请帮我把头发",
        "请帮我把头发吹",
        "请帮我把头发吹干",
    ]
    converted = [Script("twp").convert(text) for text in texts]
    assert converted[-1] == "請幫我把頭髮吹乾"
    assert converted[4] == "請幫我把頭"
    assert all(len(a) + 1 == len(b) for a, b in itertools.pairwise(converted))


def test_mixed_text() -> None:
    """Latin words, numbers and spaces inside Chinese stay where they were."""
    assert Script("twp").convert("请给我 water, 36.5 度，OK吗？") == "請給我 water, 36.5 度，OK嗎？"


def test_dictionaries_are_shared() -> None:
    """A session more costs no dictionary more."""
    Script("twp")
    loaded = script._converter.cache_info().misses
    Script("twp").convert("请打开窗口，里面很热")
    assert script._converter.cache_info().misses == loaded
