"""shell: one synthetic speaker: opens a stream, sends at the times of its plan, notes what comes and when.

Nothing here waits for the gateway: chunks leave at their times (what was due before `started` leaves right
after it, as a device would send what it kept), and the socket's buffer takes more than a run can fill.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from gateway.client.door import SUBPROTOCOL, Door, tls_context
from gateway.connection.messages import Ping, Pong, ServerMessage, Start, Started, Stop
from gateway.connection.protocols.native import ProtocolError, decode_server, encode_client
from gateway.loadtest.observe import Record
from gateway.loadtest.schedule import Load, Plan, Turn, audio, due_s

CONNECT_AHEAD_S = 1.0
"""Before its first sample a stream connects."""
OPEN_TIMEOUT_S = 10.0
PATIENCE_S = 30.0
"""After `stop`, for the last final."""
PING_EVERY_S = 5.0
UNSENT_BYTES = 16 << 20
"""What the socket takes before a send would wait: eight minutes of audio."""
UNREAD_MESSAGES = 4096


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway, and what opens it."""

    url: str
    """As stream_url() gives it."""
    token: str = ""
    ca: Path | None = None

    @property
    def door(self) -> Door:
        return Door(self.url, self.token, self.ca)


Heard = Callable[[float, ServerMessage], None]
"""Is told each message when it comes, with the time in seconds of its stream."""


async def speak(
    target: Target, load: Load, plan: Plan, turns: tuple[Turn, ...], origin: float, *,
    words: bool = False, tell: Heard | None = None, record: Record | None = None,
) -> Record:  # fmt: skip
    """Stream a plan, to the last final. `origin`: the run's zero on time.monotonic().

    Raises nothing that a gateway can cause: `Record.failures` has it.
    """
    record = record or Record(plan.stream, plan.begins_s)
    began = origin + plan.begins_s
    await asyncio.sleep(began - CONNECT_AHEAD_S - time.monotonic())
    try:
        async with _opening(target) as socket:
            speaker = _Speaker(socket, load, plan, turns, began, record, tell)
            await speaker.run(words)
        record.close_code = socket.close_code
    except InvalidStatus as error:
        record.failures.append(f"refused {error.response.status_code}")
    except (OSError, ssl.SSLError, InvalidHandshake) as error:
        record.failures.append(f"no connection: {type(error).__name__}")
    return record


def _opening(target: Target) -> connect:
    door = target.door
    return connect(
        door.url,
        subprotocols=[SUBPROTOCOL],
        compression=None,
        additional_headers={"Authorization": f"Bearer {door.token}"} if door.token else None,
        ssl=tls_context(door.ca) if door.is_encrypted else None,
        proxy=None if door.is_local else True,
        process_exception=lambda error: error,  # one try: who is refused is counted, not let in later
        open_timeout=OPEN_TIMEOUT_S,
        ping_interval=None,
        max_queue=UNREAD_MESSAGES,
        write_limit=UNSENT_BYTES,
    )


class _Speaker:
    def __init__(
        self, socket: ClientConnection, load: Load, plan: Plan, turns: tuple[Turn, ...], began: float,
        record: Record, tell: Heard | None,
    ) -> None:  # fmt: skip
        self._socket, self._load, self._plan, self._turns = socket, load, plan, turns
        self._began, self._record, self._tell = began, record, tell
        self._started: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._pinged: dict[int, float] = {}

    async def run(self, words: bool) -> None:
        start = Start(language=self._plan.language, words=words, endpointing_ms=self._load.hangover_ms)
        listening = asyncio.create_task(self._listen())
        try:
            await self._socket.send(encode_client(start))
            first: set[asyncio.Future[Any]] = {self._started, listening}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if self._started.done():
                await self._send(self._started.result())
                await self._socket.send(encode_client(Stop()))
            async with asyncio.timeout(PATIENCE_S):
                await listening
        except TimeoutError:
            self._record.failures.append("no stopped in time")
        except ConnectionClosed:
            await listening  # has ended too: what came before the close is in the record
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening

    async def _send(self, ready: float) -> None:
        size, total = self._load.chunk_samples, self._plan.samples
        ping_at = ready
        payload = partial(audio, self._plan, self._turns)
        for index in range(-(-total // size)):
            chunk = payload(index * size, min(total, (index + 1) * size))
            due = self._began + due_s(index, size)
            await asyncio.sleep(due - time.monotonic())
            now = time.monotonic()
            self._record.late_ms.append(1000 * (now - max(due, ready)))
            await self._socket.send(chunk)
            self._record.sent_samples += len(chunk) // 2
            if now >= ping_at:
                ping_at = now + PING_EVERY_S
                self._pinged[index] = time.monotonic()
                await self._socket.send(encode_client(Ping(index)))

    async def _listen(self) -> None:
        """Until the gateway closes."""
        try:
            async for text in self._socket:
                self._note(time.monotonic(), decode_server(str(text)))
        except ConnectionClosed:
            pass
        except ProtocolError as error:
            self._record.failures.append(f"unreadable: {error.code}")

    def _note(self, now: float, message: ServerMessage) -> None:
        match message:
            case Started():
                self._started.set_result(now)
            case Pong(id=int(index)):
                self._record.round_trips_s.append(now - self._pinged.pop(index))
            case _:
                self._record.heard.append((now - self._began, message))
                if self._tell:
                    self._tell(now - self._began, message)
