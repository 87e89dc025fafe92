"""shell: one life of the engine's process, seen from the gateway: start, ask, end.

asyncio only; nothing here blocks the loop.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys

from gateway.events import Job
from gateway.inference.protocol import (
    HEADER_BYTES,
    EngineError,
    EngineSpec,
    Message,
    Ran,
    Ready,
    Run,
    Unusable,
    body_bytes,
    decode,
    encode,
)

LOAD_TIMEOUT_S = 600.0
"""The first start on a new GPU compiles its kernels."""
END_TIMEOUT_S = 2.0
"""An idle process ends in milliseconds once its socket is closed."""


class ChildDied(Exception):
    """The process ended, hung or answered nonsense; it is gone now."""


class Child:
    """A running engine process. Make one with `Child.start`."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.exited = asyncio.create_task(process.wait(), name="engine exit")

    @classmethod
    async def start(cls, spec: EngineSpec) -> tuple["Child", Ready]:
        """Start a process and wait until its engine is warm. Raises EngineError."""
        child = await cls._spawn()
        try:
            ready = await child._exchange(spec, LOAD_TIMEOUT_S)
        except ChildDied as error:
            code = await child.end()
            raise EngineError("worker_died", f"The engine's process ended with {code}: {error}") from error
        except BaseException:
            await child.end(kill=True)
            raise
        if isinstance(ready, Ready):
            return child, ready
        await child.end()
        if isinstance(ready, Unusable):
            raise EngineError(ready.code, ready.message)
        raise EngineError("worker_died", f"The engine's process answered {type(ready).__name__} to its start")

    @classmethod
    async def _spawn(cls) -> "Child":
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "gateway.inference.process", "--fd", str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )  # fmt: skip
        ours.setblocking(False)
        return cls(process, *await asyncio.open_connection(sock=ours))

    @property
    def pid(self) -> int:
        return self._process.pid

    async def run(self, batch: int, jobs: tuple[Job, ...], timeout_s: float) -> Ran:
        """Decode one batch. Raises ChildDied."""
        answer = await self._exchange(Run(batch, jobs), timeout_s)
        if isinstance(answer, Ran) and answer.batch == batch and len(answer.hypotheses) == len(jobs):
            return answer
        raise ChildDied(f"{type(answer).__name__} is no answer to batch {batch}")

    async def end(self, kill: bool = False) -> int:
        """Close, wait, and kill what does not end by itself. Returns the exit code."""
        self._writer.close()
        if not kill:
            await asyncio.wait({self.exited}, timeout=END_TIMEOUT_S)
        if not self.exited.done():
            # Not process.kill(): that polls, and may take the exit code away from asyncio's own watcher.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        return await self.exited

    async def _exchange(self, message: Message, timeout_s: float) -> Message:
        try:
            async with asyncio.timeout(timeout_s):
                self._writer.write(encode(message))
                await self._writer.drain()
                header = await self._reader.readexactly(HEADER_BYTES)
                return decode(await self._reader.readexactly(body_bytes(header)))
        except TimeoutError as error:
            raise ChildDied(f"no answer within {timeout_s:g} s") from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ChildDied("the socket was closed") from error
