"""OpenAI's Realtime protocol without a network: what is said in answer to what, in which order and shape."""

import base64
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Settings
from gateway.connection import messages as m
from gateway.connection.closing import CloseCode
from gateway.connection.protocols.codec import End, Rejected
from gateway.connection.protocols.openai import Realtime
from gateway.events import AudioFormat
from tests.connection.protocols.realtime import (
    BETA,
    CONNECTION,
    Client,
    check_conversation,
    check_event,
    handshake,
)

SPEECH = ["speech_started", "speech_stopped", "committed", "added", "done", "delta", "completed"]


def speak(client: Client, text: str = "Hello there.", language: str = "en") -> None:
    """One utterance, from its first sound to its final."""
    client.session.begin()
    client.append()
    client.session.stop()
    client.session.answer(text, language)


def error(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The only thing said is an error: which."""
    [event] = events
    assert event["type"] == "error"
    check_event(event)
    return dict(event["error"])


# --- connecting -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "first", "flat"),
    [
        ({}, "session.created", False),
        ({"query": {"model": "whisper-1"}}, "session.created", False),
        ({"query": {}}, "session.created", False),
        ({"subprotocols": ("realtime", "openai-insecure-api-key.k")}, "session.created", False),
        ({"headers": BETA}, "transcription_session.created", True),
        ({"subprotocols": ("realtime", "openai-beta.realtime-v1")}, "transcription_session.created", True),
        ({"headers": BETA, "query": {"model": "x"}}, "session.created", True),
    ],
)
def test_the_first_event_has_the_shape_of_the_client(fields: dict, first: str, flat: bool) -> None:
    """Beta by header or subprotocol, else GA; once, before the client says anything."""
    client = Client(**fields)
    [created] = client.heard
    assert created["type"] == first
    assert ("input_audio_format" in created["session"]) == flat
    assert ("audio" in created["session"]) != flat
    assert created["session"]["expires_at"] == 1_795_435_200 + 24 * 3600
    assert created["session"]["id"].startswith("sess_")
    check_event(created)


def test_a_model_in_the_address_is_the_one_told_back() -> None:
    """Any name is taken: some clients cannot leave it out."""
    client = Client(query={"intent": "transcription", "model": "gpt-4o-transcribe"})
    assert client.heard[0]["session"]["audio"]["input"]["transcription"] == {"model": "gpt-4o-transcribe"}


def test_a_session_that_could_not_be_served_is_refused_before_the_upgrade() -> None:
    """A bed with a bad name, say."""
    with pytest.raises(Rejected) as refused:
        Realtime(handshake(bed="a/b"))
    assert (refused.value.status, refused.value.code) == (400, "bad_bed")


def test_the_session_begins_with_the_first_audio() -> None:
    """What is configured before is what it begins with; the bed of the address is its bed."""
    client = Client(bed="3A")
    client.configure(
        transcription={"language": "en-US", "prompt": " a\nb ", "keywords": ["Acme"]}, turn_detection=None
    )
    assert client.session.told == []
    client.append(0.1)
    start, audio = client.session.told
    assert start == m.Start(
        audio=AudioFormat("pcm_s16le", 24_000), language="en", bed="3A", hotwords=["Acme"], prompt="a b",
        endpointing_ms=2000,
    )  # fmt: skip
    assert audio == m.Audio(bytes(4800))


# --- turns by VAD ---------------------------------------------------------------------------------------------


def test_a_turn_is_told_in_order() -> None:
    """started < delta < stopped < committed < added < done < delta < completed, all of one item."""
    client = Client()
    client.append()
    client.session.begin()
    client.append()
    client.session.grow("Hello")
    client.session.grow(" there")
    client.session.stop()
    client.session.answer("Hello there.")
    assert client.said()[1:] == [
        "speech_started", "delta", "delta", "speech_stopped", "committed", "added", "done", "delta", "completed",
    ]  # fmt: skip
    ids = {e.get("item_id") or e["item"]["id"] for e in client.heard[1:]}
    assert len(ids) == 1
    assert [e["delta"] for e in client.of("delta")] == ["Hello", " there", "."]
    [completed] = client.of("completed")
    assert completed["transcript"] == "Hello there."
    assert completed["languages"] == [{"code": "en"}]
    [started], [stopped] = client.of("speech_started"), client.of("speech_stopped")
    assert (started["audio_start_ms"], stopped["audio_end_ms"]) == (500, 2000)
    assert completed["usage"] == {"type": "duration", "seconds": 1.5}
    for event in client.heard:
        check_event(event)


def test_a_beta_client_hears_of_an_item_once() -> None:
    """conversation.item.created instead of added and done; the rest is the same."""
    client = Client(headers=BETA)
    client.append()
    speak(client)
    assert client.said()[1:] == [
        "speech_started",
        "speech_stopped",
        "committed",
        "created",
        "delta",
        "completed",
    ]
    for event in client.heard:
        check_event(event)


def test_items_are_a_chain_and_event_ids_are_unique() -> None:
    """previous_item_id names the item committed before; the ids come from the connection's own."""
    client = Client()
    client.append()
    for _ in range(3):
        speak(client)
    ids = [e["item_id"] for e in client.of("committed")]
    assert [e["previous_item_id"] for e in client.of("committed")] == [None, *ids[:2]]
    assert [e["previous_item_id"] for e in client.of("item.done")] == [None, *ids[:2]]
    events = [e["event_id"] for e in client.heard]
    assert len(set(events)) == len(events)
    assert all(CONNECTION.replace("-", "") in id_ for id_ in events + ids)


def test_the_next_turn_may_begin_before_the_last_transcript() -> None:
    """Transcripts come in the order of the commits all the same; deltas of the later turn wait."""
    client = Client()
    client.append()
    client.session.begin()
    client.append()
    client.session.stop()
    client.session.begin()
    client.append()
    client.session.grow("Second")
    assert client.said("delta") == []
    client.session.answer("First.")
    client.session.grow(" turn")
    client.session.stop()
    client.session.answer("Second turn.")
    assert [e["transcript"] for e in client.of("completed")] == ["First.", "Second turn."]
    assert [e["delta"] for e in client.of("delta")] == ["First.", "Second turn", "."]
    starts = [e["audio_start_ms"] for e in client.of("speech_started")]
    ends = [e["audio_end_ms"] for e in client.of("speech_stopped")]
    assert starts[1] >= ends[0]  # no second is counted twice


def test_what_contradicts_the_deltas_is_told_by_the_transcript_alone() -> None:
    """Nothing takes a delta back."""
    client = Client()
    client.append()
    client.session.begin()
    client.session.grow("I am cold")
    client.session.stop()
    client.session.answer("I am called Lin.")
    assert [e["delta"] for e in client.of("delta")] == ["I am cold"]
    assert client.of("completed")[0]["transcript"] == "I am called Lin."


@pytest.mark.parametrize("reason", ["hallucination", "empty", None])
def test_a_turn_without_words_is_completed_too(reason: str | None) -> None:
    """Suppressed or empty: exactly one `completed`, and no delta."""
    client = Client()
    client.append()
    client.session.begin()
    client.session.stop()
    client.session.answer("", suppressed=reason)
    assert client.said()[-1] == "completed"
    assert client.of("completed")[0]["transcript"] == ""
    assert client.of("delta") == []


def test_a_turn_that_could_not_be_decoded_has_failed() -> None:
    """`failed` instead of `completed`; what had been shown before counts as its transcript."""
    client = Client()
    client.append()
    client.session.begin()
    client.session.stop()
    client.session.answer("", suppressed="decode_failed")
    [failed] = client.of("failed")
    assert failed["error"]["type"] == "server_error"
    check_event(failed)
    assert client.of("completed") == []


def test_a_commit_cuts_the_open_turn() -> None:
    """With VAD on it is legal: no speech_stopped then, and the transcript follows."""
    client = Client()
    client.append()
    client.session.begin()
    client.append(0.5)
    client.send("input_audio_buffer.commit")
    client.session.answer("Cut.")
    assert client.said(*SPEECH) == ["speech_started", "committed", "added", "done", "delta", "completed"]
    assert client.of("completed")[0]["usage"]["seconds"] == 1.0
    wrong = error(client.send("input_audio_buffer.commit"))
    assert wrong["code"] == "input_audio_buffer_commit_empty"


def test_what_is_cleared_never_was() -> None:
    """The item of the open turn never appears; the next one does."""
    client = Client()
    client.append()
    speak(client, "First.")
    client.session.begin()
    client.append()
    client.session.grow("Never")
    before = len(client.heard)
    [cleared] = client.send("input_audio_buffer.clear")
    assert cleared["type"] == "input_audio_buffer.cleared"
    check_event(cleared)
    client.perform(client.codec.send(m.Partial(2, 9, 0.0, 1.0, "Never mind", "")))
    client.session.answer("Never mind.")
    assert len(client.heard) == before + 1
    client.append()
    speak(client, "Third.")
    assert [e["transcript"] for e in client.of("completed")] == ["First.", "Third."]
    first, third = client.of("committed")
    assert third["previous_item_id"] == first["item_id"]


def test_what_a_flush_hears_belongs_before_the_commit() -> None:
    """Speech just long enough to count is found when the session is flushed: it was before the commit."""
    client = Client()
    client.configure(turn_detection=None)
    client.append()
    client.session.hint()
    client.send("input_audio_buffer.commit")
    client.session.answer("Yes.")
    assert [e["transcript"] for e in client.of("completed")] == ["Yes."]


# --- turns by the client --------------------------------------------------------------------------------------


def manual(**fields: Any) -> Client:
    client = Client(**fields)
    client.configure(turn_detection=None)
    client.append()
    return client


def test_without_vad_the_client_ends_the_item() -> None:
    """No speech events; deltas may come before the commit and have the item's id; texts are joined."""
    client = manual()
    speak(client, "I am cold.")
    speak(client, "Very cold.")
    assert client.said(*SPEECH) == ["delta", "delta"]
    answer = client.send("input_audio_buffer.commit")
    assert [e["type"].rsplit(".")[-1] for e in answer] == ["committed", "added", "done", "completed"]
    assert answer[-1]["transcript"] == "I am cold. Very cold."
    assert "".join(e["delta"] for e in client.of("delta")) == answer[-1]["transcript"]
    assert {e["item_id"] for e in [*client.of("delta"), *client.of("completed")]} == {answer[0]["item_id"]}
    assert answer[-1]["usage"] == {"type": "duration", "seconds": 3.0}
    for event in client.heard:
        check_event(event)


def test_the_commit_is_answered_before_the_transcript_is_there() -> None:
    """committed, added, done at once; completed when the last final has come."""
    client = manual()
    client.session.begin()
    client.append(0.3)
    answer = client.send("input_audio_buffer.commit")
    assert [e["type"].rsplit(".")[-1] for e in answer] == ["committed", "added", "done"]
    client.append()
    client.session.begin()  # the next item, before the last has its transcript
    client.session.answer("One.")
    assert client.of("completed")[0]["item_id"] == answer[0]["item_id"]
    client.session.stop()
    client.session.answer("Two.")
    client.send("input_audio_buffer.commit")
    assert [e["transcript"] for e in client.of("completed")] == ["One.", "Two."]
    assert len({e["item_id"] for e in client.of("completed")}) == 2


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["我很冷。", "請給我毯子。"], "我很冷。請給我毯子。"),
        (["我要", "水"], "我要水"),
        (["Hello.", "你好。"], "Hello. 你好。"),
        (["안녕하세요", "감사합니다"], "안녕하세요 감사합니다"),
        (["One", "", "two"], "One two"),
    ],
)
def test_texts_are_joined_as_they_are_written(texts: list[str], joined: str) -> None:
    """A space between, but not between Chinese characters; the deltas add up to the same."""
    client = manual()
    for text in texts:
        speak(client, text)
    [*_, completed] = client.send("input_audio_buffer.commit")
    assert completed["transcript"] == joined
    assert "".join(e["delta"] for e in client.of("delta")) == joined


