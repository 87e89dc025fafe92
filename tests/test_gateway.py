"""The whole gateway: real sockets, the real demo model, real audio."""

import asyncio
import contextlib
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from tests.connection.speech import pcm16, silence
from tests.running import RunningGateway
from tests.talking import REFERENCES, error_rate, peer, transcribe

pytestmark = pytest.mark.slow


def reference(name: str) -> str:
    return str(REFERENCES[name]["text"])


async def test_speech_in_captions_out(gateway: RunningGateway) -> None:
    """A speaker gets partials and a right final; a viewer of that bed reads the same."""
    async with peer(gateway.ws, "/v1/captions") as viewer:
        await viewer.say("watch", beds=["e2e"])
        assert (await viewer.until("snapshot"))["state"] == "offline"
        speaker = await transcribe(gateway.ws, pcm16("en_07.wav"), 0.05, bed="e2e", language="en", words=True)
        caption = await viewer.until("caption")
        await viewer.until("bed", state="offline")
    assert speaker.of("partial")
    [final] = speaker.of("final")
    assert error_rate(reference("en_07.wav"), final["text"]) <= 0.2
    assert [w["text"].strip() for w in final["words"]] == final["text"].split()
    assert caption["text"] == final["text"]
    assert (caption["number"], viewer.of("bed")[0]["state"]) == (1, "online")
    assert any(m["stable"] + m["tentative"] for m in viewer.of("partial"))


async def test_a_dialogue_is_transcribed_sentence_by_sentence(gateway: RunningGateway) -> None:
    """Both languages, detected, Traditional Chinese: finals numbered 1, 2, 3 ... with rising times."""
    for name, language in (("dialog_en.wav", "en"), ("dialog_zh.wav", "zh")):
        speaker = await transcribe(gateway.ws, pcm16(name))
        finals = speaker.of("final")
        assert [f["number"] for f in finals] == list(range(1, len(finals) + 1))
        assert all(a["end"] <= b["start"] for a, b in pairwise(finals))
        assert {f["language"] for f in finals} == {language}
        assert error_rate(reference(name), speaker.text()) <= 0.1


async def test_many_speakers_share_the_engine_and_hear_only_themselves(gateway: RunningGateway) -> None:
    """Twelve at once, two languages: each gets the captions of its own words."""
    names = [f"{language}_{n:02}.wav" for n in range(6) for language in ("en", "zh")]
    speakers = await asyncio.gather(*(transcribe(gateway.ws, pcm16(name) + silence(1)) for name in names))
    for name, speaker in zip(names, speakers, strict=True):
        assert error_rate(reference(name), speaker.text()) <= 0.35, name


@pytest.mark.parametrize(
    ("audio", "encode"),
    [
        ({"encoding": "pcm_f32le"}, lambda x: (x / 32768).astype("<f4").tobytes()),
        ({"channels": 2}, lambda x: np.repeat(x, 2).astype("<i2").tobytes()),
        ({"sample_rate": 48_000}, lambda x: np.repeat(x, 3).astype("<i2").tobytes()),
        ({"sample_rate": 8_000}, lambda x: x[::2].astype("<i2").tobytes()),
    ],
    ids=["float", "stereo", "48 kHz", "8 kHz"],
)
async def test_any_pcm_is_understood(gateway: RunningGateway, audio: dict, encode) -> None:
    """Sample format, channels and rate are the client's choice."""
    pcm = np.frombuffer(pcm16("en_01.wav") + silence(1), np.int16)
    speaker = await transcribe(gateway.ws, encode(pcm), audio=audio, language="en")
    assert error_rate(reference("en_01.wav"), speaker.text()) <= 0.3
    assert abs(speaker.of("final")[0]["end"] - 2.0) < 0.4


async def test_an_opus_device_is_understood(gateway: RunningGateway) -> None:
    """Raw packets, one a message, 24 kbit/s."""
    import av

    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = 48_000, "mono", "s16", 24_000
    pcm = np.repeat(np.frombuffer(pcm16("en_01.wav") + silence(1), np.int16), 3)
    packets = []
    for i in range(0, len(pcm) - 959, 960):
        frame = av.AudioFrame.from_ndarray(pcm[None, i : i + 960], "s16", "mono")
        frame.sample_rate = 48_000
        packets += [bytes(p) for p in encoder.encode(frame)]
    async with peer(gateway.ws, "/v1/stream") as speaker:
        await speaker.start(audio={"encoding": "opus", "sample_rate": 48_000}, language="en")
        for packet in packets:
            await speaker.socket.send(packet)
        await speaker.say("stop")
        await speaker.end()
    assert error_rate(reference("en_01.wav"), speaker.text()) <= 0.3


