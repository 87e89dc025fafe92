"""The native codec: every message both ways, the exact JSON, and nothing hostile gets past ProtocolError."""

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection import messages as m
from gateway.connection.protocols.native import (
    MAX_INTEGER,
    ProtocolError,
    decode_client,
    decode_server,
    encode_client,
    encode_server,
)
from gateway.events import AudioFormat

CLIENT_EXAMPLES = [
    (
        m.Start(
            audio=AudioFormat("opus", 48_000, 2),
            language="zh",
            bed="3A",
            partials=False,
            words=True,
            hotwords=["氧氣", "Lin"],
            prompt="病房",
            script="hk",
            task="translate",
            endpointing_ms=400,
            pre_roll_ms=200,
            min_speech_ms=100,
            max_utterance_ms=20_000,
            resume=m.Resume("s1", "secret", 7),
        ),
        '{"type":"start","audio":{"encoding":"opus","sample_rate":48000,"channels":2},"language":"zh","bed":"3A",'
        '"partials":false,"words":true,"hotwords":["氧氣","Lin"],"prompt":"病房","script":"hk","task":"translate",'
        '"endpointing_ms":400,"pre_roll_ms":200,"min_speech_ms":100,"max_utterance_ms":20000,'
        '"resume":{"session":"s1","token":"secret","after":7}}',
    ),
    (m.Flush("a"), '{"type":"flush","id":"a"}'),
    (m.Flush(7), '{"type":"flush","id":7}'),
    (m.Gap(16_000), '{"type":"gap","samples":16000}'),
    (m.Stop(), '{"type":"stop"}'),
    (m.Ping(1), '{"type":"ping","id":1}'),
]
SERVER_EXAMPLES = [
    (
        m.Started("s1", "t1", 0, m.Limits(1024, 100, 1000, 60.0, 28_000), "demo", "cpu", ("en", "zh"), True),
        '{"type":"started","session":"s1","token":"t1","resume_from":0,"limits":{"max_message_bytes":1024,"max_hotwords":100,'
        '"max_prompt_chars":1000,"idle_timeout_s":60.0,"max_utterance_ms":28000},"model":"demo","device":"cpu",'
        '"languages":["en","zh"],"demo":true}',
    ),
    (m.Ack(32_000, 16_000), '{"type":"ack","received":32000,"committed":16000}'),
    (m.Speech("started", 1.5), '{"type":"speech","state":"started","at":1.5}'),
    (
        m.Partial(3, 2, 1.5, 2.25, "我很", "冷"),
        '{"type":"partial","utterance":3,"revision":2,"start":1.5,"end":2.25,"stable":"我很","tentative":"冷"}',
    ),
    (
        m.Final(
            1, 3, 1.5, 2.5, "cold.", "en", 0.9, True, (m.TimedWord("cold.", 1.5, 2.0, 0.8),), "phrase", True
        ),
        '{"type":"final","number":1,"utterance":3,"start":1.5,"end":2.5,"text":"cold.","language":"en",'
        '"confidence":0.9,"corrected":true,"words":[{"text":"cold.","start":1.5,"end":2.0,"probability":0.8}],'
        '"suppressed":"phrase","cut":true}',
    ),
    (m.Flushed("a"), '{"type":"flushed","id":"a"}'),
    (
        m.Notice("slow", "partials are slower"),
        '{"type":"notice","code":"slow","detail":"partials are slower"}',
    ),
    (m.Error("bad_json", "no", True), '{"type":"error","code":"bad_json","message":"no","fatal":true}'),
    (m.Pong(1), '{"type":"pong","id":1}'),
    (m.Stopped(48_000, 2), '{"type":"stopped","received":48000,"finals":2}'),
]


def refusal(decode, text: str) -> str | None:
    """The code of the refusal, None if the text was understood; it can always be sent back."""
    try:
        decode(text)
    except ProtocolError as error:
        encode_server(m.Error(error.code, error.message, error.fatal))
        return error.code
    return None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(("message", "text"), CLIENT_EXAMPLES, ids=lambda x: x if isinstance(x, str) else "")
def test_client_messages_have_exactly_this_json(message: m.Control, text: str) -> None:
    """Each message with every field set is this text, and this text is that message."""
    assert encode_client(message) == text
    assert decode_client(text) == message


@pytest.mark.parametrize(("message", "text"), SERVER_EXAMPLES, ids=lambda x: x if isinstance(x, str) else "")
def test_server_messages_have_exactly_this_json(message: m.ServerMessage, text: str) -> None:
    """Each message with every field set is this text, and this text is that message."""
    assert encode_server(message) == text
    assert decode_server(text) == message


@pytest.mark.parametrize(
    ("union", "examples"), [(m.Control, CLIENT_EXAMPLES), (m.ServerMessage, SERVER_EXAMPLES)]
)
def test_every_message_type_has_an_example(union, examples) -> None:
    """A new message cannot be added without its JSON written down here."""
    assert set(get_args(union)) == {type(message) for message, _ in examples}


def test_every_type_is_named_in_the_error() -> None:
    """The types an `unknown_type` error lists are all there are."""
    for union, decode in [(m.Control, decode_client), (m.ServerMessage, decode_server)]:
        with pytest.raises(ProtocolError) as caught:
            decode("{}")
        listed = caught.value.message.split(": ")[1].split(", ")
        assert listed == [kind.__struct_config__.tag for kind in get_args(union)]


def test_a_final_omits_what_it_has_not() -> None:
    """`corrected`, `words` and `suppressed` appear only when they say something."""
    text = encode_server(m.Final(1, 1, 0.0, 1.0, "hi", "en", 0.5))
    assert set(json.loads(text)) == {
        "type", "number", "utterance", "start", "end", "text", "language", "confidence",
    }  # fmt: skip


