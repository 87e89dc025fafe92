"""Wyoming's port on a real gateway with tight limits, and who may reach it."""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from gateway.config import Settings, WyomingSettings
from gateway.connection.access import may_speak
from gateway.connection.ports import Ports
from gateway.connection.protocols.wyoming_frames import MAX_HEADER_BYTES
from gateway.connection.wyoming_guests import Guests
from gateway.connection.wyoming_server import WyomingServer
from tests.connection.protocols.test_wyoming_frames import packed
from tests.running import REPO, RunningGateway, command, environment
from tests.wyoming_peer import WAIT_S, asr, audio, check_answer, info, wyoming_peer

LIMITS = [
    "--wyoming-port=0", "--wyoming-allow=127.0.0.1", "--handshake-timeout-s=1", "--idle-timeout-s=1.5",
    "--max-sessions=1", "--max-connections-per-address=8", "--max-message-bytes=4096", "--send-timeout-s=1",
    "--max-unsent-bytes=65536",
]  # fmt: skip
SPARE_ADDRESS = "127.0.0.2"
MOST = 8


# --- who may come ---


@pytest.mark.parametrize(
    ("allow", "address", "admitted"),
    [
        ("", "127.0.0.1", True), ("", "127.9.9.9", True), ("", "::1", True), ("", "::ffff:127.0.0.1", True),
        ("", "192.168.1.20", False), ("", "fe80::1%eth0", False), ("", "", False), ("", "unix", False),
        ("192.168.1.20", "192.168.1.20", True), ("192.168.1.20", "::ffff:192.168.1.20", True),
        ("192.168.1.20", "192.168.1.21", False), ("192.168.1.20", "127.0.0.1", False),
        ("192.168.1.0/24, fd00::/8", "fd00::7", True), ("192.168.1.0/24, fd00::/8", "192.168.1.9", True),
    ],
)  # fmt: skip
def test_guests_are_known_by_their_address(allow: str, address: str, admitted: bool) -> None:
    """Without a list this machine; with one, exactly those it names."""
    assert Guests(WyomingSettings(wyoming_allow=allow)).admits(address) is admitted


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"wyoming_host": "0.0.0.0"}, "--wyoming-allow"),
        ({"wyoming_host": "::"}, "--wyoming-allow"),
        ({"wyoming_host": "ward.example"}, "--wyoming-allow"),
        ({"wyoming_allow": "10.0.0.1/33"}, "--wyoming-allow"),
        ({"wyoming_allow": "ha.example"}, "--wyoming-allow"),
        ({"wyoming_bed": "3*"}, "--wyoming-bed"),
    ],
)
def test_nothing_is_open_by_mistake(settings: dict[str, str], says: str) -> None:
    """The refusal names the setting."""
    with pytest.raises(ValueError, match=says):
        Guests(WyomingSettings.model_validate(settings))


@pytest.mark.parametrize(
    ("allow", "warns"),
    [("", False), ("127.0.0.0/8", False), ("192.168.1.20", True), ("127.0.0.1, ::/0", True)],
)
def test_what_is_open_is_said(allow: str, warns: bool) -> None:
    """When others than this machine may speak."""
    assert bool(Guests(WyomingSettings(wyoming_allow=allow)).exposure) is warns


@pytest.mark.parametrize(("bed", "beds"), [("", ()), ("3A", ("3A",)), ("b[1]", ("b[1]",))])
def test_guests_speak_at_their_bed_only(bed: str, beds: tuple[str, ...]) -> None:
    """Or at none."""
    guests = Guests(WyomingSettings(wyoming_bed=bed))
    assert guests.principal.beds == beds
    assert may_speak(guests.principal, guests.bed)
    assert not may_speak(guests.principal, "4B")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--wyoming-host", "0.0.0.0"], "Name who may, like --wyoming-allow"),
        (["--wyoming-bed", "3,4"], "--wyoming-bed"),
        (["--wyoming-host", "198.51.100.77", "--wyoming-allow", "198.51.100.0/24"], "--wyoming-host"),
    ],
)
def test_it_refuses_to_start(options: list[str], says: str, tmp_path: Path) -> None:
    """Status 1 and what to do."""
    done = subprocess.run(
        command("serve", "--model=demo", "--port=0", "--wyoming-port=0", f"--data-dir={tmp_path}", *options),
        cwd=REPO, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert says in done.stderr


class Starting:
    """A gateway whose model is loading."""

    settings = Settings(wyoming=WyomingSettings(wyoming_port=0))

    def refusal(self) -> str:
        return "starting: the model is loading"

    def refusal_of_new(self) -> None:
        return None


async def test_a_gateway_that_starts_says_so_at_once() -> None:
    """Home Assistant waits a second, and comes again."""
    server = WyomingServer(cast(Ports, Starting()))
    port = await server.open()
    async with asyncio.timeout(WAIT_S), wyoming_peer(f"tcp://127.0.0.1:{port}") as client:
        [said] = await client.end()
    server.drain()
    await server.close()
    assert (said.type, said.data) == ("error", {"text": Starting().refusal(), "code": "starting"})


# --- how many, how long, how much ---


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    gateway = RunningGateway.start(tmp_path_factory.mktemp("tight") / "log", *LIMITS)
    yield gateway
    assert gateway.stop() == 0, gateway.log()
    assert "connection failed" not in gateway.log()
    assert "Traceback" not in gateway.log()


@pytest.fixture
def url(gateway: RunningGateway) -> str:
    return str(gateway.wait_for_log("wyoming listening")["url"])


async def dial(url: str, address: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = int(url.rsplit(":", 1)[1])
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))


