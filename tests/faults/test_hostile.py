"""Clients that ask for too much: each limit at its edge and beyond it, and what everybody else notices (nothing)."""

import asyncio
import contextlib
import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.raw import Op, Raw, connection, frame, say, upgrade, websocket
from tests.running import REPO, RunningGateway, command
from tests.talking import peer

pytestmark = pytest.mark.slow
SPARE = 64
"""TCP connections above the number of WebSockets (gateway/connection/door.py)."""
SLOWLORIS = 200


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """With short times and a small message."""
    running = RunningGateway.start(
        tmp_path_factory.mktemp("strict") / "log",
        *("--handshake-timeout-s", "1", "--start-timeout-s", "1", "--max-message-bytes", "8192"),
    )
    yield running
    running.stop(signal.SIGKILL)


async def lives(raw: Raw) -> bool:
    await raw.send(say("ping", id="alive"))
    return (await raw.until("pong"))["id"] == "alive"


async def refusal(url: str, path: str = "/v1/stream") -> tuple[int, str, str]:
    """Status, Retry-After and code with which the next WebSocket is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with peer(url, path, patient=False):
            pass
    response = refused.value.response
    return response.status_code, response.headers["Retry-After"], json.loads(response.body or b"{}")["code"]


# --- connections ---


async def test_one_connection_too_many_is_told(own) -> None:
    """max_connections: the last one gets in, the next one 503 with Retry-After; a place that is left is given."""
    running = own("--max-connections", "3")
    async with AsyncExitStack() as stack:
        for path in ("/v1/stream", "/v1/captions", "/v1/captions/events?beds=a"):
            await stack.enter_async_context(websocket(running.url, path))
        assert await refusal(running.ws) == (503, "5", "too_many_connections")
        assert await refusal(running.ws, "/v1/captions") == (503, "5", "too_many_connections")
        assert running.health()["status"] == "ok"
        assert running.metric("care_voice_refused_total") == 2
    async with peer(running.ws, "/v1/stream") as speaker:
        await speaker.start()


async def test_an_address_has_its_share(own) -> None:
    """max_connections_per_address: 429 for one address; its neighbour gets in."""
    running = own("--max-connections-per-address", "2")
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(websocket(running.url, "/v1/captions"))
        assert await refusal(running.ws) == (429, "5", "too_many_connections_address")
        async with websocket(running.url, "/v1/stream", local_addr=("127.0.0.2", 0)) as neighbour:
            await neighbour.send(say("start"))
            await neighbour.until("started")


async def test_a_proxy_that_is_trusted_has_no_share_but_its_clients_have(own) -> None:
    """X-Forwarded-For says who counts."""
    running = own("--max-connections-per-address", "1", "--trusted-proxies", "127.0.0.1")
    async with (
        websocket(running.url, "/v1/captions", "X-Forwarded-For: 192.0.2.1") as one,
        websocket(running.url, "/v1/captions", "X-Forwarded-For: 192.0.2.2") as other,
        websocket(running.url, "/v1/captions", "X-Forwarded-For: 192.0.2.2") as too_many,
    ):
        assert b" 101 " in one.head
        assert b" 101 " in other.head
        assert b" 429 " in too_many.head


async def test_a_key_has_its_share(own, tmp_path: Path) -> None:
    """max_connections_per_key: 429 for one key, from whatever address; the next key gets in."""

    def make_key() -> str:
        create = command("token", "create", "--role", "viewer", "--bed", "*", "--json")
        made = subprocess.run(
            [*create, "--data-dir", tmp_path / "data"], check=True, capture_output=True, cwd=REPO
        )
        return f"Authorization: Bearer {json.loads(made.stdout)['key']}"

    one, other = make_key(), make_key()
    running = own("--max-connections-per-key", "1")
    async with (
        websocket(running.url, "/v1/captions", one) as first,
        websocket(running.url, "/v1/captions", one, local_addr=("127.0.0.2", 0)) as second,
        websocket(running.url, "/v1/captions", other) as third,
    ):
        heads = [raw.head.split()[1] for raw in (first, second, third)]
        assert heads == [b"101", b"429", b"101"]


async def test_a_flood_of_connections_is_cut_at_the_door(own) -> None:
    """Connections that say nothing: those beyond the limit are reset, memory and descriptors are bounded, and
    when the flood is over everything is as before."""
    running = own("--max-connections", "100", "--handshake-timeout-s", "2")
    rss, files = running.rss_bytes(), running.open_files()
    async with websocket(running.url, "/v1/stream") as good:
        await good.send(say("start"))
        await good.until("started")
        async with AsyncExitStack() as stack:
            flood = [await stack.enter_async_context(connection(running.url)) for _ in range(600)]
            await asyncio.sleep(0.2)
            assert running.open_files() <= files + 100 + SPARE + 5
            assert await lives(good)
            assert all(await asyncio.gather(*(raw.gone() for raw in flood)))
        assert await lives(good)
        assert running.health()["status"] == "ok"
        assert running.open_files() <= files + 5
        assert running.rss_bytes() < rss + (20 << 20)


# --- time ---


async def test_slow_headers_are_cut_off(strict: RunningGateway) -> None:
    """Slowloris, 200 sockets: a header byte now and then keeps nobody in longer than handshake_timeout_s."""
    request = upgrade("/v1/stream")

    async def dribble() -> None:
        async with connection(strict.url) as raw:
            end = asyncio.create_task(raw.gone())
            with contextlib.suppress(ConnectionError):
                for byte in request[:-1]:
                    if end.done():
                        break
                    await raw.send(bytes([byte]))
                    await asyncio.sleep(0.05)
            assert await end

    async with websocket(strict.url, "/v1/stream") as good:
        await good.send(say("start"))
        await good.until("started")
        attack = asyncio.gather(*(dribble() for _ in range(SLOWLORIS)))
        while not attack.done():
            assert await lives(good)
            await asyncio.sleep(0.2)
        await attack
    assert strict.health()["status"] == "ok"


async def test_a_tls_handshake_may_not_dribble(own) -> None:
    """Half a greeting keeps nobody in longer either."""
    running = own("--tls-self-signed", "--handshake-timeout-s", "1")
    async with connection(running.url) as raw:
        await raw.send(b"\x16\x03\x01\x02\x00\x01")
        assert await raw.gone()


async def test_a_second_request_may_not_dribble_either(strict: RunningGateway) -> None:
    """A connection that is kept alive has as long for each of its requests."""
    async with connection(strict.url) as raw:
        await raw.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in await raw.reader.readline()
        await raw.send(b"GET /healthz HT")
        assert await raw.gone()


async def test_a_body_may_not_dribble(strict: RunningGateway) -> None:
    """408, and the connection ends."""
    async with connection(strict.url) as raw:
        await raw.send(
            b"POST /v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        assert b" 408 " in await raw.reader.readline()


async def test_who_says_nothing_is_let_go(strict: RunningGateway) -> None:
    """A speaker without `start` and a viewer without `watch`: a named error and 4408; pings change nothing."""
    for path, code in (("/v1/stream", "no_start"), ("/v1/captions", "no_watch")):
        async with websocket(strict.url, path) as raw:
            await raw.send(frame(Op.PING, b"here"), frame(Op.TEXT, b"{", fin=False))
            assert (await raw.until("error"))["code"] == code
            assert await raw.until_close() == 4408


async def test_a_session_as_long_as_one_may_be_ends_well(own) -> None:
    """The notice, the last final, `stopped`, 1012."""
    running = own("--max-session-h", "0.0003")
    async with websocket(running.url, "/v1/stream") as raw:
        await raw.send(say("start"))
        assert (await raw.until("notice"))["code"] == "session_ending"
        assert (await raw.until("stopped"))["finals"] == 0
        assert await raw.until_close() == 1012


# --- size ---


async def test_endless_fragments_take_no_memory(gateway: RunningGateway) -> None:
    """Half a million empty continuation frames of one message: nothing is kept, the neighbour goes on."""
    flood = frame(Op.CONTINUATION, fin=False) * 10_000
    async with websocket(gateway.url, "/v1/stream") as bad, websocket(gateway.url, "/v1/stream") as good:
        for raw in (bad, good):
            await raw.send(say("start"))
            await raw.until("started")
        rss = gateway.rss_bytes()
        await bad.send(frame(Op.BINARY, fin=False))
        for n in range(50):
            await bad.send(flood)
            if n % 10 == 0:
                assert await lives(good)
        await bad.send(frame(Op.CONTINUATION))
        assert await lives(bad)
        assert gateway.rss_bytes() < rss + (4 << 20)


async def test_a_message_at_the_limit_passes(strict: RunningGateway) -> None:
    """max_message_bytes exactly is taken; one byte more closes 1009."""
    for size, code in ((8192, None), (8194, 1009)):
        async with websocket(strict.url, "/v1/stream") as raw:
            await raw.send(say("start"))
            await raw.until("started")
            await raw.send(frame(Op.BINARY, bytes(size)))
            if code:
                assert await raw.until_close() == code
            else:
                assert await lives(raw)


async def test_headers_have_an_end(gateway: RunningGateway) -> None:
    """A line of 16 KiB, a thousand headers: 400, without a trace in the log."""
    for bad in (b"X-Long: " + b"x" * 16_384 + b"\r\n", b"X-Many: 1\r\n" * 1000):
        async with connection(gateway.url) as raw:
            await raw.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", bad, b"\r\n")
            assert b" 400 " in await raw.reader.readline()
    assert "Traceback" not in gateway.log()


async def test_a_body_has_an_end(gateway: RunningGateway) -> None:
    """Above 64 KiB: 413, whatever was announced."""
    request = urllib.request.Request(gateway.url + "/v1/login", data=b"x" * 100_000, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        await asyncio.to_thread(urllib.request.urlopen, request, None, 10)
    with refused.value as answer:
        assert answer.code == 413


async def test_bed_names_have_an_end(own) -> None:
    """max_known_beds: one more is refused with 1013 as soon as the others have captions; known ones go on."""
    running = own("--max-known-beds", "2")

    async def lose_audio(bed: str) -> int | None:
        async with websocket(running.url, "/v1/stream") as raw:
            await raw.send(say("start", bed=bed), say("gap", samples=16_000), say("stop"))
            return await raw.until_close()

    assert [await lose_audio(bed) for bed in "abcab"] == [1000, 1000, 1013, 1000, 1000]


async def test_who_asks_without_reading_is_not_answered(own) -> None:
    """Thousands of `watch` with long answers, none read: one answer waits, not thousands; then it is cut off."""
    running = own("--send-timeout-s", "1")
    async with websocket(running.url, "/v1/stream") as speaker:
        await speaker.send(say("start", bed="a"), *[say("gap", samples=16_000)] * 120, say("stop"))
        assert await speaker.until_close() == 1000
    rss = running.rss_bytes()
    async with websocket(running.url, "/v1/captions", limit=1024) as greedy:
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(20):
                while True:
                    await greedy.send(say("watch", beds=["a"]) * 10)
                    await asyncio.sleep(0)
        assert running.rss_bytes() < rss + (24 << 20)
    assert running.health()["viewers"] == 0
