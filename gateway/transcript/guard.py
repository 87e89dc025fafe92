"""core: what Whisper makes up, with the reason why it is not shown.

Whisper was trained on subtitles and fills noise and silence with their end credits. But at a bedside a
real word that is suppressed costs more than a phantom that is shown: "痛", said once and faintly, has
poor scores too, and a patient in distress says the same thing twenty times. So one bad sign is never
enough where a person could have said it. Poor scores count only when the model heard no speech either,
and never against a cry for help; repeated phrases only when nobody could say them so fast, or the model
heard no speech; thanks and goodbyes only with poor scores. What is suppressed is named, marked and
counted.
"""

import re

from gateway.config import TranscriptSettings
from gateway.events import Hypothesis
from gateway.transcript.agreement import keys, normalise, split
from gateway.transcript.script import fold

SLACK_S = 0.7
"""Speech that the VAD may have missed at both ends of an utterance."""
SPACELESS_WEIGHT = 3
"""A Chinese character counts as three Latin letters."""
LOOP_SHARE = 0.6
"""A loop is quicker than this share of the quickest speech: people repeat themselves at leisure."""
HOPELESS = 2.0
"""times the minimum log-probability: not a decode at all, whatever else is known."""

_MUSIC = re.compile(
    r"[\s♪♫♬🎵🎶~～*.。]*(?:[(\[（【〔<](?:[^()\[\]（）【】〔〕<>]*"
    r"(?:音乐|背景乐|片头曲|片尾曲|掌声|无声|静音|music|applause|blank_audio|silence|no audio|no speech)"
    r"[^()\[\]（）【】〔〕<>]*)[)\]）】〕>])?[\s♪♫♬🎵🎶~～*.。]*",
    re.IGNORECASE,
)
_PHANTOMS = re.compile(
    r"(?:中文)?字幕(?:由|by|志愿者|制作|组|提供|翻译|校对|听译|后期|来自).{0,40}|(?:翻译|听译|校对)by.{0,30}"
    r"|.{0,12}amaraorg.{0,20}|.{0,12}明镜与?点点栏目.{0,6}|优优独播剧场.{0,30}|索兰娅|杨茜茜"
    r"|请?不吝点赞.{0,30}|.{0,6}点赞.{0,4}订阅.{0,20}|请?订阅(?:我的|我们的|本)频道.{0,10}"
    r"|(?:非常|由衷)?(?:谢谢|感谢)(?:大家|您|你|你们|各位)?的?(?:观看|收看|收听)(?:本.{0,6})?|我们下[期集]再见"
    r"|(?:thankyou|thanks)(?:somuch|verymuch|all)?forwatching"
    r"(?:(?:and|please|see|bye|this|my|every|guys|dont).{0,30})?"
    r"|pleasesubscribe.{0,30}|(?:dontforgetto)?likeandsubscribe.{0,30}|(?:subtitles?|captions?|transcript(?:ion)?)by.{0,40}"
    r"|seeyou(?:guys)?inthenext(?:video|one|episode)|ご视聴ありがとうございました"
)
"""Nobody says these at a bedside; in simplified characters, without case, spaces and punctuation."""
_SAYABLE = re.compile(
    r"(?:thankyou|thanks)(?:verymuch|somuch)?|(?:bye)+|goodbye|seeyounexttime|you|ok|okay|yeah|so|oh|the"
    r"|谢谢(?:你|您|大家|聆听)?|再见|拜拜|(?:下次|明天)见|晚安|大家好|[嗯好哦啊]"
)
"""Phantoms that a person may well say: suppressed only when the scores are poor as well."""
_URGENT = re.compile(
    r"救|命|痛|疼|血|喘|呼吸|不要|快来|跌倒|难受|help|hurt|pain|breath|blood|fell|\bstop\b|\bno\b", re.I
)
"""Cries for help: shown whatever the scores, unless they are hopeless."""


def judge(hypothesis: Hypothesis, speech_s: float, settings: TranscriptSettings) -> str | None:
    """Why this hypothesis must not be shown; None: show it.

    empty, music, no_speech, low_confidence, phantom_phrase, repetition, too_fast.
    """
    units = [key for key in keys(split(hypothesis.text)) if any(map(str.isalnum, key))]
    simplified = fold(hypothesis.text)
    if _MUSIC.fullmatch(simplified) and hypothesis.text.strip(" .。*~～\n"):
        return "music"
    if not units:
        return "empty"
    logprob, minimum = hypothesis.average_logprob, settings.min_average_logprob
    deaf = hypothesis.no_speech_probability > settings.max_no_speech_probability
    hopeless = logprob < HOPELESS * minimum
    silent = deaf and (hopeless or not _URGENT.search(simplified))
    if silent and logprob < minimum:
        return "no_speech"
    if hopeless:
        return "low_confidence"
    if _is_phantom(units, doubtful=logprob < minimum or (deaf and logprob < minimum / 2)):
        return "phantom_phrase"
    share = speed(units, speech_s) / settings.max_chars_per_s
    repeats = hypothesis.compression_ratio > settings.max_compression_ratio or loop(units) is not None
    if repeats and (share > LOOP_SHARE or silent):
        return "repetition"
    return "too_fast" if share > 1 else None


def speed(units: list[str], speech_s: float) -> float:
    """Latin letters per second of speech; a character of a script without spaces counts as three."""
    weight = sum(len(u) if u.isascii() or len(u) > 2 else SPACELESS_WEIGHT for u in units)
    return weight / (speech_s + SLACK_S)


def loop(units: list[str]) -> list[str] | None:
    """The phrase that a text is made of, at least four times over and up to a stub; None: it is no loop."""
    for period in range(1, len(units) // 4 + 1):
        if all(a == b for a, b in zip(units, units[period:], strict=False)):
            return units[:period]
    return None


def _is_phantom(units: list[str], doubtful: bool) -> bool:
    """Whether the whole text is a phantom, once or over and over."""
    for text in {normalise(fold("".join(units))), normalise(fold("".join(loop(units) or units)))}:
        if _PHANTOMS.fullmatch(text) or (doubtful and _SAYABLE.fullmatch(text)):
            return True
    return False
