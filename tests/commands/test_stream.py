"""`care-voice stream` as a user runs it: its output, its exit codes, its errors."""

import asyncio
import json
import math
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.commands.stream import _options, stream
from gateway.connection import messages as m
from gateway.events import AudioFormat
from tests.client.scripted import Script, Scripted, Talk, converse, cut_after, proper, refuse, stall
from tests.client.scripted import started as scripted_started

CLIP = str(Path(__file__).parent.parent / "data" / "audio" / "en_00.wav")
FAST = ("--fast", "16")


async def started(*arguments: str, stdin: int | None = None) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "stream", *arguments, stdin=stdin, stdout=PIPE, stderr=PIPE
    )


async def run(*arguments: str, script: Script | int = proper) -> tuple[int | None, str, str, list[Talk]]:
    """Exit code, output, errors, and what the gateway heard."""
    async with Scripted(script).run() as gateway:
        process = await started(*arguments, "--url", gateway.url)
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode(), gateway.talks


@pytest.mark.slow
async def test_captions_are_printed_and_the_options_sent() -> None:
    """Finals go to standard output, the rest to standard error; each option reaches the gateway."""
    code, out, err, (talk,) = await run(
        CLIP, *FAST, "--bed", "3A", "--language", "en", "--words", "--hotwords", "Lin, SpO2,", "--prompt", "ward",
        "--script", "hk", "--endpointing-ms", "300", "--encoding", "mulaw", "--no-partials",
    )  # fmt: skip
    assert (code, out) == (0, "00:00.0  hello world\n")
    assert "connected: demo on cpu" in err
    assert "1 caption" in err
    assert talk.start == m.Start(
        AudioFormat("mulaw", 16_000, 1), language="en", bed="3A", partials=False, words=True,
        hotwords=["Lin", "SpO2"], prompt="ward", script="hk", endpointing_ms=300,
    )  # fmt: skip


@pytest.mark.slow
async def test_json_lines_are_for_programs() -> None:
    """--json prints every message as an object, nothing else, on standard output."""
    code, out, err, _ = await run(CLIP, *FAST, "--json")
    assert (code, err) == (0, "")
    assert [json.loads(line)["type"] for line in out.splitlines()] == [
        "started", "partial", "final", "stopped",
    ]  # fmt: skip


@pytest.mark.slow
async def test_a_refusal_exits_1_with_the_gateways_words() -> None:
    """No retry, no traceback."""
    code, out, err, _ = await run(CLIP, "--quiet", script=refuse(1008, "bad_bed"))
    assert (code, out) == (1, "")
    assert err == "care-voice stream: bad_bed: you may not\n"


@pytest.mark.slow
async def test_no_gateway_exits_1_and_says_how_to_start_one() -> None:
    """After --retry-s of trying."""
    async with Scripted(proper).run() as gateway:
        url = gateway.url
    process = await started(CLIP, "--url", url, "--retry-s", "0.1")
    _, err = await process.communicate()
    assert process.returncode == 1
    assert b"cannot connect" in err
    assert b"care-voice serve" in err