def test_one_failure_does_not_lose_the_rest() -> None:
    """`failed` only where there are no words at all."""
    client = manual()
    speak(client, "Water.")
    client.session.begin()
    client.session.stop()
    client.session.answer("", suppressed="decode_failed")
    [*_, completed] = client.send("input_audio_buffer.commit")
    assert completed["transcript"] == "Water."
    client.append()
    client.session.begin()
    client.session.stop()
    client.session.answer("", suppressed="decode_failed")
    client.send("input_audio_buffer.commit")
    assert client.said()[-1] == "failed"


@pytest.mark.parametrize("ms", [0, 99])
def test_a_commit_of_less_than_100_ms_is_an_error(ms: int) -> None:
    """By name, with the amount in it; what is there stays for the next commit."""
    client = Client()
    client.configure(turn_detection=None)
    if ms:
        client.append(ms / 1000)
    wrong = error(client.send("input_audio_buffer.commit", event_id="mine"))
    assert wrong["code"] == "input_audio_buffer_commit_empty"
    assert wrong["event_id"] == "mine"
    assert wrong["message"].startswith("Error committing input audio buffer: buffer too small.")
    assert f"{ms}.00ms" in wrong["message"]
    client.append(0.1)
    assert client.send("input_audio_buffer.commit")[-1]["transcript"] == ""


