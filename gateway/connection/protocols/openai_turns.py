"""core: OpenAI's turn detection <=> the pauses by which this gateway ends an utterance."""

from dataclasses import dataclass, replace

from msgspec import UNSET, Struct, UnsetType

from gateway.config import DetectionSettings
from gateway.connection.protocols.openai_events import Event, Wrong

SERVER_VAD, SEMANTIC_VAD = "server_vad", "semantic_vad"
EAGERNESS_MS = {"low": 1000, "medium": 600, "high": 300, "auto": 600}
"""Silence that ends a turn: no meaning is looked at here, only pauses."""
MANUAL_ENDPOINTING_MS = 2000
"""Without VAD: long, so that no pause for breath cuts a text in two; but the viewers wait for it too."""
Number = float | UnsetType | None
Text = str | UnsetType | None


class Asked(Struct, frozen=True):
    """`turn_detection` as clients send it. What concerns answers of a model is none of ours."""

    type: Text = UNSET
    threshold: Number = UNSET
    prefix_padding_ms: Number = UNSET
    silence_duration_ms: Number = UNSET
    eagerness: Text = UNSET


@dataclass(frozen=True, slots=True)
class Turns:
    """`turn_detection` as it is in effect."""

    prefix_padding_ms: int
    silence_duration_ms: int
    type: str = SERVER_VAD
    threshold: float = 0.5
    """Told back and nothing else: what is speech is decided by two detectors of our own."""
    eagerness: str = "auto"

    @classmethod
    def default(cls, detection: DetectionSettings) -> "Turns":
        return cls(detection.pre_roll_ms, detection.endpointing_ms)

    def said(self) -> Event:
        if self.type == SEMANTIC_VAD:
            return {"type": self.type, "eagerness": self.eagerness}
        return {
            "type": self.type,
            "threshold": self.threshold,
            "prefix_padding_ms": self.prefix_padding_ms,
            "silence_duration_ms": self.silence_duration_ms,
        }


def turned(old: Turns | None, asked: Asked, detection: DetectionSettings) -> Turns:
    """The fields that are asked for, over the old ones. Raises Wrong, with `param` relative to it."""
    kind = asked.type or (old.type if old else SERVER_VAD)
    base = old if old and old.type == kind else replace(Turns.default(detection), type=kind)
    if kind == SERVER_VAD:
        return _server(base, asked)
    if kind == SEMANTIC_VAD:
        eagerness = asked.eagerness or base.eagerness
        if eagerness not in EAGERNESS_MS:
            raise Wrong("invalid_value", f"`eagerness`: one of {', '.join(EAGERNESS_MS)}.", ".eagerness")
        return replace(base, eagerness=eagerness, silence_duration_ms=EAGERNESS_MS[eagerness])
    raise Wrong("invalid_value", f"`type`: {SERVER_VAD}, {SEMANTIC_VAD}, or null as a whole.", ".type")


def _server(base: Turns, asked: Asked) -> Turns:
    threshold = base.threshold if asked.threshold in (UNSET, None) else asked.threshold
    if not isinstance(threshold, float) or not 0 <= threshold <= 1:
        raise Wrong("invalid_value", "`threshold`: from 0.0 to 1.0.", ".threshold")
    return replace(
        base,
        threshold=threshold,
        prefix_padding_ms=_within("pre_roll_ms", asked.prefix_padding_ms, base.prefix_padding_ms),
        silence_duration_ms=_within("endpointing_ms", asked.silence_duration_ms, base.silence_duration_ms),
    )


def _within(name: str, asked: Number, old: int) -> int:
    """What is asked for, as near as the setting of this name may be."""
    if not isinstance(asked, float):
        return old
    for bound in DetectionSettings.model_fields[name].metadata:
        asked = max(asked, getattr(bound, "ge", asked))
        asked = min(asked, getattr(bound, "le", asked))
    return round(asked)
