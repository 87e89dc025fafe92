"""The tests' proxy does what its words say."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.cutting import CuttingProxy


@pytest.fixture
async def proxy() -> AsyncIterator[CuttingProxy]:
    """In front of a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while block := await reader.read(1000):
                writer.write(block)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with CuttingProxy(f"http://127.0.0.1:{port}").run() as proxy:
        yield proxy
    server.close()


async def test_bytes_pass_and_are_counted(proxy: CuttingProxy) -> None:
    """Both ways, whole, also after the client has said that it is done."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"a" * 100_000)
    writer.write_eof()
    assert await reader.read(-1) == b"a" * 100_000
    await proxy.carried(100_000)
    assert (proxy.bytes_up, proxy.bytes_down, proxy.connections) == (100_000, 100_000, 1)
    assert proxy.ws == f"ws://127.0.0.1:{proxy.port}"
    writer.close()


@pytest.mark.parametrize("reset", [True, False])
async def test_a_cut_ends_all_connections(proxy: CuttingProxy, reset: bool) -> None:
    """By RST, which the client sees as an error, or by FIN; later connections work."""
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"a")
        assert await reader.read(1) == b"a"
        proxy.cut(reset)
        with pytest.raises(ConnectionResetError) if reset else contextlib.nullcontext():
            assert await reader.read(1) == b""
        writer.close()


async def test_a_stall_holds_everything_and_loses_nothing(proxy: CuttingProxy) -> None:
    """Connections stay open, new ones are taken; when it is over what has waited arrives."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    proxy.stall()
    new_reader, new_writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    for stalled in (writer, new_writer):
        stalled.write(b"a")
    waiting = asyncio.create_task(reader.readexactly(1)), asyncio.create_task(new_reader.readexactly(1))
    assert not (await asyncio.wait(waiting, timeout=0.1))[0]
    proxy.flow()
    assert await asyncio.gather(*waiting) == [b"a", b"a"]
    writer.close()
    new_writer.close()


async def test_refused_connections_are_reset(proxy: CuttingProxy) -> None:
    """As long as it is asked for."""
    proxy.refuse()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()
    proxy.refuse(False)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"a")
    assert await reader.read(1) == b"a"
    writer.close()


async def test_a_delay_holds_each_block(proxy: CuttingProxy) -> None:
    """In both directions."""
    proxy.delay_s = 0.05
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    began = asyncio.get_running_loop().time()
    writer.write(b"a")
    assert await reader.read(1) == b"a"
    assert asyncio.get_running_loop().time() - began >= 0.1
    writer.close()
