"""OpenAI's own SDK against a real gateway with keys: clear English and Chinese, both generations, errors, beds."""

import asyncio
import base64
import json
import sys
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import openai
import opencc
import pytest
from openai import AsyncOpenAI
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from gateway.detection.audio import alaw_table, mulaw_table
from tests.connection.protocols.realtime import check_conversation, check_event
from tests.connection.speech import AUDIO, pcm16
from tests.peers.keys import make_key
from tests.running import RunningGateway, environment
from tests.talking import REFERENCES, SECRETS, Peer, error_rate, peer
from tests.test_docs import blocks, read

pytestmark = pytest.mark.slow
WAIT_S = 20
IDLE_S = 2
INTENT = {"intent": "transcription"}
SECOND = bytes(48_000)
COMPLETED = "conversation.item.input_audio_transcription.completed"
DELTA = "conversation.item.input_audio_transcription.delta"


@cache
def pcm24(name: str) -> bytes:
    """A clip as 24 kHz mono pcm_s16le, OpenAI's only rate."""
    with av.open(str(AUDIO / name)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=24_000)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        return b"".join(frame.to_ndarray().tobytes() for frame in [*frames, *resampler.resample(None)])


def g711(name: str, table: np.ndarray) -> bytes:
    """A clip of 16 kHz as 8 kHz G.711: the nearest of its 256 values for the mean of two samples."""
    samples = np.frombuffer(pcm16(name), "<i2").astype(np.float32) / 32768
    order = np.argsort(table)
    middles = (table[order][1:] + table[order][:-1]) / 2
    return order[np.searchsorted(middles, (samples[0::2] + samples[1::2]) / 2)].astype(np.uint8).tobytes()


@dataclass
class Ward:
    """A gateway with keys."""

    gateway: RunningGateway
    keys: dict[str, str]

    def client(self, who: str, key: str = "") -> AsyncOpenAI:
        url, ws = f"{self.gateway.url}/v1", f"{self.gateway.ws}/v1"
        key = key or self.keys[who]
        return AsyncOpenAI(api_key=key, base_url=url, websocket_base_url=ws, max_retries=0)

    def url(self, query: str = "intent=transcription") -> str:
        return f"{self.gateway.ws}/v1/realtime?{query}"


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    directory = tmp_path_factory.mktemp("openai")
    roles = {"speaker": ("speaker", "[34]*"), "device": ("speaker", "3A"), "viewer": ("viewer", "*")}
    keys = {who: make_key(directory / "data", role, bed) for who, (role, bed) in roles.items()}
    gateway = RunningGateway.start(directory / "log", "--idle-timeout-s", str(IDLE_S))
    yield Ward(gateway, keys)
    assert gateway.stop() == 0, gateway.log()
    for secret in [*keys.values(), *SECRETS]:
        assert secret not in gateway.log()


