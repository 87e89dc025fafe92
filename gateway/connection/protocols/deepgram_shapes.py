"""core: Deepgram's messages, field by field. Times are seconds of the client's own stream."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.connection.messages import Final, Partial
from gateway.connection.protocols.codec import Handshake
from gateway.events import ModelInfo, Word
from gateway.transcript.agreement import body_end, split
from gateway.transcript.words import spread

CHANNEL = [0, 1]
"""The first of one."""


@dataclass(frozen=True, slots=True)
class Said:
    """A text and where its words are."""

    text: str = ""
    words: tuple[Word, ...] = ()
    confidence: float = 0.0
    language: str = ""
    """Empty: not said."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a result covers, and what it is."""

    start: float
    end: float
    is_final: bool = True
    speech_final: bool = False
    from_finalize: bool = False


def said_finally(final: Final, languages: bool) -> Said:
    """Without times of its words they are spread over the utterance. `languages`: say which one it is."""
    words = tuple(Word(word.text, word.start, word.end, word.probability) for word in final.words or ())
    words = words or _spread(final.text, final.start, final.end, final.confidence)
    confidence = final.confidence if final.text else 0.0
    return Said(final.text, words, confidence, final.language if languages else "")


def said_so_far(partial: Partial, start: float) -> Said:
    """Spread over the time since `start`. It is as certain as it is stable."""
    text = partial.stable + partial.tentative
    confidence = round(len(partial.stable) / max(1, len(text)), 3)
    words = _spread(text, max(start, partial.start), partial.end, confidence)
    return Said(text, words, confidence, partial.language)


def _spread(text: str, start: float, end: float, confidence: float) -> tuple[Word, ...]:
    return tuple(spread(split(text), [Word("", start, max(start, end), confidence)]))


def encode(body: dict[str, Any]) -> str:
    """What UTF-8 cannot carry (half a surrogate pair) becomes a question mark."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()


class Shapes:
    """The messages of one connection."""

    def __init__(self, handshake: Handshake) -> None:
        self._request_id = handshake.connection
        self._created = f"{np.datetime64(round(handshake.unix_s * 1000), 'ms')}Z"
        self._model_uuid = _uuid_of(handshake.model.name)
        self._model_info = _info(handshake.model)

    def results(self, stretch: Stretch, said: Said) -> str:
        tagged = {"languages": [said.language]} if said.language else {}
        alternative = {
            "transcript": said.text.strip(),
            "confidence": said.confidence,
            **tagged,
            "words": _words(said, stretch.start, stretch.end),
        }
        return encode(
            {
                "type": "Results",
                "channel_index": CHANNEL,
                "start": stretch.start,
                "duration": round(stretch.end - stretch.start, 3),
                "is_final": stretch.is_final,
                "speech_final": stretch.speech_final,
                "from_finalize": stretch.from_finalize,
                "channel": {"alternatives": [alternative]},
                "metadata": {
                    "request_id": self._request_id,
                    "model_uuid": self._model_uuid,
                    "model_info": self._model_info,
                },
            }
        )

    def speech_started(self, at: float) -> str:
        return encode({"type": "SpeechStarted", "channel": CHANNEL, "timestamp": at})

    def utterance_end(self, last_word_end: float) -> str:
        return encode({"type": "UtteranceEnd", "channel": CHANNEL, "last_word_end": last_word_end})

    def metadata(self, sha256: str, duration: float, channels: int) -> str:
        return encode(
            {
                "type": "Metadata",
                "transaction_key": "deprecated",
                "request_id": self._request_id,
                "sha256": sha256,
                "created": self._created,
                "duration": duration,
                "channels": channels,
                "models": [self._model_uuid],
                "model_info": {self._model_uuid: self._model_info},
            }
        )

    def configured(self, keyterms: Sequence[str] | None) -> str:
        """`keyterms`: only when they were replaced."""
        said = {} if keyterms is None else {"keyterms": list(keyterms)}
        return encode({"type": "ConfigureSuccess", "request_id": self._request_id, **said})

    def not_configured(self, code: str, description: str) -> str:
        why = {"code": code, "description": description}
        return encode({"type": "ConfigureFailure", "request_id": self._request_id, **why})

    def schema_error(self, description: str, message: str) -> str:
        why = {"description": description, "message": message}
        return encode({"type": "Error", "variant": "SchemaError", **why})


def _words(said: Said, start: float, end: float) -> list[dict[str, Any]]:
    """In order, and within the result."""
    tagged = {"language": said.language} if said.language else {}
    shaped = []
    for word, begins, ends in _within(said.words, start, end):
        shaped.append(
            {
                "word": bare(word.text),
                "start": begins,
                "end": ends,
                "confidence": round(word.probability, 3),
                "punctuated_word": word.text.strip(),
                **tagged,
            }
        )
    return shaped


def _within(words: Iterable[Word], start: float, end: float) -> Iterable[tuple[Word, float, float]]:
    for word in words:
        start = min(max(start, round(word.start_s, 3)), end)
        yield word, start, min(max(start, round(word.end_s, 3)), end)


def bare(text: str) -> str:
    """A word without punctuation and capitals."""
    text = text.strip()
    return re.sub(r"^\W+", "", text[: body_end(text)]).lower() or text


def _info(model: ModelInfo) -> dict[str, str]:
    return {"name": model.name, "version": model.compute_type, "arch": "whisper"}


def _uuid_of(name: str) -> str:
    """The same for the same name."""
    digits = hashlib.sha256(name.encode()).hexdigest()
    return "-".join((digits[:8], digits[8:12], "5" + digits[13:16], "8" + digits[17:20], digits[20:32]))
