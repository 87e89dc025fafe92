"""core: the protocol of WhisperLive: a hello, float audio, lists of the last segments, END_OF_AUDIO.

Its clients read every list as a whole: what is completed stays as it is, in order of time, and the last
segment may be an open one, which changes until it is completed with the text that it had last.
"""

from typing import Any

import msgspec

from gateway.connection.closing import CloseCode, standard
from gateway.connection.messages import (
    Audio,
    Error,
    Final,
    Flush,
    Notice,
    Partial,
    ServerMessage,
    Speech,
    Started,
    Stop,
    Stopped,
    TimedWord,
)
from gateway.connection.opening import Refused, open_stream
from gateway.connection.protocols.codec import WIDTHS, End, Handshake, Say, Step, Tell, WholeSamples
from gateway.connection.protocols.unfinished import Pulse, Unfinished
from gateway.connection.protocols.whisperlive_hello import (
    SAMPLE_RATE,
    Hello,
    decode,
    start_of,
    to_s16,
    uid_of,
)
from gateway.transcript.language import LIKELY

END_OF_AUDIO = "END_OF_AUDIO"
BACKEND = "faster_whisper"
"""The package collects a transcript from this one only."""
BAD_MESSAGE = 1008
MAX_REPEATED = 100
QUIET_S = 2.0
"""A client that plays a file ends without silence, waits for texts and then hangs up: so long after its last
audio the open utterance gets its final."""
WAIT_MIN = 1.0
SHORTEST_S = 0.001
"""Of a segment: the package takes an empty one that is repeated for a new one."""
POSSIBLE = 0.5
"""What is said of a language that no partial had: not that it was LIKELY."""


