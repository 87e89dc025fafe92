"""Rules of the Vosk protocol: one reply each, at once, and no word lost or told twice over all of them."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.messages import (
    Audio,
    Configure,
    Error,
    Final,
    Flush,
    Ping,
    Speech,
    Start,
    Stop,
    TimedWord,
)
from gateway.connection.protocols.vosk import MAX_WAITING, Vosk
from gateway.events import AudioFormat
from tests.connection.protocols.wires import SETTINGS, STARTED, STOPPED, Wire, final, handshake, partial

PCM = bytes(4000)
EOF: dict[str, Any] = {"eof": 1}


def wire(**fields: Any) -> Wire:
    return Wire(Vosk(handshake(**fields)))


def config(**fields: Any) -> dict[str, Any]:
    return {"config": fields}


def began(told: Wire) -> Start:
    [start] = [message for message in told.told if isinstance(message, Start)]
    return start


# --- what a stream begins with ---


def test_audio_without_config_is_8000_hz() -> None:
    """And words are told, as the vendor's server does; nothing is said before the first frame."""
    vosk = wire(bed="3A")
    assert vosk.codec.open() == []
    assert vosk.client(PCM) == [{"partial": ""}]
    assert began(vosk) == Start(AudioFormat("pcm_s16le", 8000), bed="3A", words=True)
    assert vosk.told[1:] == [Audio(PCM)]


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ('{ "config" : { "sample_rate" : 16000.000000 } }', {"audio": AudioFormat("pcm_s16le", 16_000)}),
        ('{"config": {"sample_rate": "44100"}}', {"audio": AudioFormat("pcm_s16le", 44_100)}),
        ('{"config": {"words": 0}}', {"words": False}),
        ('{"config": {"words": true}}', {"words": True}),
        ('{"config": {"phrase_list": ["Panadol", "[unk]"]}}', {"hotwords": ["Panadol"]}),
        ('{"config": {"model": "x", "unheard_of": {}}}', {}),
        ('{"config": {}}', {}),
        ('{"config": null}', {}),
        ('{"unheard_of": 1}', {}),
    ],
)
def test_config_is_honoured_and_never_answered(sent: str, asked: dict[str, Any]) -> None:
    """Any spelling of its values; unknown fields are ignored."""
    vosk = wire()
    assert vosk.client(sent) == []
    assert vosk.told == []
    vosk.client(PCM)
    plain: dict[str, Any] = {"audio": AudioFormat("pcm_s16le", 8000), "words": True}
    assert began(vosk) == Start(**(plain | asked))


def test_configs_add_up() -> None:
    """Each changes what it names; after the first audio the rate stays, and the rest still changes."""
    vosk = wire()
    vosk.client(config(sample_rate=16000), config(words=False), PCM)
    assert (began(vosk).audio.sample_rate, began(vosk).words) == (16_000, False)
    vosk.client(config(sample_rate=8000, words=True, phrase_list=["Panadol"]))
    [changed] = [message for message in vosk.told if isinstance(message, Configure)]
    assert changed.start.audio.sample_rate == 16_000
    assert changed.start.words
    assert changed.start.hotwords == ["Panadol"]


def test_the_address_may_name_a_language() -> None:
    """The protocol has no field for it."""
    vosk = wire(query={"language": ["zh"]})
    vosk.client(PCM)
    assert began(vosk).language == "zh"


@pytest.mark.parametrize(
    "sent",
    ["no JSON", "[]", '{"config": 3}', '{"config": {"sample_rate": "fast"}}', "[" * 5000, '"\ud800"',
     '{"config": {"phrase_list": "Panadol"}}'],
)  # fmt: skip
def test_what_cannot_be_understood_closes(sent: str) -> None:
    """1008 with the reason: this protocol has no words for errors. What is final is told before."""
    vosk = wire()
    vosk.client(PCM)
    vosk.session(STARTED, final(1, "one"))
    assert [reply["text"] for reply in vosk.client(sent)] == ["one"]
    assert vosk.closed is not None
    assert vosk.closed[0] == 1008
    assert vosk.closed[1]
    assert vosk.client(PCM, EOF) == []


@pytest.mark.parametrize("rate", [1e300, -1, "nan", "inf", 0])
def test_an_impossible_rate_is_the_sessions_to_refuse(rate: Any) -> None:
    """Its error becomes the reason of the close."""
    vosk = wire()
    vosk.client(config(sample_rate=rate), PCM)
    assert not 8000 <= began(vosk).audio.sample_rate <= 48_000
    assert vosk.session(Error("bad_audio_format", "Use a rate from 8000 Hz.", fatal=True), code=1008) == []
    assert vosk.closed == (1008, "Use a rate from 8000 Hz.")


# --- replies ---