@pytest.mark.slow
async def test_standard_input_is_streamed() -> None:
    """`-` sends what comes on the pipe, to its end."""
    async with Scripted(proper).run() as gateway:
        process = await started("-", "--url", gateway.url, "--rate", "8000", "--chunk-ms", "20", stdin=PIPE)
        out, _ = await process.communicate(bytes(range(256)) * 25)
    assert process.returncode == 0
    assert b"hello world" in out
    assert gateway.talks[0].payload == bytes(range(256)) * 25
    assert gateway.talks[0].start.audio == AudioFormat("pcm_s16le", 8000, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_an_interrupt_awaits_the_last_caption(number: int, code: int) -> None:
    """Ctrl-C sends stop, prints the last final, and exits 130; SIGTERM does the same and exits 0."""
    async with Scripted(proper).run() as gateway:
        process = await started("-", "--url", gateway.url, stdin=PIPE)
        assert process.stdin is not None
        process.stdin.write(bytes(6400))
        await gateway.opened.wait()
        while not gateway.talks[0].audio:  # noqa: ASYNC110 (the script has no event for it)
            await asyncio.sleep(0.01)
        process.send_signal(number)
        assert process.stdout is not None
        out = await process.stdout.read()
        assert await process.wait() == code
        process.stdin.close()
    assert b"hello world" in out
    assert gateway.talks[0].controls == [m.Stop()]


@pytest.mark.slow
async def test_a_second_interrupt_ends_it_at_once() -> None:
    """Who is not willing to wait for the last caption need not."""
    async with Scripted(stall).run() as gateway:
        process = await started(CLIP, "--loop", "--url", gateway.url)
        await gateway.opened.wait()
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err


@pytest.mark.slow
async def test_a_lost_link_is_said_and_mended() -> None:
    """The reader sees that the link was lost, and the captions go on."""
    async with Scripted(cut_after(3), proper).run() as gateway:
        process = await started(CLIP, *FAST, "--url", gateway.url)
        out, err = await process.communicate()
    assert process.returncode == 0
    assert b"trying again" in err
    assert b"going on at 00:0" in err
    assert b"1 reconnect" in err
    assert b"hello world" in out


@pytest.mark.slow
@pytest.mark.parametrize(("code", "says"), [(4409, "another connection"), (4403, ""), (4401, "--token-file")])
async def test_who_is_not_wanted_stops_and_says_why(code: int, says: str) -> None:
    """Superseded, forbidden, token over: exit 1, no retry."""
    status, _, err, talks = await run(CLIP, *FAST, "--quiet", script=refuse(code))
    assert (status, len(talks)) == (1, 1)
    assert err.startswith("care-voice stream: nope: you may not")
    assert says in err


@pytest.mark.slow
async def test_a_lost_link_is_told_to_programs() -> None:
    """--json has the reconnect and the audio that was lost."""

    async def late(talk: Talk) -> None:
        await talk.read_start()
        await asyncio.sleep(1.5)  # the ring runs over
        await talk.say(scripted_started(talk.received))
        await converse(talk)

    async with Scripted(cut_after(1), late).run() as gateway:
        arguments = ("-", "--url", gateway.url, "--json", "--ring-s", "1", "--rate", "8000")
        process = await started(*arguments, stdin=PIPE)
        assert process.stdin is not None
        for _ in range(25):
            process.stdin.write(bytes(1600))
            await asyncio.sleep(0.1)
        process.stdin.close()
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    lines = [json.loads(line) for line in out.splitlines()]
    kinds = [line["type"] for line in lines if line["type"] not in {"partial", "final"}]
    assert kinds == ["started", "reconnecting", "started", "resumed", "gap", "stopped"]
    gap = next(line for line in lines if line["type"] == "gap")
    assert gap["samples"] == round(gap["seconds"] * 8000) > 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--token", "--token-file", "environment"])
async def test_a_token_is_sent_and_never_shown(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a header, whichever way it was given; a file counts more than the environment."""
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    monkeypatch.setenv("CARE_VOICE_TOKEN", "s3cret" if how == "environment" else "other")
    options = {
        "--token": ("--token", "s3cret"),
        "--token-file": ("--token-file", str(path)),
        "environment": (),
    }
    code, out, err, (talk,) = await run(CLIP, *FAST, "--json", *options[how])
    assert code == 0
    assert talk.headers["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in out + err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Missing argument"),
        (("nowhere.wav",), "no such file"),
        ((__file__,), "no audio file"),
        ((CLIP, "--url", "ftp://h"), "not the address of a gateway"),
        ((CLIP, "--encoding", "mp3"), "pcm_s16le"),
        ((CLIP, "--url", "https://h", "--ca", __file__), "no certificate of an authority"),
        ((CLIP, "--url", "http://h", "--ca", __file__), "https"),
        ((CLIP, "--token-file", "nowhere"), "the token cannot be read"),
        ((CLIP, "--token-file", "/dev/null"), "there is no token"),
        ((CLIP, "--token-file", "/dev/null", "--token", "a"), "give one of them"),
        ((CLIP, "--token", "two words"), "a token is one word"),
        ((CLIP, "--ring-s", "0"), "ring-s"),
        (("-", "--encoding", "opus", "--rate", "44100"), "opus cannot be made"),
        ((CLIP, "--chunk-ms", "5"), "chunk-ms"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_wrong(arguments: tuple[str, ...], says: str) -> None:
    """Nothing is connected to before the request makes sense."""
    result = CliRunner().invoke(stream, arguments)
    assert result.exit_code == 2
    assert says in result.output


def test_help_teaches() -> None:
    """--help has examples and the exit codes."""
    text = CliRunner().invoke(stream, ["--help"]).output
    for part in (
        "care-voice stream visit.wav",
        "arecord",
        "Exit codes",
        "--hotwords",
        "CARE_VOICE_TOKEN",
        "--ca",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("is_live", "asked_s", "limits"),
    [
        (False, None, (5.0, 60.0)),
        (True, None, (60.0, math.inf)),
        (False, 9.0, (9.0, 9.0)),
        (True, 0.0, (0.0, 0.0)),
    ],
)
def test_a_device_is_more_patient_than_a_file(
    is_live: bool, asked_s: float | None, limits: tuple[float, float]
) -> None:
    """First connect: 5 s for a file, 60 s for a device; afterwards a device tries for ever. --retry-s is both."""
    context = stream.make_context("stream", ["-", *([] if asked_s is None else ["--retry-s", str(asked_s)])])
    options = _options(context.params, is_live)
    assert (options.first_retry_s, options.retry_s) == limits
