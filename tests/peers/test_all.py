"""What holds for every protocol alike: one engine behind all of them, and nobody in anybody's way."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.connection.speech import pcm16, silence
from tests.detection.test_opus import opus_packets
from tests.peers.talkers import (
    ALL,
    FOREIGN,
    SOCKETS,
    Company,
    Deepgram,
    Native,
    OpenAI,
    Said,
    SocketTalker,
    Talker,
    Vosk,
    Wyoming,
)
from tests.running import RunningGateway
from tests.talking import REFERENCES, Peer, peer, units
from tests.test_access_gateway import make_key, token

pytestmark = pytest.mark.slow
WYOMING_BED = "WY"
WYOMING = ["--wyoming-port=0", f"--wyoming-bed={WYOMING_BED}"]
CLIPS = ["en_01.wav", "zh_01.wav", "dialog_en.wav"]
TURNS_S = 13
"""Of the dialogue: its first turns."""
SENTENCES = [
    name
    for language in ("en", "zh")
    for name in [
        n for n, r in REFERENCES.items() if n.startswith(language) and not r["demo_model"]["error_rate"]
    ][:6]
]
"""As many as two clients of each protocol need, all different; the demo model understands them."""
FLOOD = 2000
SMALLEST_PARTIAL = 3
"""Characters of a partial that was surely heard."""


def names(kinds: list[type[Talker]]) -> list[str]:
    return [kind.protocol for kind in kinds]


@contextmanager
def running(directory: Path, *options: str) -> Iterator[RunningGateway]:
    """It stops as it should, and leaves a log without a fault of ours."""
    gateway = RunningGateway.start(directory / "log", *options)
    try:
        yield gateway
        assert gateway.stop() == 0, gateway.log()
        check_log(gateway)
    finally:
        gateway.process.kill()
        gateway.process.wait()


def check_log(gateway: RunningGateway) -> None:
    """No fault of ours."""
    for trouble in ("Traceback", "session failed", "connection failed", "Unhandled", "never awaited"):
        assert trouble not in gateway.log()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Without keys, all protocols on."""
    with running(tmp_path_factory.mktemp("all"), *WYOMING) as gateway:
        yield gateway


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    """Clients that are gone when the test is over."""
    all_of_them = Company()
    yield all_of_them
    await all_of_them.leave()


def bed_of(kind: type[Talker], name: str) -> str:
    """Wyoming's port has one of its own."""
    return f"{kind.protocol}-{name}" if kind.own_bed else WYOMING_BED


async def say_all(
    company: Company, kind: type[Talker], gateway: RunningGateway, clip: str, bed: str, pause_s: float = 0
) -> Talker:
    """A clip, with a pause behind it, as one stream."""
    talker = await company.talk(kind, gateway, bed, REFERENCES[clip]["language"])
    await talker.speak(pcm16(clip)[: TURNS_S * 2 * 16_000] + silence(1), pause_s)
    await talker.goodbye()
    await talker.end()
    return talker


def written(gateway: RunningGateway, bed: str) -> list[str]:
    """The journal of a bed."""
    return [
        row["text"] for row in json.loads(gateway.get(f"/v1/beds/{bed}/captions"))["captions"] if row["text"]
    ]


@asynccontextmanager
async def page_of(gateway: RunningGateway, *beds: str) -> AsyncIterator[Peer]:
    """A viewer of these beds; it has what was said there before."""
    async with peer(gateway.ws, "/v1/captions") as viewer:
        await viewer.say("watch", beds=list(beds))
        for bed in beds:
            await viewer.until("snapshot", bed=bed)
        yield viewer


def expected(clip: str) -> list[str]:
    """What the demo model understands of a clip: all that was said."""
    return units("".join(s["text"] for s in REFERENCES[clip]["segments"] if s["end"] < TURNS_S))


def hull(said: list[Said]) -> Said:
    """All of it as one."""
    return Said(" ".join(one.text for one in said), said[0].start, said[-1].end)


# --- one engine ---


