"""WhisperLive's own package against a real gateway: its three clients, its committed list, its files."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.connection.speech import AUDIO, pcm16
from tests.peers.whisperlive_program import STUBS, Heard
from tests.running import REPO, RunningGateway, environment
from tests.talking import REFERENCES, error_rate, peer
from tests.test_access_gateway import make_key
from tests.test_docs import blocks, read

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).parent / "whisperlive_program.py"
HELLO = {"uid": "u", "language": "en", "task": "transcribe", "model": "small", "use_vad": True}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whisperlive")


@pytest.fixture(scope="module")
def device(directory: Path) -> str:
    """The key of a device at bed 3A."""
    return make_key(directory / "data", "speaker", "3A")


@pytest.fixture(scope="module")
def ward(directory: Path, device: str) -> Iterator[RunningGateway]:
    """A gateway with keys, which takes them in addresses too."""
    assert device
    running = RunningGateway.start(directory / "log", "--query-tokens")
    yield running
    assert running.stop() == 0, running.log()
    assert device not in running.log()


def port(gateway: RunningGateway) -> str:
    return gateway.url.rsplit(":", 1)[1]


def run(kind: str, at: str, clip: str | Path, cwd: Path, **options: Any) -> Heard:
    """The package in a process of its own. `kind`: stream, halves, play. `at`: what it takes for the port."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", PROGRAM, kind, at, str(clip), json.dumps(options)],
        cwd=cwd, env=environment({"PYTHONPATH": str(REPO)}), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *_, heard = [line for line in done.stdout.splitlines() if line.startswith('{"')]
    return replace(Heard(**json.loads(heard)), printed=done.stdout.replace(heard, ""))


def raw(directory: Path, name: str, seconds: float = 60) -> Path:
    """A clip as the samples that the streaming client is given."""
    path = directory / f"{name}-{seconds}.pcm"
    path.write_bytes(pcm16(name)[: int(32_000 * seconds)])
    return path


def text_of(heard: Heard) -> str:
    return "".join(segment["text"] for segment in heard.committed)


@pytest.mark.parametrize("path", ["", "/ws", "/whisperlive"])
def test_the_streaming_client_transcribes(gateway: RunningGateway, directory: Path, path: str) -> None:
    """Its committed list is what was on the wire, in order, without overlaps; nothing is lost at the end."""
    clip = raw(directory, "dialog_en.wav", 13)
    heard = run("stream", port(gateway) + path, clip, directory, lang="en", send_last_n_segments=2)
    said = " ".join(s["text"] for s in REFERENCES["dialog_en.wav"]["segments"] if s["end"] < 13)
    assert error_rate(said, text_of(heard)) <= 0.1
    assert heard.committed == heard.completed
    assert len(heard.committed) >= 4
    assert all(float(a["end"]) <= float(b["start"]) for a, b in pairwise(heard.committed))
    assert all(0 < len(message["segments"]) <= 3 for message in heard.messages if "segments" in message)


def test_it_transcribes_chinese_and_tells_the_language(gateway: RunningGateway, directory: Path) -> None:
    """Traditional; the language comes before any segments, once, and only to those who did not name it."""
    for language, told in ((None, ["zh"]), ("zh", [])):
        heard = run("stream", port(gateway), raw(directory, "zh_01.wav"), directory, lang=language)
        assert error_rate(REFERENCES["zh_01.wav"]["text"], text_of(heard)) <= 0.1
        assert [message["language"] for message in heard.messages if "language" in message] == told
        kinds = ["language" in message for message in heard.messages if "message" not in message]
        assert kinds[: len(told)] == [True] * len(told)


def test_captions_grow_while_somebody_speaks(gateway: RunningGateway, directory: Path) -> None:
    """An open segment comes in the middle of the sentence."""
    heard = run("halves", port(gateway), raw(directory, "en_01.wav"), directory, lang="en")
    assert heard.early
    assert len(heard.committed) == 1
    assert error_rate(REFERENCES["en_01.wav"]["text"], text_of(heard)) == 0


