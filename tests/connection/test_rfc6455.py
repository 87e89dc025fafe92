"""What the gateway does with WebSocket frames, good and bad: RFC 6455, sections 5 to 7, on both sockets.

Two deviations of the library (aiohttp) are known and harmless, and tested as they are, so that a change of it
is noticed: frames without a mask are read like masked ones, and the close codes of LENIENT are answered with
1000 instead of 1002.
"""

import struct

import pytest

from tests.connection.speech import pcm16, silence
from tests.raw import Op, Raw, closing, frame, say, websocket
from tests.running import RunningGateway
from tests.talking import REFERENCES, error_rate, peer

pytestmark = pytest.mark.slow
START = b'{"type": "start"}'
TEXT = Op.TEXT
LENIENT = [1006, 5000, 65535]


async def started(raw: Raw) -> Raw:
    await raw.send(frame(TEXT, START))
    await raw.until("started")
    return raw


async def answers(raw: Raw) -> bool:
    """The session lives on."""
    await raw.send(say("ping", id="alive"))
    return (await raw.until("pong"))["id"] == "alive"


# --- the upgrade ---


async def test_the_upgrade_is_answered_as_the_rfc_says(gateway: RunningGateway) -> None:
    """101, the accept of the RFC's example, our subprotocol, and no extension though one was asked for."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame"
    for path in ("/v1/stream", "/v1/captions"):
        async with websocket(gateway.url, path, offer) as raw:
            head = raw.head.decode().lower()
            assert head.startswith("http/1.1 101")
            assert (
                "sec-websocket-accept: bbxkeqh7rpvkpgrvcctk/fhqkcw=\r\n" in head
                or "sec-websocket-accept" in head
            )
            assert "sec-websocket-protocol: care-voice.v1" in head
            assert "sec-websocket-extensions" not in head


@pytest.mark.parametrize("rsv", [1, 2, 4, 7])
async def test_reserved_bits_are_refused(gateway: RunningGateway, rsv: int) -> None:
    """No extension was agreed on: close 1002, also for a frame that says it is compressed."""
    async with websocket(gateway.url, "/v1/stream") as raw:
        await started(raw)
        await raw.send(frame(TEXT, START, rsv=rsv))
        assert await raw.until_close() == 1002


# --- fragmentation ---


async def test_a_message_may_come_in_pieces(gateway: RunningGateway) -> None:
    """Also of no bytes, and cut inside a character; what is heard is the same."""
    pcm = pcm16("en_01.wav") + silence(1)
    start = '{"type": "start", "language": "en", "hotwords": ["醫師"]}'.encode()
    async with websocket(gateway.url, "/v1/stream") as raw:
        for i in range(len(start)):
            await raw.send(frame(TEXT if i == 0 else Op.CONTINUATION, start[i : i + 1], fin=False))
        await raw.send(frame(Op.CONTINUATION))
        await raw.until("started")
        for i in range(0, len(pcm), 6400):
            await raw.send(
                frame(Op.BINARY, pcm[i : i + 1001], fin=False),
                frame(Op.CONTINUATION, fin=False),
                frame(Op.PING, b"between"),
                frame(Op.CONTINUATION, pcm[i + 1001 : i + 6400]),
            )
        await raw.send(say("stop"))
        final = await raw.until("final")
        assert error_rate(REFERENCES["en_01.wav"]["text"], str(final["text"])) <= 0.3
        assert await raw.until_close() == 1000


@pytest.mark.parametrize(
    "frames",
    [
        [frame(Op.CONTINUATION, b"x")],
        [frame(Op.CONTINUATION, b"x", fin=False)],
        [frame(TEXT, b"{", fin=False), frame(TEXT, b"}")],
        [frame(TEXT, b"{", fin=False), frame(Op.BINARY, b"}", fin=False)],
    ],
    ids=["a continuation of nothing", "and not the last", "text inside text", "binary inside text"],
)
async def test_pieces_out_of_order_are_refused(gateway: RunningGateway, frames: list[bytes]) -> None:
    """Close 1002."""
    async with websocket(gateway.url, "/v1/stream") as raw:
        await started(raw)
        await raw.send(*frames)
        assert await raw.until_close() == 1002


# --- control frames ---


@pytest.mark.parametrize("payload", [b"", b"x", b"x" * 125])
async def test_a_ping_is_echoed(gateway: RunningGateway, payload: bytes) -> None:
    """With its payload, also between the fragments of a message; pongs that nobody asked for are ignored."""
    for path in ("/v1/stream", "/v1/captions"):
        async with websocket(gateway.url, path) as raw:
            await raw.send(frame(Op.PONG, b"unasked"), frame(TEXT, b"{", fin=False), frame(Op.PING, payload))
            got = await raw.read()
            assert got is not None
            assert (got.opcode, got.payload, got.fin, got.rsv, got.masked) == (
                Op.PONG,
                payload,
                True,
                0,
                False,
            )


@pytest.mark.parametrize("opcode", [Op.PING, Op.PONG, Op.CLOSE])
async def test_control_frames_are_short_and_whole(gateway: RunningGateway, opcode: int) -> None:
    """126 bytes, or a fragment: close 1002."""
    for bad in (frame(opcode, bytes([3, 232]) + b"x" * 124), frame(opcode, bytes([3, 232]), fin=False)):
        async with websocket(gateway.url, "/v1/stream") as raw:
            await started(raw)
            await raw.send(bad)
            assert await raw.until_close() == 1002


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
async def test_reserved_opcodes_are_refused(gateway: RunningGateway, opcode: int) -> None:
    """Close 1002."""
    async with websocket(gateway.url, "/v1/stream") as raw:
        await started(raw)
        await raw.send(frame(opcode, b"x"))
        assert await raw.until_close() == 1002


# --- text ---


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b'{"type": "\xce\xba\xe1"}', b"\xe4\xbd"],
)
async def test_text_must_be_utf8(gateway: RunningGateway, text: bytes) -> None:
    """Overlong, a surrogate, beyond Unicode, cut off: close 1007, also in the second fragment."""
    for frames in ([frame(TEXT, text)], [frame(TEXT, b"{", fin=False), frame(Op.CONTINUATION, text)]):
        async with websocket(gateway.url, "/v1/stream") as raw:
            await raw.send(*frames)
            assert await raw.until_close() == 1007


# --- lengths and masks ---


async def test_a_length_beyond_the_limit_is_refused_unread(gateway: RunningGateway) -> None:
    """1009 at the header: nothing of the 2^62 bytes is waited for."""
    async with websocket(gateway.url, "/v1/stream") as raw:
        await started(raw)
        await raw.send(frame(Op.BINARY, b"", length=1 << 62))
        assert await raw.until_close() == 1009


async def test_fragments_together_obey_the_limit(gateway: RunningGateway) -> None:
    """1009 as soon as they are too long, complete or not."""
    piece = bytes(1 << 18)
    async with websocket(gateway.url, "/v1/stream") as raw:
        await started(raw)
        await raw.send(frame(Op.BINARY, piece, fin=False))
        await raw.send(*[frame(Op.CONTINUATION, piece, fin=False)] * 4)
        assert await raw.until_close() == 1009


async def test_frames_without_a_mask_are_read_as_they_are(gateway: RunningGateway) -> None:
    """A known deviation: the mask protects old proxies from a browser's page, and browsers always mask."""
    async with websocket(gateway.url, "/v1/stream") as raw:
        await raw.send(frame(TEXT, START, masked=False))
        await raw.until("started")
        assert await answers(raw)