async def test_silence_and_noise_give_no_caption(gateway: RunningGateway) -> None:
    """Half a minute of each, and clipped noise: not one word."""
    rng = np.random.default_rng(3)
    clipped = (np.sign(rng.standard_normal(10 * 16_000)) * 32_767).astype("<i2").tobytes()
    clips = [pcm16(f"nospeech_{kind}.wav") * 6 for kind in ("silence", "hum", "white_noise")]
    for pcm in [*clips, clipped, silence(30)]:
        speaker = await transcribe(gateway.ws, pcm)
        assert speaker.text() == ""


async def test_flush_is_answered_after_the_final(gateway: RunningGateway) -> None:
    """final, then flushed, and the stream goes on."""
    async with peer(gateway.ws, "/v1/stream") as speaker:
        await speaker.start(language="en")
        await speaker.speak(pcm16("en_01.wav"))
        await speaker.say("flush", id="now")
        assert (await speaker.until("flushed"))["id"] == "now"
        assert speaker.of("final")
        await speaker.say("ping", id=5)
        assert (await speaker.until("pong"))["id"] == 5


async def test_a_late_viewer_and_an_event_stream_see_what_was_said(gateway: RunningGateway) -> None:
    """Captions stay for those who come later; server-sent events carry the same."""
    await transcribe(gateway.ws, pcm16("en_02.wav"), bed="late", language="en")
    async with peer(gateway.ws, "/v1/captions") as viewer:
        await viewer.say("watch", beds=["late"])
        snapshot = await viewer.until("snapshot")
        heartbeat = await viewer.until("heartbeat")
    assert heartbeat["demo"] is True
    assert len(snapshot["captions"]) == 1
    request = urllib.request.Request(f"{gateway.url}/v1/captions/events?beds=late")

    def first_event() -> list[str]:
        with urllib.request.urlopen(request, timeout=10) as response:
            return [response.readline().decode().strip() for _ in range(3)]

    cursor, kind, data = await asyncio.to_thread(first_event)
    assert cursor == f"id: {snapshot['epoch']};late=1"
    assert kind == "event: snapshot"
    assert json.loads(data.removeprefix("data: "))["captions"] == snapshot["captions"]


async def test_health_and_metrics_say_what_happens(gateway: RunningGateway) -> None:
    """Everything an operator asks first."""
    await transcribe(gateway.ws, pcm16("en_01.wav") + silence(1))
    health = gateway.health()
    assert health["status"] in {"ok", "degraded"}  # other tests may have pressed it
    assert (health["model"], health["device"], health["demo_model"]) == ("demo", "cpu", True)
    assert set(health["queue_depth"]) == {"finals", "partials"}
    assert health["uptime_s"] > 0
    assert json.loads(gateway.get("/healthz")) == {"status": "alive"}
    for name in ("finals_total", "audio_seconds_total", "ttfs_seconds_count", "batch_size_count"):
        assert gateway.metric(f"care_voice_{name}") > 0, name
    assert gateway.metric("care_voice_worker_restarts_total") == 0


def test_pages_come_with_a_strict_policy(gateway: RunningGateway) -> None:
    """No inline script, no foreign host, no framing; unknown paths too."""
    for path in ("/", "/beds/3A", "/microphone", "/static/style.css", "/nowhere"):
        try:
            with urllib.request.urlopen(gateway.url + path) as response:
                headers = response.headers
        except urllib.error.HTTPError as error:
            headers = error.headers
            assert path == "/nowhere"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


# --- clients that misbehave ---


