"""shell: a speaker with a stopwatch: streams on an absolute schedule and notes when answers come.

A chunk is sent when its last sample would have been spoken, not before and however late the one before it
was; how late each really was is noted too, so that a slow generator is not taken for a slow gateway.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from benchmarks.measures import Span, due_s, percentile
from benchmarks.recordings import BYTES_PER_S, Recording
from gateway.connection.messages import (
    Error,
    Final,
    Notice,
    Partial,
    ServerMessage,
    Start,
    Started,
    Stop,
    Stopped,
)
from gateway.connection.protocols.native import decode_server, encode_client

PATIENCE_S = 60
"""For the last final after `stop`."""
T = TypeVar("T", bound=ServerMessage)


@dataclass(slots=True)
class Take:
    """A recording that was streamed, and all that came of it. Times are seconds since its first sample."""

    recording: Recording
    lateness_s: list[float] = field(default_factory=list)
    """Of each chunk against its schedule."""
    heard: list[tuple[float, ServerMessage]] = field(default_factory=list)
    close_code: int | None = None

    def of(self, kind: type[T]) -> list[tuple[float, T]]:
        return [(at, message) for at, message in self.heard if isinstance(message, kind)]

    @property
    def finals(self) -> list[tuple[float, Final]]:
        return self.of(Final)

    @property
    def partials(self) -> list[tuple[float, Partial]]:
        return self.of(Partial)

    @property
    def spans(self) -> list[Span]:
        return [Span(f.start, f.end, f.text) for _, f in self.finals if f.text]

    @property
    def text(self) -> str:
        return " ".join(f.text for _, f in self.finals if f.text)

    @property
    def faults(self) -> list[str]:
        """Everything that must not happen on a stream that breaks no rule."""
        found = [f"error {message.code}" for _, message in self.of(Error)]
        numbers = [final.number for _, final in self.finals]
        if numbers != list(range(1, len(numbers) + 1)):
            found.append(f"finals are numbered {numbers}")
        stopped = [message for _, message in self.of(Stopped)]
        if stopped != [Stopped(len(self.recording.pcm) // 2, len(numbers))]:
            found.append(f"stopped says {stopped}")
        if self.close_code != 1000:
            found.append(f"closed with {self.close_code}")
        return found

    @property
    def notices(self) -> list[str]:
        return [message.code for _, message in self.of(Notice)]


def lateness_p99_ms(takes: Iterable[Take]) -> float:
    return 1000 * percentile([late for take in takes for late in take.lateness_s], 99)


async def stream(
    url: str, recording: Recording, *, chunk_ms: int = 100, speed: float = 1.0, delay_s: float = 0.0
) -> Take:
    """Stream it to `url` (ws://host:port), `speed` times as fast as spoken, to the last final."""
    await asyncio.sleep(delay_s)
    take = Take(recording)
    subprotocols = [Subprotocol("care-voice.v1")]
    async with connect(
        f"{url}/v1/stream", subprotocols=subprotocols, compression=None, max_queue=None
    ) as socket:
        await socket.send(encode_client(Start(language=recording.language)))
        assert isinstance(decode_server(str(await socket.recv())), Started)
        began = asyncio.get_running_loop().time()
        listening = asyncio.create_task(_listen(socket, take, began))
        try:
            await _speak(socket, take, began, chunk_ms / 1000, speed)
            await socket.send(encode_client(Stop()))
            async with asyncio.timeout(PATIENCE_S):
                await listening
        except (ConnectionClosed, TimeoutError):
            listening.cancel()
    take.close_code = socket.close_code
    return take


async def _speak(socket: ClientConnection, take: Take, began: float, chunk_s: float, speed: float) -> None:
    loop = asyncio.get_running_loop()
    pcm, size = take.recording.pcm, round(chunk_s * BYTES_PER_S)
    for index, start in enumerate(range(0, len(pcm), size)):
        due = began + due_s(index, chunk_s, speed)
        await asyncio.sleep(due - loop.time())
        take.lateness_s.append(loop.time() - due)
        await socket.send(pcm[start : start + size])


async def _listen(socket: ClientConnection, take: Take, began: float) -> None:
    loop = asyncio.get_running_loop()
    async for text in socket:
        take.heard.append((loop.time() - began, decode_server(str(text))))