def test_clear_empties_the_buffer() -> None:
    """What was appended and said before is no part of the next item."""
    client = manual()
    speak(client, "Forget this.")
    client.send("input_audio_buffer.clear")
    assert error(client.send("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"
    client.append(0.5)
    speak(client, "Keep this.")
    [*_, completed] = client.send("input_audio_buffer.commit")
    assert completed["transcript"] == "Keep this."
    assert completed["usage"]["seconds"] == 1.5
    assert completed["item_id"] != client.of("delta")[0]["item_id"]


def test_clear_before_any_audio_is_answered() -> None:
    client = Client()
    assert client.send("input_audio_buffer.clear")[0]["type"] == "input_audio_buffer.cleared"
    assert client.session.told == []


def test_changing_who_ends_turns_ends_the_open_one() -> None:
    """No word of it is lost either way, and each is in one item."""
    client = Client()
    client.append()
    client.session.begin()
    client.append()
    client.configure(turn_detection=None)
    assert client.said(*SPEECH)[-4:] == ["speech_stopped", "committed", "added", "done"]
    client.session.answer("By VAD.")
    client.append()
    client.session.begin()
    client.append()
    client.session.grow("By hand")
    client.configure(turn_detection={"type": "server_vad"})
    client.session.answer("By hand.")
    client.append()
    speak(client, "By VAD again.")
    assert [e["transcript"] for e in client.of("completed")] == ["By VAD.", "By hand.", "By VAD again."]
    assert len(client.of("committed")) == 3


@pytest.mark.parametrize("turns", [None, {"type": "server_vad"}])
def test_another_change_leaves_the_open_turn_alone(turns: dict | None) -> None:
    """A new language, or the same turn detection once more, cuts no sentence in two."""
    client = Client()
    client.configure(turn_detection=turns)
    client.append()
    client.session.begin()
    client.configure(turn_detection=turns, transcription={"language": "en"})
    assert client.session.speaking
    assert client.of("committed") == []


def test_an_item_that_nobody_committed_is_not_lost_when_the_gateway_ends() -> None:
    """It is committed then."""
    client = manual()
    speak(client, "Help.")
    client.perform(client.codec.send(m.Stopped(1, 1)))
    assert client.said(*SPEECH) == ["delta", "committed", "added", "done", "completed"]


# --- configuration --------------------------------------------------------------------------------------------


def effective(client: Client) -> dict[str, Any]:
    """What session.updated said last."""
    event = client.of(".updated")[-1]
    check_event(event)
    return dict(event["session"]["audio"]["input"])


def test_an_update_changes_what_it_names_and_null_clears() -> None:
    """Fields that are absent stay; the answer is the whole configuration in effect."""
    client = Client()
    client.configure(
        transcription={"model": "whisper-1", "language": "zh", "prompt": "p"},
        noise_reduction={"type": "far_field"},
    )
    client.configure(transcription={"language": "en"})
    assert effective(client)["transcription"] == {"model": "whisper-1", "language": "en", "prompt": "p"}
    assert effective(client)["noise_reduction"] == {"type": "far_field"}
    client.configure(transcription={"language": None}, noise_reduction=None)
    assert effective(client)["transcription"] == {"model": "whisper-1", "language": None, "prompt": "p"}
    assert effective(client)["noise_reduction"] is None
    client.configure(transcription=None, turn_detection=None)
    assert effective(client)["transcription"] is None
    assert effective(client)["turn_detection"] is None
    assert effective(client)["format"] == {"type": "audio/pcm", "rate": 24000}


def test_the_beta_is_configured_in_its_own_shape() -> None:
    """transcription_session.update, or session.update: flat fields in, flat fields out."""
    client = Client(headers=BETA)
    session = {
        "input_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "whisper-1", "language": "en"},
        "input_audio_noise_reduction": {"type": "near_field"},
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 900},
        "include": ["item.input_audio_transcription.logprobs"],
    }
    [event] = client.send("transcription_session.update", session=session)
    assert event["type"] == "transcription_session.updated"
    check_event(event)
    turns = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 900}
    assert {name: event["session"][name] for name in session} == session | {"turn_detection": turns}
    [event] = client.send("session.update", session={"input_audio_transcription": None})
    assert event["type"] == "session.updated"
    assert event["session"]["input_audio_transcription"] is None
    client.append(1, width=1, rate=8000)
    assert client.session.start == m.Start(
        audio=AudioFormat("mulaw", 8000), endpointing_ms=900, pre_roll_ms=300
    )