def test_a_start_needs_no_field() -> None:
    """`{"type": "start"}` is 16 kHz mono pcm_s16le with everything at its default."""
    assert decode_client('{"type": "start"}') == m.Start()


def test_unknown_fields_are_ignored() -> None:
    """A newer peer may say more, at every level, in any order."""
    text = '{"new": {"type": "stop"}, "audio": {"bits": 24, "sample_rate": 8000}, "type": "start"}'
    assert decode_client(text) == m.Start(audio=AudioFormat(sample_rate=8000))
    assert decode_server('{"type": "pong", "id": null, "load": 0.3}') == m.Pong()


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("", "bad_json", ""),
        ("{", "bad_json", ""),
        ("NaN", "bad_json", ""),
        ('{"type":"stop"} {"type":"stop"}', "bad_json", "trailing"),
        ('{"type":"gap","samples":NaN}', "bad_json", ""),
        ('{"type":"flush","id":"\\ud800"}', "bad_json", ""),
        ('{"type":"flush","id":"\ud800"}', "bad_json", ""),
        ('{"type":"ping","x":' + "[" * 100_000, "bad_json", "Recursion"),
        ('{"type":"new","x":' + "[" * 100_000, "bad_json", "Recursion"),
        ('{"type":"new","x":Infinity}', "bad_json", "malformed"),
        ('{"type":"gap","samples":"x","y":NaN}', "bad_json", "malformed"),
        ("[" * 100_000, "bad_message", "object"),
        ("[]", "bad_message", "object"),
        ("null", "bad_message", "object"),
        ("5", "bad_message", "object"),
        ("{}", "unknown_type", "start, flush, gap, stop, ping"),
        ('{"type":null}', "unknown_type", "start, flush"),
        ('{"type":"started"}', "unknown_type", "'started'"),
        ('{"type":"Start"}', "unknown_type", "'Start'"),
        ('{"type":"' + "x" * 10_000 + '"}', "unknown_type", "'xxx"),
        ('{"type":"start","audio":null}', "bad_message", "`audio`"),
        ('{"type":"start","audio":{"sample_rate":"16k"}}', "bad_message", "`audio.sample_rate`"),
        ('{"type":"start","hotwords":["a",3]}', "bad_message", "`hotwords[1]`"),
        ('{"type":"start","resume":{"session":"s"}}', "bad_message", "`token`"),
        ('{"type":"flush"}', "bad_message", "`id`"),
        ('{"type":"flush","id":1.5}', "bad_message", "`id`"),
        ('{"type":"gap","samples":1e400}', "bad_message", "`samples`"),
        ('{"type":"gap","samples":1' + "0" * 30 + "}", "bad_message", "range"),
        ('{"type":"ping","id":-1' + "0" * 30 + "}", "bad_message", "range"),
        ('{"type":"gap","samples":1' + "0" * 9000 + "}", "bad_message", "range"),
    ],
    ids=lambda value: ascii(value)[:40] if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(text: str, code: str, says: str) -> None:
    """Each kind of bad message has its code, and the message names the field or what was expected."""
    with pytest.raises(ProtocolError) as caught:
        decode_client(text)
    assert caught.value.code == code
    assert says in caught.value.message
    assert len(caught.value.message) < 200


def test_only_an_unknown_type_is_survivable() -> None:
    """A newer message is refused but the connection goes on; broken ones close it with 1008."""
    for text, fatal in [('{"type":"new"}', False), ("{", True), ('{"type":"gap"}', True)]:
        with pytest.raises(ProtocolError) as caught:
            decode_client(text)
        assert (caught.value.fatal, caught.value.close_code) == (fatal, 1008)


def test_the_largest_exact_integer_is_accepted() -> None:
    """2^53 is still a number that every JSON reader holds exactly."""
    assert decode_client(f'{{"type":"gap","samples":{MAX_INTEGER}}}') == m.Gap(MAX_INTEGER)


def test_a_lone_surrogate_is_replaced_not_fatal() -> None:
    """A text that UTF-8 cannot carry goes out with a question mark in its place."""
    assert json.loads(encode_server(m.Notice("a", "x\ud800y")))["detail"] == "x?y"
    assert decode_client(encode_client(m.Start(bed="\udfff"))) == m.Start(bed="?")


@given(st.text() | st.binary().map(lambda b: b.decode("latin-1")) | json_values.map(json.dumps))
def test_no_text_raises_anything_but_protocol_error(text: str) -> None:
    """Whatever the text, the answer is a message or a ProtocolError that can be sent back."""
    for decode in (decode_client, decode_server):
        refusal(decode, text)


@given(
    st.sampled_from([json.loads(text) for _, text in CLIENT_EXAMPLES + SERVER_EXAMPLES]),
    st.data(),
)
def test_one_wrong_field_never_crashes(example: dict, data: st.DataObject) -> None:
    """A known message with one field replaced by anything decodes or is refused by name."""
    field = data.draw(st.sampled_from(sorted(example)))
    text = json.dumps({**example, field: data.draw(json_values)})
    assert {refusal(decode_client, text), refusal(decode_server, text)} <= {
        None, "bad_json", "unknown_type", "bad_message",
    }  # fmt: skip


@given(st.lists(st.text(), max_size=4), st.text(), st.none() | st.text())
def test_any_string_survives_the_round_trip(hotwords: list[str], prompt: str, bed: str | None) -> None:
    """Every well-formed string comes out as it went in; the encoder never raises."""
    message = m.Start(hotwords=hotwords, prompt=prompt, bed=bed)
    text = encode_client(message)
    assert decode_client(text) == message
    assert msgspec.json.decode(text)["type"] == "start"