def test_a_reply_is_the_text_so_far_or_a_final() -> None:
    """Stable and tentative together; finals one by one, then the text of the next utterance."""
    vosk = wire()
    assert vosk.client(PCM) == [{"partial": ""}]
    vosk.session(Speech("started", 0.1), partial(1, "one"), partial(1, "one two"))
    assert vosk.client(PCM) == [{"partial": "one two"}]
    vosk.session(partial(2, "and"))
    assert vosk.client(PCM) == [{"partial": "one two and"}]
    vosk.session(final(1, "One two."), final(2, "And three."), partial(2, "late"), partial(3, "four"))
    replies = vosk.client(PCM, PCM, PCM)
    assert [r.get("text", r.get("partial")) for r in replies] == ["One two.", "And three.", "four"]
    assert ["text" in reply for reply in replies] == [True, True, False]


def test_an_utterance_without_words_is_an_empty_result() -> None:
    """Suppressed or failed: its partial is over."""
    vosk = wire()
    vosk.client(PCM)
    vosk.session(partial(1, "thank you"), final(1, "", suppressed="no_speech"))
    assert vosk.client(PCM) == [{"text": ""}]


def test_odd_bytes_belong_to_the_next_frame() -> None:
    """Also those of frames that bring no whole sample; each gets its reply."""
    vosk = wire()
    assert vosk.client(b"\x01", b"", b"\x02\x03", b"\x04\x05") == [{"partial": ""}] * 4
    assert vosk.audio == b"\x01\x02\x03\x04"
    assert all(len(m.payload) % 2 == 0 for m in vosk.told if isinstance(m, Audio))


def test_words_are_timed_by_the_engine_or_spread_evenly() -> None:
    """Bare words in order, with the results' times growing over all results."""
    words = (TimedWord("One", 0.5, 0.9, 0.8), TimedWord(" two.", 0.9, 1.25, 0.7))
    vosk = wire()
    vosk.client(PCM)
    vosk.session(final(1, "One two.", 0.5, 1.25, words=words), final(2, "Three four.", 1.2, 2.25))
    assert vosk.client(PCM)[0]["result"] == [
        {"conf": 0.8, "start": 0.5, "end": 0.9, "word": "One"},
        {"conf": 0.7, "start": 0.9, "end": 1.25, "word": "two."},
    ]
    assert vosk.client(PCM)[0]["result"] == [
        {"conf": 0.9, "start": 1.25, "end": 1.725, "word": "Three"},
        {"conf": 0.9, "start": 1.725, "end": 2.25, "word": "four."},
    ]


def test_words_are_told_only_when_wanted() -> None:
    """`result` is left out then, and where there is no text."""
    vosk = wire()
    vosk.client(config(words=False), PCM)
    vosk.session(final(1, "one"))
    assert vosk.client(PCM) == [{"text": "one"}]


def test_alternatives_have_another_shape() -> None:
    """There is one; without `conf` per word."""
    vosk = wire()
    vosk.client(config(max_alternatives=3), PCM)
    vosk.session(final(1, "one", 0.5, 0.9))
    word = {"start": 0.5, "end": 0.9, "word": "one"}
    best = {"confidence": 0.9, "text": "one", "result": [word]}
    assert vosk.client(PCM) == [{"alternatives": [best]}]
    vosk.client(config(max_alternatives=0))
    vosk.session(final(2, "two"))
    assert vosk.client(PCM)[0]["text"] == "two"


# --- reset and eof ---


@pytest.mark.parametrize("spelling", ['{"reset" : 1}', '{"reset":1}', '{"reset": true}'])
def test_reset_ends_the_utterance_and_waits_for_nothing(spelling: str) -> None:
    """Its words come with a later reply; before any audio there is nothing to end."""
    vosk = wire()
    assert vosk.client(spelling) == [{"partial": ""}]
    vosk.client(PCM)
    vosk.session(partial(1, "one"))
    assert vosk.client(spelling) == [{"partial": "one"}]
    assert isinstance(vosk.told[-1], Flush)
    vosk.session(final(1, "one"))
    assert vosk.client(PCM)[0]["text"] == "one"


@pytest.mark.parametrize("spelling", ['{"eof" : 1}', '{"eof":1}', '{"eof": true}'])
def test_the_reply_to_eof_has_all_that_is_left(spelling: str) -> None:
    """It waits for the last final; then 1000. What comes after eof is not heard."""
    vosk = wire()
    vosk.client(PCM)
    vosk.session(final(1, "One."))
    assert vosk.client(spelling, PCM, '{"reset": 1}', spelling) == []
    assert [type(message) for message in vosk.told] == [Start, Audio, Stop]
    assert vosk.session(final(2, "", suppressed="empty"), final(3, "Two.", 1.0, 2.0)) == []
    [reply] = vosk.session(STOPPED)
    assert reply["text"] == "One. Two."
    assert [word["word"] for word in reply["result"]] == ["One.", "Two."]
    assert vosk.closed == (1000, "done")


