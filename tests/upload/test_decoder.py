"""The decoder's process seen from the gateway: its PCM, its end, and what it is not given."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.upload import decoder
from gateway.upload.decoder import unpacking
from gateway.upload.failure import UploadFailed, Verdict, why_undecoded
from tests.connection.speech import pcm16, silence
from tests.upload import files

SPOKEN = pcm16("en_00.wav")


async def pcm(data: bytes, max_audio_s: float = 100.0) -> bytes:
    said = b""
    async with unpacking(data, max_audio_s) as process:
        while samples := await process.read():
            said += samples
    return said


def pretend(monkeypatch: pytest.MonkeyPatch, directory: Path, program: str) -> None:
    """The process runs this instead."""
    package = directory / "gateway/upload"
    package.mkdir(parents=True)
    (directory / "gateway/__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "unpack.py").write_text(program)
    monkeypatch.setattr(decoder, "PATH", str(directory))


def children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


async def test_a_file_becomes_pcm() -> None:
    """All of it, also when it is larger than every buffer in between."""
    assert await pcm(files.made("flac", SPOKEN)) == SPOKEN
    long = SPOKEN * 20
    assert await pcm(files.wav(long)) == long


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"hello", "invalid_audio"),
        (files.made("flac", silence(20)), "audio_too_long"),
    ],
    ids=["text", "bomb"],
)
async def test_what_cannot_be_decoded_is_refused_by_name(data: bytes, code: str) -> None:
    """With the field of the form that is to blame."""
    with pytest.raises(UploadFailed) as no:
        await pcm(data, 10.0)
    assert (no.value.status, no.value.code, no.value.param) == (400, code, "file")


def test_every_end_of_the_process_has_its_words() -> None:
    """Signals too: out of time, killed, crashed."""
    for status in (*Verdict, 1, 70, -9, -11, -24):
        if status != Verdict.DECODED:
            why = why_undecoded(status, 60.0)
            assert (why.status, why.param) == (400, "file")
            assert why.message.endswith(".")


async def test_leaving_ends_the_process() -> None:
    """In the middle of a file, however much of it is unread."""
    before = children()
    async with unpacking(files.wav(SPOKEN * 200), 1000.0) as process:
        assert await process.read()
        assert children() > before
    assert children() == before


async def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It gives nothing: the file is refused, nothing of the process stays."""
    pretend(monkeypatch, tmp_path, "import time\ntime.sleep(600)\n")
    monkeypatch.setattr(decoder, "STALL_S", 0.2)
    before = children()
    with pytest.raises(UploadFailed, match="too long"):
        await pcm(b"anything")
    assert children() == before


async def test_it_inherits_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the gateway, none of its files, not its directory."""
    program = (
        "import os, sys\n"
        "sys.stdin.buffer.read()\n"
        "files = [fd for fd in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{fd}')]\n"
        "print(sorted(set(os.environ) - {'PYTHONPATH', 'LC_CTYPE'}), sorted(files), os.getcwd())\n"
    )
    pretend(monkeypatch, tmp_path, program)
    monkeypatch.setenv("CARE_VOICE_SECRET", "1")
    kept, other = os.pipe()
    try:
        os.set_inheritable(kept, True)
        assert await pcm(b"x") == b"[] ['0', '1', '2'] /\n"
    finally:
        os.close(kept)
        os.close(other)


async def test_a_process_that_does_not_read_does_not_block(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It ends while the file is still on its way: its status is what counts."""
    pretend(monkeypatch, tmp_path, "import os\nos._exit(66)\n")
    async with asyncio.timeout(20):
        with pytest.raises(UploadFailed, match="no audio track"):
            await pcm(bytes(5_000_000))
