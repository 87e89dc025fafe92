"""Deepgram's own SDK against a real gateway with keys: clear English and Chinese, errors, beds."""

import asyncio
import json
import os
import sys
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import opencc
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.typing import Subprotocol

from gateway.detection.audio import mulaw_table
from tests.connection.speech import AUDIO, pcm16, silence
from tests.peers.keys import make_key
from tests.running import RunningGateway
from tests.talking import REFERENCES, error_rate, peer
from tests.test_docs import blocks, read

with warnings.catch_warnings():  # the SDK imports what websockets will not have for ever
    warnings.simplefilter("ignore", DeprecationWarning)
    from deepgram import AsyncDeepgramClient
    from deepgram.core.api_error import ApiError
    from deepgram.environment import DeepgramClientEnvironment
    from deepgram.listen.v1.socket_client import AsyncV1SocketClient
    from deepgram.listen.v1.types.listen_v1configure import ListenV1Configure
    from deepgram.listen.v1.types.listen_v1configure_success import ListenV1ConfigureSuccess
    from deepgram.listen.v1.types.listen_v1error import ListenV1Error
    from deepgram.listen.v1.types.listen_v1metadata import ListenV1Metadata
    from deepgram.listen.v1.types.listen_v1results import ListenV1Results
    from deepgram.listen.v1.types.listen_v1speech_started import ListenV1SpeechStarted
    from deepgram.listen.v1.types.listen_v1utterance_end import ListenV1UtteranceEnd

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning")]
WAIT_S = 20
LINEAR16 = {"encoding": "linear16", "sample_rate": 16_000}
TYPES = (
    ListenV1Results, ListenV1SpeechStarted, ListenV1UtteranceEnd, ListenV1Metadata, ListenV1Error,
    ListenV1ConfigureSuccess,
)  # fmt: skip


@dataclass
class Ward:
    """A gateway with keys."""

    gateway: RunningGateway
    keys: dict[str, str]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    directory = tmp_path_factory.mktemp("deepgram")
    beds = {"speaker": "[34]*", "device": "3A", "viewer": "*"}
    keys = {
        who: make_key(directory / "data", "viewer" if who == "viewer" else "speaker", bed)
        for who, bed in beds.items()
    }
    gateway = RunningGateway.start(directory / "log")
    yield Ward(gateway, keys)
    assert gateway.stop() == 0, gateway.log()


@dataclass
class Live:
    """One connection of the SDK, and what it has given."""

    socket: AsyncV1SocketClient
    messages: list[Any] = field(default_factory=list)

    async def until(self, kind: type, **having: Any) -> Any:
        """The next message of this class (with these fields). Each one is of a class that the SDK knows."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self.socket.recv()
                assert isinstance(message, TYPES)
                self.messages.append(message)
                if isinstance(message, kind) and all(getattr(message, k) == v for k, v in having.items()):
                    return message

    async def speak(self, audio: bytes, chunk: int = 3200, pause_s: float = 0) -> None:
        for start in range(0, len(audio), chunk):
            await self.socket.send_media(audio[start : start + chunk])
            await asyncio.sleep(pause_s)

    async def close(self) -> ListenV1Metadata:
        """Say goodbye and read to the end: Metadata is the last message, 1000 the code."""
        await self.socket.send_close_stream()
        metadata = await self.until(ListenV1Metadata)
        async with asyncio.timeout(WAIT_S):
            assert [message async for message in self.socket] == []
        assert self.socket._websocket.close_code == 1000
        self.check()
        return metadata

    def check(self) -> None:
        """Finals tile the stream, words are in order, a pause is final."""
        covered = 0.0
        for result in self.of(ListenV1Results):
            assert result.start == pytest.approx(covered)
            assert result.is_final or not result.speech_final
            edges = [edge for w in result.channel.alternatives[0].words for edge in (w.start, w.end)]
            assert edges == sorted(edges)
            covered = result.start + result.duration if result.is_final else covered
        assert covered == pytest.approx(self.messages[-1].duration)

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]

    def finals(self) -> list[Any]:
        """Those with text."""
        results = [result for result in self.of(ListenV1Results) if result.is_final]
        return [result for result in results if result.channel.alternatives[0].transcript]

    def text(self) -> str:
        return " ".join(result.channel.alternatives[0].transcript for result in self.finals())


def client(ward: Ward, key: str) -> AsyncDeepgramClient:
    url, ws = ward.gateway.url, ward.gateway.ws
    there = DeepgramClientEnvironment(base=url, production=ws, agent=ws, agent_rest=url)
    return AsyncDeepgramClient(api_key=key, environment=there)


@asynccontextmanager
async def live(
    ward: Ward, who: str = "speaker", bed: str | None = None, **options: Any
) -> AsyncIterator[Live]:
    more: Any = {"additional_query_parameters": {"bed": bed} if bed else {}}
    deepgram = client(ward, ward.keys[who])
    async with deepgram.listen.v1.connect(model="nova-3", request_options=more, **options) as socket:
        yield Live(socket)


# --- what was said ---


async def test_english_with_interim_results(ward: Ward) -> None:
    """SpeechStarted, interim results, the final with its words and times, UtteranceEnd, Metadata."""
    pcm, reference = pcm16("en_01.wav") + silence(1.5), REFERENCES["en_01.wav"]
    options = {"interim_results": True, "vad_events": True, "utterance_end_ms": 1000, "smart_format": True}
    async with live(ward, language="en-US", endpointing=300, **options, **LINEAR16) as said:
        reading = asyncio.create_task(said.until(ListenV1UtteranceEnd))
        await said.speak(pcm, pause_s=0.03)
        await said.socket.send_keep_alive()
        utterance_end = await reading
        metadata = await said.close()
    kinds = [type(message) for message in said.messages]
    assert kinds[:2] == [ListenV1SpeechStarted, ListenV1Results]
    assert error_rate(reference["text"], said.text()) <= 0.2
    [final] = said.finals()
    assert final.speech_final
    [segment], words = reference["segments"], final.channel.alternatives[0].words
    assert words[0].start == pytest.approx(segment["start"], abs=0.3)
    assert words[-1].end == pytest.approx(segment["end"], abs=0.3)
    assert (words[-1].word, words[-1].punctuated_word) == ("bedroom", "bedroom.")
    assert utterance_end.last_word_end == words[-1].end
    interim = [result for result in said.of(ListenV1Results) if not result.is_final]
    assert interim
    assert said.messages.index(interim[-1]) < said.messages.index(final)
    assert said.of(ListenV1SpeechStarted)[0].timestamp == pytest.approx(segment["start"], abs=0.3)
    assert metadata.duration == pytest.approx(len(pcm) / 32_000, abs=0.001)
    assert metadata.request_id == final.metadata.request_id


async def test_chinese_is_traditional(ward: Ward) -> None:
    """With Taiwan's tag; each character is a word."""
    async with live(ward, language="zh-TW", **LINEAR16) as said:
        await said.speak(pcm16("zh_14.wav"))
        await said.close()
    assert error_rate(REFERENCES["zh_14.wav"]["text"], said.text()) <= 0.2
    assert opencc.OpenCC("s2tw").convert(said.text()) == said.text()
    assert [word.word for word in said.finals()[0].channel.alternatives[0].words][:3] == list("五號床")


