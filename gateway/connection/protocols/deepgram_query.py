"""core: the query of Deepgram's /v1/listen -> what is wanted of a session.

What is not known is ignored, as is what only changes how a text looks (`punctuate`, `smart_format`,
`diarize`, `tag` ...); what cannot be done as asked is refused by name.
"""

from dataclasses import dataclass

from gateway.connection.messages import Start
from gateway.connection.opening import Refused, open_stream
from gateway.connection.protocols.codec import Handshake, Rejected
from gateway.detection.audio import AudioDecoder, AudioError
from gateway.events import AudioFormat
from gateway.transcript.tags import read_tag

ENCODINGS = {
    "linear16": "pcm_s16le",
    "linear32": "pcm_f32le",
    "mulaw": "mulaw",
    "alaw": "alaw",
    "opus": "opus",
}
"""Theirs -> ours."""
DEFAULT_LANGUAGE = "en"
MULTI = "multi"
MIN_ENDPOINTING_MS = 200
"""Deepgram's default is 10. Words have pauses of 100 ms inside: cut there, no model understands them."""
MAX_ENDPOINTING_MS = 5000
MIN_UTTERANCE_END_MS = 1000
MAX_UTTERANCE_END_MS = 60_000
FLAGS = {"true": True, "false": False, "": False}
CHECKED = ("punctuate", "smart_format")
"""Text is always punctuated; a value that is none is refused all the same."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the client wants."""

    start: Start
    """With `audio` and all keyterms and keywords."""
    container: bool
    """No encoding was named: the first bytes say how the audio is written, not `start`."""
    keywords: tuple[str, ...]
    """Those hotwords that a Configure leaves as they are."""
    interim: bool
    """Results that are not final too."""
    endpointing: bool
    """A pause ends what was said."""
    vad_events: bool
    utterance_end_s: float | None
    """None: no UtteranceEnd."""
    multi: bool
    """The language is detected, and said."""


def read_query(handshake: Handshake) -> Asked:
    """What a client asks for. Raises Rejected (400)."""
    if _flag(handshake, "multichannel"):
        raise _bad("multichannel", "send one channel, or two that are mixed down")
    for name in CHECKED:
        _flag(handshake, name)
    interim, utterance_end_ms = _flag(handshake, "interim_results"), _utterance_end_ms(handshake)
    keywords = tuple(_keywords(handshake))
    tag = handshake.ask("language") or DEFAULT_LANGUAGE
    tongue = read_tag("" if tag.lower() == MULTI else tag)
    start = Start(
        audio=_audio(handshake),
        language=tongue.language,
        bed=handshake.bed,
        partials=interim or handshake.bed is not None,
        words=True,
        hotwords=[*handshake.query.get("keyterm", ()), *keywords],
        script=tongue.script,
        endpointing_ms=_endpointing_ms(handshake, utterance_end_ms),
    )
    check(start, handshake)
    return Asked(
        start=start,
        container=not handshake.ask("encoding"),
        keywords=keywords,
        interim=interim,
        endpointing=handshake.ask("endpointing").lower() != "false",
        vad_events=_flag(handshake, "vad_events"),
        utterance_end_s=utterance_end_ms / 1000 if utterance_end_ms else None,
        multi=tongue.language is None,
    )


def check(start: Start, handshake: Handshake) -> None:
    """Raises Rejected (400) when no session can be had like this."""
    try:
        open_stream(start, handshake.settings, handshake.model)
        AudioDecoder(start.audio)
    except Refused as no:
        raise Rejected(400, "invalid_query_parameter", no.message) from None
    except AudioError as no:
        raise Rejected(400, "invalid_query_parameter", str(no)) from None


def _audio(handshake: Handshake) -> AudioFormat:
    encoding = handshake.ask("encoding")
    if not encoding:
        return AudioFormat()
    if encoding not in ENCODINGS:
        raise _bad("encoding", f"use one of {', '.join(ENCODINGS)}")
    rate = _number(handshake, "sample_rate")
    if rate is None:
        raise _bad("sample_rate", "it is needed with `encoding`, in Hz")
    channels = _number(handshake, "channels")
    return AudioFormat(ENCODINGS[encoding], rate, 1 if channels is None else channels)


def _endpointing_ms(handshake: Handshake, utterance_end_ms: int | None) -> int | None:
    """None: the gateway's own. A final comes before the UtteranceEnd that waits for it."""
    most = min(MAX_ENDPOINTING_MS, utterance_end_ms or MAX_ENDPOINTING_MS)
    text = handshake.ask("endpointing").lower()
    if text == "false":
        return most
    if text in {"", "true"}:
        own = handshake.settings.detection.endpointing_ms
        return most if own > most else None
    return max(MIN_ENDPOINTING_MS, min(most, _number(handshake, "endpointing") or 0))


def _utterance_end_ms(handshake: Handshake) -> int | None:
    if handshake.ask("utterance_end_ms").lower() in FLAGS:
        return None
    milliseconds = _number(handshake, "utterance_end_ms") or 0
    if not MIN_UTTERANCE_END_MS <= milliseconds <= MAX_UTTERANCE_END_MS:
        raise _bad("utterance_end_ms", f"from {MIN_UTTERANCE_END_MS} to {MAX_UTTERANCE_END_MS}")
    return milliseconds


def _keywords(handshake: Handshake) -> list[str]:
    """`term`, `term:weight`: a negative weight means that it is NOT to be heard, which we cannot do."""
    found = []
    for keyword in handshake.query.get("keywords", ()):
        term, _, weight = keyword.rpartition(":")
        try:
            wanted = float(weight) > 0
        except ValueError:
            term, wanted = keyword, True
        if term and wanted:
            found.append(term)
    return found


def _flag(handshake: Handshake, name: str) -> bool:
    text = handshake.ask(name).lower()
    if text not in FLAGS:
        raise _bad(name, "use true or false")
    return FLAGS[text]


def _number(handshake: Handshake, name: str) -> int | None:
    """Digits only; None: not given."""
    text = handshake.ask(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _bad(name, "use a whole number")
    return int(text)


def _bad(name: str, advice: str) -> Rejected:
    return Rejected(400, "invalid_query_parameter", f"`{name}` cannot be served as asked: {advice}.")