def test_a_ga_connection_understands_the_beta() -> None:
    """Deployed clients still send it; it is answered in its own shape."""
    client = Client()
    [event] = client.send(
        "transcription_session.update", session={"input_audio_transcription": {"language": "zh"}}
    )
    assert event["type"] == "transcription_session.updated"
    assert event["session"]["input_audio_transcription"] == {"language": "zh"}
    assert client.append(0.1) == []
    assert client.session.start is not None
    assert client.session.start.language == "zh"


@pytest.mark.parametrize(
    ("form", "audio"),
    [
        ({"type": "audio/pcm", "rate": 24000}, AudioFormat("pcm_s16le", 24_000)),
        ({"type": "audio/pcm", "rate": 16000}, AudioFormat("pcm_s16le", 16_000)),
        ({"type": "audio/pcm", "rate": 8000}, AudioFormat("pcm_s16le", 8_000)),
        ({"type": "audio/pcm", "rate": 48000}, AudioFormat("pcm_s16le", 48_000)),
        ({"type": "audio/pcm"}, AudioFormat("pcm_s16le", 24_000)),
        ({"type": "audio/pcmu"}, AudioFormat("mulaw", 8_000)),
        ({"type": "audio/pcma"}, AudioFormat("alaw", 8_000)),
        ("pcm16", AudioFormat("pcm_s16le", 24_000)),
        ("g711_alaw", AudioFormat("alaw", 8_000)),
        (None, AudioFormat("pcm_s16le", 24_000)),
    ],
)
def test_formats(form: object, audio: AudioFormat) -> None:
    """PCM of any usual rate, both G.711, and the beta's names for them."""
    client = Client()
    client.configure(format=form)
    client.append(0.1, width=2 if audio.encoding == "pcm_s16le" else 1, rate=audio.sample_rate)
    assert client.session.start is not None
    assert client.session.start.audio == audio
    assert client.session.position_s == pytest.approx(0.1)


