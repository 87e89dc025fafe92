"""shell: streams a source to a gateway over as many connections as it takes, as bedside.py decides."""

import asyncio
import contextlib
import random
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import msgspec
from websockets.exceptions import (
    InvalidHandshake,
    InvalidStatus,
    InvalidUpgrade,
    InvalidURI,
    NegotiationError,
)

from gateway.client.bedside import Bedside, Event, Options
from gateway.client.door import Door, explain_tls, words_of
from gateway.client.feed import Feed
from gateway.client.link import LOST, Link, NoGateway
from gateway.client.returning import GiveUp, Retry
from gateway.client.sources import Source, SourceError

GRACE_S = 10.0
"""Time for the last finals when the user has asked to stop."""


class StreamError(Exception):
    """The stream did not come to its end. `refused`: the gateway said no; else it could not be reached."""

    def __init__(self, reason: str, refused: bool) -> None:
        super().__init__(reason)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Summary:
    seconds: float
    """Audio taken from the source."""
    finals: int
    reconnects: int
    lost_s: float
    """Audio that fell out of the ring and was declared as a gap."""
    is_complete: bool
    """The gateway has said that everything is final."""


async def stream(
    door: Door,
    source: Source,
    options: Options,
    show: Callable[[Event], None],
    stopping: asyncio.Event | None = None,
) -> Summary:
    """Stream `source` at its own pace to the end, over as many connections as it takes.

    `show` gets everything that is worth showing, with times since the start of the source. When `stopping` is
    set the source ends there; the last finals are awaited for GRACE_S. Raises StreamError, SourceError.
    """
    start = msgspec.structs.replace(options.start, audio=source.format)
    speaker = _Speaker(door, Bedside(replace(options, start=start)), show)
    with Feed(source.chunks) as feed, _first_error():
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(speaker.pump(feed, source.is_live))]
            if stopping is not None:
                helpers.append(tasks.create_task(speaker.stop_when(stopping)))
            await speaker.keep_connected()
            for helper in helpers:
                helper.cancel()
    if speaker.failure is not None:
        raise speaker.failure
    return speaker.summary(source.format.sample_rate)


@contextlib.contextmanager
def _first_error() -> Iterator[None]:
    """A group of errors is one error to the caller: the first."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, NoGateway):
            error = StreamError(str(error), refused=True)
        raise error from None


class _Speaker:
    def __init__(self, door: Door, bedside: Bedside, show: Callable[[Event], None]) -> None:
        self._door = door
        self._bedside = bedside
        self._on_event = show
        self._now = asyncio.get_running_loop().time
        self._changed = asyncio.Event()
        self._started = asyncio.Event()
        self._heard = asyncio.Event()
        self._limit = asyncio.timeout(None)
        self.failure: SourceError | None = None

    def summary(self, rate: int) -> Summary:
        bedside = self._bedside
        return Summary(
            bedside.position_s,
            bedside.finals,
            max(0, bedside.links - 1),
            bedside.lost_samples / rate,
            bedside.is_done,
        )

    # --- the source ---

    async def pump(self, feed: Feed, is_live: bool) -> None:
        """Source to ring, until it ends or fails; what was heard before a failure still gets its finals."""
        try:
            await self._pump(feed, is_live)
        except SourceError as error:
            self.failure = error
        self._finish()

    async def _pump(self, feed: Feed, is_live: bool) -> None:
        """In real time, whatever the link does. A file waits for the gateway; a microphone does not."""
        if not is_live:
            await self._started.wait()
        began = self._now()
        async for chunk in feed:
            await asyncio.sleep(began + self._bedside.due_s() - self._now())
            while not is_live and self._bedside.is_full:
                self._heard.clear()
                await self._heard.wait()
            if self._bedside.is_finished:
                return
            self._bedside.push(chunk)
            self._changed.set()

    async def stop_when(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._finish()
        self._limit.reschedule(self._now() + GRACE_S)

    def _finish(self) -> None:
        self._bedside.finish()
        self._changed.set()

    # --- the link ---

    async def keep_connected(self) -> None:
        """Connects until everything is final. Raises StreamError."""
        with contextlib.suppress(TimeoutError):
            async with self._limit:
                while (verdict := await self._connect_once()) is not None:
                    if isinstance(verdict, GiveUp):
                        raise StreamError(verdict.reason, verdict.refused)
                    self._on_event(verdict)
                    await asyncio.sleep(verdict.delay_s)

    async def _connect_once(self) -> Retry | GiveUp | None:
        jitter = random.random()  # noqa: S311  # nosec B311 # not for secrets
        shown = self._door.shown
        try:
            async with self._door.opening() as ws:
                code, why = await Link(ws, self._bedside, self._changed, self._show).talk()
        except InvalidStatus as error:
            status, words = error.response.status_code, words_of(error.response)
            return self._bedside.refused(status, words, self._now(), jitter)
        except (InvalidURI, InvalidUpgrade, NegotiationError) as error:
            return GiveUp(f"{shown} is no care-voice gateway: {error}", refused=True)
        except ssl.SSLError as error:
            return GiveUp(explain_tls(error, self._door), refused=True)
        except (OSError, InvalidHandshake) as error:
            code, why = LOST, f"cannot connect to {shown}: {str(error) or 'no answer'}"
        return self._bedside.lost(code, why, self._now(), jitter)

    def _show(self, event: Event) -> None:
        self._on_event(event)
        self._heard.set()
        if self._bedside.links:
            self._started.set()
