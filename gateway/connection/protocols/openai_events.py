"""core: what is said to a client of OpenAI's Realtime API: every server event, in the GA or the beta shape.

Ids are numbered from the connection's own, so that they are unique without drawing lots.
"""

import json
from typing import Any

import msgspec

Event = dict[str, Any]
TRANSCRIPTION = "conversation.item.input_audio_transcription"
_encoder = msgspec.json.Encoder()


class Wrong(Exception):
    """What a client asked for cannot be done; `param` says where it stands in its event."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


def encode(event: Event) -> str:
    """The text frame."""
    try:
        return _encoder.encode(event).decode()
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot carry
        return json.dumps(event, ensure_ascii=False).encode("utf-8", "replace").decode()


class Events:
    """One connection's events. Times are milliseconds of the client's own stream, unless they say `_s`."""

    def __init__(self, connection: str, beta: bool) -> None:
        """`connection`: a UUID."""
        self.beta = beta
        self._seed = connection.replace("-", "")
        self._count = 0

    @property
    def session_id(self) -> str:
        return f"sess_{self._seed}"

    def item_id(self, number: int) -> str:
        return f"item_{self._seed}_{number}"

    def session(self, kind: str, session: Event) -> Event:
        """`kind`: session.created, transcription_session.updated ..."""
        return self._event(kind, session=session)

    def speech_started(self, item_id: str, start_ms: int) -> Event:
        return self._event("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=start_ms)

    def speech_stopped(self, item_id: str, end_ms: int) -> Event:
        return self._event("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=end_ms)

    def committed(self, item_id: str, previous: str | None) -> list[Event]:
        """An item is there, its audio complete; `previous`: the item before it."""
        item = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        kinds = ["created"] if self.beta else ["added", "done"]
        return [
            self._event("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous),
            *(self._event(f"conversation.item.{k}", previous_item_id=previous, item=item) for k in kinds),
        ]

    def cleared(self) -> Event:
        return self._event("input_audio_buffer.cleared")

    def delta(self, item_id: str, text: str) -> Event:
        return self._event(f"{TRANSCRIPTION}.delta", item_id=item_id, content_index=0, delta=text)

    def completed(self, item_id: str, transcript: str, seconds: float, languages: list[str]) -> Event:
        return self._event(
            f"{TRANSCRIPTION}.completed",
            item_id=item_id,
            content_index=0,
            transcript=transcript,
            usage={"type": "duration", "seconds": seconds},
            languages=[{"code": code} for code in languages],
        )

    def failed(self, item_id: str) -> Event:
        error = {
            "type": "server_error",
            "code": "transcription_failed",
            "message": "This audio could not be transcribed. Say it again; the next items are not affected.",
            "param": None,
        }
        return self._event(f"{TRANSCRIPTION}.failed", item_id=item_id, content_index=0, error=error)

    def error(
        self,
        code: str | None,
        message: str,
        param: str | None = None,
        event_id: str | None = None,
        kind: str = "invalid_request_error",
    ) -> Event:
        """`event_id`: the client's own name of the event that was wrong."""
        error = {"type": kind, "code": code, "message": message, "param": param, "event_id": event_id}
        return self._event("error", error=error)

    def _event(self, kind: str, **fields: Any) -> Event:
        self._count += 1
        return {"type": kind, "event_id": f"event_{self._seed}_{self._count}", **fields}
