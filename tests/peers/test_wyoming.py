"""A real gateway spoken to by the wyoming package, as Home Assistant does."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.running import REPO, RunningGateway, environment
from tests.talking import REFERENCES, error_rate, peer
from tests.wyoming_peer import Event, audio, check_answer, info, ping, wyoming_peer

pytestmark = pytest.mark.slow
BED = "3A"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    options = ["--wyoming-port=0", f"--wyoming-bed={BED}"]
    gateway = RunningGateway.start(tmp_path_factory.mktemp("wyoming") / "log", *options)
    yield gateway
    assert gateway.stop() == 0, gateway.log()
    assert "connection failed" not in gateway.log()
    assert "Traceback" not in gateway.log()


@pytest.fixture
def url(gateway: RunningGateway) -> str:
    """The port that it got is in the log."""
    return str(gateway.wait_for_log("wyoming listening")["url"])


def is_right(clip: str, text: str) -> bool:
    """As good as the demo model is with this clip."""
    known = REFERENCES[clip]
    return bool(error_rate(known["text"], text) <= known["demo_model"]["error_rate"] + 0.01)


async def test_it_says_what_it_is(url: str) -> None:
    """Within the second that Home Assistant waits; languages of the loaded model."""
    async with asyncio.timeout(1), wyoming_peer(url) as client:
        await client.send(info.Describe())
        [program] = info.Info.from_event(Event("info", await client.until("info"))).asr
    assert program.supports_transcript_streaming
    assert [language for model in program.models if model.installed for language in model.languages] == [
        "en",
        "zh",
    ]


@pytest.mark.parametrize(
    ("clip", "language"),
    [("en_01.wav", "en-US"), ("zh_01.wav", "zh-TW"), ("en_02.wav", "fr"), ("zh_02.wav", None)],
)
async def test_an_utterance_becomes_a_transcript(url: str, clip: str, language: str | None) -> None:
    """Named languages are those of the model; others, and none, are detected. Chinese is Traditional."""
    async with wyoming_peer(url) as client:
        await client.speak(clip, language=language)
        said = check_answer(await client.answer())
    assert is_right(clip, said["text"])
    assert said["language"] == REFERENCES[clip]["language"]


@pytest.mark.parametrize("clip", ["dialog_en.wav", "dialog_zh.wav"])
async def test_pauses_do_not_end_an_utterance(url: str, clip: str) -> None:
    """Each caption is a chunk, in order, also before audio-stop; between Chinese ones there is no space."""
    known = REFERENCES[clip]
    async with wyoming_peer(url) as client:
        await client.speak(clip, stop=False, language=known["language"])
        await client.until("transcript-chunk")
        await client.send(audio.AudioStop())
        await client.until("transcript-stop")
    text = check_answer(client.said)["text"]
    chunks = [event for event in client.said if event.type == "transcript-chunk"]
    assert len(chunks) > 3
    assert (" " in text) is (known["language"] == "en")
    assert error_rate(known["text"], text) < 0.3
    voice = [event for event in client.said if event.type.startswith("voice")]
    times = [event.data["timestamp"] for event in voice]
    assert times == sorted(times)
    assert [event.type for event in voice] == ["voice-started", "voice-stopped"] * (len(voice) // 2)


async def test_several_utterances_follow_each_other_on_a_connection(url: str) -> None:
    """Sent all at once: one transcript each, in order; a ping in between is answered in its turn."""
    clips = ["en_00.wav", "zh_00.wav", "en_03.wav"]
    async with wyoming_peer(url) as client:
        for clip in clips:
            await client.speak(clip, language=REFERENCES[clip]["language"])
            await client.send(ping.Ping("after"))
        for clip in clips:
            text = check_answer(await client.answer())["text"]
            assert is_right(clip, text)
            assert await client.until("pong") == {"text": "after"}


async def test_a_client_may_go_on_without_transcribe_and_audio_start(url: str) -> None:
    """Chunks alone, of one odd size, and 8 kHz stereo after 16 kHz mono; nothing of it raises or is lost."""
    async with wyoming_peer(url) as client:
        await client.send(audio.AudioStop())
        assert check_answer(await client.answer()) == {"text": ""}
        await client.send(
            audio.AudioChunk(16_000, 2, 1, bytes(3201)), audio.AudioChunk(8_000, 1, 2, b"\x80" * 999)
        )
        await client.send(audio.AudioStop())
        assert check_answer(await client.answer()) == {"text": ""}
        await client.send(audio.AudioChunk(96_000, 2, 1, bytes(3200)), audio.AudioStop())
        assert (await client.until("error"))["code"] == "bad_audio_format"
        assert check_answer(await client.answer()) == {"text": ""}


async def test_viewers_of_the_bed_read_it(gateway: RunningGateway, url: str) -> None:
    """Also the words of a client that is gone before audio-stop."""
    async with peer(gateway.ws, "/v1/captions") as viewer:
        await viewer.say("watch", beds=[BED])
        async with wyoming_peer(url) as client:
            await client.speak("en_00.wav", stop=False, language="en", context={"bed": "4B"})
            await client.until("voice-stopped")
        caption = await viewer.until("caption")
    assert (caption["bed"], caption["text"]) == (BED, "I am cold.")


def test_the_example_of_the_page_works(url: str) -> None:
    """docs/wyoming.md, copied and run."""
    page = (REPO / "docs" / "wyoming.md").read_text(encoding="utf-8")
    [script] = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, "tests/data/audio/zh_00.wav", url],
        cwd=REPO, env=environment({"PYTHONUTF8": "1"}),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "請不要動你的右腳。"


def test_metrics_tell_the_protocol(gateway: RunningGateway) -> None:
    """Sessions, audio and finals have the label."""
    for name in ("sessions", "audio_seconds", "finals"):
        assert gateway.metric(f'care_voice_{name}_total{{protocol="wyoming"}}') > 0
