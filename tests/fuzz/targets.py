"""What reads bytes from strangers, each as a function of those bytes: it may raise nothing but what it says.

Each target also checks what must hold of whatever came out. `run.py` feeds them with atheris, `test_fuzz.py` with
the committed corpus.
"""
# ruff: noqa: PT017 - these are oracles, no tests: an exception is one of the right answers

import contextlib
from collections.abc import Callable
from functools import cache
from typing import Final

import msgspec
import numpy as np

from gateway.config import Settings
from gateway.connection import origin
from gateway.connection.access import OPEN, AccessError
from gateway.connection.credentials import (
    KeyRecord,
    SigningKey,
    check_record,
    check_secret,
    make_key,
    make_token,
)
from gateway.connection.limits import source_of
from gateway.connection.messages import Audio, Start, Stop
from gateway.connection.opening import Refused, check_bed, open_stream
from gateway.connection.protocols import native
from gateway.connection.protocols.codec import WIDTHS, End, Handshake, Say, Tell
from gateway.connection.protocols.deepgram import Deepgram
from gateway.connection.protocols.nameless import Nameless
from gateway.connection.protocols.wyoming import Wyoming
from gateway.detection.audio import ENCODINGS, AudioDecoder, AudioError
from gateway.detection.opus import MAX_PACKET_SAMPLES, OpusStream
from gateway.events import SAMPLE_RATE, AudioFormat, ModelInfo
from gateway.upload import wish
from gateway.upload.failure import UploadFailed
from gateway.upload.unpack import Unreadable, unpack
from gateway.ward import cursor, export
from gateway.ward.captions import Watch
from gateway.ward.records import CaptionRow
from tests.connection.protocols.realtime import Client as Realtime
from tests.connection.protocols.realtime import check_conversation
from tests.connection.protocols.wires import MODEL, SETTINGS, Wire, final, handshake, partial

RATES: Final = (8_000, 11_025, 16_000, 44_100, 48_000, 12_000, 24_000, 7_999)


def speaker_message(data: bytes) -> None:
    """A text frame of a speaker: understood, or a named error; what is understood can be said again."""
    text = data.decode("utf-8", "replace")
    try:
        message = native.decode_client(text)
    except native.ProtocolError as error:
        assert error.code in {"bad_json", "bad_message", "unknown_type"}
        assert len(error.message) < 1000
        return
    assert native.decode_client(native.encode_client(message)) == message


def gateway_message(data: bytes) -> None:
    """A text frame of a gateway, as a client reads it."""
    with contextlib.suppress(native.ProtocolError):
        message = native.decode_server(data.decode("utf-8", "replace"))
        native.encode_server(message)


def viewer_message(data: bytes) -> None:
    """A frame of a viewer."""
    try:
        watch = msgspec.json.decode(data, type=Watch)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return
    for bed in watch.beds:
        with contextlib.suppress(Refused):
            check_bed(bed)
            assert 0 < len(bed) <= 64
            assert not set(bed) & set("/*,")


def audio(data: bytes) -> None:
    """Messages of any encoding: read, or refused by name; positions and amounts hold, samples are in range."""
    if len(data) < 4:
        return
    encoding = ENCODINGS[data[0] % len(ENCODINGS)]
    form = AudioFormat(encoding, RATES[data[1] % len(RATES)], 1 + data[2] % 2)
    try:
        decoder = AudioDecoder(form)
    except AudioError as error:
        assert error.code == "bad_audio_format"
        return
    size, given = 1 + data[3], 0
    for i in range(4, len(data), size):
        before = decoder.received
        try:
            samples = decoder.receive(data[i : i + size])
        except AudioError as error:
            assert error.code in {"odd_bytes", "not_finite", "bad_opus"}
            assert decoder.received == before
            continue
        given += len(samples)
        _check_samples(samples)
    rest = decoder.flush()
    _check_samples(rest)
    assert abs(given + len(rest) - decoder.received * SAMPLE_RATE / form.sample_rate) <= 2


def _check_samples(samples: np.ndarray) -> None:
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    assert not len(samples) or np.abs(samples).max() <= 1


