"""core: segments -> what OpenAI's clients read: the five response formats, and the events of a stream."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.upload.languages import name_of
from gateway.upload.segments import Segment

Format = Literal["json", "text", "srt", "verbose_json", "vtt"]
CONTENT_TYPES: dict[Format, str] = {
    "json": "application/json",
    "text": "text/plain",
    "srt": "text/plain",
    "verbose_json": "application/json",
    "vtt": "text/vtt",
}
DONE = "data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Transcript:
    """A whole file, decoded."""

    segments: Sequence[Segment]
    duration_s: float
    task: str
    """transcribe | translate"""
    language: str = ""
    """Code of the one that was named; empty: what was heard."""
    temperature: float = 0.0
    """Of each first attempt."""

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)

    @property
    def language_name(self) -> str:
        """Of the text: that of most of the speech."""
        if self.task == "translate":
            return name_of("en")
        heard: Counter[str] = Counter()
        for segment in self.segments:
            heard[segment.language] += round(1000 * (segment.end_s - segment.start_s)) + 1
        return name_of(self.language or (heard.most_common(1)[0][0] if heard else ""))


def body(transcript: Transcript, format: Format, *, segments: bool = True, words: bool = False) -> str:
    """The answer. `segments` and `words`: whether verbose_json has them."""
    match format:
        case "json":
            return _json({"text": transcript.text, "usage": _usage(transcript)})
        case "verbose_json":
            return _json(_verbose(transcript, segments, words))
        case "text":
            return transcript.text + "\n"
        case "srt":
            return "".join(
                f"{number}\n{_times(segment, ',')}\n{_line(segment)}\n\n"
                for number, segment in enumerate(transcript.segments, 1)
            )
        case "vtt":
            cues = (f"{_times(s, '.')}\n{_escaped(_line(s))}\n\n" for s in transcript.segments)
            return "WEBVTT\n\n" + "".join(cues)


def delta(text: str) -> str:
    """An event: more of the transcript."""
    return _event({"type": "transcript.text.delta", "delta": text})


def done(text: str) -> str:
    """The last event: all of it."""
    return _event({"type": "transcript.text.done", "text": text}) + DONE


def failed(error: dict[str, Any]) -> str:
    """The last event when there is no more to come; `error` as in the body of a refusal."""
    return _event(error) + DONE


def _verbose(transcript: Transcript, segments: bool, words: bool) -> dict[str, Any]:
    said: dict[str, Any] = {
        "task": transcript.task,
        "language": transcript.language_name,
        "duration": round(transcript.duration_s, 3),
        "text": transcript.text,
        "usage": _usage(transcript),
    }
    if segments:
        said["segments"] = [
            _segment(i, segment, transcript.temperature) for i, segment in enumerate(transcript.segments)
        ]
    if words:
        said["words"] = [
            {"word": word.text, "start": round(word.start_s, 3), "end": round(word.end_s, 3)}
            for segment in transcript.segments
            for word in segment.words
        ]
    return said


def _segment(number: int, segment: Segment, temperature: float) -> dict[str, Any]:
    """Every field is one that OpenAI's classes insist on. The tokens are the engine's own business."""
    hypothesis = segment.hypothesis
    return {
        "id": number,
        "seek": round(100 * segment.start_s),
        "start": round(segment.start_s, 3),
        "end": round(segment.end_s, 3),
        "text": segment.text,
        "tokens": [],
        "temperature": temperature,
        "avg_logprob": _finite(hypothesis.average_logprob),
        "compression_ratio": _finite(hypothesis.compression_ratio),
        "no_speech_prob": _finite(hypothesis.no_speech_probability),
    }


def _usage(transcript: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(transcript.duration_s)}


def _finite(value: float) -> float:
    return round(value, 4) if math.isfinite(value) else 0.0


def _times(segment: Segment, point: str) -> str:
    return f"{_stamp(segment.start_s, point)} --> {_stamp(segment.end_s, point)}"


def _stamp(seconds: float, point: str) -> str:
    whole, ms = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{ms:03d}"


def _line(segment: Segment) -> str:
    """No text breaks out of its cue."""
    return " ".join(segment.text.split()).replace("-->", "→")


def _escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _event(payload: dict[str, Any]) -> str:
    return f"data: {_json(payload)}\n\n"


def _json(payload: dict[str, Any]) -> str:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
