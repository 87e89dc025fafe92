"""shell: starts the decoder's process (unpack.py), hands it the file, takes its PCM, and ends it in any case.

It inherits nothing of the gateway: no environment, no open file, no directory. Who reads slowly slows it
down: no more than a pipe and a buffer of PCM waits anywhere.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.upload.failure import Verdict, why_undecoded

BLOCK_BYTES = 1 << 16
STALL_S = 30.0
"""A process that gives nothing for so long while somebody waits for it hangs."""
PATH = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
"""Where this program's modules are."""
LEAST_CPU_S = 30
AUDIO_PER_CPU_S = 60
"""Every codec is many times faster than this."""


class Unpacking:
    """The PCM of one file."""

    def __init__(self, process: asyncio.subprocess.Process, max_audio_s: float) -> None:
        self._process = process
        self._max_audio_s = max_audio_s

    async def read(self) -> bytes:
        """The next samples, 16 kHz mono s16, perhaps half a sample at the end; b"" when that was all.

        Raises UploadFailed when the file cannot be read, or not to its end.
        """
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(STALL_S):
                samples = await self._process.stdout.read(BLOCK_BYTES)
                status = Verdict.DECODED if samples else await self._process.wait()
        except TimeoutError:
            raise why_undecoded(-signal.SIGKILL, self._max_audio_s) from None
        if status != Verdict.DECODED:
            raise why_undecoded(status, self._max_audio_s)
        return samples


@asynccontextmanager
async def unpacking(data: bytes | bytearray, max_audio_s: float) -> AsyncIterator[Unpacking]:
    """While the block runs, a process decodes this file."""
    max_cpu_s = LEAST_CPU_S + int(max_audio_s / AUDIO_PER_CPU_S)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-s", "-m", "gateway.upload.unpack",
        "--max-audio-s", str(max_audio_s), "--max-cpu-s", str(max_cpu_s),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": PATH},
        cwd="/",
        start_new_session=True,
        limit=BLOCK_BYTES,
    )  # fmt: skip
    feeding = asyncio.create_task(_feed(process, data), name="feed the decoder")
    try:
        yield Unpacking(process, max_audio_s)
    finally:
        feeding.cancel()
        await _end(process)
        await asyncio.gather(feeding, return_exceptions=True)


async def _feed(process: asyncio.subprocess.Process, data: bytes | bytearray) -> None:
    pipe = process.stdin
    assert pipe is not None
    with contextlib.suppress(ConnectionError):  # it has ended: its status says why
        for start in range(0, len(data), BLOCK_BYTES):
            pipe.write(data[start : start + BLOCK_BYTES])
            await pipe.drain()
        pipe.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Whatever it does."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    assert process.stdout is not None
    while await process.stdout.read(BLOCK_BYTES):  # its exit is noticed only when its pipes are empty
        pass
    await process.wait()