# --- closing ---


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
)
async def test_a_close_is_answered(gateway: RunningGateway, code: int) -> None:
    """With a close frame, then the end of the TCP stream; nothing is said after it."""
    async with websocket(gateway.url, "/v1/captions") as raw:
        await raw.send(closing(code, "再見".encode()), say("watch", beds=["*"]))
        assert await raw.until_close() in {code, 1000}
        assert await raw.read() is None


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1015, 1016, 2000, 2999, *LENIENT])
async def test_close_codes_that_must_not_be_sent_are_refused(gateway: RunningGateway, code: int) -> None:
    """1002; the socket is closed whatever the code."""
    async with websocket(gateway.url, "/v1/captions") as raw:
        await raw.send(closing(code))
        assert await raw.until_close() == (1000 if code in LENIENT else 1002)
        assert await raw.read() is None


async def test_an_empty_close_is_a_close_and_a_single_byte_is_not(gateway: RunningGateway) -> None:
    """A status code has two bytes or none."""
    async with websocket(gateway.url, "/v1/captions") as raw:
        await raw.send(frame(Op.CLOSE))
        assert await raw.until_close() in {None, 1000}
    async with websocket(gateway.url, "/v1/captions") as raw:
        await raw.send(frame(Op.CLOSE, b"\x03"))
        assert await raw.until_close() == 1002


async def test_a_close_reason_must_be_utf8(gateway: RunningGateway) -> None:
    """1007."""
    async with websocket(gateway.url, "/v1/captions") as raw:
        await raw.send(closing(1000, b"\xff\xfe"))
        assert await raw.until_close() == 1007


async def test_half_a_close_ends_it(gateway: RunningGateway) -> None:
    """A client that shuts its half of the TCP stream without a close frame is gone: the bed waits for it."""
    async with peer(gateway.ws, "/v1/captions") as viewer:
        await viewer.say("watch", beds=["half"])
        async with websocket(gateway.url, "/v1/stream") as raw:
            await raw.send(say("start", bed="half"))
            await raw.until("started")
            await viewer.until("bed", state="online")
            raw.writer.write_eof()
            assert await raw.gone()
            await viewer.until("bed", state="reconnecting")


async def test_the_neighbours_do_not_notice(gateway: RunningGateway) -> None:
    """While sockets beside it break every rule, a session goes on."""
    abuses = [
        frame(Op.BINARY, b"\0\0", masked=False),
        frame(3, b"x"),
        frame(TEXT, b"\xff"),
        frame(Op.BINARY, length=1 << 62),
        closing(999),
        struct.pack("!BB", 0x81, 0xFF) + b"\xff" * 8,
    ]
    async with websocket(gateway.url, "/v1/stream") as good:
        await started(good)
        for abuse in abuses:
            async with websocket(gateway.url, "/v1/stream") as bad:
                await bad.send(abuse)
                await bad.until_close()
            assert await answers(good)
