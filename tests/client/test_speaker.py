"""The speaker against a real WebSocket server that behaves, breaks off, refuses, or hangs."""

import asyncio
import itertools
import math
import threading
import time
from collections.abc import Generator

import pytest

from gateway.client import speaker
from gateway.client.bedside import AudioLost, Event, Options, Resumed, Retry
from gateway.client.door import Door, stream_url
from gateway.client.ring import Chunk
from gateway.client.sources import Source, SourceError
from gateway.client.speaker import StreamError, Summary
from gateway.connection import messages as m
from gateway.events import AudioFormat
from tests.client.scripted import Scripted, Talk, converse, cut_after, proper, refuse, stall, started
from tests.cutting import CuttingProxy

RATE = 16_000
FAST = Options(speed=16, first_retry_s=3, retry_s=3)


def counted(chunks: int, samples: int = 1600) -> Generator[Chunk, None, None]:
    """Chunks of which every sample is its chunk's number."""
    return (Chunk(n.to_bytes(2, "little") * samples, samples) for n in range(chunks))


def numbers(talk: Talk) -> list[int]:
    return [int.from_bytes(payload[:2], "little") for payload in talk.audio]


def source(chunks: int = 10, is_live: bool = False) -> Source:
    return Source(AudioFormat(), counted(chunks), is_live)


async def run(*scripts, chunks: int = 10, options: Options = FAST, is_live: bool = False):
    """Stream to a scripted gateway; what it heard, what it said, what was retried, the summary."""
    said: list[Event] = []
    async with Scripted(*scripts).run() as gateway:
        summary = await speaker.stream(door(gateway.url), source(chunks, is_live), options, said.append)
    return gateway.talks, said, of(Retry, said), summary


def of(kind, said: list[Event]) -> list:
    return [event for event in said if isinstance(event, kind)]


def door(url: str, token: str = "") -> Door:
    return Door(stream_url(url), token)


async def test_a_stream_is_heard_whole_and_ends_with_stopped() -> None:
    """Every chunk arrives once and in order, then stop; the summary says so."""
    (talk,), said, retries, summary = await run(proper)
    assert numbers(talk) == list(range(10))
    assert talk.controls == [m.Stop()]
    assert talk.link.subprotocol == "care-voice.v1"
    assert summary == Summary(seconds=1.0, finals=1, reconnects=0, lost_s=0.0, is_complete=True)
    assert [type(x) for x in said if not isinstance(x, m.Ack)] == [m.Started, m.Partial, m.Final, m.Stopped]
    assert not retries


async def test_start_carries_the_options_and_the_sources_format() -> None:
    """What was asked is what the gateway is told; the audio format is the source's own."""
    options = Options(m.Start(bed="3A", language="zh", hotwords=["Lin"]), speed=16)
    async with Scripted(proper).run() as gateway:
        opus = Source(AudioFormat("opus", 48_000, 2), counted(1), is_live=False)
        await speaker.stream(door(gateway.url), opus, options, lambda message: None)
    assert gateway.talks[0].start == m.Start(
        AudioFormat("opus", 48_000, 2), bed="3A", language="zh", hotwords=["Lin"]
    )


async def test_a_cut_link_is_taken_up_where_it_broke() -> None:
    """The second connection resumes the session and begins with exactly what the gateway has not heard."""
    talks, said, retries, summary = await run(cut_after(5, committed_messages=2), proper)
    assert numbers(talks[0])[:5] == [0, 1, 2, 3, 4]
    assert talks[1].start.resume == m.Resume("s", "t", 0)
    assert numbers(talks[1]) == list(range(len(talks[0].audio), 10))
    assert (summary.reconnects, summary.is_complete, len(retries)) == (1, True, 1)
    (resumed,) = of(Resumed, said)
    assert (resumed.at_s, resumed.afresh) == (len(talks[0].audio) / 10, False)


async def test_a_gateway_that_lost_some_gets_it_again() -> None:
    """Killed and started again it wants audio from what was committed, in the middle of a chunk."""

    async def restarted(talk: Talk) -> None:
        await talk.open(resume_from=2 * 1600 + 700)
        await converse(talk)

    talks, _, _, summary = await run(cut_after(5, committed_messages=2), restarted)
    assert len(talks[1].audio[0]) == 2 * 900
    assert numbers(talks[1]) == list(range(2, 10))
    assert summary.is_complete


