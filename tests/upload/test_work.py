"""A file's way from bytes to segments: order, windows, and what stays when nobody wants it any more."""

import asyncio
from contextlib import aclosing, suppress

import pytest

from gateway.config import DetectionSettings, TranscriptSettings
from gateway.events import Hypothesis, Kind
from gateway.transcript.captioner import Captioner
from gateway.upload.failure import UploadFailed
from gateway.upload.segments import WINDOW, Assembler, Splitter, Spoken
from gateway.upload.work import Ask, segments
from tests.connection.speech import pcm16

DIALOG = pcm16("dialog_en.wav")
UTTERANCES = 11


class Tape:
    """PCM that is read like a decoder's."""

    def __init__(self, pcm: bytes) -> None:
        self.blocks = [pcm[i : i + 65_536] for i in range(0, len(pcm), 65_536)]

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        return self.blocks.pop(0) if self.blocks else b""


class Engine:
    """Answers the newest question first, once `most` of them wait, or all that are left."""

    def __init__(self, most: int = 1, failing: int = 0) -> None:
        self.most, self.failing = most, failing
        self.waiting: list[tuple[Spoken, asyncio.Future[Hypothesis]]] = []
        self.languages: list[str | None] = []
        self.deepest = 0

    async def ask(self, spoken: Spoken, language: str | None) -> Hypothesis:
        self.languages.append(language)
        answer: asyncio.Future[Hypothesis] = asyncio.get_running_loop().create_future()
        self.waiting.append((spoken, answer))
        self.deepest = max(self.deepest, len(self.waiting))
        try:
            return await answer
        finally:
            self.waiting = [item for item in self.waiting if item[1] is not answer]

    async def run(self) -> None:
        answered = 0
        while answered < UTTERANCES:
            await asyncio.sleep(0.001)
            if len(self.waiting) >= min(self.most, UTTERANCES - answered):
                for spoken, answer in reversed(self.waiting):
                    answer.set_result(self._answer(spoken.snapshot.utterance))
                    answered += 1

    def _answer(self, number: int) -> Hypothesis:
        failure = "decode_failed" if number == self.failing else None
        text = f"Sentence {number}."
        return Hypothesis(1, number, 1, Kind.UPLOAD, text, "en", 0.99, -0.1, failure=failure)


async def texts(ask: Ask, language: str | None = None) -> list[str]:
    assembler = Assembler(Captioner(TranscriptSettings(), None, language))
    splitter = Splitter(DetectionSettings(), 80)
    said = segments(Tape(DIALOG), splitter, assembler, ask, asyncio.Lock())  # type: ignore[arg-type]
    async with aclosing(said):
        return [segment.text.strip() async for segment in said]


async def run(engine: Engine, language: str | None = None) -> list[str]:
    running = asyncio.create_task(engine.run())
    try:
        async with asyncio.timeout(30):
            return await texts(engine.ask, language)
    finally:
        running.cancel()


async def test_segments_come_in_order_whatever_the_engine_answers_first() -> None:
    """And no more of a file waits for the engine than its window."""
    engine = Engine(most=WINDOW)
    assert await run(engine, "en") == [f"Sentence {n}." for n in range(1, UTTERANCES + 1)]
    assert engine.deepest == WINDOW


async def test_the_language_is_asked_for_until_it_is_known() -> None:
    """One utterance at a time until then."""
    engine = Engine()
    await run(engine)
    assert engine.languages == [None, *["en"] * (UTTERANCES - 1)]


async def test_speech_that_cannot_be_decoded_is_never_left_out_silently() -> None:
    """The file fails, and says where."""
    with pytest.raises(UploadFailed, match=r"from 7\.\d to 8\.\d s") as no:
        await run(Engine(failing=3))
    assert (no.value.status, no.value.code) == (500, "decode_failed")


async def test_a_full_engine_fails_the_file() -> None:
    async def ask(spoken: Spoken, language: str | None) -> Hypothesis:
        raise UploadFailed(429, "overloaded", "full")

    with pytest.raises(UploadFailed, match="full"):
        await texts(ask, "en")


async def test_whoever_leaves_takes_all_questions_back() -> None:
    """Nothing of the file is left with the engine."""
    engine = Engine()
    reading = asyncio.create_task(texts(engine.ask, "en"))
    while len(engine.waiting) < WINDOW:  # noqa: ASYNC110 (it is the engine that is asked)
        await asyncio.sleep(0.001)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    assert engine.waiting == []
