"""shell: a connection in somebody else's protocol: takes the steps of its codec, between client and session.

Such clients know nothing of resuming, nor of how fast they may send: one that sends a whole file at once is
read as fast as it may speak, and what a lost client had said still reaches the viewers of its bed.
"""

import asyncio
import time
from collections.abc import Hashable, Iterator
from typing import Protocol

import structlog

from gateway.connection.access import Principal
from gateway.connection.admission import check_new
from gateway.connection.allowance import MESSAGE_COST_S, Allowance
from gateway.connection.messages import Audio, ClientMessage, ServerMessage, Start
from gateway.connection.opening import Refused
from gateway.connection.ports import Member, Ports
from gateway.connection.protocols.codec import WIDTHS, Codec, End, Say, Step, Tell
from gateway.connection.session import State
from gateway.connection.speaker import Speaker
from gateway.detection.opus import DECODED_RATE, MAX_PACKET_SAMPLES, packet_samples
from gateway.events import AudioFormat

TICK_S = 0.25
PIECE_BYTES = 1 << 15
"""About a second of audio: nobody else's stream waits longer for this one to be heard. A multiple of every
sample's size."""
EASE = 0.9
"""Of what a session is allowed: a client that is slowed down is never closed for being too fast."""
log = structlog.get_logger()


class Way(Protocol):
    """The way out to the client."""

    def put(self, text: str, partial_of: Hashable = None) -> None: ...
    def close(self, code: int, reason: str) -> None: ...


class Foreign:
    """One connection; the voice of its session, and its ears."""

    def __init__(self, protocol: str, codec: Codec, way: Way, ports: Ports, principal: Principal) -> None:
        self._protocol = protocol
        self._codec = codec
        self._way = way
        self._ports = ports
        self._principal = principal
        self._speaker: Member | None = None
        self._audio = AudioFormat()
        self._ended = False
        server = ports.settings.server
        burst_s, rate = server.max_ahead_s * EASE, server.max_audio_rate * EASE
        self._allowance = Allowance(burst_s, rate, time.monotonic())

    @property
    def protocol(self) -> str:
        """What the codec calls itself, where one address has several; else what the address is for."""
        return getattr(self._codec, "protocol", "") or self._protocol

    @property
    def session(self) -> int | None:
        """Number of the newest session."""
        return self._speaker.session.number if self._speaker else None

    def open(self) -> None:
        """The connection is there."""
        self._perform(self._codec.open())

    async def receive(self, frame: str | bytes) -> None:
        """A frame of the client. Returns when the next one may come."""
        await self._wait(MESSAGE_COST_S)
        for step in self._codec.receive(frame, time.monotonic()):
            for part in _parts(step):
                if isinstance(part, Tell) and isinstance(part.message, Audio):
                    await self._wait(_seconds(part.message.payload, self._audio))
                if self._ended:
                    return
                self._perform([part])

    async def tick_forever(self) -> None:
        """Cancel it when the connection ends."""
        while True:
            await asyncio.sleep(TICK_S)
            self._perform(self._codec.tick(time.monotonic()))

    def lose(self) -> None:
        """The client is gone: what it said last still gets its final."""
        if self._speaker:
            self._speaker.lose(self, clean=True)

    # --- what its session says (ports.Voice) ---

    def say(self, message: ServerMessage) -> None:
        self._perform(self._codec.send(message))

    def close(self, code: int, reason: str) -> None:
        if closing := self._codec.close(code, reason):
            self._ended = True
            self._way.close(*closing)

    # --- steps ---

    def _perform(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Say(frame, partial_of):
                    self._way.put(frame, partial_of)
                case Tell(Start() as start) if self._is_free():
                    self._begin(start)
                case Tell(message):
                    self._tell(message)
                case End(code, reason):
                    self._ended = True
                    self._way.close(code, reason)
                    self.lose()

    def _is_free(self) -> bool:
        return self._speaker is None or self._speaker.session.state is State.CLOSED

    def _begin(self, start: Start) -> None:
        self._speaker = Speaker(self._ports, self, self._principal.id)
        self._audio = start.audio
        log.info("session began", session=self.session, protocol=self.protocol)
        try:
            check_new(self._ports, self._principal, start.bed)
        except Refused as refused:
            self._speaker.fail(refused)
        else:
            self._speaker.receive(start)

    def _tell(self, message: ClientMessage) -> None:
        if self._speaker:
            self._speaker.receive(message)

    async def _wait(self, cost_s: float) -> None:
        """Let the others in; longer when this client is faster than it may be."""
        await asyncio.sleep(self._allowance.wait_s(cost_s, time.monotonic()))
        self._allowance.spend(cost_s, time.monotonic())


def _seconds(payload: bytes, audio: AudioFormat) -> float:
    if audio.encoding == "opus":
        return min(packet_samples(payload), MAX_PACKET_SAMPLES) / DECODED_RATE
    bytes_per_s = WIDTHS.get(audio.encoding, 1) * audio.channels * audio.sample_rate
    return len(payload) / max(1, bytes_per_s)


def _parts(step: Step) -> Iterator[Step]:
    """Much audio at once, in pieces."""
    match step:
        case Tell(Audio(payload)) if len(payload) > PIECE_BYTES:
            for start in range(0, len(payload), PIECE_BYTES):
                yield Tell(Audio(payload[start : start + PIECE_BYTES]))
        case _:
            yield step