@pytest.mark.parametrize(
    ("frames", "code", "close"),
    [
        (["{"], "bad_json", 1008),
        (["[]"], "bad_message", 1008),
        (['{"type": "sing"}'], "unknown_type", 1008),
        ([b"\0\0"], "not_started", 1008),
        (['{"type": "start", "audio": {"encoding": "mp3"}}'], "bad_audio_format", 1008),
        (['{"type": "start", "audio": {"sample_rate": 4000}}'], "bad_audio_format", 1008),
        (['{"type": "start"}', b"\0\0\0"], "odd_bytes", 1008),
        (
            ['{"type": "start", "audio": {"encoding": "pcm_f32le"}}', b"\0\0\xc0\x7f"],
            "not_finite",
            1008,
        ),
        ([json.dumps({"type": "start", "hotwords": ["x"] * 10_000})], "too_many_hotwords", 1008),
        (['{"type": "start", "resume": {"session": "s", "token": "t"}}'], "resume_unknown", 4410),
    ],
)
async def test_bad_input_gets_a_named_error(
    gateway: RunningGateway, frames: list[str | bytes], code: str, close: int
) -> None:
    """The error names the fault before the socket closes."""
    async with peer(gateway.ws, "/v1/stream") as speaker:
        for frame in frames:
            await speaker.socket.send(frame)
        assert (await speaker.end())[0] == close
    assert [e["code"] for e in speaker.of("error")] == [code]
    assert speaker.of("error")[0]["fatal"] is True


async def test_a_text_frame_where_audio_belongs_loses_nothing(gateway: RunningGateway) -> None:
    """After the start a wrong message is named and ignored; the words are all there."""
    pcm = pcm16("en_01.wav") + silence(1)
    async with peer(gateway.ws, "/v1/stream") as speaker:
        await speaker.start(language="en")
        await speaker.speak(pcm[:32_000])
        await speaker.socket.send("AAAA this is base64, is it not?")
        await speaker.say("start")
        await speaker.speak(pcm[32_000:])
        await speaker.say("stop")
        await speaker.end()
    assert [e["code"] for e in speaker.of("error")] == ["bad_json", "already_started"]
    assert error_rate(reference("en_01.wav"), speaker.text()) <= 0.3


async def test_a_message_of_20_megabytes_closes_its_own_socket(gateway: RunningGateway) -> None:
    """1009; the neighbour does not notice."""
    neighbour = asyncio.create_task(transcribe(gateway.ws, pcm16("en_02.wav"), language="en"))
    async with peer(gateway.ws, "/v1/stream") as speaker:
        await speaker.start()
        with contextlib.suppress(ConnectionClosed):
            await speaker.socket.send(bytes(20 << 20))
        assert (await speaker.end())[0] == 1009
    assert error_rate(reference("en_02.wav"), (await neighbour).text()) <= 0.3


async def test_a_client_that_vanishes_leaves_its_last_words(gateway: RunningGateway) -> None:
    """The connection is cut in the middle of a word: the bed waits for it, and what was heard is captioned."""
    async with peer(gateway.ws, "/v1/captions") as viewer:
        await viewer.say("watch", beds=["cut"])
        async with peer(gateway.ws, "/v1/stream") as speaker:
            await speaker.start(bed="cut", language="en")
            await speaker.speak(pcm16("en_02.wav"))
            await speaker.say("ping")
            await speaker.until("pong")
            speaker.socket.transport.abort()
        await viewer.until("bed", state="reconnecting")
        caption = await viewer.until("caption")
    assert error_rate(reference("en_02.wav"), caption["text"]) <= 0.3


@pytest.mark.parametrize(
    "watch", ["nonsense", "{}", '{"type":"watch","beds":[]}', '{"type":"watch","beds":["a/b"]}']
)
async def test_a_viewer_that_asks_for_nonsense_is_told(gateway: RunningGateway, watch: str) -> None:
    """A named error, then 1008."""
    async with peer(gateway.ws, "/v1/captions") as viewer:
        await viewer.socket.send(watch)
        assert (await viewer.end())[0] == 1008
    assert viewer.of("error")[0]["code"] in {"bad_message", "bad_beds", "bad_bed"}