async def test_the_language_is_detected(ward: Ward) -> None:
    """`multi`, and then it is said."""
    async with live(ward, language="multi", **LINEAR16) as said:
        await said.speak(pcm16("zh_00.wav") + silence(1) + pcm16("en_07.wav"))
        await said.close()
    assert said.finals()[0].channel.alternatives[0].languages == ["zh"]


async def test_a_wav_file_says_itself_how_it_is_written(ward: Ward) -> None:
    """Without an encoding; here its header comes in two frames."""
    data = (AUDIO / "en_04.wav").read_bytes()
    async with live(ward) as said:
        await said.socket.send_media(data[:30])
        await said.speak(data[30:])
        metadata = await said.close()
    assert error_rate(REFERENCES["en_04.wav"]["text"], said.text()) <= 0.2
    assert metadata.duration == pytest.approx((len(data) - 44) / 32_000, abs=0.001)


async def test_a_telephone_is_understood(ward: Ward) -> None:
    """G.711 mu-law, 8 kHz, as a telephone line gives it."""
    samples = np.frombuffer(pcm16("en_14.wav"), "<i2").astype(np.float32).reshape(-1, 2).mean(axis=1) / 32768
    order = np.argsort(mulaw_table(), kind="stable")
    levels = mulaw_table()[order]
    nearest = np.searchsorted((levels[1:] + levels[:-1]) / 2, samples)
    async with live(ward, encoding="mulaw", sample_rate=8000) as said:
        await said.speak(order[nearest].astype(np.uint8).tobytes(), chunk=800)
        await said.close()
    assert error_rate(REFERENCES["en_14.wav"]["text"], said.text()) <= 0.35


# --- control messages ---


async def test_finalize_gives_what_was_said_so_far(ward: Ward) -> None:
    """Although the speaker has not paused; a second one, with nothing new, has an empty answer."""
    async with live(ward, endpointing="false", **LINEAR16) as said:
        await said.speak(pcm16("en_06.wav"))
        await said.socket.send_finalize()
        answer = await said.until(ListenV1Results, from_finalize=True)
        assert error_rate(REFERENCES["en_06.wav"]["text"], answer.channel.alternatives[0].transcript) <= 0.2
        await said.socket.send_finalize()
        answer = await said.until(ListenV1Results, from_finalize=True)
        assert answer.channel.alternatives[0].transcript == ""
        await said.close()


async def test_a_client_without_audio_is_kept(ward: Ward) -> None:
    """KeepAlive has no answer; Finalize and CloseStream have theirs."""
    async with live(ward, **LINEAR16) as said:
        for _ in range(3):
            await said.socket.send_keep_alive()
        await said.socket.send_finalize()
        await said.until(ListenV1Results, from_finalize=True)
        assert len(said.messages) == 1
        assert (await said.close()).duration == 0


