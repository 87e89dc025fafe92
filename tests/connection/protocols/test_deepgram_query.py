"""What a Deepgram client may ask for in its address, and what it is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.messages import Start
from gateway.connection.opening import open_stream
from gateway.connection.protocols.codec import Rejected
from gateway.connection.protocols.deepgram_query import ENCODINGS, Asked, read_query
from gateway.events import AudioFormat
from tests.connection.protocols.test_deepgram import handshake


def asked(**query: Any) -> Asked:
    return read_query(handshake(**query))


def test_a_bare_request_is_english_without_extras() -> None:
    """Deepgram's defaults; words always have times; the gateway's own pause ends an utterance."""
    wanted = asked()
    assert wanted.start == Start(AudioFormat("pcm_s16le", 16_000, 1), "en", partials=False, words=True)
    off = wanted.interim, wanted.vad_events, wanted.multi, wanted.container, wanted.utterance_end_s
    assert not any(off)
    assert wanted.endpointing


@pytest.mark.parametrize(("theirs", "ours"), ENCODINGS.items())
def test_encodings(theirs: str, ours: str) -> None:
    """By Deepgram's names."""
    wanted = asked(encoding=theirs, sample_rate="48000", channels="2")
    assert wanted.start.audio == AudioFormat(ours, 48_000, 2)


@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
def test_booleans_have_any_case(value: str) -> None:
    """Python writes True."""
    wanted = asked(interim_results=value, vad_events=value, punctuate=value, smart_format=value)
    assert wanted.interim
    assert wanted.start.partials
    assert wanted.vad_events


def test_a_beds_viewers_see_partials_that_the_client_did_not_ask_for() -> None:
    """They are the caregivers' too."""
    wanted = asked(bed="3A")
    assert (wanted.start.bed, wanted.start.partials, wanted.interim) == ("3A", True, False)


@pytest.mark.parametrize(
    ("tag", "language", "script"),
    [
        ("", "en", None),
        ("en-US", "en", None),
        ("zh", "zh", None),
        ("zh-TW", "zh", "twp"),
        ("zh-Hant", "zh", "twp"),
        ("zh_Hant_HK", "zh", "hk"),
        ("zh-CN", "zh", "cn"),
        ("zh-Hans", "zh", "cn"),
        ("multi", None, None),
    ],
)
def test_languages(tag: str, language: str | None, script: str | None) -> None:
    """The region of a Chinese tag chooses the script; the others do not matter."""
    start = asked(language=tag).start
    assert (start.language, start.script) == (language, script)


@pytest.mark.parametrize(
    ("query", "milliseconds", "on"),
    [
        ({}, None, True),
        ({"endpointing": "true"}, None, True),
        ({"endpointing": "10"}, 200, True),
        ({"endpointing": "300"}, 300, True),
        ({"endpointing": "60000"}, 5000, True),
        ({"endpointing": "False"}, 5000, False),
        ({"endpointing": "false", "utterance_end_ms": "1000"}, 1000, False),
        ({"endpointing": "2000", "utterance_end_ms": "1500"}, 1500, True),
    ],
)
def test_endpointing(query: dict[str, str], milliseconds: int | None, on: bool) -> None:
    """Within what detection allows, and early enough for the UtteranceEnd that waits for it."""
    wanted = asked(**query)
    assert (wanted.start.endpointing_ms, wanted.endpointing) == (milliseconds, on)


def test_a_long_pause_of_the_gateway_is_cut_short_too() -> None:
    """An UtteranceEnd waits for no longer one."""
    shake = handshake(utterance_end_ms="1000")
    detection = shake.settings.detection.model_copy(update={"endpointing_ms": 3000})
    slow = shake.settings.model_copy(update={"detection": detection})
    assert (
        read_query(type(shake)("id", shake.model, slow, 0, 0, query=shake.query)).start.endpointing_ms == 1000
    )