def test_eof_without_audio_is_answered_at_once() -> None:
    """No session is begun for it."""
    vosk = wire()
    assert vosk.client(config(sample_rate=16000), EOF) == [{"text": ""}]
    assert vosk.closed == (1000, "")
    assert vosk.told == []


def test_many_finals_after_one_huge_frame_are_told_together() -> None:
    """So that what waits is never more than what one frame brought."""
    vosk = wire()
    vosk.client(PCM)
    vosk.session(*(final(k, f"w{k}", k, k + 1) for k in range(1, MAX_WAITING + 2)))
    assert vosk.client(PCM)[0]["text"].split() == [f"w{k}" for k in range(1, MAX_WAITING + 2)]
    assert vosk.client(PCM) == [{"partial": ""}]


@pytest.mark.parametrize("end", [STOPPED, Error("overloaded", "Try later.", fatal=True)])
def test_when_the_gateway_ends_it_the_last_finals_are_told(end: Any) -> None:
    """In one message more: there will be no frame to reply to."""
    vosk = wire()
    vosk.client(PCM)
    vosk.session(final(1, "One."), final(2, "Two."))
    assert [reply["text"] for reply in vosk.session(end, code=1013)] == ["One. Two."]
    assert vosk.closed is not None
    assert vosk.closed[0] == 1013
    quiet = wire()
    quiet.client(PCM)
    assert quiet.session(end, code=1013) == []


def test_a_silent_client_is_kept() -> None:
    """Pings come before the session's patience ends; none before the first audio, none after eof."""
    vosk = wire()
    assert vosk.tick(100.0) == []
    vosk.client(PCM)
    pings = [now for now in range(100, 220) if vosk.tick(float(now))]
    assert all(b - a < SETTINGS.server.idle_timeout_s / 2 for a, b in pairwise(pings))
    assert isinstance(vosk.told[-1], Ping)
    vosk.client(EOF)
    assert vosk.tick(1000.0) == []


# --- any order of everything ---

TEXT = st.text(alphabet="ab 我。", max_size=8)
EVENT = st.one_of(
    st.tuples(st.just("audio"), st.binary(max_size=5)),
    st.tuples(st.just("reset"), st.none()),
    st.tuples(st.just("config"), st.sampled_from([{"words": 0}, {"words": 1}, {"max_alternatives": 2}, {}])),
    st.tuples(st.just("partial"), TEXT),
    st.tuples(st.just("final"), TEXT),
)


def text_of(reply: dict[str, Any]) -> str | None:
    """None: a partial."""
    if "alternatives" in reply:
        [best] = reply["alternatives"]
        return str(best["text"])
    return reply.get("text")


def words_of(reply: dict[str, Any]) -> list[dict[str, Any]]:
    best = reply["alternatives"][0] if "alternatives" in reply else reply
    return list(best.get("result", []))


def bare(texts: Iterable[str]) -> str:
    return "".join("".join(texts).split())


@given(st.lists(EVENT, max_size=60), st.booleans())
def test_one_reply_each_and_every_word_once(events: list[tuple[str, Any]], ended_by_client: bool) -> None:
    """For any interleaving of frames and what the session says: as many replies as questions, a partial or a
    result and never both, texts and words of all finals in order, times that never fall."""
    vosk = wire()
    finals: list[Final] = []
    for kind, value in events:
        if kind in {"audio", "reset", "config"}:
            frame = value if kind == "audio" else {kind: value if kind == "config" else 1}
            assert len(vosk.client(frame)) == (kind != "config")
        elif any(isinstance(message, Start) for message in vosk.told):
            k = len(finals) + 1
            if kind == "final":
                finals.append(final(k, value, k * 0.9, k + 0.5))
            assert vosk.session(finals[-1] if kind == "final" else partial(k, value)) == []
    if ended_by_client and not vosk.client(EOF):
        assert len(vosk.session(STOPPED)) == 1
    elif not ended_by_client:
        assert len(vosk.session(STOPPED)) <= 1
    assert vosk.closed is not None
    assert all(("partial" in reply) != (text_of(reply) is not None) for reply in vosk.said)
    told = [text for reply in vosk.said if (text := text_of(reply))]
    assert " ".join(told) == " ".join(f.text for f in finals if f.text)
    words = [word for reply in vosk.said for word in words_of(reply)]
    assert all(a["start"] <= a["end"] <= b["start"] for a, b in pairwise(words))
    if not any(kind == "config" and "words" in value for kind, value in events):
        assert bare(word["word"] for word in words) == bare(f.text for f in finals)


@given(st.lists(st.text(max_size=60) | st.binary(max_size=60), max_size=20))
def test_nothing_that_a_client_sends_raises(frames: list[str | bytes]) -> None:
    """Any text and bytes, in any order."""
    vosk = wire()
    vosk.client(*frames)
    assert len(vosk.said) <= len(frames)