async def test_keyterms_can_change_in_the_stream(ward: Ward) -> None:
    """Given twice in the address, replaced by a Configure."""
    async with live(ward, keyterm=["slippers", "King room"], keywords="SpO2:2", **LINEAR16) as said:
        await said.socket.send_configure(ListenV1Configure(type="Configure", keyterms=["bedroom"]))
        assert (await said.until(ListenV1ConfigureSuccess)).keyterms == ["bedroom"]
        await said.speak(pcm16("en_01.wav"))
        await said.close()
    assert error_rate(REFERENCES["en_01.wav"]["text"], said.text()) <= 0.2


async def test_nonsense_gets_an_error_and_the_stream_goes_on(ward: Ward) -> None:
    """SchemaError, with what was sent."""
    async with live(ward, **LINEAR16) as said:
        await said.socket._send({"type": "Sing"})
        error = await said.until(ListenV1Error)
        assert (error.variant, json.loads(error.message)) == ("SchemaError", {"type": "Sing"})
        await said.close()


async def test_another_container_closes_1008(ward: Ward) -> None:
    """DATA-0000: the audio cannot be read."""
    async with live(ward) as said:
        await said.socket.send_media(b"OggS" + bytes(100))
        with pytest.raises(ConnectionClosedError, match=r"1008 .* DATA-0000"):
            await said.until(ListenV1Metadata)


# --- who may, and where ---


async def test_a_wrong_key_is_401(ward: Ward) -> None:
    """As the SDK raises it."""
    with pytest.raises(ApiError) as refused:
        async with client(ward, "cv_nobody").listen.v1.connect(model="nova-3", **LINEAR16):
            raise AssertionError("let in")
    assert refused.value.status_code == 401


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("encoding=flac&sample_rate=16000", 400, "INVALID_QUERY_PARAMETER"),
        ("encoding=linear16", 400, "INVALID_QUERY_PARAMETER"),
        ("encoding=linear16&sample_rate=16000&multichannel=true", 400, "INVALID_QUERY_PARAMETER"),
        ("encoding=linear16&sample_rate=16000&bed=9Z", 403, "INSUFFICIENT_PERMISSIONS"),
    ],
)
async def test_what_cannot_be_served_is_refused_before_the_upgrade(
    ward: Ward, query: str, status: int, code: str
) -> None:
    """A status, Deepgram's error body, and the headers that applications log."""
    headers = {"Authorization": f"Token {ward.keys['speaker']}"}
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{ward.gateway.ws}/v1/listen?{query}", additional_headers=headers)
    answer = refused.value.response
    assert answer.body is not None
    body = json.loads(answer.body)
    assert (answer.status_code, body["err_code"]) == (status, code)
    assert answer.headers["dg-request-id"] == body["request_id"]
    assert answer.headers["dg-error"] == body["err_msg"]


@pytest.mark.parametrize("scheme", ["token", "bearer"])
async def test_a_browser_sends_its_key_as_a_subprotocol(ward: Ward, scheme: str) -> None:
    """`token, KEY`; the answer names the scheme, never the key, and the request."""
    offered = [Subprotocol(scheme), Subprotocol(ward.keys["speaker"])]
    address = f"{ward.gateway.ws}/v1/listen?encoding=linear16&sample_rate=16000"
    async with connect(address, subprotocols=offered) as socket, asyncio.timeout(WAIT_S):
        assert socket.subprotocol == scheme
        assert socket.response is not None
        await socket.send(b"")
        metadata = json.loads(await socket.recv())
        assert metadata["type"] == "Metadata"
        assert metadata["request_id"] == socket.response.headers["dg-request-id"]
        await socket.wait_closed()
        assert socket.close_code == 1000


@pytest.mark.parametrize(("who", "bed"), [("speaker", "4B"), ("device", None)])
async def test_the_beds_viewers_see_what_a_deepgram_client_says(
    ward: Ward, who: str, bed: str | None
) -> None:
    """At the bed of the address, or at the only one of the key."""
    shown = bed or "3A"
    headers = {"additional_headers": {"Authorization": f"Bearer {ward.keys['viewer']}"}}
    async with peer(ward.gateway.ws, "/v1/captions", **headers) as viewer:
        await viewer.say("watch", beds=[shown])
        async with live(ward, who, bed, **LINEAR16) as said:
            await said.speak(pcm16("en_00.wav"))
            await said.close()
        caption = await viewer.until("caption", bed=shown)
    assert caption["text"] == said.text() == REFERENCES["en_00.wav"]["text"]


# --- the page ---


async def test_the_example_of_the_page_works(ward: Ward, tmp_path: Path) -> None:
    """Saved and run as it stands, it prints what was said."""
    [program] = [text for language, text in blocks(read("docs/deepgram.md")) if language == "python"]
    script = tmp_path / "live.py"
    script.write_text(program, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(AUDIO / "en_02.wav"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {
            "GATEWAY": ward.gateway.url.removeprefix("http://"), "CARE_VOICE_KEY": ward.keys["speaker"],
        },
    )  # fmt: skip
    said, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    lines = said.decode().splitlines()
    assert error_rate(REFERENCES["en_02.wav"]["text"], lines[-1]) <= 0.2, lines
    assert lines[0].startswith("... ")