def opus(data: bytes) -> None:
    """Packets: at most 120 ms each come out, whatever they are, and the decoder goes on."""
    if not data:
        return
    channels, size = 1 + data[0] % 2, 1 + data[0]
    stream = OpusStream(channels)
    for i in range(1, len(data), size):
        with contextlib.suppress(ValueError):
            samples = stream.decode(data[i : i + size])
            assert samples.shape[1] == channels
            assert len(samples) <= MAX_PACKET_SAMPLES


def last_event_id(data: bytes) -> None:
    """A cursor that a browser gives back: read, or none; what is read is written the same way."""
    epoch, numbers = cursor.decode(data.decode("utf-8", "replace"))
    assert all(bed and number >= 0 for bed, number in numbers.items())
    text = cursor.encode(epoch, numbers)
    if "\n" not in epoch:
        assert cursor.decode(text) == (epoch, numbers)
        assert text.count("\n") == 0


def export_text(data: bytes) -> None:
    """Captions of any text: no text breaks out of its cue, its line or its JSON."""
    texts = data.decode("utf-8", "replace").split("\x00")[:20]
    rows = [
        CaptionRow("3A", n, 100.0 + n, 1, n, float(n), n + 0.9, text, "zh" if n % 2 else "en", 0.9)
        for n, text in enumerate(texts, 1)
    ]
    shown = len(export.cues(rows))
    srt = export.as_srt(rows)
    assert srt.count("-->") == shown
    assert len([block for block in srt.split("\n\n") if block.strip()]) == shown
    vtt = export.as_vtt(rows, str)
    assert vtt.count("-->") == shown
    assert "<" not in vtt
    assert len(export.as_txt(rows, str).splitlines()) <= len(rows)
    assert len(msgspec.json.decode(export.as_json(rows, str))["captions"]) == len(rows)


@cache
def _keys() -> tuple[SigningKey, KeyRecord, frozenset[str]]:
    """One signing key, one API key, and the two secrets that count."""
    record, secret = make_key(OPEN, bytes(range(64)), 0.0)
    signing = SigningKey("s1", bytes(32), 0.0)
    token, _ = make_token(check_record(record, 1.0), 3600, signing, "id", 0.0)
    return signing, record, frozenset({secret, token})


def request_headers(data: bytes) -> None:
    """What a request shows of itself: no header lets in who has no key, none raises anything else."""
    lines = [line[:8190] for line in data.decode("latin-1").split("\n")]
    authorization, protocols, cookie, token, host, forwarded, proto, *_ = [*lines, *[""] * 7]
    signing, record, secrets = _keys()
    with contextlib.suppress(AccessError):
        shown = origin.credential_of(authorization or None, protocols, cookie, token or None, True)
        if shown:
            principal = check_secret(shown.secret, [signing], [record], 1.0)
            assert shown.secret in secrets, f"let in as {principal}"
    with contextlib.suppress(AccessError):
        origin.check_host(host, ["ward.example"])
    with contextlib.suppress(AccessError):
        origin.check_origin(proto, host, False, ["https://ward.example"], ambient=True, acts=True)
    client = origin.client_of("10.0.0.1", False, forwarded, proto, origin.networks("10.0.0.0/8"))
    assert len(source_of(client.address)) <= 64
    following = origin.safe_next(cookie)
    assert following.startswith("/")
    assert not following.startswith("//")


def deepgram(data: bytes) -> None:
    """Frames of a Deepgram client, text where they begin as JSON: one start first, then whole samples; what is
    said is JSON of a known type; nothing follows the end."""
    container, *frames = data.split(b"\n")
    query = {} if container else {"encoding": ["linear16"], "sample_rate": ["16000"]}
    model = ModelInfo("demo", "cpu", "int8", 80, ("en", "zh"), demo=True)
    codec = Deepgram(Handshake("id", model, Settings(), 0.0, 0.0, query=query))
    steps = codec.open()
    for frame in frames:
        steps += codec.receive(frame.decode("utf-8", "replace") if frame[:1] in b"{[" else frame, 0.0)
    told = [step.message for step in steps if isinstance(step, Tell)]
    assert not told or isinstance(told[0], Start)
    assert sum(isinstance(message, Start) for message in told) <= 1
    for message in told:
        assert container or not isinstance(message, Audio) or len(message.payload) % 2 == 0
    for step in steps:
        assert not isinstance(step, Say) or msgspec.json.decode(step.frame)["type"]
    assert not any(isinstance(step, End) for step in steps[:-1])


