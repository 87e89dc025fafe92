"""A session's captions, from hypotheses to what is shown."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import TranscriptSettings
from gateway.events import Kind, Word
from gateway.transcript.captioner import MAX_OPEN_UTTERANCES, Captioner, Shown
from tests.transcript.hypotheses import heard, recorded

SETTINGS = TranscriptSettings()


def show(captioner: Captioner, *texts: str, **fields: object) -> list[tuple[str, str]]:
    """(stable, tentative) of the partials that had something new."""
    shown = [captioner.partial(heard(text, i, **fields), 2.0) for i, text in enumerate(texts, 1)]
    return [(s.stable, s.tentative) for s in shown if s]


def test_partials_and_the_final() -> None:
    """What was agreed on is stable, and the final confirms it."""
    captioner = Captioner(SETTINGS)
    assert captioner.partial(heard(" I am", 1), 0.5) == Shown(1, 1, "", "I am")
    assert captioner.partial(heard(" I am cold.", 2), 1.0) == Shown(1, 2, "I am", " cold.")
    settled = captioner.final(heard(" I am cold. ", 3, Kind.FINAL, average_logprob=-0.5), 1.2)
    assert (settled.text, settled.language, settled.suppressed) == ("I am cold.", "en", None)
    assert settled.confidence == pytest.approx(math.exp(-0.5))
    assert (settled.corrected, settled.stable_words, settled.corrected_words) == (False, 2, 0)


@pytest.mark.parametrize(
    ("final", "corrected"),
    [
        ("I am cold and", 0),
        ("i AM, Cold! and wet", 0),
        ("I was cold and", 1),
        ("Oh I am cold and", 1),
        ("I cold", 1),
        ("You were", 3),
        ("...", 3),
    ],
)
def test_corrections_are_counted_by_alignment(final: str, corrected: int) -> None:
    """Case and punctuation are no correction; one word more is one, not all that follow it."""
    captioner = Captioner(SETTINGS)
    show(captioner, "I am cold and", "I am cold or")
    settled = captioner.final(heard(final, 9, Kind.FINAL), 1.0)
    assert (settled.stable_words, settled.corrected_words, settled.corrected) == (3, corrected, corrected > 0)


def test_chinese_is_traditional_from_the_first_partial() -> None:
    """Whatever script each hypothesis came in: the stable text is one text, and nothing is corrected."""
    captioner = Captioner(SETTINGS)
    partials = show(captioner, "里面", "裡面很", "里面很热", "裡面很熱請", language="zh")
    assert partials == [("", "裡面"), ("裡面", "很"), ("裡面很", "熱"), ("裡面很熱", "請")]
    words = tuple(Word(c, i, i + 1, 0.9) for i, c in enumerate("里面很热请开冷气。"))
    settled = captioner.final(heard("里面很热请开冷气。", 9, Kind.FINAL, language="zh", words=words), 3.0)
    assert settled.text == "裡面很熱請開冷氣。" == "".join(w.text for w in settled.words)
    assert not settled.corrected


@pytest.mark.parametrize(
    ("script", "language", "text"),
    [
        ("cn", "zh", "里面说"),
        ("off", "zh", "里面说"),
        ("hk", "yue", "裏面説"),
        (None, "", "裡面說"),
        (None, "ja", "里面说"),
    ],
)
def test_the_session_chooses_the_script(script: str | None, language: str, text: str) -> None:
    """Its own or the gateway's; only for Chinese."""
    captioner = Captioner(SETTINGS, script=script)
    assert captioner.final(heard("里面说", 1, Kind.FINAL, language=language), 2.0).text == text


def test_an_unknown_script_is_refused() -> None:
    """By name, when the session starts."""
    with pytest.raises(ValueError, match="elvish"):
        Captioner(SETTINGS, script="elvish")


def test_suppressed_finals_have_a_reason_and_no_text() -> None:
    """And teach no language; what had been shown counts as corrected."""
    captioner = Captioner(SETTINGS)
    show(captioner, "Thanks now", "Thanks then", language_probability=0.5)
    settled = captioner.final(heard("Thanks for watching!", 3, Kind.FINAL), 3.0)
    assert (settled.text, settled.suppressed, settled.words) == ("", "phantom_phrase", ())
    assert (settled.corrected, settled.corrected_words, settled.confidence) == (True, 1, 0.0)
    assert captioner.language is None


def test_the_guard_can_be_off() -> None:
    """Then only what is empty is left out."""
    captioner = Captioner(TranscriptSettings(guard=False))
    assert captioner.final(heard("Thanks for watching!", 1, Kind.FINAL), 3.0).text == "Thanks for watching!"
    assert captioner.final(heard(" ", 1, Kind.FINAL, utterance=2), 3.0).suppressed == "empty"
    assert captioner.final(heard("\ufffd", 1, Kind.FINAL, utterance=3), 3.0).suppressed == "empty"


