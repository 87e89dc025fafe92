"""A client of each protocol, plain on the wire, so that one test can treat them all alike."""

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.running import RunningGateway
from tests.talking import SECRETS

WAIT_S = 30
CHUNK_BYTES = 3200
"""100 ms."""
COMPLETED = "conversation.item.input_audio_transcription.completed"
T = TypeVar("T")


@dataclass(frozen=True)
class Said:
    """A final, and where it was said, in seconds of the stream."""

    text: str
    start: float
    end: float


class Talker:
    """One connection that sends 16 kHz pcm_s16le, and everything that came over it."""

    protocol: ClassVar[str]
    like: ClassVar[str]
    """Times of the native protocol that its times are: speech, final, words."""
    own_bed = True
    """It may choose one."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.code: int | None = None
        """That the connection was closed with; 0 where there are none."""
        self._news = asyncio.Event()
        self._reading: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # --- each in its own way ---

    async def open(self, gateway: RunningGateway, bed: str, language: str, key: str) -> None:
        raise NotImplementedError

    async def begin(self, language: str) -> None:
        """What comes before the audio."""

    async def send(self, pcm: bytes) -> None:
        raise NotImplementedError

    async def goodbye(self) -> None:
        """There is no more audio. The gateway closes when all is said."""
        raise NotImplementedError

    def finals(self) -> list[Said]:
        """With text; a protocol without times says 0."""
        raise NotImplementedError

    def abort(self) -> None:
        """Be gone, like a device without power."""
        raise NotImplementedError

    # --- alike ---

    async def leave(self) -> None:
        """Whatever was said."""
        self.abort()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def speak(self, pcm: bytes, pause_s: float = 0) -> None:
        for start in range(0, len(pcm), CHUNK_BYTES):
            await self.send(pcm[start : start + CHUNK_BYTES])
            await asyncio.sleep(pause_s)

    async def until(self, found: Callable[[], T]) -> T:
        """Wait for messages until this is true of them, or the connection is closed."""
        async with asyncio.timeout(WAIT_S):
            while not (result := found()) and self.code is None:
                self._news.clear()
                await self._news.wait()
        return result

    async def end(self) -> list[Said]:
        """Read to the end."""
        await self.until(lambda: self.code is not None)
        return self.finals()

    def text(self) -> str:
        return " ".join(said.text for said in self.finals())

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message.get("type") == kind]

    def _note(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self._news.set()

    def _close(self, code: int) -> None:
        self.code = code
        self._news.set()


class SocketTalker(Talker):
    """On a WebSocket."""

    path: ClassVar[str]
    query: ClassVar[dict[str, str]] = {}
    options: ClassVar[dict[str, Any]] = {}
    """Of `websockets.connect`."""
    socket: ClientConnection

    async def open(self, gateway: RunningGateway, bed: str, language: str, key: str) -> None:
        query = self.query | self.named(language) | ({"bed": bed} if bed else {})
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = f"{gateway.ws}{self.path}?{urlencode(query)}"
        self.socket = await connect(url, additional_headers=headers, compression=None, **self.options)
        self._reading = asyncio.ensure_future(self._read())
        await self.begin(language)

    def named(self, language: str) -> dict[str, str]:
        """The language as a part of the address."""
        return {}

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._note(json.loads(await self.socket.recv()))
        self._close(self.socket.close_code or 0)

    async def say(self, **fields: Any) -> None:
        await self.socket.send(json.dumps(fields))

    async def send(self, pcm: bytes) -> None:
        await self.socket.send(pcm)

    def abort(self) -> None:
        self.socket.transport.abort()


class Native(SocketTalker):
    protocol, like, path = "native", "", "/v1/stream"

    async def begin(self, language: str) -> None:
        await self.say(type="start", language=language, words=True, **self._bed)
        if started := await self.until(lambda: self.of("started")):
            SECRETS.add(started[0]["token"])

    async def open(self, gateway: RunningGateway, bed: str, language: str, key: str) -> None:
        self._bed = {"bed": bed} if bed else {}
        await super().open(gateway, "", language, key)

    async def goodbye(self) -> None:
        await self.say(type="stop")

    def finals(self) -> list[Said]:
        return self.like_those_of("final")

    def like_those_of(self, like: str) -> list[Said]:
        """The finals with other times of them."""
        heard = [message["at"] for message in self.of("speech")]
        said = []
        for number, final in enumerate(self.of("final")):
            start, end = final["start"], final["end"]
            if like == "speech":
                start, end = heard[2 * number : 2 * number + 2]
            if like == "words" and final["text"]:
                start, end = final["words"][0]["start"], final["words"][-1]["end"]
            said.append(Said(final["text"], start, end))
        return [one for one in said if one.text]


class OpenAI(SocketTalker):
    protocol, like, path = "openai_realtime", "speech", "/v1/realtime"
    query: ClassVar = {"intent": "transcription"}

    async def begin(self, language: str) -> None:
        created = (await self.until(lambda: self.of("session.created")))[0]
        turns = created["session"]["audio"]["input"]["turn_detection"]
        self._padding_s, self._silence_s = (
            turns["prefix_padding_ms"] / 1000,
            turns["silence_duration_ms"] / 1000,
        )
        audio = {"format": {"type": "audio/pcm", "rate": 16_000}, "transcription": {"language": language}}
        await self.say(type="session.update", session={"type": "transcription", "audio": {"input": audio}})

    async def send(self, pcm: bytes) -> None:
        await self.say(type="input_audio_buffer.append", audio=base64.b64encode(pcm).decode())

    async def goodbye(self) -> None:
        """The protocol has no word for it: the last turn is committed, then the client closes."""
        await self.say(type="input_audio_buffer.commit", event_id="last")
        await self.until(lambda: self._is_done)
        await self.socket.close()

    @property
    def _is_done(self) -> bool:
        """The commit was answered (there was nothing open, or an item that VAD had not ended), and every item has
        its transcript."""
        committed = self._ids("input_audio_buffer.committed")
        nothing_open = any(event["error"]["event_id"] == "last" for event in self.of("error"))
        answered = nothing_open or len(committed) > len(self._ids("input_audio_buffer.speech_stopped"))
        return answered and self._ids(COMPLETED) == committed

    def _ids(self, kind: str) -> list[str]:
        return [event["item_id"] for event in self.of(kind)]

    def finals(self) -> list[Said]:
        """Without the padding before and the silence behind."""
        starts = {
            e["item_id"]: e["audio_start_ms"] / 1000 for e in self.of("input_audio_buffer.speech_started")
        }
        said = []
        for event in self.of(COMPLETED):
            start = starts[event["item_id"]]
            end = start + event["usage"]["seconds"] - self._silence_s
            said.append(Said(event["transcript"], start + self._padding_s, end))
        return [one for one in said if one.text]


class Deepgram(SocketTalker):
    protocol, like, path = "deepgram", "words", "/v1/listen"
    query: ClassVar = {"encoding": "linear16", "sample_rate": "16000"}

    def named(self, language: str) -> dict[str, str]:
        return {"language": language}

    async def goodbye(self) -> None:
        await self.say(type="CloseStream")

    def finals(self) -> list[Said]:
        results = [e["channel"]["alternatives"][0] for e in self.of("Results") if e["is_final"]]
        return [
            Said(r["transcript"], r["words"][0]["start"], r["words"][-1]["end"])
            for r in results
            if r["transcript"]
        ]


class WhisperLive(SocketTalker):
    protocol, like, path = "whisperlive", "final", "/"

    async def begin(self, language: str) -> None:
        await self.say(uid="me", language=language, audio_format="int16", send_last_n_segments=100)
        await self.until(lambda: self.messages)

    async def goodbye(self) -> None:
        await self.socket.send(b"END_OF_AUDIO")

    def finals(self) -> list[Said]:
        lists = [message["segments"] for message in self.messages if "segments" in message]
        last = lists[-1] if lists else []
        return [Said(s["text"], float(s["start"]), float(s["end"])) for s in last if s["completed"]]


class Vosk(SocketTalker):
    protocol, like, path = "vosk", "words", "/"

    def named(self, language: str) -> dict[str, str]:
        return {"language": language}

    async def begin(self, language: str) -> None:
        await self.say(config={"sample_rate": 16_000})

    async def goodbye(self) -> None:
        await self.say(eof=1)

    def finals(self) -> list[Said]:
        results = [message for message in self.messages if message.get("text")]
        return [Said(r["text"], r["result"][0]["start"], r["result"][-1]["end"]) for r in results]


class Wyoming(Talker):
    protocol, like, own_bed = "wyoming", "speech", False

    async def open(self, gateway: RunningGateway, bed: str, language: str, key: str) -> None:
        port = int(gateway.wait_for_log("wyoming listening")["url"].rsplit(":", 1)[1])
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self._reading = asyncio.ensure_future(self._read())
        await self.say("transcribe", language=language)

    async def say(self, kind: str, payload: bytes = b"", **data: Any) -> None:
        header = {"type": kind, "data": data, "payload_length": len(payload)}
        self.writer.write(json.dumps(header).encode() + b"\n" + payload)
        await self.writer.drain()

    async def _read(self) -> None:
        with contextlib.suppress(OSError):
            while line := await self.reader.readline():
                header = json.loads(line)
                block = await self.reader.readexactly(header.get("data_length", 0))
                self._note({"type": header["type"], **json.loads(block or b"{}")})
        self._close(0)

    async def send(self, pcm: bytes) -> None:
        await self.say("audio-chunk", pcm, rate=16_000, width=2, channels=1)

    async def goodbye(self) -> None:
        """The client closes when it has its transcript."""
        await self.say("audio-stop")
        await self.until(lambda: self.of("transcript-stop"))
        self.writer.close()

    def finals(self) -> list[Said]:
        heard = [
            message["timestamp"] / 1000 for message in self.messages if message["type"].startswith("voice-")
        ]
        chunks = [message["text"] for message in self.of("transcript-chunk")]
        return [Said(text, *heard[2 * i : 2 * i + 2]) for i, text in enumerate(chunks)]

    def abort(self) -> None:
        self.writer.transport.abort()


FOREIGN: list[type[Talker]] = [OpenAI, Deepgram, WhisperLive, Vosk, Wyoming]
ALL: list[type[Talker]] = [Native, *FOREIGN]
SOCKETS: list[type[Talker]] = [kind for kind in ALL if issubclass(kind, SocketTalker)]


class Company:
    """The clients of one test."""

    def __init__(self) -> None:
        self._talkers: list[Talker] = []

    async def talk(
        self, kind: type[Talker], gateway: RunningGateway, bed: str = "", language: str = "en", key: str = ""
    ) -> Talker:
        """Connect, ready to speak."""
        talker = kind()
        self._talkers.append(talker)
        await talker.open(gateway, bed, language, key)
        return talker

    async def leave(self) -> None:
        """All of them are gone."""
        for talker in self._talkers:
            await talker.leave()
