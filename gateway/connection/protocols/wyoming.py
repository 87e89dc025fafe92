"""core: Wyoming, the protocol of Home Assistant's voice assistants, as a codec.

The client, not the gateway, ends an utterance: it becomes one session, whose captions are joined into one
transcript. Bytes come in as they were read. At most one event is taken from them at a time (`hungry`: there
is no other), and none while a transcript is awaited (`pending`): what the client says next waits in its
socket.
"""

import unicodedata
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from gateway.connection.closing import CloseCode
from gateway.connection.messages import (
    Audio,
    Error,
    Final,
    Notice,
    Ping,
    ServerMessage,
    Speech,
    Start,
    Started,
    Stop,
    Stopped,
)
from gateway.connection.protocols.codec import End, Handshake, Say, Step, Tell
from gateway.connection.protocols.native import MAX_INTEGER
from gateway.connection.protocols.wyoming_audio import BadAudio, Narrower, Pcm, read_pcm
from gateway.connection.protocols.wyoming_frames import Event, Frames, Malformed, encode
from gateway.connection.protocols.wyoming_info import hotwords_of, info, tongue_of

LASTING = {CloseCode.GOING_AWAY, CloseCode.INTERNAL}
"""Ends of a session that end the connection too."""
MAX_TEXT_CHARS = 1 << 20
"""Of one transcript: more than a day of talking."""


@dataclass(slots=True)
class _Turn:
    """What the client says between two transcripts."""

    text: str = ""
    language: str = ""
    announced: bool = False
    """transcript-start was said."""
    failed: bool = False
    """The client was told that the rest of it will not be heard."""
    over: bool = False
    """audio-stop came: the transcript is due when the session has ended."""

    def add(self, final: Final) -> str:
        """What a caption adds to the text."""
        text = final.text.strip()
        if not text:
            return ""
        chunk = f" {text}" if self.text and _takes_space(self.text[-1]) else text
        self.text += chunk
        self.language = self.language or final.language
        return chunk