def test_samples_that_are_cut_by_an_event_are_put_together() -> None:
    """An odd byte waits for the next event."""
    client = Client()
    for piece in (b"\x01", b"\x02\x03", b"\x04"):
        client.send("input_audio_buffer.append", audio=base64.b64encode(piece).decode())
    assert [message for message in client.session.told if isinstance(message, m.Audio)] == [
        m.Audio(b"\x01\x02"), m.Audio(b"\x03\x04"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "said", "endpointing_ms", "pre_roll_ms"),
    [
        ({"type": "server_vad"}, {"silence_duration_ms": 500, "prefix_padding_ms": 300, "threshold": 0.5}, 500, 300),
        ({"type": "server_vad", "silence_duration_ms": 900.4}, {"silence_duration_ms": 900}, 900, 300),
        ({"silence_duration_ms": 1, "prefix_padding_ms": -5}, {"silence_duration_ms": 100, "prefix_padding_ms": 0}, 100, 0),
        ({"type": "server_vad", "silence_duration_ms": 1e300, "prefix_padding_ms": 9e9}, {"prefix_padding_ms": 2000}, 5000, 2000),
        ({"type": "server_vad", "threshold": 0.9, "create_response": False, "idle_timeout_ms": 5000}, {"threshold": 0.9}, 500, 300),
        ({"type": "semantic_vad"}, {"eagerness": "auto"}, 600, 300),
        ({"type": "semantic_vad", "eagerness": "low"}, {"eagerness": "low"}, 1000, 300),
        ({"type": "semantic_vad", "eagerness": "high"}, {"eagerness": "high"}, 300, 300),
        (None, None, 2000, None),
    ],
)  # fmt: skip
def test_turn_detection(
    asked: dict | None, said: dict | None, endpointing_ms: int, pre_roll_ms: int | None
) -> None:
    """What is told back is what is in effect: as near to what was asked as this gateway goes."""
    client = Client()
    client.configure(turn_detection=asked)
    turns = effective(client)["turn_detection"]
    assert turns is None if said is None else said.items() <= turns.items()
    client.append(0.1)
    assert client.session.start is not None
    assert (client.session.start.endpointing_ms, client.session.start.pre_roll_ms) == (
        endpointing_ms,
        pre_roll_ms,
    )