def wyoming(data: bytes) -> None:
    """A connection's bytes, read in two sizes: the same answers, the same sessions, all of which can be served."""
    model, settings = ModelInfo("demo", "cpu", "int8", 80, ("en", "zh"), demo=True), Settings()
    handshake, said = Handshake("id", model, settings, 0.0, 0.0), []
    for size in (1 + len(data) // 7, len(data) or 1):
        codec, steps = Wyoming(handshake), []
        for i in range(0, len(data), size):
            if codec.pending:
                break
            steps += codec.receive(data[i : i + size], 0.0)
            while not codec.hungry and not codec.pending:
                steps += codec.receive(b"", 0.0)
        said.append(steps)
        for step in steps:
            if isinstance(step, Tell) and isinstance(step.message, Start):
                open_stream(step.message, settings, model)
    assert said[0] == said[1]


def first_frames(data: bytes) -> None:
    """Frames of a client at `/`, binary where they begin with b, with finals in between: one start at most, that can
    be served; whole samples; a client of Vosk gets as many replies as it asked questions."""
    codec = Nameless(handshake())
    wire, start = Wire(codec), None
    for number, frame in enumerate(data.split(b"\n"), 1):
        said = len(wire.client(frame[1:] if frame[:1] == b"b" else frame.decode("utf-8", "replace")))
        if codec.protocol == "vosk" and frame[:1] == b"b" and not wire.closed and Stop() not in wire.told:
            assert said == 1
        wire.session(partial(number, "so far", language="en"), final(number, "One.", number, number + 1))
    for message in wire.told:
        if isinstance(message, Start):
            assert start is None
            start = message
            open_stream(start, SETTINGS, MODEL)
        elif isinstance(message, Audio):
            assert start
            assert len(message.payload) % WIDTHS[start.audio.encoding] == 0


def openai_realtime(data: bytes) -> None:
    """Events of an OpenAI Realtime client, with speech in between: none raises, the conversation stays in order."""
    client = Realtime()
    for count, frame in enumerate(data.split(b"\n")):
        client.send_frame(frame if count % 2 else frame.decode("utf-8", "replace"))
        if client.session.position_s:
            client.session.begin()
            client.session.grow("Yes")
            if count % 3:
                client.session.stop()
                client.session.answer("Yes.")
    client.session.stop()
    while client.session.waiting:
        client.session.answer("The end.")
    check_conversation(client.heard)


def upload_file(data: bytes) -> None:
    """A file of any kind: audio of 16 kHz, not more than the limit, or a verdict."""
    length = 0
    with contextlib.suppress(Unreadable):
        for samples in unpack(data, 10.0):
            length += len(samples)
    assert length <= 10 * 2 * SAMPLE_RATE


def upload_fields(data: bytes) -> None:
    """The fields of an upload's form: read, or one of them named."""
    fields: dict[str, list[str]] = {}
    for line in data.decode("utf-8", "replace").split("\n")[:50]:
        name, _, value = line.partition("=")
        fields.setdefault(name, []).append(value)
    try:
        wanted = wish.read(fields, "transcribe", 100)
    except UploadFailed as no:
        assert no.status == 400
        assert no.param
        return
    assert len(wanted.prompt) <= 100
    assert wanted.format in wish.FORMATS


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        speaker_message,
        gateway_message,
        viewer_message,
        audio,
        opus,
        last_event_id,
        export_text,
        request_headers,
        upload_file,
        upload_fields,
        deepgram,
        openai_realtime,
        wyoming,
        first_frames,
    )
}
