"""core: three wire protocols as a client of captions sees them: what it sends, and what it reads then.

Written from the protocols' documentation (docs/protocol.md, docs/whisperlive.md) and
WhisperLiveKit's API page.
A wire keeps the text that its reader has before him: `final`, which the server says will not change, and
`shown`, which is that and whatever may change still. Both go back a few sentences only.
"""

import json
from collections import deque
from typing import Any, Protocol

import numpy as np

from gateway.connection.messages import Error, Final, Partial, Start, Started, Stop
from gateway.connection.protocols.native import decode_server, encode_client

SENTENCES = 10
"""That a reader has before him; WhisperLive's own default for its lists."""
KEPT_CHARACTERS = 600
"""Of a text that only grows."""


class Wire(Protocol):
    """One connection. Raises ValueError for what it cannot read."""

    path: str
    subprotocols: tuple[str, ...]
    ready: bool
    """Audio may be sent."""
    final: str
    shown: str
    fault: str
    """What the server complained of, refusal included."""

    def hello(self) -> str | None: ...
    def audio(self, pcm: bytes) -> bytes:
        """16 kHz mono s16le -> a binary message."""

    def receive(self, message: str) -> None: ...
    def goodbye(self) -> str | bytes: ...


class Native:
    """care-voice.v1"""

    path = "/v1/stream"
    subprotocols: tuple[str, ...] = ("care-voice.v1",)

    def __init__(self, language: str | None) -> None:
        self._language = language
        self._finals: deque[str] = deque(maxlen=SENTENCES)
        self.ready, self.final, self.shown, self.fault = False, "", "", ""

    def hello(self) -> str:
        return encode_client(Start(language=self._language))

    def audio(self, pcm: bytes) -> bytes:
        return pcm

    def receive(self, message: str) -> None:
        match decode_server(message):
            case Started():
                self.ready = True
            case Partial(stable=stable, tentative=tentative):
                self.shown = f"{self.final} {stable}{tentative}"
            case Final(text=text):
                self._finals.append(text)
                self.final = self.shown = " ".join(self._finals)
            case Error(code=code):
                self.fault = code

    def goodbye(self) -> str:
        return encode_client(Stop())


class WhisperLive:
    """float32 audio, the last segments in each message."""

    path = "/"
    subprotocols: tuple[str, ...] = ()

    def __init__(self, language: str | None) -> None:
        self._language = language
        self.ready, self.final, self.shown, self.fault = False, "", "", ""

    def hello(self) -> str:
        """With the defaults of its own client."""
        return json.dumps({
            "uid": f"peers-{id(self)}", "language": self._language, "task": "transcribe", "model": "demo",
            "use_vad": True, "send_last_n_segments": SENTENCES, "no_speech_thresh": 0.45, "clip_audio": False,
            "same_output_threshold": 10,
        })  # fmt: skip

    def audio(self, pcm: bytes) -> bytes:
        return bytes((np.frombuffer(pcm, "<i2").astype("<f4") / 32768).tobytes())

    def receive(self, message: str) -> None:
        fields: dict[str, Any] = json.loads(message)
        if fields.get("status") in {"ERROR", "WAIT"} or fields.get("message") == "DISCONNECT":
            self.fault = f"{fields.get('status', '')} {fields.get('message', '')}".strip()
        elif fields.get("message") == "SERVER_READY":
            self.ready = True
        elif segments := fields.get("segments"):
            self.final = " ".join(s["text"].strip() for s in segments if s["completed"])
            self.shown = " ".join(s["text"].strip() for s in segments)

    def goodbye(self) -> bytes:
        return b"END_OF_AUDIO"


class WhisperLiveKit:
    """s16le audio, all lines in each message, and what is not committed yet."""

    subprotocols: tuple[str, ...] = ()

    def __init__(self, language: str | None) -> None:
        self.path = f"/asr?language={language or 'auto'}"
        self.ready, self.final, self.shown, self.fault = False, "", "", ""

    def hello(self) -> None:
        return None

    def audio(self, pcm: bytes) -> bytes:
        return pcm

    def receive(self, message: str) -> None:
        fields: dict[str, Any] = json.loads(message)
        if fields.get("type") == "config":
            self.ready = True
        elif error := fields.get("error"):
            self.fault = str(error)
        elif "lines" in fields:
            lines = " ".join((line["text"] or "").strip() for line in fields["lines"])
            self.final = lines[-KEPT_CHARACTERS:]
            self.shown = f"{self.final} {fields.get('buffer_transcription', '')}"

    def goodbye(self) -> bytes:
        return b""