@pytest.mark.parametrize(
    ("transcription", "language"),
    [
        ({"language": "en"}, "en"),
        ({"language": "zh-TW"}, "zh"),
        ({"language": "zh_Hant_TW"}, "zh"),
        ({"language": ""}, None),
        ({"language": None}, None),
        ({"languages": ["zh"]}, "zh"),
        ({"languages": ["zh", "en"]}, None),
        ({"languages": ["zh", "en"], "language": "en"}, "en"),
        ({"model": "any/name:at-all"}, None),
        (None, None),
    ],
)
def test_languages(transcription: dict | None, language: str | None) -> None:
    """The part before the hyphen; nothing or several: detect it."""
    client = Client()
    client.configure(transcription=transcription)
    client.append(0.1)
    assert client.session.start is not None
    assert client.session.start.language == language


def test_of_a_long_prompt_the_end_counts() -> None:
    """As at OpenAI; it is told back whole."""
    client = Client()
    client.configure(transcription={"prompt": "x" * 2000 + "the end"})
    client.append(0.1)
    assert client.session.start is not None
    assert client.session.start.prompt.endswith("the end")
    assert len(client.session.start.prompt) == 1000
    assert len(effective(client)["transcription"]["prompt"]) == 2007


def test_everything_but_the_format_may_change_in_the_course() -> None:
    """Such a change is told to the session at once."""
    client = Client()
    client.append(0.1)
    client.configure(transcription={"language": "en"}, turn_detection={"silence_duration_ms": 700})
    [configure] = [message for message in client.session.told if isinstance(message, m.Configure)]
    assert (configure.start.language, configure.start.endpointing_ms) == ("en", 700)
    client.configure(format={"type": "audio/pcm", "rate": 24000})  # no change
    wrong = error(client.configure(format={"type": "audio/pcmu"}, transcription={"language": "zh"}))
    assert (wrong["code"], wrong["param"]) == ("invalid_value", "session.audio.input.format")
    client.configure()
    assert effective(client)["transcription"] == {"language": "en"}  # nothing of the refused one counts


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"audio": {"input": {"transcription": {"language": "xx"}}}}, "session.audio.input.transcription.language"),
        ({"audio": {"input": {"transcription": {"language": 5}}}}, "session.audio.input.transcription.language"),
        ({"audio": {"input": {"transcription": {"keywords": ["x"] * 101}}}}, "session.audio.input.transcription.keywords"),
        ({"audio": {"input": {"transcription": {"keywords": [{}]}}}}, "session.audio.input.transcription.keywords[0]"),
        ({"audio": {"input": {"transcription": {"keywords": ["\x00"]}}}}, "session.audio.input.transcription.keywords"),
        ({"audio": {"input": {"format": {"type": "audio/opus"}}}}, "session.audio.input.format"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 4000}}}}, "session.audio.input.format"),
        ({"audio": {"input": {"format": 5}}}, "session.audio.input.format"),
        ({"audio": {"input": {"turn_detection": {"type": "psychic"}}}}, "session.audio.input.turn_detection.type"),
        ({"audio": {"input": {"turn_detection": {"threshold": 1.5}}}}, "session.audio.input.turn_detection.threshold"),
        ({"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "very"}}}}, "session.audio.input.turn_detection.eagerness"),
        ({"audio": {"input": {"noise_reduction": {"type": "no_field"}}}}, "session.audio.input.noise_reduction.type"),
        ({"audio": {"input": 1}}, "session.audio.input"),
        ({"type": "translation"}, "session.type"),
        ({"input_audio_transcription": {"language": "xx"}}, "session.input_audio_transcription.language"),
        ({"input_audio_format": "mp3"}, "session.input_audio_format"),
        ([], "session"),
        (None, "session"),
        ({"instructions": "x" * 100_000}, "session"),
    ],
)  # fmt: skip
def test_a_bad_value_is_named_and_changes_nothing(session: object, param: str) -> None:
    """invalid_value with the path of the field, and the connection is as before."""
    client = Client()
    wrong = error(client.send("session.update", session=session))
    assert (wrong["type"], wrong["code"], wrong["param"]) == ("invalid_request_error", "invalid_value", param)
    client.configure()
    assert client.heard[-1]["session"] == client.heard[0]["session"]


