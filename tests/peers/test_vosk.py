"""Vosk's own client against a real gateway: frames of 4000 bytes in lock step, as its `vosk-transcriber` sends."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from vosk.transcriber.transcriber import Transcriber
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.connection.speech import AUDIO, pcm16
from tests.running import REPO, RunningGateway, environment
from tests.talking import REFERENCES, error_rate, peer
from tests.test_access_gateway import make_key
from tests.test_docs import blocks, read

pytestmark = pytest.mark.slow
SPEED = 8
"""Times real time: fast, and slow enough that results come before the end."""


class Recording:
    """What the client takes for ffmpeg's output."""

    def __init__(self, pcm: bytes) -> None:
        self._pcm = pcm

    async def read(self, count: int) -> bytes:
        await asyncio.sleep(count / 32_000 / SPEED)
        piece, self._pcm = self._pcm[:count], self._pcm[count:]
        return piece


async def transcribe(address: str, pcm: bytes) -> list[dict[str, Any]]:
    """The results that the package collects. It has no model here: the gateway has one."""
    transcriber = Transcriber.__new__(Transcriber)
    transcriber.args = SimpleNamespace(server=address)
    async with asyncio.timeout(60):
        results, heard = await transcriber.recognize_stream_server(SimpleNamespace(stdout=Recording(pcm)))
    assert heard == len(pcm)
    return list(results)


def text_of(results: list[dict[str, Any]]) -> str:
    return " ".join(result["text"] for result in results if result["text"])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vosk")


@pytest.fixture(scope="module")
def device(directory: Path) -> str:
    """The key of a device at bed 3A."""
    return make_key(directory / "data", "speaker", "3A")


@pytest.fixture(scope="module")
def ward(directory: Path, device: str) -> Iterator[RunningGateway]:
    """A gateway with keys."""
    assert device
    running = RunningGateway.start(directory / "log")
    yield running
    assert running.stop() == 0, running.log()
    assert device not in running.log()


@pytest.mark.parametrize("path", ["/", "/ws", "/vosk"])
async def test_the_package_transcribes_english(gateway: RunningGateway, path: str) -> None:
    """Sentence by sentence, with words whose times grow; at any of its addresses."""
    pcm = pcm16("dialog_en.wav")[: 32_000 * 13]
    results = await transcribe(gateway.ws + path, pcm)
    said = " ".join(s["text"] for s in REFERENCES["dialog_en.wav"]["segments"] if s["end"] < 13)
    assert error_rate(said, text_of(results)) <= 0.1
    assert sum(bool(result["text"]) for result in results) >= 4
    words = [word for result in results for word in result.get("result", [])]
    assert " ".join(word["word"] for word in words) == text_of(results)
    assert all(a["end"] <= b["start"] for a, b in pairwise(words))
    assert words[-1]["end"] <= 13


async def test_the_package_transcribes_chinese(gateway: RunningGateway) -> None:
    """Traditional; the language is detected, or named in the address."""
    for query in ("", "?language=zh"):
        results = await transcribe(f"{gateway.ws}/vosk{query}", pcm16("zh_01.wav"))
        assert error_rate(REFERENCES["zh_01.wav"]["text"], text_of(results)) <= 0.1


async def test_audio_first_is_8000_hz(gateway: RunningGateway) -> None:
    """A telephone that sends no config; one reply to each frame and one to eof, though nobody waits for them."""
    with av.open(str(AUDIO / "en_01.wav")) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=8_000)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        pcm = b"".join(frame.to_ndarray().tobytes() for frame in [*frames, *resampler.resample(None)])
    async with connect(gateway.ws + "/", compression=None) as server:
        sent = [pcm[i : i + 1001] for i in range(0, len(pcm), 1001)]
        for piece in sent:
            await server.send(piece)
        await server.send('{"eof": 1}')
        replies = [json.loads(reply) async for reply in server]
    assert server.close_code == 1000
    assert len(replies) == len(sent) + 1
    text = text_of([reply for reply in replies if "text" in reply])
    assert error_rate(REFERENCES["en_01.wav"]["text"], text) <= 0.3


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (["nonsense"], "uid"),
        (['{"config": {"sample_rate": 4000}}', bytes(400)], "4000 Hz"),
        (['{"config": {"phrase_list": 7}}'], "phrase_list"),
    ],
)
async def test_what_cannot_be_served_is_closed_with_the_reason(
    gateway: RunningGateway, frames: list[str | bytes], reason: str
) -> None:
    """1008: the protocol has no words for errors."""
    async with connect(gateway.ws + "/", compression=None) as server:
        for frame in frames:
            await server.send(frame)
        with pytest.raises(ConnectionClosed):
            await server.recv()
        assert server.close_code == 1008
        assert reason in (server.close_reason or "")


async def test_a_key_goes_into_the_address(ward: RunningGateway, device: str) -> None:
    """On the nameless address as well; the captions go to the device's own bed, where a viewer reads them."""
    with pytest.raises(InvalidStatus) as refused:
        await transcribe(ward.ws + "/", b"")
    assert refused.value.response.status_code == 401
    admin = make_key(ward.log_path.parent / "data", "admin")
    headers = {"Authorization": f"Bearer {admin}"}
    async with peer(ward.ws, "/v1/captions", additional_headers=headers) as viewer:
        await viewer.say("watch", beds=["*"])
        for key, path, bed in ((device, "/", "3A"), (admin, "/vosk?bed=4B", "4B")):
            address = ward.ws.replace("ws://", f"ws://any:{key}@") + path
            results = await transcribe(address, pcm16("en_00.wav"))
            caption = await viewer.until("caption", bed=bed)
            assert caption["text"] == text_of(results) == REFERENCES["en_00.wav"]["text"]


async def test_a_browser_offers_its_key_as_a_subprotocol(ward: RunningGateway, device: str) -> None:
    """`bearer` is answered, or the browser would hang up."""
    for path in ("/", "/vosk"):
        offered = [Subprotocol("bearer"), Subprotocol(device)]
        async with connect(ward.ws + path, subprotocols=offered, compression=None) as server:
            assert server.subprotocol == "bearer"
            await server.send('{"eof": 1}')
            assert json.loads(await server.recv()) == {"text": ""}


async def test_a_key_speaks_at_its_own_bed_only(ward: RunningGateway, device: str) -> None:
    """Refused before the upgrade."""
    address = ward.ws.replace("ws://", f"ws://any:{device}@")
    with pytest.raises(InvalidStatus) as refused:
        await transcribe(f"{address}/vosk?bed=4A", b"")
    assert refused.value.response.status_code == 403


def test_it_is_counted_by_its_own_name(gateway: RunningGateway) -> None:
    """Also where the address has several protocols."""
    asyncio.run(transcribe(gateway.ws + "/", bytes(8000)))
    assert 'care_voice_sessions_total{protocol="vosk"}' in gateway.get("/metrics")
    assert 'protocol="nameless"' not in gateway.get("/metrics")


def test_the_example_of_the_page_prints_what_was_said(gateway: RunningGateway, tmp_path: Path) -> None:
    """Copied, with nothing but the address changed."""
    [example] = [text for language, text in blocks(read("docs/vosk.md")) if language == "python"]
    program = tmp_path / "program.py"
    program.write_text(example.replace("ws://127.0.0.1:8001", gateway.ws).replace("3A", "VOSK"))
    done = subprocess.run(
        [sys.executable, str(program), "tests/data/audio/en_00.wav"],
        cwd=REPO, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [REFERENCES["en_00.wav"]["text"]]
    assert REFERENCES["en_00.wav"]["text"] in gateway.get("/v1/beds/VOSK/captions")