async def test_an_event_stream_needs_beds(gateway: RunningGateway) -> None:
    """400 with the reason."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        await asyncio.to_thread(gateway.get, "/v1/captions/events")
    with refused.value as answer:
        assert (answer.code, json.load(answer)["code"]) == (400, "bad_beds")


# --- gateways of their own ---


@pytest.fixture
def own(tmp_path: Path) -> Iterator:
    """Start gateways that a test may hurt."""
    started: list[RunningGateway] = []

    def start(*options: str, **more: bool) -> RunningGateway:
        started.append(RunningGateway.start(tmp_path / f"log{len(started)}", *options, **more))
        return started[-1]

    yield start
    for running in started:
        running.stop(signal.SIGKILL)


async def test_the_death_of_the_engine_costs_time_not_words(own) -> None:
    """kill -9 in the middle of a batch: a notice, and every final still comes."""
    running = own()
    async with peer(running.ws, "/v1/stream") as speaker:
        await speaker.start(language="en")
        reading = asyncio.create_task(speaker.end())
        for n in range(6):
            await speaker.speak(pcm16(f"en_{n:02}.wav") + silence(0.7))
            if n in (1, 3):
                os.kill(running.worker_pid(), signal.SIGKILL)
                await asyncio.sleep(0.3)
        await speaker.say("stop")
        assert (await reading)[0] == 1000
    codes = [n["code"] for n in speaker.of("notice")]
    assert "engine_restarting" in codes
    assert "engine_ready" in codes
    wanted = " ".join(reference(f"en_{n:02}.wav") for n in range(6))
    assert error_rate(wanted, speaker.text()) <= 0.15
    assert [f["number"] for f in speaker.of("final")] == list(range(1, len(speaker.of("final")) + 1))
    assert running.metric("care_voice_worker_restarts_total") >= 1


async def test_sigterm_gives_the_last_final_then_goes_away(own) -> None:
    """Drain: open utterances get their finals, sockets close 1001, exit status 0."""
    running = own()
    async with peer(running.ws, "/v1/captions") as viewer, peer(running.ws, "/v1/stream") as speaker:
        await viewer.say("watch", beds=["drain"])
        await speaker.start(bed="drain", language="en")
        await speaker.speak(pcm16("en_02.wav"))
        await speaker.say("ping")
        await speaker.until("pong")
        running.process.send_signal(signal.SIGTERM)
        assert (await speaker.end())[0] == 1001
        assert (await viewer.end())[0] == 1001
    assert error_rate(reference("en_02.wav"), speaker.text()) <= 0.3
    assert [c["text"] for c in viewer.of("caption")] == [f["text"] for f in speaker.of("final")]
    assert await asyncio.to_thread(running.stop) == 0


async def test_one_speaker_too_many_is_refused(own) -> None:
    """503 with Retry-After, and /readyz says that it is full; those inside go on."""
    from websockets.exceptions import InvalidStatus

    running = own("--max-sessions", "1", "--max-viewers", "1")
    async with peer(running.ws, "/v1/stream") as speaker, peer(running.ws, "/v1/captions"):
        await speaker.start()
        for path in ("/v1/stream", "/v1/captions"):
            with pytest.raises(InvalidStatus) as refused:
                async with peer(running.ws, path, patient=False):
                    pass
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["Retry-After"]
        with pytest.raises(urllib.error.HTTPError) as not_ready:
            await asyncio.to_thread(running.get, "/readyz")
        not_ready.value.close()
        await speaker.say("ping")
        await speaker.until("pong")


async def test_clients_that_do_not_read_are_cut_and_nobody_notices(own) -> None:
    """A viewer and a speaker that stop reading lose their sockets; a good viewer gets every caption."""
    running = own("--max-viewer-backlog", "10", "--send-timeout-s", "1")
    sentence = pcm16("en_00.wav") + silence(0.6)
    async with (
        peer(running.ws, "/v1/captions") as good,
        peer(running.ws, "/v1/captions", max_queue=1) as stalled,
        peer(running.ws, "/v1/stream", max_queue=1) as rude,
    ):
        await good.say("watch", beds=["slow"])
        await stalled.say("watch", beds=["slow"])
        for client in (stalled, rude):
            client.socket.transport.pause_reading()
        await rude.say("start", bed="rude")
        for _ in range(4):
            speaker = await transcribe(running.ws, sentence * 3, bed="slow", language="en")
            assert len(speaker.of("final")) == 3
        for n in range(12):
            assert (await good.until("caption"))["number"] == n + 1
        for client in (stalled, rude):
            client.socket.transport.abort()


async def test_nothing_spoken_is_logged(own) -> None:
    """Even at debug level: no word of what was said or asked for."""
    running = own("--log-level", "debug")
    speaker = await transcribe(
        running.ws, pcm16("en_07.wav"), bed="log", hotwords=["xylophone"], prompt="zeppelin"
    )
    assert running.stop() == 0
    log = running.log().lower()
    assert speaker.text()
    for secret in ("xylophone", "zeppelin", speaker.text().lower(), reference("en_07.wav").lower()):
        assert secret not in log