def test_what_other_sessions_have_is_ignored() -> None:
    """Popular clients give up at the first error: unknown fields are none, nor is type `realtime`."""
    client = Client()
    session = {
        "type": "realtime", "instructions": "Be nice.", "tools": [], "new": 1,
        "audio": {"output": {"voice": "x"}, "input": {"new": {}, "transcription": {"new": 1, "language": "en"}}},
    }  # fmt: skip
    [event] = client.send("session.update", session=session)
    assert event["type"] == "session.updated"
    assert event["session"]["type"] == "transcription"
    assert effective(client)["transcription"] == {"language": "en"}


# --- errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({"type": "response.create"}, "unsupported_event", "type"),
        ({"type": "conversation.item.create", "item": {}}, "unsupported_event", "type"),
        ({"type": "conversation.item.retrieve"}, "unsupported_event", "type"),
        ({"type": "no.such.event"}, "invalid_value", "type"),
        ({"type": "x" * 10_000}, "invalid_value", "type"),
        ({"type": 5}, "missing_required_parameter", "type"),
        ({}, "missing_required_parameter", "type"),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
        ({"type": "input_audio_buffer.append", "audio": 7}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "音"}, "invalid_value", "audio"),
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "transcription_session.update"}, "missing_required_parameter", "session"),
    ],
)
def test_an_event_that_cannot_be_served_is_answered_by_an_error(event: dict, code: str, param: str) -> None:
    """With the client's own event_id, and the connection goes on."""
    client = Client()
    wrong = error(client.send_frame(json.dumps(event | {"event_id": "mine"})))
    assert (wrong["code"], wrong["param"], wrong["event_id"]) == (code, param, "mine")
    assert len(wrong["message"]) < 300
    assert client.configure()[0]["type"] == "session.updated"


@pytest.mark.parametrize(
    "frame", ["", "{", "[]", "5", "null", "[" * 100_000, b"\xff\x00", b"", '{"type":"\\ud800"}', "\ud800"]
)
def test_what_is_no_event_is_an_error_too(frame: str | bytes) -> None:
    """Nothing is worth losing the connection for."""
    client = Client()
    assert error(client.send_frame(frame))["code"] == "invalid_value"


@pytest.mark.parametrize("event_id", [5, None, {}, "x" * 513])
def test_an_event_id_that_is_none_is_not_told_back(event_id: object) -> None:
    client = Client()
    assert error(client.send("no", event_id=event_id))["event_id"] is None


def test_binary_frames_are_read_like_text() -> None:
    """JSON is JSON."""
    client = Client()
    assert client.send_frame(b'{"type":"session.update","session":{}}')[0]["type"] == "session.updated"


@pytest.mark.parametrize(
    ("code", "said", "ours", "theirs"),
    [
        ("overloaded", "rate_limit_exceeded", CloseCode.OVERLOADED, 1013),
        ("too_fast", "rate_limit_exceeded", CloseCode.TOO_FAST, 1013),
        ("idle", "session_expired", CloseCode.IDLE, 1001),
        ("forbidden_bed", "forbidden_bed", CloseCode.FORBIDDEN, 1008),
        ("bad_start", "bad_start", CloseCode.BAD_MESSAGE, 1008),
    ],
)
def test_the_sessions_end_is_told_in_openais_words(code: str, said: str, ours: int, theirs: int) -> None:
    """An error event, then one of RFC 6455's close codes."""
    client = Client()
    client.append(0.1)
    client.perform(client.codec.send(m.Error(code, "Why.", fatal=True)))
    check_event(client.heard[-1])
    assert (client.heard[-1]["error"]["code"], client.heard[-1]["error"]["message"]) == (said, "Why.")
    assert client.codec.close(ours, code) == (theirs, code)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(1000, 1000), (1001, 1001), (1011, 1011), (1012, 1001), (4401, 1008), (4999, 4999)]
)
def test_close_codes(ours: int, theirs: int) -> None:
    assert Client().codec.close(ours, "why") == (theirs, "why")


