"""A program that uses WhisperLive's package: runs one of its clients and prints, as the last line, what it got.

In a process of its own, because the package leaves sockets and threads behind, and imports what only its
microphone needs.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

STUBS = {
    "pyaudio": "paInt16 = 8\nclass PyAudio:\n    def open(self, **_): raise OSError('no microphone')\n",
    "scipy": "",
}
"""Name -> source."""
PIECE = 8192
WAIT_S = 20


@dataclass
class Heard:
    """What a client was told."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    """On the wire."""
    committed: list[dict[str, Any]] = field(default_factory=list)
    """What the package made of them."""
    partials: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    """Partials that came before the second half was sent."""
    text: str = ""
    error: str = ""
    printed: str = ""

    @property
    def completed(self) -> list[dict[str, Any]]:
        """The completed segments of all lists, each once."""
        found: list[dict[str, Any]] = []
        for message in self.messages:
            found += [s for s in message.get("segments", []) if s["completed"] and s not in found]
        return found


def package() -> Any:
    """whisper_live.client, where there is no microphone."""
    for name, source in STUBS.items():
        module = ModuleType(name)
        exec(source, module.__dict__)
        sys.modules[name] = module
    import whisper_live.client

    return whisper_live.client


def record(client: Any, heard: Heard) -> None:
    """Note what is on the wire."""
    receive = client.on_message

    def on_message(socket: Any, message: str) -> None:
        heard.messages.append(json.loads(message))
        receive(socket, message)

    client.on_message = on_message


def stream(port: str, clip: str, halves: bool, options: dict[str, Any]) -> Heard:
    """Through the streaming client, as fast as it goes; it waits for the gateway to close. `halves`: the second
    half of the clip is sent when something of the first one is shown."""
    heard, pcm = Heard(), Path(clip).read_bytes()
    client = package().StreamingTranscriptionClient(
        "127.0.0.1", port, on_partial_transcript=lambda text, _: heard.partials.append(text), **options
    )
    record(client._client, heard)
    try:
        client.connect()
    except RuntimeError as error:
        heard.error = str(error) or "refused"
        return heard
    half = len(pcm) // 2 // PIECE * PIECE
    for i in range(0, len(pcm), PIECE):
        if halves and i == half:
            _wait_for(heard)
            heard.early = list(heard.partials)
        client.send(pcm[i : i + PIECE])
    client.send_array(np.zeros(1600, np.float32))
    client.close()
    heard.committed = client.transcript
    assert client._client.transcript == client.transcript, "the package's two lists differ"
    return heard


def _wait_for(heard: Heard) -> None:
    deadline = time.monotonic() + WAIT_S
    while not heard.partials and time.monotonic() < deadline:
        time.sleep(0.02)


def play(port: str, clip: str, options: dict[str, Any]) -> Heard:
    """Through the client for files, which writes output.srt into the current directory."""
    heard = Heard()
    client = package().TranscriptionClient(
        "127.0.0.1", port, log_transcription=False, mute_audio_playback=True, **options
    )
    record(client.client, heard)
    client.client.disconnect_if_no_response_for = 4  # else 15 s of the busiest waiting
    client.client.close_websocket = (
        client.client.client_socket.close
    )  # else 10 s for a thread that reads nothing
    heard.text = client(audio=clip)
    heard.committed = client.client.transcript
    return heard


if __name__ == "__main__":
    kind, port_, clip_, options_ = sys.argv[1:]
    asked = json.loads(options_)
    got = play(port_, clip_, asked) if kind == "play" else stream(port_, clip_, kind == "halves", asked)
    print("\n" + json.dumps(asdict(got)))
