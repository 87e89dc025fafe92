"""core: is this `start` one that we can serve, and with which settings?

A start that cannot be served as asked is refused by name; nothing is quietly replaced.
"""

import unicodedata
from dataclasses import dataclass
from typing import get_args

from pydantic import ValidationError

from gateway.config import DetectionSettings, Settings, TranscriptSettings
from gateway.connection.closing import CloseCode
from gateway.connection.effects import Close, Effect, Measure, Send
from gateway.connection.messages import Error, Limits, Start, Started
from gateway.detection.silero import SileroModel
from gateway.events import SAMPLE_RATE, Job, ModelInfo, Snapshot

SCRIPTS: tuple[str, ...] = get_args(TranscriptSettings.model_fields["script"].annotation)
TASKS = ("transcribe", "translate")
MAX_BED_CHARS = 64
PER_SESSION = ("endpointing_ms", "pre_roll_ms", "min_speech_ms", "max_utterance_ms")


class Refused(Exception):
    """The session cannot go on; `code` is the error's name, `close_code` the socket's."""

    def __init__(self, code: str, message: str, close_code: int = CloseCode.BAD_MESSAGE) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.close_code = close_code

    def parting(self) -> list[Effect]:
        """Say why, and close the socket."""
        error = Send(Error(self.code, self.message, fatal=True))
        return [error, Measure("error", 1, self.code), Close(self.close_code, self.code)]


OVERLOADED = Refused(
    "overloaded",
    "The gateway cannot take more speech now: reconnect in a while. Who can resume loses nothing.",
    CloseCode.OVERLOADED,
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every session of a gateway has in common."""

    settings: Settings
    model: ModelInfo
    silero: SileroModel | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """A start that can be served."""

    start: Start
    detection: DetectionSettings
    hotwords: str

    def job(self, session: int, snapshot: Snapshot, language: str | None) -> Job:
        """What the engine is asked; `language` None: detect it."""
        return Job(
            session=session,
            utterance=snapshot.utterance,
            revision=snapshot.revision,
            kind=snapshot.kind,
            features=snapshot.features,
            speech_s=snapshot.speech_samples / SAMPLE_RATE,
            language=language,
            task=self.start.task,
            prompt=self.start.prompt,
            hotwords=self.hotwords,
            words=self.start.words,
        )


def started(session: str, token: str, resume_from: int, around: Surroundings) -> Started:
    """The answer to a start that is served."""
    server, model = around.settings.server, around.model
    limits = Limits(
        max_message_bytes=server.max_message_bytes,
        max_hotwords=server.max_hotwords,
        max_prompt_chars=server.max_prompt_chars,
        idle_timeout_s=server.idle_timeout_s,
        max_utterance_ms=around.settings.detection.max_utterance_ms,
    )
    device, languages = model.device, model.languages
    return Started(session, token, resume_from, limits, model.name, device, languages, model.demo)


def open_stream(start: Start, settings: Settings, model: ModelInfo) -> Opening:
    """Check a start against the gateway's settings and model. Raises Refused."""
    check_bed(start.bed)
    _check_choice("language", start.language, model.languages)
    _check_choice("script", start.script, SCRIPTS)
    _check_choice("task", start.task, TASKS)
    return Opening(start, _detection(start, settings.detection), _hotwords(start, settings))


def check_bed(bed: str | None) -> None:
    """A bed's name is 1 to 64 printable characters without `/`, `*` or `,`. Raises Refused."""
    if bed is None:
        return
    printable = all(unicodedata.category(c)[0] != "C" for c in bed)
    if not (0 < len(bed) <= MAX_BED_CHARS and bed.strip() == bed and printable and not set(bed) & set("/*,")):
        raise Refused(
            "bad_bed",
            f"`bed` must be 1 to {MAX_BED_CHARS} printable characters, no spaces at its ends, "
            "and none of / * , in it.",
        )


def _check_choice(name: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise Refused(f"unknown_{name}", f"`{name}` must be one of: {', '.join(allowed)}.")


def _detection(start: Start, defaults: DetectionSettings) -> DetectionSettings:
    asked = {name: value for name in PER_SESSION if (value := getattr(start, name)) is not None}
    try:
        return DetectionSettings.model_validate(defaults.model_dump() | asked)
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused("bad_start", f"`{first['loc'][0]}`: {first['msg']}.") from None


def _hotwords(start: Start, settings: Settings) -> str:
    most, chars = settings.server.max_hotwords, settings.server.max_prompt_chars
    if len(start.hotwords) > most:
        raise Refused("too_many_hotwords", f"At most {most} hotwords; {len(start.hotwords)} were sent.")
    hotwords = ", ".join(word.strip() for word in start.hotwords if word.strip())
    if len(start.prompt) > chars or len(hotwords) > chars:
        raise Refused("prompt_too_long", f"At most {chars} characters of prompt and {chars} of hotwords.")
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in start.prompt + hotwords):
        raise Refused("bad_start", "`prompt` and `hotwords` must not contain control characters.")
    return hotwords
