"""core: the protocol of the Vosk server: audio in, exactly one reply to each binary frame, eof and reset.

Its clients wait for each reply before they speak on, so a reply never waits for the engine: it is the oldest
final that waits to be told, or the text so far. Only the reply to eof waits, and has all that is left.
"""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct, structs

from gateway.connection.closing import standard
from gateway.connection.messages import (
    Audio,
    Configure,
    Error,
    Final,
    Flush,
    Partial,
    ServerMessage,
    Start,
    Stop,
    Stopped,
    TimedWord,
)
from gateway.connection.opening import Refused, open_stream
from gateway.connection.protocols.codec import End, Handshake, Say, Step, Tell, WholeSamples
from gateway.connection.protocols.unfinished import Pulse, Unfinished
from gateway.connection.protocols.wishes import fitting
from gateway.events import AudioFormat, Word
from gateway.transcript.agreement import split
from gateway.transcript.tags import read_tag
from gateway.transcript.words import spread

SAMPLE_RATE = 8_000
"""Hz, of a client that names none."""
MAX_WAITING = 16
"""Finals that wait to be told one by one; more of them (after a huge frame) are told together."""
BAD_MESSAGE = 1008
UNKNOWN_WORD = "[unk]"
"""In a phrase list: anything else may be said too. Here it always may."""


class Config(Struct):
    sample_rate: float | None = None
    words: bool | None = None
    phrase_list: list[str] | None = None
    max_alternatives: int | None = None


class Said(Struct):
    """A text frame."""

    config: Config | None = None
    eof: Any = None
    reset: Any = None


_decoder = msgspec.json.Decoder(Said, strict=False)


class Vosk:
    """One connection. Its session begins with the first audio: until then the format may be configured."""

    protocol = "vosk"

    def __init__(self, handshake: Handshake) -> None:
        self._shake = handshake
        tongue = read_tag(handshake.ask("language"))
        audio = AudioFormat("pcm_s16le", SAMPLE_RATE)
        self._start = Start(audio, tongue.language, handshake.bed, words=True, script=tongue.script)
        self._many = False
        """Alternatives are wanted: there is one."""
        self._pulse = Pulse(handshake.settings.server.idle_timeout_s, handshake.now)
        self._samples: WholeSamples | None = None
        self._unfinished = Unfinished()
        self._waiting: list[Final] = []
        self._told_s = 0.0
        """The end of the last word that was told."""
        self._ending = False
        self._why = ""

    # --- the client ---

    def open(self) -> list[Step]:
        return []

    def receive(self, frame: str | bytes, now: float) -> list[Step]:
        if self._ending:
            return []
        return self._hear(frame) if isinstance(frame, bytes) else self._obey(frame)

    def tick(self, now: float) -> list[Step]:
        ping = self._pulse.beat(now) if self._samples and not self._ending else None
        return [Tell(ping)] if ping else []

    def _hear(self, pcm: bytes) -> list[Step]:
        steps: list[Step] = []
        if self._samples is None:
            self._samples = WholeSamples(self._start.audio)
            steps.append(Tell(self._start))
        steps.append(self._reply())
        whole = self._samples.push(pcm)
        return [*steps, Tell(Audio(whole))] if whole else steps

    def _obey(self, frame: str) -> list[Step]:
        try:
            said = _decoder.decode(frame)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            return self._fail(f"Not understood: {error}")
        steps = self._configure(said.config) if said.config and not self._ending else []
        if said.reset and not self._ending:
            flush: list[Step] = [Tell(Flush(0))] if self._samples else []
            steps += [self._reply(), *flush]
        return steps + self._finish() if said.eof and not self._ending else steps

    def _configure(self, config: Config) -> list[Step]:
        start = self._start
        if config.sample_rate is not None and not self._samples:
            rate = round(config.sample_rate) if math.isfinite(config.sample_rate) else 0
            start = structs.replace(start, audio=AudioFormat("pcm_s16le", rate))
        if config.words is not None:
            start = structs.replace(start, words=config.words)
        if config.phrase_list is not None:
            hotwords = [phrase for phrase in config.phrase_list if phrase != UNKNOWN_WORD]
            start = structs.replace(start, hotwords=fitting(hotwords, self._shake.settings.server))
        self._many = self._many if config.max_alternatives is None else config.max_alternatives > 0
        try:
            open_stream(start, self._shake.settings, self._shake.model)
        except Refused as refused:
            return self._fail(refused.message)
        self._start = start
        return [Tell(Configure(start))] if self._samples else []

    def _finish(self) -> list[Step]:
        self._ending = True
        return [Tell(Stop())] if self._samples else [self._say(self._result([])), End(1000)]

    def _fail(self, why: str) -> list[Step]:
        steps = [*self._last_words(), End(BAD_MESSAGE, why)]
        self._ending = True
        return steps

    # --- the session ---

    def send(self, message: ServerMessage) -> list[Step]:
        match message:
            case Partial():
                self._unfinished.show(message)
            case Final():
                self._unfinished.settle(message)
                self._waiting.append(self._timed(message))
            case Error(message=why, fatal=True):
                self._why = why
                return self._last_words()
            case Stopped():
                return self._last_words()
        return []

    def close(self, code: int, reason: str) -> tuple[int, str] | None:
        return standard(code), self._why or reason

    def _last_words(self) -> list[Step]:
        """The reply to eof; or what no reply is left for, when the gateway ends it."""
        if not (self._ending or self._waiting):
            return []
        self._ending = True
        finals, self._waiting = self._waiting, []
        return [self._say(self._result(finals))]

    # --- replies ---

    def _reply(self) -> Say:
        if not self._waiting:
            return self._say({"partial": self._unfinished.text})
        count = 1 if len(self._waiting) <= MAX_WAITING else len(self._waiting)
        told, self._waiting = self._waiting[:count], self._waiting[count:]
        return self._say(self._result(told))

    def _say(self, reply: dict[str, Any]) -> Say:
        return Say(msgspec.json.encode(reply).decode())

    def _result(self, finals: Sequence[Final]) -> dict[str, Any]:
        finals = [final for final in finals if final.text]
        text = " ".join(final.text for final in finals)
        words = [word for final in finals for word in final.words or ()]
        timed = [{"start": w.start, "end": w.end, "word": w.text} for w in words]
        if not self._many:
            said = [{"conf": w.probability, **item} for w, item in zip(words, timed, strict=True)]
            return ({"result": said} if said else {}) | {"text": text}
        confidence = sum(final.confidence for final in finals) / max(1, len(finals))
        best = {"confidence": round(confidence, 3), "text": text} | ({"result": timed} if timed else {})
        return {"alternatives": [best]}

    def _timed(self, final: Final) -> Final:
        """With words as this client wants them: bare, in order, spread evenly where the engine timed none."""
        if not self._start.words:
            return structs.replace(final, words=None)
        whole = (Word("", final.start, final.end, final.confidence),)
        words = final.words or [
            TimedWord(word.text, word.start_s, word.end_s, word.probability)
            for word in spread(split(final.text), whole)
        ]
        timed = []
        for word in words:
            if text := word.text.strip():
                start = max(self._told_s, round(word.start, 3))
                self._told_s = max(start, round(word.end, 3))
                timed.append(TimedWord(text, start, self._told_s, word.probability))
        return structs.replace(final, words=tuple(timed))