@pytest.mark.parametrize("clip", CLIPS)
async def test_all_protocols_say_the_same(gateway: RunningGateway, company: Company, clip: str) -> None:
    """Same words, each once, at the same times as the native protocol; on the bed's page and in its journal too."""
    beds = {kind: bed_of(kind, clip) for kind in ALL}
    async with page_of(gateway, *beds.values()) as page:
        native, *others = await asyncio.gather(
            *(say_all(company, kind, gateway, clip, beds[kind]) for kind in ALL)
        )
        assert isinstance(native, Native)
        assert units(native.text()) == expected(clip)
        for talker in others:
            like, said = native.like_those_of(talker.like), talker.finals()
            assert units(talker.text()) == expected(clip), talker.protocol
            if len(said) != len(like):  # a lock-step client that does not wait is told the rest at once
                assert talker.protocol == "vosk"
                like, said = [hull(like)], [hull(said)]
            for one, other in zip(like, said, strict=True):
                assert (other.start, other.end) == pytest.approx((one.start, one.end), abs=0.1), (
                    talker.protocol
                )
        shown = [final.text for final in native.finals()]
        await page.until("heartbeat")
        for bed in beds.values():
            assert written(gateway, bed)[-len(shown) :] == shown
            assert [c["text"] for c in page.of("caption") if c["bed"] == bed and c["text"]] == shown


async def test_nobody_hears_what_others_say(gateway: RunningGateway, company: Company) -> None:
    """Two clients of each protocol at once, in two languages: each is told its own sentence and nothing else."""
    kinds = [*ALL, *ALL]
    talkers = await asyncio.gather(
        *(
            say_all(company, kind, gateway, clip, clip, 0.02)
            for kind, clip in zip(kinds, SENTENCES, strict=True)
        )
    )
    for talker, clip in zip(talkers, SENTENCES, strict=True):
        assert units(talker.text()) == expected(clip), (talker.protocol, clip)
        if talker.own_bed:
            assert [units(text) for text in written(gateway, clip)] == [expected(clip)]


# --- clients that vanish ---


@pytest.mark.parametrize("kind", ALL, ids=names(ALL))
async def test_a_client_that_vanishes_leaves_its_words_on_the_page(
    gateway: RunningGateway, company: Company, kind: type[Talker]
) -> None:
    """In the middle of a sentence, without a word of farewell: its final is on the page."""
    bed = bed_of(kind, "gone")
    async with page_of(gateway, bed) as page:
        talker = await company.talk(kind, gateway, bed)
        await talker.speak(pcm16("en_01.wav")[: 2 * 16_000 * 2], 0.02)
        partial = await page.until("partial")
        talker.abort()
        caption = await page.until("caption", bed=bed)
    assert units(caption["text"])[:3] == ["i", "don't", "have"]
    assert units(partial["stable"] + partial["tentative"])[:1] == ["i"]


# --- clients that mean harm ---


def controls(kind: type[Talker]) -> list[str]:
    """Tiny messages, of which most want an answer."""
    return {
        "native": ['{"type":"ping","id":1}', '{"type":"flush","id":1}'],
        "openai_realtime": ['{"type":"input_audio_buffer.clear"}', '{"type":"x"}'],
        "deepgram": ['{"type":"Finalize"}', '{"type":"KeepAlive"}', "x"],
        "whisperlive": ["x", '{"uid":"me"}'],
        "vosk": ['{"reset":1}', '{"config":{"words":1}}'],
        "wyoming": ['{"type":"ping"}\n', '{"type":"describe"}\n', '{"type":"audio-stop"}\n'],
    }[kind.protocol]


async def put(talker: Talker, frame: str | bytes) -> None:
    """As it stands."""
    if isinstance(talker, SocketTalker):
        await talker.socket.send(frame)
    else:
        assert isinstance(talker, Wyoming)
        talker.writer.write(frame.encode() if isinstance(frame, str) else frame)
        await talker.writer.drain()


async def garbage(company: Company, kind: type[Talker], gateway: RunningGateway) -> None:
    """Noise, as text and as bytes, before a start and after it."""
    noise = os.urandom(2000)
    talker = await company.talk(kind, gateway)
    with contextlib.suppress(ConnectionClosed, OSError):
        for size in (2000, 100, 3, 1, 0):
            await put(talker, noise[:size])
            await put(talker, noise[:size].decode("latin-1"))
    talker.abort()


async def huge(company: Company, kind: type[Talker], gateway: RunningGateway) -> None:
    """More than a message may be."""
    talker = await company.talk(kind, gateway)
    size = (17 if kind is OpenAI else 5) << 20
    if isinstance(talker, Wyoming):
        await put(talker, f'{{"type":"audio-chunk","payload_length":{size}}}\n')
    with contextlib.suppress(ConnectionClosed, OSError):
        await put(talker, bytes(size))
    await talker.end()
    assert talker.code == (0 if kind is Wyoming else 1009)


