"""core: captions -> SRT, WebVTT, plain text, JSON.

A caption is stamped when it was written down (`at`), some time after it was said, and long after when its
audio was replayed. It cannot have been said later than any caption that follows it in its speaker's stream
allows: of a speaker, the least `at - end` from a caption on tells when that stream's second 0 was.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from gateway.ward.records import CaptionRow
from gateway.ward.wrapping import cleaned, columns, split

MIN_CUE_MS = 700
"""Nobody can read a shorter one."""
Clock = Callable[[float], str]
"""Unix seconds -> the time as people there write it."""


@dataclass(frozen=True, slots=True)
class Cue:
    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def as_srt(rows: Sequence[CaptionRow], since: float | None = None) -> str:
    """SubRip. Time 0 is `since`, or when the first caption was begun."""
    blocks = [
        f"{number}\n{_stamp(cue.start_ms, ',')} --> {_stamp(cue.end_ms, ',')}\n"
        + "\n".join(line.replace("-->", "→") for line in cue.lines)
        for number, cue in enumerate(cues(rows, since), 1)
    ]
    return "\n\n".join(blocks) + "\n" if blocks else ""


def as_vtt(rows: Sequence[CaptionRow], clock: Clock, since: float | None = None) -> str:
    """WebVTT. Time 0 is `since`, or when the first caption was begun; a note says when that was."""
    origin = _origin(rows, since)
    blocks = ["WEBVTT"] if origin is None else [f"WEBVTT\n\nNOTE 00:00:00.000 is {clock(origin)}"]
    blocks += [
        f"{_stamp(cue.start_ms, '.')} --> {_stamp(cue.end_ms, '.')}\n" + "\n".join(map(_escaped, cue.lines))
        for cue in cues(rows, since)
    ]
    return "\n\n".join(blocks) + "\n"


def as_txt(rows: Sequence[CaptionRow], clock: Clock) -> str:
    """One line a caption: when, and what."""
    return "".join(f"{clock(start)}  {text}\n" for start, _, text in _said(rows))


def as_json(rows: Sequence[CaptionRow], clock: Clock) -> str:
    """Everything that is kept, suppressed captions too."""
    captions = [{"time": clock(row.at), **asdict(row)} for row in rows]
    return json.dumps({"captions": captions}, ensure_ascii=False, indent=1) + "\n"


def cues(rows: Sequence[CaptionRow], since: float | None = None) -> list[Cue]:
    """In order and without overlap, each of two readable lines at most."""
    origin = _origin(rows, since)
    if origin is None:
        return []
    parts = [part for said in _said(rows) for part in _parts(*said, origin)]
    parts.sort(key=lambda part: part.start_ms)
    placed: list[Cue] = []
    free_from_ms = 0
    for part, following in pairwise([*parts, None]):
        assert part is not None
        start_ms = max(part.start_ms, free_from_ms)
        end_ms = max(part.end_ms, start_ms + MIN_CUE_MS)
        if following:
            end_ms = max(min(end_ms, following.start_ms), start_ms + MIN_CUE_MS)
        placed.append(Cue(start_ms, end_ms, part.lines))
        free_from_ms = end_ms
    return placed


def _parts(start: float, end: float, text: str, origin: float) -> Iterator[Cue]:
    """A caption in pieces that fit, each with its share of the time."""
    pieces = split(text)
    whole = sum(columns(line) for lines in pieces for line in lines) or 1
    start_ms, length_ms = round(1000 * (start - origin)), round(1000 * (end - start))
    done = 0
    for lines in pieces:
        begun = done
        done += sum(map(columns, lines))
        yield Cue(start_ms + length_ms * begun // whole, start_ms + length_ms * done // whole, lines)


def _said(rows: Sequence[CaptionRow]) -> Iterator[tuple[float, float, str]]:
    """When a caption was begun and ended (Unix seconds), and its text; only what is to be read."""
    chinese = 2 * sum(row.language.startswith("zh") for row in rows) > sum(not row.gap_s for row in rows)
    for row, zero in zip(rows, _stream_zeros(rows), strict=True):
        text = _lost(row.gap_s, chinese) if row.gap_s else cleaned(row.text)
        if text and not row.suppressed:
            yield zero + row.start, zero + row.end, text


def _stream_zeros(rows: Sequence[CaptionRow]) -> list[float]:
    """When second 0 of its speaker's stream was (Unix seconds), for each row."""
    least: dict[int, float] = {}
    zeros = []
    for row in reversed(rows):
        zero = least[row.speaker] = min(row.at - row.end, least.get(row.speaker, row.at - row.end))
        zeros.append(zero)
    return zeros[::-1]


def _origin(rows: Iterable[CaptionRow], since: float | None) -> float | None:
    return since if since is not None else min((start for start, _, _ in _said(list(rows))), default=None)


def _lost(gap_s: float, chinese: bool) -> str:
    return f"〔遺失 {gap_s:.1f} 秒聲音〕" if chinese else f"[{gap_s:.1f} s of audio lost]"


def _stamp(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{ms:03d}"


def _escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