@pytest.mark.parametrize(("value", "seconds"), [("1000", 1.0), ("false", None), ("", None), ("2500", 2.5)])
def test_utterance_end(value: str, seconds: float | None) -> None:
    """Deepgram's clients write false for never."""
    assert asked(utterance_end_ms=value).utterance_end_s == seconds


def test_keyterms_and_keywords_are_hotwords() -> None:
    """Repeated keys. A weight is dropped, a negative one means that the word is not wanted."""
    wanted = asked(
        keyterm=["King room", "Lin"], keywords=["SpO2:1.5", "ratio 1:x", "Dilantin", "snuffle:-10", ":3"]
    )
    assert wanted.start.hotwords == ["King room", "Lin", "SpO2", "ratio 1:x", "Dilantin"]
    assert wanted.keywords == ("SpO2", "ratio 1:x", "Dilantin")


def test_what_we_do_not_do_is_ignored() -> None:
    """Nobody's example stops at a parameter that only changes how a text looks."""
    assert asked(
        model="nova-3-medical", diarize="true", numerals="1", redact=["pci", "ssn"], tag="x", version="latest",
        no_delay="true", callback="https://example.org", mip_opt_out="true", filler_words="yes", extra="a:b",
    ) == asked()  # fmt: skip


def test_no_encoding_is_a_container() -> None:
    """Then nothing else is said of the audio either."""
    assert asked(encoding=None, sample_rate="44100", channels="7").container


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"encoding": "flac"}, "`encoding`"),
        ({"encoding": "ogg-opus"}, "linear16"),
        ({"encoding": "LINEAR16"}, "`encoding`"),
        ({"sample_rate": None}, "`sample_rate`"),
        ({"sample_rate": "fast"}, "`sample_rate`"),
        ({"sample_rate": "16000.0"}, "`sample_rate`"),
        ({"sample_rate": "-1"}, "`sample_rate`"),
        ({"sample_rate": "4000"}, "4000 Hz"),
        ({"sample_rate": "9999999999999"}, "`sample_rate`"),
        ({"encoding": "opus", "sample_rate": "44100"}, "Opus"),
        ({"channels": "3"}, "3 channels"),
        ({"channels": "0"}, "0 channels"),
        ({"multichannel": "true", "channels": "2"}, "`multichannel`"),
        ({"interim_results": "maybe"}, "`interim_results`"),
        ({"vad_events": "1"}, "`vad_events`"),
        ({"punctuate": "please"}, "`punctuate`"),
        ({"endpointing": "soon"}, "`endpointing`"),
        ({"endpointing": "-5"}, "`endpointing`"),
        ({"utterance_end_ms": "500"}, "`utterance_end_ms`"),
        ({"utterance_end_ms": "\u0665\u0660\u0660\u0660"}, "`utterance_end_ms`"),
        ({"language": "tlh"}, "`language`"),
        ({"keyterm": ["word"] * 101}, "100 hotwords"),
        ({"keyterm": "a\nb"}, "control characters"),
        ({"bed": "a/b"}, "`bed`"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(query: dict[str, Any], named: str) -> None:
    """400 before the upgrade."""
    with pytest.raises(Rejected, match=r".+") as refused:
        asked(**query)
    assert refused.value.status == 400
    assert named in refused.value.message


NAMES = st.sampled_from(
    [
        "encoding",
        "sample_rate",
        "channels",
        "endpointing",
        "utterance_end_ms",
        "language",
        "keyterm",
        "keywords",
    ]
)
VALUES = st.text(max_size=12) | st.sampled_from(
    ["true", "false", "linear16", "16000", "zh-TW", "multi", "300"]
)


@given(query=st.dictionaries(NAMES, VALUES, max_size=8))
def test_any_query_is_served_or_refused(query: dict[str, str]) -> None:
    """What is not refused is a start that a session takes."""
    shake = handshake(**query)
    try:
        wanted = read_query(shake)
    except Rejected:
        return
    open_stream(wanted.start, shake.settings, shake.model)