class WhisperLive:
    """One connection."""

    protocol = "whisperlive"

    def __init__(self, handshake: Handshake) -> None:
        self._shake = handshake
        self._pulse = Pulse(handshake.settings.server.idle_timeout_s, handshake.now)
        self._hello: Hello | None = None
        self._uid = ""
        self._samples: WholeSamples | None = None
        self._bytes_per_s = 1
        self._closed = False
        self._stopping = False
        self._speaking = False
        self._quiet_at = 0.0
        self._is_over = False
        """The session is as long as one may be."""
        self._language = ""
        """Known to the client, or named by it."""
        self._unfinished = Unfinished()
        self._open_text = ""
        """Of the last open segment that was said; the last list has it when `_is_open`."""
        self._is_open = False
        self._completed: list[dict[str, Any]] = []
        self._repeated = 10
        """How many completed segments each list has at most."""
        self._end_s = 0.0
        """Of the last completed segment."""

    # --- the client ---

    def open(self) -> list[Step]:
        return []

    def receive(self, frame: str | bytes, now: float) -> list[Step]:
        if self._closed or self._stopping:
            return []
        if self._hello is None:
            return self._begin(frame)
        if frame in (END_OF_AUDIO, END_OF_AUDIO.encode()):
            self._stopping = True
            return [Tell(Stop())]
        return self._hear(frame, now) if isinstance(frame, bytes) else []

    def tick(self, now: float) -> list[Step]:
        if self._hello is None:
            late = now - self._shake.now >= self._shake.settings.server.start_timeout_s
            return self._refuse("Say hello first: a JSON object with `uid`.") if late else []
        if self._closed or self._stopping:
            return []
        steps: list[Step] = [Tell(ping)] if (ping := self._pulse.beat(now)) else []
        if self._speaking and now >= self._quiet_at:
            self._speaking = False
            steps.append(Tell(Flush(0)))
        return steps

    def _begin(self, frame: str | bytes) -> list[Step]:
        try:
            hello = decode(frame)
        except ValueError as error:
            self._uid = uid_of(frame)
            return self._refuse(f"The first frame must be a JSON object with a `uid`: {error}")
        self._hello, self._uid = hello, hello.uid
        try:
            start = start_of(hello, self._shake)
            open_stream(start, self._shake.settings, self._shake.model)
        except Refused as refused:
            return self._refuse(refused.message)
        self._samples = WholeSamples(start.audio)
        self._bytes_per_s = WIDTHS[start.audio.encoding] * SAMPLE_RATE
        self._language = start.language or ""
        if hello.send_last_n_segments is not None:
            self._repeated = min(max(1, hello.send_last_n_segments), MAX_REPEATED)
        return [Tell(start)]

    def _refuse(self, why: str) -> list[Step]:
        first, self._closed = not self._closed, True
        return [self._say(status="ERROR", message=why), End(BAD_MESSAGE, why)] if first else []

    def _hear(self, frame: bytes, now: float) -> list[Step]:
        if self._hello is None or self._samples is None:
            return []
        if self._hello.audio_format == "uint8":
            frame = to_s16(frame)
        whole = self._samples.push(frame)
        self._quiet_at = now + len(whole) / self._bytes_per_s + QUIET_S
        return [Tell(Audio(whole))] if whole else []

    # --- the session ---

    def send(self, message: ServerMessage) -> list[Step]:
        match message:
            case Started():
                return [self._say(message="SERVER_READY", backend=BACKEND)]
            case Speech(state=state):
                self._speaking = state == "started"
            case Partial():
                self._unfinished.show(message)
                return self._name(message.language, LIKELY) + self._show()
            case Final():
                return self._complete(message)
            case Notice(code="decode_failed", detail=detail):
                return [self._say(status="WARNING", message=detail)]
            case Notice(code="session_ending"):
                self._is_over = True
            case Error(code="overloaded"):
                return [self._say(status="WAIT", message=WAIT_MIN)]
            case Error(message=why, fatal=fatal):
                return [self._say(status="ERROR" if fatal else "WARNING", message=why)]
            case Stopped() if self._is_over and not self._stopping:
                return [self._say(message="DISCONNECT")]
        return []

    def close(self, code: int, reason: str) -> tuple[int, str] | None:
        self._closed = True
        return (CloseCode.DONE if code == CloseCode.RESTART else standard(code)), reason

    # --- what is said ---

    def _say(self, *, replaceable: bool = False, **fields: Any) -> Say:
        frame = msgspec.json.encode({"uid": self._uid, **fields}).decode()
        return Say(frame, "segments" if replaceable else None)

    def _name(self, language: str, probability: float) -> list[Step]:
        """Once, before any segments: some clients take the first message for this one."""
        if self._language or not language:
            return []
        self._language = language
        return [self._say(language=language, language_prob=probability)]

    def _show(self) -> list[Step]:
        """The open segment has changed, or there is none any more."""
        text = self._unfinished.text
        if not self._language or text == (self._open_text if self._is_open else ""):
            return []
        return self._list(text, *self._unfinished.span_s, replaceable=bool(text))

    def _complete(self, final: Final) -> list[Step]:
        """Said at once and never replaced, so that no list, however short, misses one."""
        self._unfinished.settle(final)
        if not final.text:
            return self._show()
        steps = self._name(final.language, POSSIBLE)
        rest = self._unfinished.text
        if not rest and self._open_text != final.text:
            # At the end the package keeps the last open text besides, unless it was completed as it is.
            steps += self._list(final.text, final.start, final.end, replaceable=True)
        segment = self._segment(final.text, final.start, final.end)
        words = {"words": [_word(word) for word in final.words]} if final.words else {}
        self._end_s = float(segment["end"])
        self._completed = [*self._completed, segment | words][-self._repeated :]
        return steps + self._list(rest, *self._unfinished.span_s)

    def _list(self, text: str, start_s: float, end_s: float, replaceable: bool = False) -> list[Step]:
        """The last segments and the open one, if it has a text. Never an empty list."""
        self._is_open, self._open_text = bool(text), text or self._open_text
        rest = [self._segment(text, start_s, end_s, completed=False)] if text else []
        segments = [*self._completed, *rest]
        return [self._say(segments=segments, replaceable=replaceable)] if segments else []

    def _segment(self, text: str, start_s: float, end_s: float, completed: bool = True) -> dict[str, Any]:
        """Begins where the one before it ends, at the earliest. Texts join without anything between them."""
        start_s = max(start_s, self._end_s)
        end_s = max(end_s, start_s + SHORTEST_S)
        return {
            "start": f"{start_s:.3f}",
            "end": f"{end_s:.3f}",
            "text": f" {text.strip()}",
            "completed": completed,
        }


def _word(word: TimedWord) -> dict[str, Any]:
    return {"word": word.text, "start": word.start, "end": word.end, "probability": word.probability}