async def test_a_session_that_is_unknown_begins_afresh() -> None:
    """4410: a start without resume, all audio that is not committed, times those of the source."""
    final = m.Final(1, 1, 0.25, 0.5, "hi", "en", 0.9)

    async def forgetful(talk: Talk) -> None:
        await talk.open(session="new")
        await talk.say(final)
        await converse(talk)

    talks, said, retries, summary = await run(
        cut_after(5, committed_messages=2), refuse(4410, "resume_unknown"), forgetful
    )
    assert (talks[1].start.resume is None, talks[2].start.resume) == (False, None)
    assert numbers(talks[2]) == list(range(2, 10))
    assert retries[1].afresh
    assert "forgotten the session (resume_unknown)" in retries[1].reason
    assert of(Resumed, said)[0].afresh
    assert of(m.Final, said)[0] == m.Final(1, 1, 0.45, 0.7, "hi", "en", 0.9)
    assert summary.is_complete


async def test_finals_that_come_again_are_dropped() -> None:
    """After a resume a gateway may repeat what was seen; each final is shown once."""
    finals = [m.Final(n, n, 0.1 * n - 0.1, 0.1 * n, f"{n}", "en", 0.9) for n in (1, 2, 3)]

    async def first(talk: Talk) -> None:
        await talk.open()
        await talk.hear()
        await talk.say(*finals[:2])
        await asyncio.sleep(0.05)
        talk.link.transport.abort()

    async def second(talk: Talk) -> None:
        await talk.open()
        assert talk.start.resume == m.Resume("s", "t", 2)
        await talk.say(*finals[1:])
        while not isinstance(await talk.hear(), m.Stop):
            pass
        await talk.say(m.Stopped(talk.received, 3))

    _, said, _, summary = await run(first, second)
    assert of(m.Final, said) == finals
    assert summary.finals == 3


async def test_audio_that_fell_out_of_the_ring_is_declared_first() -> None:
    """An outage longer than the ring: one gap of exactly what is missing, then the rest; and it is said."""

    async def first(talk: Talk) -> None:
        await talk.open()
        await talk.hear()
        talk.link.transport.abort()

    async def later(talk: Talk) -> None:
        resume = (await talk.read_start()).resume
        assert resume
        await asyncio.sleep(0.9)  # until the source has ended
        await talk.say(started(talk.received))
        await converse(talk)

    options = Options(speed=16, ring_s=0.3, retry_s=3)
    talks, said, _, summary = await run(first, later, options=options, is_live=True)
    (gap,) = [c for c in talks[-1].controls if isinstance(c, m.Gap)]
    heard = talks[0].received // 1600
    assert gap == m.Gap((7 - heard) * 1600)
    assert numbers(talks[-1]) == [7, 8, 9]
    (lost,) = of(AudioLost, said)
    assert (lost.samples, lost.at_s) == (gap.samples, heard / 10)
    assert summary.lost_s == lost.seconds == pytest.approx(0.7 - heard / 10)


async def test_stop_is_finished_across_a_cut() -> None:
    """A link lost between `stop` and `stopped` is resumed, and `stop` said again."""

    async def cut_at_stop(talk: Talk) -> None:
        await talk.open()
        while not isinstance(await talk.hear(), m.Stop):
            pass
        talk.link.transport.abort()

    talks, said, _, summary = await run(cut_at_stop, proper)
    assert talks[1].audio == []
    assert talks[1].controls == [m.Stop()]
    assert isinstance(said[-1], m.Stopped)
    assert summary.is_complete


async def test_the_stopped_of_a_draining_gateway_is_not_the_end() -> None:
    """It closed before it had heard everything: the rest is for the one that comes after it."""

    async def drain(talk: Talk) -> None:
        await talk.open()
        while not isinstance(await talk.hear(), m.Stop):
            pass
        talk.received = 1600
        await talk.say(m.Stopped(1600, 0))
        await talk.link.close(1001, "done")

    talks, _, _, summary = await run(drain, proper)
    assert numbers(talks[1]) == list(range(1, 10))
    assert summary.is_complete


async def test_the_token_goes_where_it_belongs() -> None:
    """As a bearer token in a header; nothing of it in the address."""
    async with Scripted(proper).run() as gateway:
        await speaker.stream(door(gateway.url, "secret-1"), source(), FAST, lambda event: None)
    (talk,) = gateway.talks
    assert talk.headers["Authorization"] == "Bearer secret-1"
    assert talk.link.request.path == "/v1/stream"


