"""shell: POST /v1/audio/transcriptions and /v1/audio/translations: OpenAI's way with files."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace

import structlog
from aiohttp import web

from gateway.connection.form import read_form
from gateway.connection.gate import PRINCIPAL
from gateway.connection.messages import Start
from gateway.connection.opening import Opening, Refused, open_stream
from gateway.connection.ports import EngineBusy, Ports
from gateway.connection.replying import Gone, Reply, attended
from gateway.events import Hypothesis, Kind
from gateway.transcript.captioner import Captioner
from gateway.upload import formats, wish
from gateway.upload.decoder import unpacking
from gateway.upload.failure import UploadFailed
from gateway.upload.segments import Assembler, Segment, Splitter, Spoken
from gateway.upload.wish import Wish
from gateway.upload.work import segments

PATHS = ("/v1/audio/transcriptions", "/v1/audio/translations")
"""They read their body themselves."""
STATUS = {"draining": 503, "starting": 503, "overloaded": 429}
PARAMS = {"unknown_language": "language", "prompt_too_long": "keywords", "too_many_hotwords": "keywords"}
log = structlog.get_logger()


class Uploads:
    """The files that are transcribed now."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._settings = ports.settings.upload
        self._open = 0
        self._ear = asyncio.Lock()
        self._stopped = False

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/audio/transcriptions", self.transcriptions),
            web.post("/v1/audio/translations", self.translations),
        ]

    async def transcriptions(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "transcribe")

    async def translations(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "translate")

    async def hang_up(self, _: web.Application) -> None:
        """The gateway stops: clients are told to send their files again."""
        self._stopped = True

    async def _answer(self, request: web.Request, task: str) -> web.StreamResponse:
        """A request from its first byte to its last."""
        begun = time.monotonic()
        reply = Reply(request, self._ports.settings.server.send_timeout_s)
        try:
            outcome = await self._outcome(request, task, reply)
        except Gone:
            outcome = "left"
        self._ports.measure("upload", 1, outcome)
        log.info("upload", outcome=outcome, task=task, seconds=round(time.monotonic() - begun, 1))
        return reply.response

    async def _outcome(self, request: web.Request, task: str, reply: Reply) -> str:
        """done | refused | failed. Raises Gone."""
        timeout_s = self._settings.upload_timeout_s
        try:
            with self._place():
                async with asyncio.timeout(timeout_s):
                    work = self._work(request, task, reply)
                    gate, principal = self._ports.gate, request[PRINCIPAL]
                    await attended(request, gate, principal, work, lambda: self._stopped)
                    return "done"
        except UploadFailed as why:
            failure = why
        except TimeoutError:
            message = f"Not done within {timeout_s:g} s (upload_timeout_s). Send it in parts, or later."
            failure = UploadFailed(504, "timeout", message)
        await reply.fail(failure)
        return "failed" if failure.status >= 500 else "refused"

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """One of the files that may be here at the same time. Raises UploadFailed (429, 503)."""
        reason = self._ports.refusal() or ""
        if status := STATUS.get(reason.partition(":")[0]):
            raise UploadFailed(status, "overloaded", f"The gateway takes no files now: {reason}.")
        if self._open >= self._settings.max_uploads:
            raise UploadFailed(429, "too_many_uploads", "As many files as may be are here. Try again later.")
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def _work(self, request: web.Request, task: str, reply: Reply) -> None:
        server = self._ports.settings.server
        form = await read_form(request, self._settings.max_upload_bytes, server.handshake_timeout_s)
        wanted = wish.read(form.fields, task, server.max_prompt_chars)
        if form.file is None:
            message = "Send the audio as the form's field `file`."
            raise UploadFailed(400, "missing_required_parameter", message, "file")
        transcript = await self._transcribe(form.file, wanted, reply)
        if not wanted.stream:
            text = formats.body(transcript, wanted.format, segments=wanted.segments, words=wanted.words)
            reply.say(text, formats.CONTENT_TYPES[wanted.format])
            return
        if not transcript.segments:
            await reply.send(formats.delta(""))
        await reply.send(formats.done(transcript.text))

    async def _transcribe(self, file: bytearray, wanted: Wish, reply: Reply) -> formats.Transcript:
        ports, around = self._ports, self._ports.surroundings()
        opening, number = self._opening(wanted), ports.next_speaker()
        splitter = Splitter(opening.detection, around.model.mel_bands, around.silero)
        assembler = Assembler(Captioner(around.settings.transcript, wanted.script, wanted.language))

        async def ask(spoken: Spoken, language: str | None) -> Hypothesis:
            job = opening.job(number, spoken.snapshot, language)
            job = replace(job, kind=Kind.UPLOAD, temperature=wanted.temperature)
            try:
                return await ports.transcribe(job)
            except EngineBusy:
                raise UploadFailed(429, "overloaded", "Too many files wait. Try again later.") from None

        found: list[Segment] = []
        try:
            async with (
                unpacking(file, self._settings.max_upload_audio_s) as pcm,
                aclosing(segments(pcm, splitter, assembler, ask, self._ear)) as said,
            ):
                async for segment in said:
                    found.append(segment)
                    if wanted.stream:
                        await reply.send(formats.delta(segment.text))
        finally:
            ports.measure("upload_audio_s", splitter.duration_s, "")
        named = wanted.language or ""
        return formats.Transcript(found, splitter.duration_s, wanted.task, named, wanted.temperature)

    def _opening(self, wanted: Wish) -> Opening:
        """Raises UploadFailed (400)."""
        start = Start(
            language=wanted.language,
            partials=False,
            words=wanted.words,
            hotwords=list(wanted.hotwords),
            prompt=wanted.prompt,
            task=wanted.task,
        )
        around = self._ports.surroundings()
        try:
            return open_stream(start, around.settings, around.model)
        except Refused as no:
            raise UploadFailed(400, "invalid_value", no.message, PARAMS.get(no.code, "prompt")) from None