def test_a_file_is_transcribed_and_its_subtitles_are_written(gateway: RunningGateway, tmp_path: Path) -> None:
    """The client plays the file, waits for texts and hangs up without waiting for the last ones. Its file has
    each sentence once."""
    heard = run("play", port(gateway), AUDIO / "en_01.wav", tmp_path, lang="en")
    assert error_rate(REFERENCES["en_01.wav"]["text"], heard.text) == 0
    assert heard.committed == heard.completed
    lines = (tmp_path / "output.srt").read_text().splitlines()
    assert [line.strip() for line in lines[2::4]] == [heard.text]


def test_what_cannot_be_served_is_an_error(gateway: RunningGateway, directory: Path) -> None:
    """The package prints its words and gives up."""
    heard = run("stream", port(gateway), raw(directory, "en_00.wav"), directory, lang="xx")
    assert heard.error
    assert "`language` must be one of: en, zh" in heard.printed


async def test_a_browser_offers_its_key_as_a_subprotocol(ward: RunningGateway, device: str) -> None:
    """`bearer` is answered, never the key; programs send a header."""
    offers: list[dict[str, Any]] = [
        {"subprotocols": [Subprotocol("bearer"), Subprotocol(device)]},
        {"additional_headers": {"Authorization": f"Bearer {device}"}},
    ]
    for path in ("/", "/ws", "/whisperlive"):
        for offer in offers:
            async with connect(ward.ws + path, compression=None, **offer) as socket:
                assert socket.subprotocol == ("bearer" if "subprotocols" in offer else None)
                await socket.send(json.dumps(HELLO))
                assert json.loads(await socket.recv())["message"] == "SERVER_READY"
                await socket.send("END_OF_AUDIO")
                await socket.wait_closed()
                assert socket.close_code == 1000
        with pytest.raises(InvalidStatus) as refused:
            async with connect(ward.ws + path, compression=None):
                pass
        assert refused.value.response.status_code == 401


async def test_viewers_of_the_bed_read_it(ward: RunningGateway, directory: Path, device: str) -> None:
    """Of the bed in the address, or the only one of the key; the package can put both behind its port."""
    admin = make_key(directory / "data", "admin")
    headers = {"Authorization": f"Bearer {admin}"}
    clip = raw(directory, "en_00.wav")
    async with peer(ward.ws, "/v1/captions", additional_headers=headers) as viewer:
        await viewer.say("watch", beds=["*"])
        for way, bed in ((f"/?token={device}", "3A"), (f"/whisperlive?bed=4B&token={admin}", "4B")):
            heard = await asyncio.to_thread(run, "stream", port(ward) + way, clip, directory, lang="en")
            caption = await viewer.until("caption", bed=bed)
            assert f" {caption['text']}" == text_of(heard) == f" {REFERENCES['en_00.wav']['text']}"


def test_the_package_without_a_key_is_refused(ward: RunningGateway, directory: Path) -> None:
    """It has no way to send one but the address."""
    heard = run("stream", port(ward), raw(directory, "en_00.wav"), directory)
    assert "401" in heard.error


def test_the_page_is_still_at_the_same_address(gateway: RunningGateway, ward: RunningGateway) -> None:
    """`GET /` without an upgrade is the ward's page, or where there are keys the way to the login."""
    assert "ward-page.js" in gateway.get("/")
    assert "login-page.js" in ward.get("/")


def test_it_is_counted_by_its_own_name(gateway: RunningGateway, directory: Path) -> None:
    """Also where the address has several protocols."""
    run("stream", port(gateway), raw(directory, "en_00.wav", 0.1), directory)
    assert 'care_voice_sessions_total{protocol="whisperlive"}' in gateway.get("/metrics")
    assert 'protocol="nameless"' not in gateway.get("/metrics")


def test_the_example_of_the_page_prints_what_was_said(gateway: RunningGateway, tmp_path: Path) -> None:
    """Copied, with nothing but the address changed."""
    [example] = [text for language, text in blocks(read("docs/whisperlive.md")) if language == "python"]
    program = tmp_path / "program.py"
    program.write_text(example.replace("8001", port(gateway)).replace("3A", "WL"))
    for name, source in STUBS.items():
        (tmp_path / f"{name}.py").write_text(source)
    done = subprocess.run(
        [sys.executable, str(program), "tests/data/audio/en_00.wav"],
        cwd=REPO, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert REFERENCES["en_00.wav"]["text"] in done.stdout.splitlines()
    assert REFERENCES["en_00.wav"]["text"] in gateway.get("/v1/beds/WL/captions")
