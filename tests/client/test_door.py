"""The way in: addresses, tokens that nobody sees, certificates and what is wrong with them."""

import asyncio
import ipaddress
import ssl
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Response

from gateway.client.bedside import Event, Options
from gateway.client.door import Door, DoorError, stream_url, tls_context, words_of
from gateway.client.ring import Chunk
from gateway.client.sources import Source
from gateway.client.speaker import StreamError, stream
from gateway.connection import messages as m
from gateway.events import AudioFormat
from gateway.local_ca import LocalFiles, Names, ensure_certificate
from tests.client.scripted import Scripted, proper

HERE = ipaddress.IPv4Address("127.0.0.1")
ELSEWHERE = ipaddress.IPv4Address("10.1.2.3")


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
    with pytest.raises(DoorError, match="8001"):
        stream_url(given)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "tab\t", "schlüssel", "\x00"])
def test_a_token_is_one_word(token: str) -> None:
    """What would break the header is refused, and not repeated."""
    with pytest.raises(DoorError) as caught:
        Door("wss://h/v1/stream", token)
    assert token not in str(caught.value)


def test_secrets_are_not_shown() -> None:
    """Neither the token nor what may be secret in an address."""
    door = Door("wss://user:word@h:1/v1/stream?token=query", "secret")
    assert door.shown == "wss://h:1/v1/stream"
    assert "secret" not in repr(door)


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("ws://127.0.0.1:1/", True),
        ("ws://[::1]:1/", True),
        ("ws://localhost/", True),
        ("ws://10.0.0.1/", False),
        ("ws://h/", False),
    ],
)
def test_this_machine_is_known(url: str, is_local: bool) -> None:
    """There no proxy is asked, and nothing travels over a network."""
    assert Door(url).is_local is is_local


def test_an_authority_needs_an_encrypted_address(tmp_path: Path) -> None:
    """Who gives --ca believes to be safe."""
    with pytest.raises(DoorError, match="https"):
        Door("ws://h/", ca=tmp_path)


def test_a_file_that_is_no_authority_is_named(tmp_path: Path) -> None:
    """Missing, or something else."""
    other = tmp_path / "other.pem"
    for path in (other, tmp_path):
        with pytest.raises(DoorError, match="no certificate of an authority"):
            tls_context(path)
    other.write_text("hello")
    with pytest.raises(DoorError, match=r"other\.pem is no certificate"):
        tls_context(other)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": "starting"}', "starting"),
        (b'{"error": "revoked", "message": "The key is gone."}', "The key is gone."),
        (b"<html>", ""),
        (b"[1]", ""),
        (b'{"error": 5}', ""),
        (b'{"error": "\\u001b[2J"}', ""),
        (b"\xff", ""),
        (b'{"error": "' + b"x" * 1000 + b'"}', "x" * 300),
    ],
)
def test_the_words_of_a_refusal(body: bytes, words: str) -> None:
    """As the gateway says them; what is not printable or not the gateway's is not shown."""
    assert words_of(Response(503, "no", Headers(), body)) == words


# --- TLS ---


def certified(directory: Path, address: ipaddress.IPv4Address = HERE, age_days: int = 0) -> LocalFiles:
    """A certificate for the address, and its authority."""
    files = LocalFiles(directory)
    born = datetime.now(UTC) - timedelta(days=age_days)
    ensure_certificate(files, Names(("ward.local",), (address,)), Names((), ()), born)
    return files


def server_side(files: LocalFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


async def attempt(tls: ssl.SSLContext | None, ca: Path | None, scheme: str = "wss") -> list[Event]:
    said: list[Event] = []
    source = Source(AudioFormat(), (Chunk(bytes(3200), 1600) for _ in range(2)), is_live=False)
    async with Scripted(proper).run(tls) as gateway:
        url = gateway.url.replace("wss" if tls else "ws", scheme, 1)
        async with asyncio.timeout(10):
            await stream(Door(stream_url(url), "secret", ca), source, Options(first_retry_s=0.3), said.append)
    return said


async def test_a_gateway_is_known_by_its_own_authority(tmp_path: Path) -> None:
    """--ca: encrypted, and nobody else's certificate would do."""
    files = certified(tmp_path / "tls")
    said = await attempt(server_side(files), files.ca)
    assert isinstance(said[-1], m.Stopped)


async def test_what_is_wrong_with_a_certificate_is_explained(tmp_path: Path) -> None:
    """Unknown, another authority's, another name's, too old: each with what to do; never tried again."""
    good, other = certified(tmp_path / "good"), certified(tmp_path / "other")
    named = certified(tmp_path / "named", ELSEWHERE)
    old = certified(tmp_path / "old", age_days=500)
    cases = [
        (good, None, "not trusted: it is signed by nobody .* --ca ca.pem"),
        (good, other.ca, "not trusted: .*ca.pem did not sign it"),
        (named, named.ca, "not for the name 127.0.0.1: .*--tls-names"),
        (old, old.ca, "is not valid any more: .*clock"),
    ]
    for files, ca, says in cases:
        with pytest.raises(StreamError, match=says) as caught:
            await attempt(server_side(files), ca)
        assert caught.value.refused


async def test_an_encrypted_address_of_a_plain_gateway_is_explained(tmp_path: Path) -> None:
    """https where only http is spoken."""

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        door = Door(f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/stream")
        with pytest.raises(StreamError, match="does it speak http only"):
            await stream(
                door, Source(AudioFormat(), iter_nothing(), is_live=False), Options(), lambda event: None
            )


def iter_nothing() -> Generator[Chunk, None, None]:
    yield from ()


async def test_a_plain_address_of_an_encrypted_gateway_fails_without_the_token(tmp_path: Path) -> None:
    """http where only https is spoken: it cannot connect, and says where."""
    with pytest.raises(StreamError, match=r"cannot connect to ws://127\.0\.0\.1") as caught:
        await attempt(server_side(certified(tmp_path)), None, "ws")
    assert "secret" not in str(caught.value)