async def flood(company: Company, kind: type[Talker], gateway: RunningGateway) -> None:
    """As many small messages as it can send."""
    talker = await company.talk(kind, gateway)
    asked = controls(kind)
    with contextlib.suppress(ConnectionClosed, OSError):
        for number in range(FLOOD):
            await put(talker, asked[number % len(asked)])
    talker.abort()


async def deaf(company: Company, kind: type[Talker], gateway: RunningGateway) -> None:
    """Asks and asks, and never reads."""
    talker = await company.talk(kind, gateway)
    talker._reading.cancel()
    asked = controls(kind)
    with contextlib.suppress(ConnectionClosed, OSError, TimeoutError):
        async with asyncio.timeout(3):
            for number in range(10 * FLOOD):
                await put(talker, asked[number % len(asked)])
    talker.abort()


async def half_open(company: Company, kind: type[Talker], gateway: RunningGateway) -> None:
    """Begins a message, and is never heard of again."""
    talker = await company.talk(kind, gateway)
    transport = talker.socket.transport if isinstance(talker, SocketTalker) else talker.writer.transport
    transport.write(
        b"\x82\xff\x00\x00" if isinstance(talker, SocketTalker) else b'{"type":"audio-chunk","pay'
    )
    await asyncio.sleep(1)
    talker.abort()


@pytest.mark.parametrize("attack", [garbage, huge, flood, deaf, half_open])
async def test_nobody_harms_another_stream(gateway: RunningGateway, company: Company, attack: object) -> None:
    """While clients of all protocols misbehave in the same way, one that does not is served as if it were alone."""
    assert callable(attack)
    victim = asyncio.ensure_future(say_all(company, Native, gateway, "dialog_en.wav", "victim", 0.008))
    await asyncio.gather(*(attack(company, kind, gateway) for kind in ALL))
    assert units((await victim).text()) == expected("dialog_en.wav")
    check_log(gateway)


# --- clients in a hurry ---


class Opus(Deepgram):
    """A device that sends packets of 20 ms."""

    query: ClassVar = {"encoding": "opus", "sample_rate": "16000"}

    async def send(self, pcm: bytes) -> None:
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
        for packet in opus_packets(samples, 20, 16_000):
            await self.socket.send(packet)