@dataclass
class Live:
    """One connection of the SDK, GA's or the beta's, and every event that came; each is of the SDK's own class."""

    connection: Any
    events: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of this type."""
        async with asyncio.timeout(WAIT_S):
            while True:
                frame = await self.connection.recv_bytes()
                assert self.connection.parse_event(frame).event_id
                event = json.loads(frame)
                check_event(event)
                self.events.append(event)
                if event["type"] == kind:
                    return dict(event)

    async def configure(self, **fields: Any) -> dict[str, Any]:
        """`session.update` with these fields of `audio.input`: what is in effect then."""
        await self.connection.session.update(session={"type": "transcription", "audio": {"input": fields}})
        return dict((await self.until("session.updated"))["session"]["audio"]["input"])

    async def speak(self, audio: bytes, chunk: int = 4800, pause_s: float = 0) -> None:
        for start in range(0, len(audio), chunk):
            await self.connection.input_audio_buffer.append(
                audio=base64.b64encode(audio[start : start + chunk]).decode()
            )
            await asyncio.sleep(pause_s)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def check(self) -> None:
        check_conversation(self.events)
        for completed in self.of(COMPLETED):
            deltas = [e["delta"] for e in self.of(DELTA) if e["item_id"] == completed["item_id"]]
            assert "".join(deltas) == completed["transcript"]


@asynccontextmanager
async def live(ward: Ward, who: str = "speaker", **query: str) -> AsyncIterator[Live]:
    asked = {**INTENT, **query}
    async with ward.client(who) as client, client.realtime.connect(extra_query=asked) as connection:
        talk = Live(connection)
        await talk.until("session.created")
        yield talk
        talk.check()


def says(name: str, text: str) -> bool:
    return error_rate(REFERENCES[name]["text"], text) == 0


async def test_turns_by_vad_while_somebody_speaks(ward: Ward) -> None:
    """At the pace of speech: deltas before the end, one item for each sentence, all of it in order."""
    async with live(ward) as talk:
        turns = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 400}
        config = await talk.configure(
            transcription={"model": "gpt-4o-transcribe", "language": "en"}, turn_detection=turns
        )
        assert config["transcription"] == {"model": "gpt-4o-transcribe", "language": "en"}
        assert config["turn_detection"] == turns
        await talk.speak(pcm24("en_01.wav") + SECOND, pause_s=0.04)
        await talk.speak(pcm24("en_02.wav") + SECOND, pause_s=0.02)
        first, second = [await talk.until(COMPLETED), await talk.until(COMPLETED)]
    assert says("en_01.wav", first["transcript"])
    assert says("en_02.wav", second["transcript"])
    assert first["languages"] == [{"code": "en"}]
    assert 1 < first["usage"]["seconds"] < 3.5
    deltas = [e for e in talk.events if e["type"] == DELTA and e["item_id"] == first["item_id"]]
    committed = next(e for e in talk.events if e["type"].endswith("committed"))
    assert talk.events.index(deltas[0]) < talk.events.index(committed)
    assert all(e["delta"].startswith(" ") or e is deltas[0] for e in deltas[:-1])


async def test_turns_by_commit(ward: Ward) -> None:
    """Two sentences and a pause are one item, joined; a whole recording may come in one event."""
    async with live(ward) as talk:
        assert (await talk.configure(transcription={"language": "en"}, turn_detection=None))[
            "turn_detection"
        ] is None
        await talk.speak(pcm24("en_01.wav") + 3 * SECOND, chunk=1 << 20)
        await talk.speak(pcm24("en_02.wav"), chunk=1 << 20)
        await talk.connection.input_audio_buffer.commit()
        one = await talk.until(COMPLETED)
        await talk.speak(pcm24("en_00.wav"))
        await talk.connection.input_audio_buffer.commit()
        other = await talk.until(COMPLETED)
    both = f"{REFERENCES['en_01.wav']['text']} {REFERENCES['en_02.wav']['text']}"
    assert error_rate(both, one["transcript"]) == 0
    assert one["usage"]["seconds"] == pytest.approx(2.53 + 3 + 2.57, abs=0.05)
    assert says("en_00.wav", other["transcript"])
    assert not any("speech_" in e["type"] for e in talk.events)


async def test_chinese_is_traditional(ward: Ward) -> None:
    """Found by itself, without a space between its characters, whoever ends the turns."""
    async with live(ward) as talk:
        await talk.configure(turn_detection=None, transcription={"model": "whisper-1", "language": "zh-TW"})
        await talk.speak(pcm24("zh_01.wav") + 3 * SECOND + pcm24("zh_02.wav"))
        await talk.connection.input_audio_buffer.commit()
        both = (await talk.until(COMPLETED))["transcript"]
        await talk.configure(turn_detection={"type": "semantic_vad", "eagerness": "high"}, transcription=None)
        await talk.speak(pcm24("zh_00.wav") + SECOND)
        one = await talk.until(COMPLETED)
    assert error_rate(REFERENCES["zh_01.wav"]["text"] + REFERENCES["zh_02.wav"]["text"], both) == 0
    assert " " not in both
    assert says("zh_00.wav", one["transcript"])
    assert one["languages"] == [{"code": "zh"}]
    assert opencc.OpenCC("t2s").convert(both) != both


@pytest.mark.parametrize(("kind", "table"), [("audio/pcmu", mulaw_table), ("audio/pcma", alaw_table)])
async def test_g711(ward: Ward, kind: str, table: Any) -> None:
    """Telephones' bytes, 8 kHz."""
    async with live(ward) as talk:
        config = await talk.configure(
            format={"type": kind}, transcription={"language": "en"}, turn_detection=None
        )
        assert config["format"] == {"type": kind}
        await talk.speak(g711("en_01.wav", table()), chunk=800)
        await talk.connection.input_audio_buffer.commit()
        completed = await talk.until(COMPLETED)
    assert error_rate(REFERENCES["en_01.wav"]["text"], completed["transcript"]) <= 0.3