def test_a_failed_final_keeps_what_was_shown() -> None:
    """A failure is not silence: the words on the screen stay, without confidence."""
    captioner = Captioner(SETTINGS)
    show(captioner, "please help", "please help me")
    settled = captioner.final(heard("", 3, Kind.FINAL, failure="decode_failed"), 1.0)
    assert (settled.text, settled.suppressed, settled.confidence) == ("please help me", None, 0.0)
    assert not settled.corrected
    nothing = captioner.final(heard("", 1, Kind.FINAL, utterance=2, failure="decode_failed"), 1.0)
    assert (nothing.text, nothing.suppressed) == ("", "decode_failed")


def test_partials_with_nothing_new_are_not_shown() -> None:
    """Stale, empty, suppressed, failed or unchanged ones."""
    captioner = Captioner(SETTINGS)
    assert captioner.partial(heard("water", 3), 0.5)
    assert captioner.partial(heard("wat", 2), 0.5) is None
    assert captioner.partial(heard("", 4), 0.5) is None
    assert captioner.partial(heard("謝謝觀看", 5), 0.5) is None
    assert captioner.partial(heard("", 6, failure="decode_failed"), 0.5) is None
    assert captioner.partial(heard("water", 7), 0.5) is None
    assert captioner.partial(heard("water please", 8), 0.5) == Shown(1, 8, "water", " please")


def test_nothing_is_shown_of_a_closed_utterance() -> None:
    """After its final, after it was forgotten, and of any utterance before it."""
    captioner = Captioner(SETTINGS)
    captioner.final(heard("cold", 1, Kind.FINAL, utterance=3), 1.0)
    captioner.forget(4)
    assert all(captioner.partial(heard("cold", 9, utterance=u), 1.0) is None for u in (2, 3, 4))
    assert captioner.partial(heard("cold", 1, utterance=5), 1.0)


def test_few_utterances_are_kept() -> None:
    """A session whose finals never come does not grow, nor take back what it showed."""
    captioner = Captioner(SETTINGS)
    for utterance in range(50):
        captioner.partial(heard("cold", 1, utterance=utterance), 1.0)
    assert len(captioner._open) == MAX_OPEN_UTTERANCES
    assert captioner.partial(heard("warm", 2, utterance=0), 1.0) is None


def test_the_language_is_locked() -> None:
    """By a clear partial or final; a named one stays."""
    captioner = Captioner(SETTINGS)
    captioner.partial(heard("我", language="zh", language_probability=0.95), 1.0)
    assert captioner.language is None
    captioner.partial(heard("我好冷", 2, language="zh", language_probability=0.95), 2.0)
    assert captioner.language == "zh"
    assert Captioner(SETTINGS, language="en").language == "en"


def test_text_is_cleaned() -> None:
    """Spaces are single, unprintable and broken characters are gone."""
    settled = Captioner(SETTINGS).final(heard("  the un\ufffdone \n whale\x00 ", 1, Kind.FINAL), 2.0)
    assert settled.text == "the unone whale"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["里", "里面", "裡面很热", "干什么", "I am", "I am in 台湾"]), st.floats(-1, 0)
        ),
        max_size=9,
    )
)
def test_converted_stable_text_is_never_taken_back(heard_of: list[tuple[str, float]]) -> None:
    """Conversion may change a character once its neighbours are known; what was stable stays."""
    captioner, before = Captioner(SETTINGS, language="zh"), ""
    for i, (text, logprob) in enumerate(heard_of, 1):
        shown = captioner.partial(heard(text, i, language="zh", average_logprob=logprob), 2.0)
        if shown:
            assert shown.stable.startswith(before)
            before = shown.stable


@pytest.mark.parametrize("language", ["en", "zh"])
def test_few_words_of_the_test_audio_are_corrected(language: str) -> None:
    """Under 0.5 % of words; most are stable before the final."""
    captioner = Captioner(SETTINGS, language=language)
    words = stable = corrected = 0
    for spoken in recorded():
        if spoken.language == language:
            for partial in spoken.partials:
                captioner.partial(partial, spoken.speech_s)
            settled = captioner.final(spoken.final, spoken.speech_s)
            words += len(settled.text.split()) if language == "en" else len(settled.text)
            stable += settled.stable_words
            corrected += settled.corrected_words
            assert settled.suppressed is None
    print(f"{language}: {corrected} of {words} corrected, {stable} stable before the final")
    assert corrected / words < 0.005
    assert stable / words > 0.55