async def test_overload_is_retried_until_there_is_room() -> None:
    """503 on the request and 1013 on the socket are both "later", not "no"."""
    talks, _, retries, summary = await run(503, refuse(1013, "overloaded"), proper)
    assert summary.is_complete
    assert [retry.reason for retry in retries] == ["the gateway answered HTTP 503", "overloaded: you may not"]
    assert numbers(talks[-1]) == list(range(10))


@pytest.mark.parametrize("code", [1008, 4401, 4403, 4409])
async def test_a_refusal_is_not_retried(code: int) -> None:
    """A final close code ends the stream with the gateway's own words."""
    with pytest.raises(StreamError, match="nope: you may not") as caught:
        await run(refuse(code))
    assert caught.value.refused


@pytest.mark.parametrize("status", [401, 404])
async def test_an_http_refusal_is_not_retried(status: int) -> None:
    """No such path, no such right: asking again changes nothing."""
    with pytest.raises(StreamError, match=str(status)) as caught:
        await run(status)
    assert caught.value.refused


async def test_nobody_there_is_tried_for_a_while_then_given_up() -> None:
    """A refused connection is retried for first_retry_s."""
    async with Scripted(proper).run() as gateway:
        url = gateway.url
    said: list[Event] = []
    with pytest.raises(StreamError, match="cannot connect to ws://") as caught:
        await speaker.stream(door(url), source(), Options(first_retry_s=0.6), said.append)
    assert not caught.value.refused
    assert of(Retry, said)


async def test_a_gateway_that_hangs_is_left() -> None:
    """Half-open: bytes go nowhere and none come. The link is aborted, the session resumed on another."""
    options = Options(speed=16, retry_s=3, silent_s=0.3)
    said: list[Event] = []

    def show(event: Event) -> None:
        said.append(event)
        if isinstance(event, m.Ack) and len(of(m.Ack, said)) == 2:
            proxy.stall()
        if isinstance(event, Retry):
            proxy.cut()  # what was on its way is lost
            proxy.flow()

    async with Scripted(proper).run() as gateway, CuttingProxy(gateway.url).run() as proxy:
        summary = await speaker.stream(door(proxy.url), source(40), options, show)
    assert [retry.reason for retry in of(Retry, said)] == ["the gateway does not answer any more"]
    first, second = gateway.talks
    assert numbers(second)[0] == len(first.audio)
    assert numbers(first) + numbers(second) == list(range(40))
    assert summary.is_complete


async def test_a_gateway_that_is_deaf_is_left() -> None:
    """One that keeps talking but stops reading is as dead as a silent one, though a send is stuck."""

    async def deaf(talk: Talk) -> None:
        await talk.open()
        talk.link.transport.pause_reading()
        while True:
            await talk.say(m.Notice("still", "here"))
            await asyncio.sleep(0.05)

    big = (Chunk(bytes(900_000), 450_000) for _ in range(40))
    said: list[Event] = []
    async with Scripted(deaf, refuse(1008)).run() as gateway:
        many = Source(AudioFormat(), big, is_live=True)
        options = Options(speed=1e4, ring_s=1e5, silent_s=0.3)
        with pytest.raises(StreamError, match="nope"):
            await speaker.stream(door(gateway.url), many, options, said.append)
    assert [retry.reason for retry in of(Retry, said)] == ["the gateway does not answer any more"]


async def test_an_idle_link_is_asked_and_kept() -> None:
    """A source that pauses sends nothing: pings that are answered keep the link."""

    def pausing() -> Generator[Chunk, None, None]:
        yield from counted(1)
        time.sleep(0.7)
        yield from counted(1)

    said: list[Event] = []
    async with Scripted(proper).run() as gateway:
        live = Source(AudioFormat(), pausing(), is_live=True)
        await speaker.stream(door(gateway.url), live, Options(silent_s=0.3), said.append)
    assert not of(Retry, said)
    assert len(of(m.Pong, said)) >= 2


async def test_a_stalled_link_does_not_stop_the_source() -> None:
    """While the gateway takes nothing a live source fills the ring at its own pace."""
    ended = threading.Event()

    def spoken() -> Generator[Chunk, None, None]:
        yield from counted(40)
        ended.set()

    async with Scripted(proper).run() as gateway, CuttingProxy(gateway.url).run() as proxy:
        proxy.stall()
        live = Source(AudioFormat(), spoken(), is_live=True)
        task = asyncio.create_task(speaker.stream(door(proxy.url), live, FAST, lambda event: None))
        assert await asyncio.to_thread(ended.wait, 5)
        proxy.flow()
        assert (await task).is_complete
    assert [n for talk in gateway.talks for n in numbers(talk)] == list(range(40))