async def test_the_beta_client(ward: Ward) -> None:
    """transcription_session.* and conversation.item.created; the rest is the same."""
    async with ward.client("speaker") as client:
        beta = client.beta.realtime.connect(model="whisper-1", extra_query=INTENT)
        async with beta as connection:
            talk = Live(connection)
            await talk.until("transcription_session.created")
            session = {
                "input_audio_format": "pcm16",
                "input_audio_transcription": {"model": "whisper-1", "language": "en"},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
            }
            await connection.transcription_session.update(session=session)
            updated = (await talk.until("transcription_session.updated"))["session"]
            assert updated["input_audio_transcription"] == {"model": "whisper-1", "language": "en"}
            assert updated["turn_detection"]["silence_duration_ms"] == 300
            await talk.speak(pcm24("en_01.wav") + SECOND)
            assert says("en_01.wav", (await talk.until(COMPLETED))["transcript"])
            talk.check()
    assert talk.of("conversation.item.created")
    assert not talk.of("conversation.item.added")


async def test_errors_leave_the_connection_alive(ward: Ward) -> None:
    """Each is told with the client's own id; what follows works."""
    async with live(ward) as talk:
        await talk.connection.send({"type": "response.create", "event_id": "a"})
        unsupported = (await talk.until("error"))["error"]
        assert (unsupported["code"], unsupported["event_id"]) == ("unsupported_event", "a")
        await talk.connection.input_audio_buffer.commit(event_id="b")
        empty = (await talk.until("error"))["error"]
        assert (empty["code"], empty["event_id"]) == ("input_audio_buffer_commit_empty", "b")
        await talk.connection.send(
            {"type": "session.update", "session": {"audio": {"input": {"transcription": {"language": "xx"}}}}}
        )
        wrong = (await talk.until("error"))["error"]
        assert wrong["param"] == "session.audio.input.transcription.language"
        await talk.speak(pcm24("en_02.wav")[:48_000])
        await talk.connection.input_audio_buffer.clear()
        await talk.until("input_audio_buffer.cleared")
        await talk.speak(pcm24("en_01.wav") + SECOND)
        assert says("en_01.wav", (await talk.until(COMPLETED))["transcript"])
        assert len(talk.of(COMPLETED)) == 1


async def test_a_silent_client_stays(ward: Ward) -> None:
    """Longer than a session may be idle: nothing comes, nothing is closed, and then it speaks on."""
    async with live(ward) as talk:
        await talk.speak(bytes(4800))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(IDLE_S * 1.25):
                await talk.connection.recv_bytes()
        await talk.speak(pcm24("en_00.wav") + SECOND)
        assert says("en_00.wav", (await talk.until(COMPLETED))["transcript"])


# --- keys and beds --------------------------------------------------------------------------------------------


async def test_a_wrong_key_is_the_sdks_own_exception(ward: Ward) -> None:
    """Over HTTP and before the upgrade, in our words."""
    async with ward.client("", key="cv_none_such") as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.models.list()
        assert refused.value.code == "invalid_api_key"
        assert "This key is not known here" in refused.value.message
        with pytest.raises(InvalidStatus) as no:
            async with client.realtime.connect(extra_query=INTENT):
                pass
    assert no.value.response.status_code == 401
    body = json.loads(no.value.response.body or b"")["error"]
    assert (body["type"], body["code"]) == ("invalid_request_error", "invalid_api_key")
    assert "This key is not known here" in body["message"]


async def test_a_bed_that_is_not_ones_own(ward: Ward) -> None:
    """403 before the upgrade; a name that is none: 400."""
    for who, bed, status in (("device", "4B", 403), ("speaker", "a/b", 400)):
        with pytest.raises(InvalidStatus) as no:
            async with live(ward, who, bed=bed):
                pass
        assert no.value.response.status_code == status
        assert json.loads(no.value.response.body or b"")["error"]["message"]


@asynccontextmanager
async def watching(ward: Ward) -> AsyncIterator[Peer]:
    headers = {"Authorization": f"Bearer {ward.keys['viewer']}"}
    async with peer(ward.gateway.ws, "/v1/captions", additional_headers=headers) as viewer:
        await viewer.say("watch", beds=["*"])
        yield viewer


@pytest.mark.parametrize(("who", "query", "bed"), [("speaker", {"bed": "3B"}, "3B"), ("device", {}, "3A")])
async def test_the_captions_reach_the_page_of_the_bed(ward: Ward, who: str, query: dict, bed: str) -> None:
    """The address names it, or the key was made for one."""
    async with watching(ward) as viewer, live(ward, who, **query) as talk:
        await talk.configure(transcription={"language": "en"}, turn_detection=None)
        await talk.speak(pcm24("en_01.wav"))
        await talk.connection.input_audio_buffer.commit()
        said = (await talk.until(COMPLETED))["transcript"]
        caption = await viewer.until("caption", bed=bed)
    assert caption["text"] == said


