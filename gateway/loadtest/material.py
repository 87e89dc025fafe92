"""shell: the sentences of a load test: from a folder, by espeak-ng, or those of `care-voice demo`."""

import json
import shutil
import subprocess  # nosec B404 (espeak-ng)
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np

from gateway.events import SAMPLE_RATE, Audio
from gateway.loadtest.speech import Clip, clips, whole_clip
from gateway.resources import bundled_models_dir

BUNDLED = "bundled"
ESPEAK = "espeak"
VOICES = {"en": ("en-us", "en-gb", "en-us+f3"), "zh": ("cmn", "cmn+f2", "cmn+m3")}
LONGEST_S = 60.0
"""Of speech of one language: the first clips of a folder, in order. The unloaded run plays each once."""
SYNTHESIS_TIMEOUT_S = 30.0
FIRST_IDEOGRAPH, LAST_IDEOGRAPH = "\u3400", "\u9fff"


class MaterialError(Exception):
    """The audio cannot be had; the message says why and what to do."""


class _Segment(msgspec.Struct):
    start: float
    end: float
    text: str


class _Reference(msgspec.Struct):
    segments: list[_Segment] = []
    text: str = ""
    language: str | None = None


def load_clips(audio: str) -> tuple[list[Clip], str]:
    """The clips that `--audio` means (a folder, `bundled`, `espeak`), and what they are, in words.

    Raises MaterialError.
    """
    if audio == BUNDLED:
        folder, what = bundled_models_dir() / "demo" / "audio", "bundled: synthetic conversation of the demo"
        found = list(_of_folder(folder))
    elif audio == ESPEAK:
        found, what = list(_spoken_anew()), "espeak-ng: the demo's sentences in several voices"
    else:
        folder, what = Path(audio), f"folder {Path(audio).name}"
        if not folder.is_dir():
            raise MaterialError(f"--audio: no folder {audio} (or write `{BUNDLED}`, or `{ESPEAK}`)")
        found = list(_of_folder(folder))
    kept = _first(found)
    if not kept:
        raise MaterialError(
            f"--audio: no clip with words in {audio}. It takes WAV files with a refs.json, or with a .txt of "
            "the same name beside each; docs/loadtest.md shows both."
        )
    return kept, f"{what}: {len(kept)} sentences"


def _first(found: Sequence[Clip]) -> list[Clip]:
    """As many of each language as LONGEST_S allows, at least one."""
    kept, seconds = [], dict[str | None, float]()
    for clip in found:
        so_far = seconds.get(clip.language, 0.0)
        if so_far < LONGEST_S:
            kept.append(clip)
            seconds[clip.language] = so_far + len(clip.audio) / SAMPLE_RATE
    return kept


def _of_folder(folder: Path) -> Iterator[Clip]:
    references = _references(folder / "refs.json")
    for path in sorted(folder.glob("*.wav")):
        beside = path.with_suffix(".txt")
        if reference := references.get(path.name):
            yield from _referenced(path, reference)
        elif beside.is_file():
            text = _text(beside)
            if clip := whole_clip(_read(path), text, _language(text)):
                yield clip
    for path in sorted(folder.glob("*.txt")):
        if not path.with_suffix(".wav").exists():
            for line in filter(None, _text(path).splitlines()):
                yield from _synthesised(line, _language(line) or "en", 0)


def _referenced(path: Path, reference: _Reference) -> list[Clip]:
    if reference.segments:
        spoken = [(s.start, s.end, s.text) for s in reference.segments]
        return clips(_read(path), spoken, reference.language)
    if not reference.text:
        return []
    clip = whole_clip(_read(path), reference.text, reference.language)
    return [clip] if clip else []


def _spoken_anew() -> Iterator[Clip]:
    references = _references(bundled_models_dir() / "demo" / "audio" / "refs.json")
    for reference in references.values():
        for number, segment in enumerate(reference.segments):
            yield from _synthesised(segment.text, reference.language or "en", number)


def _synthesised(text: str, language: str, number: int) -> list[Clip]:
    program = shutil.which("espeak-ng")
    if program is None:
        raise MaterialError(
            "espeak-ng is not installed: install it (apt install espeak-ng), or give WAV files: --audio DIR"
        )
    voices = VOICES[language]
    with tempfile.TemporaryDirectory(prefix="care-voice-loadtest-") as folder:
        path = Path(folder) / "spoken.wav"
        command = [program, "-v", voices[number % len(voices)], "-w", str(path), "--", text]
        try:
            subprocess.run(  # noqa: S603 (no shell)  # nosec B603
                command, check=True, capture_output=True, timeout=SYNTHESIS_TIMEOUT_S
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise MaterialError(f"espeak-ng cannot speak {text[:40]!r}: {error}") from None
        clip = whole_clip(_read(path), text, language)
    return [clip] if clip else []


def _read(path: Path) -> Audio:
    """Any audio file -> 16 kHz mono."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    blocks: list[Any] = []
    try:
        with av.open(str(path)) as container:
            for frame in [*container.decode(audio=0), None]:
                blocks += [out.to_ndarray().ravel() for out in resampler.resample(frame)]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise MaterialError(f"{path} cannot be read as audio: {error}") from None
    return np.concatenate(blocks).astype(np.float32) if blocks else np.zeros(0, np.float32)


def _references(path: Path) -> dict[str, _Reference]:
    if not path.is_file():
        return {}
    try:
        return msgspec.convert(json.loads(path.read_text(encoding="utf-8")), dict[str, _Reference])
    except (OSError, ValueError) as error:
        raise MaterialError(f"{path} is not as it should be: {error}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise MaterialError(f"{path} cannot be read: {error}") from None


def _language(text: str) -> str | None:
    """zh where there is an ideograph; else unknown: the gateway is asked to detect it."""
    return "zh" if any(FIRST_IDEOGRAPH <= character <= LAST_IDEOGRAPH for character in text) else None
