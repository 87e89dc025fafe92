"""The speaker against a real WebSocket server that behaves, breaks off, refuses, or hangs."""

import asyncio
import itertools
import math
from collections.abc import Generator

import pytest

from gateway.client import speaker
from gateway.client.bedside import Options, Retry
from gateway.client.ring import Chunk
from gateway.client.sources import Source, SourceError
from gateway.client.speaker import StreamError, Summary, stream_url
from gateway.connection import messages as m
from gateway.events import AudioFormat
from tests.client.scripted import Scripted, Talk, cut_after, proper, refuse, stall

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
    said: list[m.ServerMessage] = []
    retries: list[Retry] = []
    async with Scripted(*scripts).run() as gateway:
        summary = await speaker.stream(
            gateway.url, source(chunks, is_live), options, said.append, retries.append
        )
    return gateway.talks, said, retries, summary


async def test_a_stream_is_heard_whole_and_ends_with_stopped() -> None:
    """Every chunk arrives once and in order, then stop; the summary says so."""
    (talk,), said, retries, summary = await run(proper)
    assert numbers(talk) == list(range(10))
    assert talk.controls == [m.Stop()]
    assert talk.link.subprotocol == "care-voice.v1"
    assert summary == Summary(seconds=1.0, finals=1, reconnects=0, lost_samples=0, is_complete=True)
    assert [type(x) for x in said if not isinstance(x, m.Ack)] == [m.Started, m.Partial, m.Final, m.Stopped]
    assert not retries


async def test_start_carries_the_options_and_the_sources_format() -> None:
    """What was asked is what the gateway is told; the audio format is the source's own."""
    options = Options(m.Start(bed="3A", language="zh", hotwords=["Lin"]), speed=16)
    async with Scripted(proper).run() as gateway:
        opus = Source(AudioFormat("opus", 48_000, 2), counted(1), is_live=False)
        await speaker.stream(gateway.url, opus, options, lambda message: None)
    assert gateway.talks[0].start == m.Start(
        AudioFormat("opus", 48_000, 2), bed="3A", language="zh", hotwords=["Lin"]
    )


async def test_a_cut_link_is_taken_up_with_the_audio_that_is_not_final() -> None:
    """The second session begins at the first chunk that was not committed; nothing is missing."""
    talks, said, retries, summary = await run(cut_after(5, committed_messages=2), proper)
    assert numbers(talks[0])[:5] == [0, 1, 2, 3, 4]
    assert numbers(talks[1]) == list(range(2, 10))
    assert (summary.reconnects, summary.is_complete, len(retries)) == (1, True, 1)
    (final,) = [x for x in said if isinstance(x, m.Final)]
    assert (final.start, final.end) == (0.2, 0.7)


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
    retries: list[Retry] = []
    with pytest.raises(StreamError, match="cannot connect to ws://") as caught:
        await speaker.stream(url, source(), Options(first_retry_s=0.6), lambda message: None, retries.append)
    assert not caught.value.refused
    assert retries


async def test_a_gateway_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """No word for SILENT_TIMEOUT_S, or a send that is stuck: the link is aborted and the audio sent again."""
    monkeypatch.setattr(speaker, "SILENT_TIMEOUT_S", 0.4)
    talks, _, retries, summary = await run(stall, proper)
    assert retries[0].reason == "the gateway does not answer any more"
    assert numbers(talks[1]) == list(range(10))
    assert summary.reconnects == 1


async def test_a_stuck_send_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that keeps talking but stops reading is left after SEND_TIMEOUT_S."""
    monkeypatch.setattr(speaker, "SEND_TIMEOUT_S", 0.3)

    async def deaf(talk: Talk) -> None:
        await talk.open()
        talk.link.transport.pause_reading()
        while True:
            await talk.say(m.Notice("still", "here"))
            await asyncio.sleep(0.05)

    big = (Chunk(bytes(900_000), 450_000) for _ in range(40))
    retries: list[Retry] = []
    async with Scripted(deaf, refuse(1008)).run() as gateway:
        many = Source(AudioFormat(), big, is_live=True)
        with pytest.raises(StreamError, match="nope"):
            await speaker.stream(
                gateway.url, many, Options(speed=1e4, ring_s=1e5), lambda message: None, retries.append
            )
    assert [retry.reason for retry in retries] == ["the gateway does not answer any more"]


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
            gateway.url, Source(AudioFormat(), endless, is_live=True), FAST, show, stopping=stopping
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
        summary = await speaker.stream(gateway.url, source(), FAST, lambda m: None, stopping=stopping)
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
    assert summary.lost_samples == 0


async def test_a_failing_source_still_gets_its_captions() -> None:
    """A microphone that is unplugged ends the stream with its error, after the last final."""

    def unplugged() -> Generator[Chunk, None, None]:
        yield from counted(3)
        raise SourceError("unplugged")

    said: list[m.ServerMessage] = []
    async with Scripted(proper).run() as gateway:
        with pytest.raises(SourceError, match="unplugged"):
            await speaker.stream(
                gateway.url, Source(AudioFormat(), unplugged(), is_live=True), FAST, said.append
            )
    assert isinstance(said[-1], m.Stopped)
    assert numbers(gateway.talks[0]) == [0, 1, 2]


async def test_an_error_while_showing_reaches_the_caller() -> None:
    """What on_message raises is not swallowed and not wrapped in a group."""

    def show(message: m.ServerMessage) -> None:
        raise BrokenPipeError

    async with Scripted(proper).run() as gateway:
        with pytest.raises(BrokenPipeError):
            await speaker.stream(gateway.url, source(), FAST, show)


async def test_a_cancelled_stream_is_cancelled() -> None:
    """Cancelling the caller ends everything at once."""
    async with Scripted(stall).run() as gateway:
        task = asyncio.create_task(speaker.stream(gateway.url, source(), FAST, lambda message: None))
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


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("ws://h:1", "ws://h:1/v1/stream"),
        ("ws://h:1/", "ws://h:1/v1/stream"),
        ("http://h", "ws://h/v1/stream"),
        ("https://h", "wss://h/v1/stream"),
        ("127.0.0.1:8001", "ws://127.0.0.1:8001/v1/stream"),
        ("wss://h/care/v1/stream?token=a", "wss://h/care/v1/stream?token=a"),
        ("https://h?token=a", "wss://h/v1/stream?token=a"),
        ("ws://[::1]:8001", "ws://[::1]:8001/v1/stream"),
    ],
)
def test_any_address_of_a_gateway_will_do(given: str, url: str) -> None:
    """http or ws, with or without scheme and path."""
    assert stream_url(given) == url


@pytest.mark.parametrize("given", ["", "ftp://h", "ws://", "mailto://"])
def test_other_addresses_are_refused(given: str) -> None:
    """An address that cannot be a gateway's is named, with an example."""
    with pytest.raises(ValueError, match="8001"):
        stream_url(given)
