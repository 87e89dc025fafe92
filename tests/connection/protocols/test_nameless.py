"""Rules of an address with several protocols: silence first, and the first frame decides."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.connection.messages import Audio, Start
from gateway.connection.protocols.dialects import DIALECTS
from gateway.connection.protocols.nameless import Nameless
from tests.connection.protocols.wires import SETTINGS, STARTED, STOPPED, Wire, final, handshake

HELLO = json.dumps({"uid": "u", "language": None, "task": "transcribe", "model": "small", "use_vad": True})


def wire() -> Wire:
    return Wire(Nameless(handshake(bed="3A")))


@pytest.mark.parametrize(
    ("frame", "protocol"),
    [
        (HELLO, "whisperlive"),
        ('{"uid": "u", "config": {}}', "whisperlive"),
        ('{ "config" : { "sample_rate" : 16000.000000 } }', "vosk"),
        ('{"eof" : 1}', "vosk"),
        ('{"reset" : 1}', "vosk"),
        (bytes(4000), "vosk"),
        (b"", "vosk"),
    ],
)
def test_the_first_frame_tells_the_protocol(frame: str | bytes, protocol: str) -> None:
    """Before it nothing is said; it counts as the first frame of the protocol that it calls for."""
    codec = Nameless(handshake())
    assert codec.open() == []
    assert codec.protocol == ""
    told = Wire(codec)
    told.client(frame)
    assert codec.protocol == protocol
    assert told.told or told.said or "config" in str(frame)


@pytest.mark.parametrize(
    "frame", ["", "hello", "[]", "{}", '{"type": "start"}', '"uid"', "[" * 5000, '{"uid', "1", "null"]
)
def test_anything_else_is_closed(frame: str) -> None:
    """1008, with what to do; nothing is said, and nothing more is heard."""
    nameless = wire()
    assert nameless.client(frame, HELLO, bytes(100)) == []
    assert nameless.closed is not None
    assert nameless.closed[0] == 1008
    assert "uid" in nameless.closed[1]
    assert nameless.told == []


def test_it_then_is_that_codec() -> None:
    """Audio, finals and the end go through it."""
    vosk = wire()
    vosk.client({"config": {"sample_rate": 16000}}, bytes(4))
    assert isinstance(vosk.told[0], Start)
    assert (vosk.told[0].bed, vosk.told[0].audio.sample_rate) == ("3A", 16_000)
    assert vosk.told[1] == Audio(bytes(4))
    vosk.session(STARTED, final(1, "one"))
    vosk.client('{"eof": 1}')
    assert [reply["text"] for reply in vosk.session(STOPPED)] == ["one"]
    assert vosk.closed == (1000, "done")


def test_who_says_nothing_is_not_waited_for_for_ever() -> None:
    """As long as a silent session would be; somebody who has spoken is not meant."""
    nameless, vosk = wire(), wire()
    patience_s = SETTINGS.server.idle_timeout_s
    vosk.client({"config": {}})
    for now in (patience_s - 1, patience_s, patience_s + 1):
        nameless.tick(now)
        vosk.tick(now)
        assert (nameless.closed is not None) == (now >= patience_s)
    assert vosk.closed is None


def test_where_it_is_spoken() -> None:
    """At the addresses of clients that can name no path; explicit paths wait for nobody."""
    names = {path: DIALECTS[path].name for path in ("/", "/ws", "/whisperlive", "/vosk")}
    assert names == {"/": "nameless", "/ws": "nameless", "/whisperlive": "whisperlive", "/vosk": "vosk"}


@given(st.lists(st.text(max_size=60) | st.binary(max_size=60), max_size=10))
def test_nothing_that_a_client_sends_raises(frames: list[str | bytes]) -> None:
    """Any text and bytes, in any order."""
    nameless = wire()
    nameless.client(*frames)
    nameless.tick(1000.0)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(1000, 1000), (1013, 1013), (4401, 1008), (4403, 1008), (4408, 1001), (4429, 1013)]
)
@pytest.mark.parametrize("first", [None, b"\x00\x00", '{"uid": "u"}'])
def test_close_codes(first: str | bytes | None, ours: int, theirs: int) -> None:
    """Ours from 4000 on mean nothing to these clients, whatever they turn out to be."""
    wire = Wire(Nameless(handshake()))
    if first:
        wire.client(first)
    assert wire.codec.close(ours, "why") == (theirs, "why")