async def test_a_recording_sent_at_once_is_heard_to_the_end(
    tmp_path: Path, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although it has to wait for its turn: its pings are answered meanwhile, so that it does not give up."""
    monkeypatch.setattr(SocketTalker, "options", {"ping_interval": 0.5, "ping_timeout": 2})
    with running(tmp_path, *WYOMING, "--max-ahead-s=5") as gateway:
        clip = pcm16("en_01.wav") + silence(18) + pcm16("en_02.wav") + silence(1)
        talkers = [await company.talk(kind, gateway) for kind in [*FOREIGN, Opus]]
        for talker in talkers:
            await talker.send(clip)
        await asyncio.gather(*(talker.goodbye() for talker in talkers))
        for talker in talkers:
            await talker.end()
            assert units(talker.text()) == expected("en_01.wav") + expected("en_02.wav"), talker.protocol


# --- a gateway in trouble ---


async def test_an_engine_that_dies_loses_nothing(gateway: RunningGateway, company: Company) -> None:
    """Killed while everybody speaks: every word comes, in every protocol."""
    talkers = await asyncio.gather(*(company.talk(kind, gateway) for kind in ALL))
    pcm = pcm16("en_01.wav") + silence(1) + pcm16("en_02.wav")
    half = len(pcm) // 4 * 2
    await asyncio.gather(*(talker.speak(pcm[:half], 0.02) for talker in talkers))
    os.kill(gateway.worker_pid(), signal.SIGKILL)
    await asyncio.gather(*(talker.speak(pcm[half:], 0.02) for talker in talkers))
    await asyncio.gather(*(talker.goodbye() for talker in talkers))
    for talker in talkers:
        await talker.end()
        assert units(talker.text()) == expected("en_01.wav") + expected("en_02.wav"), talker.protocol


async def test_a_gateway_that_stops_lets_everybody_finish(tmp_path: Path, company: Company) -> None:
    """SIGTERM in the middle of a sentence: each has its final in its own shape, and the close that says 1001.
    It does not wait for what a client has sent ahead."""
    with running(tmp_path, *WYOMING, "--max-ahead-s=5") as gateway:
        beds = {kind: bed_of(kind, "stop") for kind in ALL}
        async with page_of(gateway, *beds.values()) as page:
            talkers = await asyncio.gather(*(company.talk(kind, gateway, beds[kind]) for kind in ALL))
            await asyncio.gather(
                *(talker.speak(pcm16("en_01.wav")[: 2 * 16_000 * 2], 0.02) for talker in talkers)
            )
            while {partial["bed"] for partial in page.of("partial")} < set(beds.values()):
                await page.until("partial")
            hasty = await company.talk(Deepgram, gateway)
            await hasty.send(pcm16("en_00.wav") + silence(120))
            await hasty.until(hasty.finals)
            gateway.process.send_signal(signal.SIGTERM)
            for talker in talkers:
                assert units(hull(await talker.end()).text)[:3] == ["i", "don't", "have"], talker.protocol
                assert talker.code == (0 if talker.protocol == "wyoming" else 1001), talker.protocol
            await page.end()
            assert {c["bed"] for c in page.of("caption") if units(c["text"])[0] == "i"} == set(beds.values())
        assert await asyncio.to_thread(gateway.process.wait, 30) == 0
        said = [json.loads(line)["event"] for line in gateway.log().splitlines() if line.startswith("{")]
        assert said[-1] == "stopped"


# --- a full gateway, and keys ---


async def test_a_full_gateway_refuses_in_each_protocols_own_way(tmp_path: Path, company: Company) -> None:
    """HTTP before the upgrade; a client that was let in before and begins now is told in its protocol."""
    with running(tmp_path, *WYOMING, "--max-sessions=1") as gateway:
        waiting = {kind: await company.talk(kind, gateway) for kind in (OpenAI, Vosk, Wyoming)}
        nameless = await connect(gateway.ws + "/", compression=None)
        async with peer(gateway.ws, "/v1/stream") as only:
            await only.start()
            for path, status, field in (
                ("/v1/stream", 503, "error"),
                ("/v1/realtime", 503, "error"),
                ("/v1/listen?encoding=linear16&sample_rate=16000", 429, "err_code"),
                ("/", 503, "error"),
                ("/whisperlive", 503, "error"),
                ("/vosk", 503, "error"),
            ):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(gateway.ws + path)
                answer = refused.value.response
                assert (answer.status_code, answer.headers["Retry-After"]) == (status, "5"), path
                assert json.loads(answer.body or b"")[field]
            await check_late_refusals(waiting, nameless)


async def check_late_refusals(waiting: dict[type[Talker], Talker], nameless: ClientConnection) -> None:
    """Of clients that were there before the gateway was full."""
    await nameless.send('{"uid": "me"}')
    assert json.loads(await nameless.recv())["status"] == "WAIT"
    await nameless.wait_closed()
    assert nameless.close_code == 1013
    for kind in (OpenAI, Vosk):
        await waiting[kind].send(bytes(3200))
        await waiting[kind].end()
        assert waiting[kind].code == 1013
    assert waiting[OpenAI].of("error")[0]["error"]["code"] == "rate_limit_exceeded"
    await waiting[Wyoming].send(bytes(3200))
    await waiting[Wyoming].goodbye()
    assert waiting[Wyoming].of("error")[0]["code"] == "overloaded"
    assert waiting[Wyoming].of("transcript")[0]["text"] == ""


async def test_a_key_that_is_revoked_ends_its_streams(tmp_path: Path, company: Company) -> None:
    """In the middle of a sentence, in every protocol that has keys: 1008, and the bed has the words."""
    data = tmp_path / "data"
    admin, key = make_key(data, "admin"), make_key(data, "speaker", "*")
    with running(tmp_path) as gateway:
        headers = {"additional_headers": {"Authorization": f"Bearer {admin}"}}
        async with peer(gateway.ws, "/v1/captions", **headers) as page:
            await page.say("watch", beds=["*"])
            talkers = [await company.talk(kind, gateway, kind.protocol, key=key) for kind in SOCKETS]
            await asyncio.gather(
                *(talker.speak(pcm16("en_01.wav")[: 2 * 16_000 * 2], 0.02) for talker in talkers)
            )
            await asyncio.to_thread(token, data, "revoke", key.split("_")[1])
            for talker in talkers:
                await talker.end()
                assert talker.code == (4401 if isinstance(talker, Native) else 1008), talker.protocol
            while {c["bed"] for c in page.of("caption")} < {kind.protocol for kind in SOCKETS}:
                caption = await page.until("caption")
                assert units(caption["text"])[:3] == ["i", "don't", "have"]
        assert key not in gateway.log()