class Wyoming:
    """One connection."""

    def __init__(self, handshake: Handshake) -> None:
        self._model = handshake.model
        self._server = handshake.settings.server
        self._frames = Frames(self._server.max_message_bytes)
        self._wish = Start(bed=handshake.bed, partials=handshake.bed is not None)
        self._pcm = Pcm()
        self._turn = _Turn()
        self._narrower: Narrower | None = None
        """Of the session that there is."""
        self._started = False
        self._held: Event | None = None
        """Audio in another format, for the next session."""
        self._began_ms = 0
        """Where the session begins, as its client counts."""
        self._leaving = False
        self._broken = False
        self.hungry = True
        """No whole event is left: read more."""

    def __repr__(self) -> str:
        return f"<Wyoming {self._turn!r} pending={self.pending}>"

    @property
    def speaking(self) -> bool:
        """There is a session."""
        return self._narrower is not None

    @property
    def pending(self) -> bool:
        """The session's end is awaited: receive nothing, and read nothing, until then."""
        return self.speaking and (self._turn.over or self._held is not None)

    @property
    def inside(self) -> bool:
        """An event has begun that is not whole yet."""
        return self._frames.inside

    # --- the client ---

    def open(self) -> list[Step]:
        return []

    def receive(self, frame: str | bytes, now: float) -> list[Step]:
        """Bytes as they were read, or none: then what is left is looked at."""
        if self._broken:
            return []
        self._frames.push(frame.encode("utf-8", "replace") if isinstance(frame, str) else frame)
        if self.pending:
            return []
        try:
            event = self._held or self._frames.take()
        except Malformed as no:
            self._broken = self.hungry = True
            return [_error(no.code, no.message), End(CloseCode.BAD_MESSAGE, no.code)]
        self._held, self.hungry = None, event is None
        return self._take(event) if event else []

    def _take(self, event: Event) -> list[Step]:
        match event.type:
            case "describe":
                return [_say("info", info(self._model))]
            case "transcribe":
                return self._transcribe(event.data)
            case "audio-start" | "audio-chunk":
                return self._hear(event)
            case "audio-stop":
                self._turn.over = True
                return [Tell(Stop())] if self._narrower else self._finish()
            case "ping":
                alive: list[Step] = [Tell(Ping())] if self._narrower else []
                text = event.data.get("text")
                return [*alive, _say("pong", {"text": text if isinstance(text, str) else None})]
            case _:
                return []

    def _transcribe(self, data: dict[str, Any]) -> list[Step]:
        """From the next session on."""
        names, terms = data.get("transcript_names"), data.get("transcript_terms")
        tongue = tongue_of(data.get("language"), self._model.languages)
        self._wish = Start(
            bed=self._wish.bed,
            partials=self._wish.partials,
            language=tongue.language,
            script=tongue.script,
            hotwords=hotwords_of(names, terms, self._server),
        )
        return []

    def _hear(self, event: Event) -> list[Step]:
        if self._turn.failed:
            return []
        try:
            pcm = read_pcm(event.data, self._pcm)
        except BadAudio as bad:
            self._turn.failed = True
            return [_error("bad_audio_format", str(bad))]
        if event.type == "audio-start":
            self._pcm = pcm
        if event.type == "audio-start" or not event.payload:
            return []
        if self._narrower and self._narrower.pcm != pcm:
            self._held = event
            return [Tell(Stop())]
        steps = [] if self._narrower else self._begin(pcm, event.data.get("timestamp"))
        assert self._narrower is not None  # _begin made it
        samples = self._narrower.push(event.payload)
        return [*steps, Tell(Audio(samples))] if samples else steps

    def _begin(self, pcm: Pcm, timestamp: object) -> list[Step]:
        self._narrower, self._started = Narrower(pcm), False
        self._began_ms = 0
        if isinstance(timestamp, int) and abs(timestamp) < MAX_INTEGER:
            self._began_ms = timestamp
        return [Tell(structs.replace(self._wish, audio=pcm.audio))]

    # --- the session ---

    def send(self, message: ServerMessage) -> list[Step]:
        match message:
            case Started():
                self._started = True
            case Speech(state, at):
                return [_say(f"voice-{state}", {"timestamp": self._began_ms + round(at * 1000)})]
            case Final():
                return self._add(message)
            case Notice("decode_failed"):
                why = "A part of what was said could not be transcribed."
                return [_error("decode_failed", why)]
            case Notice("going_away", detail):
                self._leaving = True
                return [] if self._turn.over else [_error("going_away", detail)]
            case Error(code, text, fatal):
                return self._fail(code, text) if fatal else [_error(code, text)]
            case Stopped():
                return self._end()
        return []

    def close(self, code: int, reason: str) -> tuple[int, str] | None:
        return (code, reason) if code in LASTING else None

    def tick(self, now: float) -> list[Step]:
        return []

    def _fail(self, code: str, text: str) -> list[Step]:
        """The session hears no more; what was spoken before still gets its captions, if it ever began."""
        self._turn.failed = True
        return [_error(code, text), *([] if self._started else self._end())]

    def _end(self) -> list[Step]:
        """The session is over. More audio begins another one, unless the client has said audio-stop."""
        self._narrower = None
        return self._finish() if self._turn.over or self._leaving else []

    # --- the transcript ---

    def _add(self, final: Final) -> list[Step]:
        chunk = self._turn.add(final)
        steps = [*self._announce(), _say("transcript-chunk", {"text": chunk})] if chunk else []
        if len(self._turn.text) < MAX_TEXT_CHARS:
            return steps
        self._broken = self.hungry = True
        error = _error("too_long", "This transcript is as long as one may be. Connect again and go on.")
        return [*steps, error, *self._finish(), End(CloseCode.RESTART, "too_long")]

    def _finish(self) -> list[Step]:
        announce, turn = self._announce(), self._turn
        self._turn = _Turn()
        transcript = {"text": turn.text} | _language(turn)
        return [*announce, _say("transcript", transcript), _say("transcript-stop", {})]

    def _announce(self) -> list[Step]:
        if self._turn.announced:
            return []
        self._turn.announced = True
        return [_say("transcript-start", _language(self._turn))]


def _say(kind: str, data: dict[str, Any]) -> Say:
    return Say(encode(kind, data))


def _error(code: str, text: str) -> Say:
    return _say("error", {"text": text, "code": code})


def _language(turn: _Turn) -> dict[str, str]:
    return {"language": turn.language} if turn.language else {}


def _takes_space(character: str) -> bool:
    """Does a space follow it, before a sentence? Not after Chinese and Japanese, nor their full stops."""
    wide = unicodedata.east_asian_width(character) in {"W", "F"}
    return not wide or unicodedata.name(character, "").startswith("HANGUL")