def test_a_session_as_long_as_one_may_be_has_expired() -> None:
    """The client is told so before the connection closes, whether there was audio or not."""
    client = Client()
    client.append(0.1)
    client.perform(client.codec.send(m.Notice("session_ending", "In a minute.")))
    client.perform(client.codec.send(m.Stopped(1, 0)))
    assert client.heard[-1]["error"]["code"] == "session_expired"
    silent = Client()
    silent.perform(silent.codec.tick(100.0 + 24 * 3600 - 1))
    assert silent.ended is None
    silent.perform(silent.codec.tick(100.0 + 24 * 3600))
    assert silent.heard[-1]["error"]["code"] == "session_expired"
    assert silent.ended == End(1001, "session_expired")


def test_a_silent_client_is_kept_alive() -> None:
    """A ping to the session well within its idle time, and only once it has begun."""
    client = Client()
    pings: list[float] = []
    for now in range(100, 300):
        if now == 130:
            client.append(0.1)
        before = len(client.session.told)
        client.perform(client.codec.tick(float(now)))
        pings += [now] * client.session.told[before:].count(m.Ping())
    assert pings[0] <= 130 + Settings().server.idle_timeout_s / 2
    gaps = [b - a for a, b in pairwise(pings)]
    assert max(gaps) <= Settings().server.idle_timeout_s / 2
    assert len(pings) < 12


# --- whatever happens ------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["", "Yes", " and", " no.", "水", "很冷。", "Water."])
ACTIONS = st.one_of(
    st.tuples(st.just("append"), st.sampled_from([0.01, 0.2, 1.0])),
    st.tuples(st.sampled_from(["begin", "stop", "hint", "commit", "clear", "manual", "vad"]), st.none()),
    st.tuples(st.sampled_from(["grow", "answer"]), WORDS),
    st.tuples(st.just("fail"), st.none()),
)


def act(client: Client, action: str, value: Any) -> None:
    session = client.session
    match action:
        case "append":
            client.append(value)
        case "commit" | "clear":
            client.send(f"input_audio_buffer.{action}")
        case "manual":
            client.configure(turn_detection=None)
        case "vad":
            client.configure(turn_detection={"type": "server_vad"})
        case "grow" | "answer":
            getattr(session, action)(value)
        case "fail":
            session.answer("", suppressed="decode_failed")
        case _:
            getattr(session, action)()


@given(st.lists(ACTIONS, max_size=40), st.booleans())
def test_whatever_is_said_and_done_the_order_holds(actions: list[tuple[str, Any]], beta: bool) -> None:
    """The invariants of the conversation: see check_conversation."""
    client = Client(headers=BETA if beta else {})
    for action, value in actions:
        act(client, action, value)
    client.session.stop()
    while client.session.waiting:
        client.session.answer("The end.")
    check_conversation(client.heard)


@given(st.lists(st.sampled_from(["Yes", " and", " no.", "。", "水", " "]), max_size=6), st.text(max_size=5))
def test_deltas_add_up_unless_the_final_says_otherwise(growth: list[str], rest: str) -> None:
    """Whatever is stable is a prefix of what is said next."""
    client = Client()
    client.append()
    client.session.begin()
    for text in growth:
        client.session.grow(text)
    client.session.stop()
    client.session.answer("".join(growth) + rest)
    deltas = "".join(e["delta"] for e in client.of("delta"))
    assert deltas == client.of("completed")[0]["transcript"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = {
    "format": ["pcm16", {"type": "audio/pcm", "rate": 16000}],
    "transcription": [{"language": "en"}, {"prompt": "x", "keywords": ["y"]}],
    "turn_detection": [None, {"type": "server_vad", "threshold": 0.3}, {"type": "semantic_vad"}],
    "noise_reduction": [{"type": "near_field", "strength": 0.5}],
}


@given(st.text() | st.binary() | json_values.map(json.dumps))
def test_no_frame_raises(frame: str | bytes) -> None:
    """Whatever is sent is answered, and the connection goes on."""
    client = Client()
    client.send_frame(frame)
    assert client.configure()[0]["type"] == "session.updated"


@given(st.sampled_from(sorted(FIELDS)), st.data(), st.booleans())
def test_no_configuration_raises(name: str, data: st.DataObject, begun: bool) -> None:
    """Any value of any field: in effect, or refused by name; audio flows before and after."""
    client = Client()
    if begun:
        client.append(0.1)
    value = data.draw(st.sampled_from(FIELDS[name]) | json_values)
    [answer] = client.configure(**{name: value}) or [{"type": "committed"}]
    assert answer["type"] in {"session.updated", "error"}
    check_event(client.heard[-1]) if name != "format" else None
    client.append(0.1)
