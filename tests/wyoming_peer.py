"""The wyoming package as Home Assistant uses it, for tests."""

import asyncio
import warnings
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports audioop while Python has one
    from wyoming import asr, audio, error, info, ping, vad
    from wyoming.client import AsyncClient
    from wyoming.event import Event, Eventable, async_read_event

__all__ = ["Event", "asr", "async_read_event", "audio", "error", "info", "ping", "vad"]
KNOWN = {
    "info": info.Info,
    "transcript": asr.Transcript,
    "transcript-start": asr.TranscriptStart,
    "transcript-chunk": asr.TranscriptChunk,
    "transcript-stop": asr.TranscriptStop,
    "voice-started": vad.VoiceStarted,
    "voice-stopped": vad.VoiceStopped,
    "pong": ping.Pong,
    "error": error.Error,
}
"""Each reads its event with the fields that must be there."""
WAIT_S = 30
CLIPS = "tests/data/audio"


@dataclass
class WyomingPeer:
    """One connection, and what came over it."""

    client: AsyncClient
    said: list[Event] = field(default_factory=list)

    async def send(self, *events: Eventable) -> None:
        for event in events:
            await self.client.write_event(event.event())

    async def speak(self, clip: str, stop: bool = True, samples_per_chunk: int = 1024, **wish: Any) -> None:
        """As Home Assistant does, but as fast as it goes: transcribe, audio-start, chunks, audio-stop."""
        await self.send(asr.Transcribe(**wish))
        with wave.open(f"{CLIPS}/{clip}") as file:
            await self.send(*audio.wav_to_chunks(file, samples_per_chunk, start_event=True, stop_event=stop))

    async def read(self) -> Event | None:
        """The next event; None when the gateway has closed the connection."""
        async with asyncio.timeout(WAIT_S):
            event = await self.client.read_event()
        if event:
            KNOWN[event.type].from_event(event)
            self.said.append(event)
        return event

    async def until(self, kind: str) -> dict[str, Any]:
        """The data of the next event of this type."""
        while event := await self.read():
            if event.type == kind:
                return event.data
        raise AssertionError(f"closed before {kind!r}: {[event.type for event in self.said]}")

    async def answer(self) -> list[Event]:
        """Everything up to the end of the next transcript."""
        before = len(self.said)
        await self.until("transcript-stop")
        return self.said[before:]

    async def end(self) -> list[Event]:
        """Everything until the gateway closes."""
        before = len(self.said)
        while await self.read():
            pass
        return self.said[before:]


@asynccontextmanager
async def wyoming_peer(url: str) -> AsyncIterator[WyomingPeer]:
    """Connect."""
    async with AsyncClient.from_uri(url) as client:
        yield WyomingPeer(client)


def check_answer(events: list[Event]) -> dict[str, Any]:
    """start < chunks < transcript < stop, each at its number, the chunks being the transcript; its data."""
    said = [event for event in events if event.type.startswith("transcript")]
    kinds = [event.type for event in said]
    chunks = kinds.count("transcript-chunk")
    assert kinds == ["transcript-start", *["transcript-chunk"] * chunks, "transcript", "transcript-stop"]
    assert "".join(event.data["text"] for event in said[1:-2]) == said[-2].data["text"]
    return said[-2].data