async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """It is told what the gateway is, and not cut."""
    async with asyncio.timeout(WAIT_S):
        try:
            writer.write(packed("describe"))
            return b'"info"' in await reader.readline()
        except ConnectionError:
            return False


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the gateway closes."""
    async with asyncio.timeout(WAIT_S):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


@pytest.mark.slow
async def test_a_foreign_address_is_cut_before_it_speaks(gateway: RunningGateway, url: str) -> None:
    """Counted and logged; the others are served."""
    before = gateway.metric('care_voice_refused_total{code="foreign_address"}')
    reader, writer = await dial(url, SPARE_ADDRESS)
    with closing(writer):
        assert await ended(reader) == b""
    assert gateway.metric('care_voice_refused_total{code="foreign_address"}') == before + 1
    refusal = gateway.wait_for_log("refused")
    assert (refusal["code"], refusal["address"]) == ("foreign_address", SPARE_ADDRESS)
    async with wyoming_peer(url) as peer:
        await peer.send(info.Describe())
        await peer.until("info")


@pytest.mark.slow
async def test_an_address_has_its_share_of_connections(gateway: RunningGateway, url: str) -> None:
    """One more is cut; when others have gone there is room again."""
    count = 'care_voice_refused_total{code="too_many_connections_address"}'
    before = gateway.metric(count)
    async with contextlib.AsyncExitStack() as held:
        for _ in range(MOST + 1):
            reader, writer = await dial(url)
            held.enter_context(closing(writer))
            if not await served(reader, writer):
                break
        assert gateway.metric(count) == before + 1
    async with asyncio.timeout(WAIT_S):
        while True:
            reader, writer = await dial(url)
            with closing(writer):
                if await served(reader, writer):
                    break


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", b'{"type":"des', packed("describe") + b'{"type":"audio-chunk"'])
async def test_who_sends_no_whole_event_is_closed(url: str, sent: bytes) -> None:
    """Nothing, or half of one: after handshake_timeout_s."""
    reader, writer = await dial(url)
    with closing(writer):
        writer.write(sent)
        answer = await ended(reader)
    assert (b'"info"' in answer) is (b"describe" in sent)


@pytest.mark.slow
async def test_who_is_silent_between_events_is_closed_later(url: str) -> None:
    """After idle_timeout_s."""
    async with wyoming_peer(url) as client:
        await client.send(info.Describe())
        assert [event.type for event in await client.end()] == ["info"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET / HTTP/1.1\r\n", "bad_event"),
        (b'{"type":"audio-chunk","payload_length":4097}\n', "too_big"),
        (b"x" * MAX_HEADER_BYTES, "too_big"),
    ],
    ids=["http", "payload", "header"],
)
async def test_what_is_no_wyoming_is_told_and_closed(url: str, sent: bytes, code: str) -> None:
    """An error event, then the end."""
    reader, writer = await dial(url)
    with closing(writer):
        writer.write(sent)
        answer = await ended(reader)
    assert b'"error"' in answer
    assert code.encode() in answer


@pytest.mark.slow
async def test_a_full_gateway_says_what_it_is_but_does_not_listen(url: str) -> None:
    """An error at the first audio, the empty transcript at audio-stop; then there is room."""
    chunk = audio.AudioChunk(16_000, 2, 1, bytes(3200))
    async with wyoming_peer(url) as first, wyoming_peer(url) as second:
        await first.send(chunk, info.Describe())
        await first.until("info")
        await second.send(info.Describe(), chunk)
        await second.until("info")
        assert (await second.until("error"))["code"] == "overloaded"
        await second.send(audio.AudioStop())
        assert check_answer(await second.answer()) == {"text": ""}
        await first.send(audio.AudioStop())
        assert check_answer(await first.answer()) == {"text": ""}
        await second.speak("en_00.wav", language="en")
        assert check_answer(await second.answer())["text"]


def flood(url: str) -> None:
    """Ask, and never read the answers."""
    ping = packed("ping", {"text": "x" * 3000})
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=WAIT_S) as line:
        while True:
            line.sendall(ping)


@pytest.mark.slow
async def test_who_does_not_read_is_cut(url: str) -> None:
    """After send_timeout_s, or when too much waits: the memory for a client is bounded."""
    with pytest.raises(ConnectionError):
        await asyncio.to_thread(flood, url)


@pytest.mark.slow
async def test_a_gateway_that_stops_gives_what_was_said(tmp_path: Path) -> None:
    """An error, the transcript so far, the end; whoever says nothing is just closed."""
    gateway = RunningGateway.start(tmp_path / "log", "--wyoming-port=0")
    url = gateway.wait_for_log("wyoming listening")["url"]
    async with wyoming_peer(url) as speaking, wyoming_peer(url) as silent:
        await silent.send(info.Describe())
        await silent.until("info")
        await speaking.speak("en_00.wav", stop=False, language="en")
        await speaking.until("voice-stopped")
        stopping = asyncio.create_task(asyncio.to_thread(gateway.stop))
        said = await speaking.end()
        assert [event.data["code"] for event in said if event.type == "error"] == ["going_away"]
        assert check_answer(speaking.said)["text"] == "I am cold."
        assert await silent.end() == []
        assert await stopping == 0
    assert asr.TranscriptStop.is_type(said[-1].type)