async def test_what_is_not_a_gateway_is_named() -> None:
    """A server that speaks something else ends the stream with a clear error."""

    async def stranger(talk: Talk) -> None:
        await talk.link.recv()
        await talk.link.send("hello")
        await asyncio.sleep(5)

    with pytest.raises(StreamError, match="not a care-voice gateway"):
        await run(stranger)


async def test_messages_of_a_newer_gateway_are_ignored() -> None:
    """An unknown type is no reason to leave."""

    async def newer(talk: Talk) -> None:
        await talk.link.send('{"type": "weather", "rain": true}')
        await proper(talk)

    _, _, retries, summary = await run(newer)
    assert summary.is_complete
    assert not retries


async def test_stopping_ends_an_endless_source_politely() -> None:
    """When asked to stop, what was heard is sent, then stop; the last final still comes."""
    stopping = asyncio.Event()
    said: list[m.ServerMessage] = []

    def show(message: m.ServerMessage) -> None:
        said.append(message)
        if isinstance(message, m.Ack) and message.received >= 3200:
            stopping.set()

    endless = (Chunk(bytes(3200), 1600) for _ in itertools.count())
    async with Scripted(proper).run() as gateway:
        summary = await speaker.stream(
            door(gateway.url), Source(AudioFormat(), endless, is_live=True), FAST, show, stopping=stopping
        )
    assert summary.is_complete
    assert isinstance(said[-1], m.Stopped)
    assert gateway.talks[0].controls == [m.Stop()]


async def test_stopping_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that never says `stopped` is left after GRACE_S."""
    monkeypatch.setattr(speaker, "GRACE_S", 0.2)
    stopping = asyncio.Event()
    stopping.set()
    async with Scripted(stall).run() as gateway:
        summary = await speaker.stream(door(gateway.url), source(), FAST, lambda m: None, stopping=stopping)
    assert not summary.is_complete


async def test_a_live_source_is_kept_while_there_is_no_gateway() -> None:
    """What a microphone hears before the first connection is not lost."""
    talks, _, _, summary = await run(503, 503, proper, is_live=True)
    assert numbers(talks[0]) == list(range(10))
    assert summary.is_complete


async def test_a_file_waits_rather_than_overflow() -> None:
    """A gateway that commits late makes a file wait; nothing is dropped."""
    options = Options(speed=16, ring_s=0.3)
    (talk,), _, _, summary = await run(proper, options=options)
    assert numbers(talk) == list(range(10))
    assert summary.lost_s == 0


async def test_a_failing_source_still_gets_its_captions() -> None:
    """A microphone that is unplugged ends the stream with its error, after the last final."""

    def unplugged() -> Generator[Chunk, None, None]:
        yield from counted(3)
        raise SourceError("unplugged")

    said: list[m.ServerMessage] = []
    async with Scripted(proper).run() as gateway:
        with pytest.raises(SourceError, match="unplugged"):
            await speaker.stream(
                door(gateway.url), Source(AudioFormat(), unplugged(), is_live=True), FAST, said.append
            )
    assert isinstance(said[-1], m.Stopped)
    assert numbers(gateway.talks[0]) == [0, 1, 2]


async def test_an_error_while_showing_reaches_the_caller() -> None:
    """What on_message raises is not swallowed and not wrapped in a group."""

    def show(message: m.ServerMessage) -> None:
        raise BrokenPipeError

    async with Scripted(proper).run() as gateway:
        with pytest.raises(BrokenPipeError):
            await speaker.stream(door(gateway.url), source(), FAST, show)


async def test_a_cancelled_stream_is_cancelled() -> None:
    """Cancelling the caller ends everything at once."""
    async with Scripted(stall).run() as gateway:
        task = asyncio.create_task(speaker.stream(door(gateway.url), source(), FAST, lambda message: None))
        await gateway.opened.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_real_time_is_kept() -> None:
    """At speed 1 the last chunk leaves no earlier than its place in the stream."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await run(proper, chunks=4, options=Options(retry_s=math.inf))
    assert loop.time() - began >= 0.3