async def test_a_browser_with_a_short_lived_key(ward: Ward) -> None:
    """Minted by the SDK, offered as a subprotocol: exactly `realtime` is answered; it speaks at its bed only."""
    async with ward.client("speaker") as client:
        secret = await client.realtime.client_secrets.create(
            expires_after={"anchor": "created_at", "seconds": 60},
            session={"type": "transcription", "audio": {"input": {"transcription": {"language": "en"}}}},
            extra_query={"bed": "3B"},
        )
        with pytest.raises(openai.BadRequestError) as wrong:
            await client.realtime.client_secrets.create(
                session={"type": "transcription", "audio": {"input": {"transcription": {"language": "xx"}}}}
            )
        assert wrong.value.param == "session.audio.input.transcription.language"
        with pytest.raises(openai.BadRequestError):
            await client.realtime.client_secrets.create(expires_after={"anchor": "created_at", "seconds": 5})
    SECRETS.add(secret.value)
    assert secret.session.type == "transcription"
    offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{secret.value}")]
    async with connect(ward.url("intent=transcription&bed=3B"), subprotocols=offered) as socket:
        assert socket.subprotocol == "realtime"
        assert json.loads(await socket.recv())["type"] == "session.created"
        for event in (
            {
                "type": "session.update",
                "session": {"type": "transcription", "audio": {"input": {"turn_detection": None}}},
            },
            {"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm24("en_01.wav")).decode()},
            {"type": "input_audio_buffer.commit"},
        ):
            await socket.send(json.dumps(event))
        async with asyncio.timeout(WAIT_S):
            while (event := json.loads(await socket.recv()))["type"] != COMPLETED:
                check_event(event)
        assert says("en_01.wav", event["transcript"])
    for protocols, bed, status in (
        (offered, "4C", 403),
        ([offered[0], Subprotocol("openai-insecure-api-key.x")], "3B", 401),
    ):
        with pytest.raises(InvalidStatus) as no:
            async with connect(ward.url(f"bed={bed}"), subprotocols=protocols):
                pass
        assert no.value.response.status_code == status


async def test_the_betas_short_lived_key(ward: Ward) -> None:
    """It comes within the session."""
    async with ward.client("device") as client:
        session = await client.beta.realtime.transcription_sessions.create(
            input_audio_format="g711_ulaw", input_audio_transcription={"language": "zh"}
        )
        SECRETS.add(session.client_secret.value)
        assert session.input_audio_format == "g711_ulaw"
        assert session.input_audio_transcription is not None
        assert session.input_audio_transcription.language == "zh"
    offered = [
        Subprotocol(f"openai-insecure-api-key.{session.client_secret.value}"),
        Subprotocol("openai-beta.realtime-v1"),
    ]
    async with connect(ward.url(), subprotocols=offered) as socket:
        assert socket.subprotocol == "openai-beta.realtime-v1"
        assert json.loads(await socket.recv())["type"] == "transcription_session.created"
    async with ward.client("viewer") as client:
        with pytest.raises(openai.PermissionDeniedError):
            await client.beta.realtime.transcription_sessions.create()


async def test_models(ward: Ward) -> None:
    """The one that is loaded, and the name that clients look for; any other name is served too."""
    async with ward.client("viewer") as client:
        assert [model.id async for model in client.models.list()] == ["demo", "whisper-1"]
        for name in ("gpt-4o-transcribe", "some/one's model"):
            assert (await client.models.retrieve(name)).id == name


# --- the page -------------------------------------------------------------------------------------------------


async def test_the_example_of_the_page_works(ward: Ward, tmp_path: Path) -> None:
    """Copied as it stands, with the address and the key in the environment."""
    [program] = [text for language, text in blocks(read("docs/openai-realtime.md")) if language == "python"]
    (tmp_path / "realtime.py").write_text(program)
    with wave.open(str(tmp_path / "hello.wav"), "wb") as recording:
        recording.setparams((1, 2, 16_000, 0, "NONE", ""))
        recording.writeframes(pcm16("en_01.wav"))
    env = environment(
        {"GATEWAY": ward.gateway.url.removeprefix("http://"), "CARE_VOICE_KEY": ward.keys["speaker"]}
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "realtime.py", "hello.wav",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=tmp_path, env=env,
    )  # fmt: skip
    said, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    assert said.decode().splitlines()[-1] == REFERENCES["en_01.wav"]["text"]
