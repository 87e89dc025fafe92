"""core: Chinese in the script its readers want, whatever script Whisper happened to choose.

Whisper writes Simplified or Traditional as it likes, also from one partial to the next; prompts do not cure
it, OpenCC does. But OpenCC's s2twp takes Simplified text for granted and harms text that is Traditional
already (干擾 -> 幹擾, 手術程序 -> 手術程式, 便秘 -> 便祕). So a text is first looked at. It has what

- only Simplified Chinese writes: it is converted, words included (s2twp);
- only Traditional Chinese writes: just variants foreign to Taiwan are exchanged (裏 -> 裡);
- neither of the two, as in 后面 or 我不要: the few are converted where Simplified is the likelier reading.

The words of s2twp come from computing (打开窗口 -> 開啟視窗, 血液循环 -> 血液迴圈): those that mean something
else at a bedside, and are good Taiwanese there, are converted by characters only.

`cn` is t2s, not tw2sp: a caption says what was said, so the words stay Taiwan's.
"""

import re
from functools import cache, lru_cache

import opencc

_SHARED = frozenset("丑丰于云伙余佣准凶划占台吁后咸夸岩岳干征斗晒朴杠杰涌游范郁采里雇仆")
"""Simplified characters that are ordinary Traditional ones too, of another meaning."""
_LIKELY_SIMPLIFIED = frozenset("后里面只干周松")
"""Of those and of the rest: what is converted in a text that gives no sign of either script."""
_TITLES = "先生|小姐|女士|太太|阿姨|阿嬤|阿公|伯伯|伯母|爺爺|爷爷|奶奶|媽媽|妈妈|爸爸|[醫医][師师生]|主任"
_SURNAME = "[于余范郁岳]"
_KEPT = re.compile(rf"({_SURNAME}(?={_TITLES})|(?<=姓){_SURNAME}|(?<=不)准|[污秘])")
"""Surnames and characters that OpenCC changes wrongly: 于先生 -> 於先生, 不准 -> 不準."""
_EVERYDAY = re.compile(
    "(打开|循环|程序|窗口|对象|菜单|触摸|连接|导入|导出|进程|队列|字体|点击|指针|类型|项目|信号|设备|设置|优化|运行|调用|在线"
    "|用户|加载|卸载|实例|数据)"
)
"""Words of computing that are ordinary words too."""
MAX_ROUNDS = 6
"""More than any character needs (a test tries them all)."""
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3040-\u30ff]")
_FROM_SIMPLIFIED = {"twp": ("s2twp", "s2tw"), "tw": ("s2tw", "s2tw"), "hk": ("s2hk", "s2hk")}
"""OpenCC's configurations with the place's words, and by characters only."""


@cache
def _converter(name: str) -> opencc.OpenCC:
    """Loaded once per process; conversion is stateless."""
    return opencc.OpenCC(name)


@lru_cache(maxsize=16_384)
def _is_simplified(character: str) -> bool:
    return character not in _SHARED and bool(_converter("s2t").convert(character) != character)


@lru_cache(maxsize=16_384)
def _is_traditional(character: str) -> bool:
    return bool(_converter("t2s").convert(character) != character)


@lru_cache(maxsize=16_384)
def _is_common_in_taiwan(character: str) -> bool:
    """In level 1 of Big5, Taiwan's 5401 common characters."""
    code = character.encode("big5", errors="ignore")
    return b"\xa4\x40" <= code <= b"\xc6\x7e"


def is_chinese(text: str, language: str | None) -> bool:
    """Whether a conversion applies: Chinese by name, or, while nobody knows, by its characters."""
    if language:
        return language in ("zh", "yue")
    return bool(_HAN.search(text)) and not _KANA.search(text)


def fold(text: str) -> str:
    """Simplified, for comparisons that ignore the script."""
    return str(_converter("t2s").convert(text))


def _convert_around(name: str, text: str) -> str:
    pieces = _KEPT.split(text)
    pieces[::2] = map(_converter(name).convert, pieces[::2])
    return "".join(pieces)


class Script:
    """One of twp, tw, hk, cn, off; ValueError for another. Converting twice changes nothing more.

    The first of a process loads the dictionaries (about 50 ms).
    """

    def __init__(self, name: str) -> None:
        if name not in (*_FROM_SIMPLIFIED, "cn", "off"):
            raise ValueError(f"script: {name!r} is none of twp, tw, hk, cn, off")
        self.name = name
        self.convert("说，设备")  # loads what it needs now, not under the first caption

    def convert(self, text: str) -> str:
        """The text in this script. Characters that are not Chinese stay as they are.

        OpenCC alone is not idempotent (幺 -> 么 -> 麼): converted until nothing changes, which is one round
        for nearly every text.
        """
        if self.name == "off" or not _HAN.search(text):
            return text
        for _ in range(MAX_ROUNDS):
            before, text = text, self._once(text)
            if text == before:
                break
        return text

    def _once(self, text: str) -> str:
        if self.name == "cn":
            return fold(text)
        if any(map(_is_simplified, text)):
            text = self._from_simplified(text)
        elif not any(map(_is_traditional, text)):
            text = self._likely(text)
        return self._variants(text)

    def _from_simplified(self, text: str) -> str:
        """Characters, and words where the script has some; surnames and such kept."""
        with_words, plain = _FROM_SIMPLIFIED[self.name]
        pieces = _EVERYDAY.split(text) if with_words != plain else [text]
        pieces[::2] = [_convert_around(with_words, piece) for piece in pieces[::2]]
        pieces[1::2] = map(_converter(plain).convert, pieces[1::2])
        return "".join(pieces)

    def _likely(self, text: str) -> str:
        converted = _convert_around("s2t", text)
        if len(converted) != len(text):
            return text
        return "".join(c if s in _LIKELY_SIMPLIFIED else s for s, c in zip(text, converted, strict=True))

    def _variants(self, text: str) -> str:
        """Traditional characters as this place writes them; Taiwan's own common ones are left alone."""
        if self.name == "hk":
            return str(_converter("t2hk").convert(text))
        converted = _converter("t2tw").convert(text)
        if len(converted) != len(text):
            return text
        return "".join(t if _is_common_in_taiwan(t) else c for t, c in zip(text, converted, strict=True))
