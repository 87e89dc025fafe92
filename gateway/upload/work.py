"""shell: one file from bytes to segments: decode, listen, ask the engine, a few utterances at a time.

Whoever stops reading stops all of it: the decoder's process ends, the engine forgets what it was asked.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from gateway.events import SAMPLE_RATE, Hypothesis
from gateway.upload.decoder import Unpacking
from gateway.upload.failure import UploadFailed
from gateway.upload.segments import Assembler, Segment, Splitter, Spoken

PIECE_BYTES = 3200
"""100 ms: live audio waits no longer than it takes to listen to so much."""
Ask = Callable[[Spoken, str | None], Awaitable[Hypothesis]]
"""(utterance, language or None) -> the engine's answer. Raises UploadFailed when it has no room."""


async def segments(
    pcm: Unpacking, splitter: Splitter, assembler: Assembler, ask: Ask, ear: asyncio.Lock
) -> AsyncGenerator[Segment, None]:
    """In order, each as soon as it is there. `ear`: held by the one file that is listened to. Raises
    UploadFailed. Close it (aclosing) when not reading to the end."""
    asked: deque[tuple[Spoken, asyncio.Future[Hypothesis]]] = deque()
    try:
        async with aclosing(_utterances(pcm, splitter, ear)) as utterances:
            async for spoken in utterances:
                answer: asyncio.Future[Hypothesis] = asyncio.ensure_future(ask(spoken, assembler.language))
                asked.append((spoken, answer))
                while asked and (len(asked) >= assembler.window or asked[0][1].done()):
                    if segment := await _answered(assembler, *asked.popleft()):
                        yield segment
        while asked:
            if segment := await _answered(assembler, *asked.popleft()):
                yield segment
    finally:
        for _, answer in asked:
            answer.cancel()
        await asyncio.gather(*(answer for _, answer in asked), return_exceptions=True)


async def _answered(
    assembler: Assembler, spoken: Spoken, answer: asyncio.Future[Hypothesis]
) -> Segment | None:
    hypothesis = await answer
    if hypothesis.failure:
        start_s, end_s = (
            samples / SAMPLE_RATE for samples in (spoken.ended.start_samples, spoken.ended.end_samples)
        )
        message = f"The engine could not decode the speech from {start_s:.1f} to {end_s:.1f} s. Try again."
        raise UploadFailed(500, hypothesis.failure, message)
    return assembler.add(spoken, hypothesis)


async def _utterances(pcm: Unpacking, splitter: Splitter, ear: asyncio.Lock) -> AsyncGenerator[Spoken, None]:
    while block := await pcm.read():
        for start in range(0, len(block), PIECE_BYTES):
            async with ear:
                begun = time.perf_counter()
                found = splitter.push(block[start : start + PIECE_BYTES])
                # All files together get at most half of the gateway's time.
                await asyncio.sleep(time.perf_counter() - begun)
            for spoken in found:
                yield spoken
    for spoken in splitter.flush():
        yield spoken
