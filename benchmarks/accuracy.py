"""shell: does streaming cost accuracy? Streamed finals beside offline faster-whisper on the same files.

The peer gets its better run of two, with and without its VAD filter, and its Chinese through the same
conversion, so that only what streaming does is compared.
"""

import asyncio
from collections.abc import Iterable

import ctranslate2
from faster_whisper import WhisperModel

from benchmarks.measures import Census, census, corrections, retractions
from benchmarks.processes import gateway
from benchmarks.recordings import Recording, spoken
from benchmarks.report import Figure
from benchmarks.streams import Take, stream
from gateway.loadtest.text import Errors, errors, units
from gateway.resources import bundled_models_dir
from gateway.transcript.script import Script
from tests.detection.clips import FOLDER
from tests.running import RunningGateway

LANES = 4
"""Streams at the same time: in real time that keeps it to a minute and a half."""
LIMIT_POINTS = 1.0
LIMIT_CORRECTED_PERCENT = 0.5


def measure(quick: bool) -> list[Figure]:
    recordings = spoken()
    with gateway() as running:
        takes = asyncio.run(_stream_all(running.ws, recordings, speed=4.0 if quick else 1.0))
        own = _own_corrected_percent(running)
    figures = []
    offline = {vad: _offline(recordings, vad) for vad in (True, False)}
    rows = {"English": "en", "Mandarin": "zh", "all": ""}
    for name, language in rows.items():
        figures += _compare(name, language, takes, offline)
    return [*figures, *_stability(takes, own), *_sentences(takes)]


async def _stream_all(url: str, recordings: list[Recording], speed: float) -> list[Take]:
    lane = asyncio.Semaphore(LANES)

    async def one(recording: Recording) -> Take:
        async with lane:
            return await stream(url, recording, speed=speed)

    longest_first = sorted(recordings, key=lambda recording: -recording.seconds)
    return await asyncio.gather(*map(one, longest_first))


def _offline(recordings: list[Recording], vad_filter: bool) -> dict[str, str]:
    """Name -> text."""
    ctranslate2.set_random_seed(0)  # its temperature fallback draws
    model = WhisperModel(str(bundled_models_dir() / "demo"), device="cpu", compute_type="int8", cpu_threads=1)
    script = Script("twp")
    texts = {}
    for recording in recordings:
        segments, _ = model.transcribe(
            str(FOLDER / recording.name), language=recording.language, beam_size=5, vad_filter=vad_filter
        )
        text = " ".join(segment.text.strip() for segment in segments)
        texts[recording.name] = script.convert(text) if recording.language == "zh" else text
    return texts


def _total(pairs: Iterable[tuple[Recording, str]], language: str) -> Errors:
    chosen = (errors(r.text, text) for r, text in pairs if language in ("", r.language))
    return sum(chosen, Errors())


def _compare(
    name: str, language: str, takes: list[Take], offline: dict[bool, dict[str, str]]
) -> list[Figure]:
    streamed = _total(((t.recording, t.text) for t in takes), language)
    peers = {
        vad: _total(((t.recording, texts[t.recording.name]) for t in takes), language)
        for vad, texts in offline.items()
    }
    best = min(peers, key=lambda vad: peers[vad].edits)
    peer = peers[best]
    note = (
        f"streamed {streamed.percent:.2f} % ({streamed.edits} of {streamed.units}), "
        f"offline {peer.percent:.2f} % ({peer.edits}, {'with' if best else 'without'} its VAD; "
        f"the other way {peers[not best].edits})"
    )
    return [
        Figure(
            f"{name}, streamed above offline", streamed.percent - peer.percent, "points", LIMIT_POINTS, note
        )
    ]


def _stability(takes: list[Take], own_percent: float) -> list[Figure]:
    total, taken_back = Errors(), 0
    for take in takes:
        for _, final in take.finals:
            stable = [p.stable for _, p in take.partials if p.utterance == final.utterance]
            taken_back += retractions(stable)
            if stable and not final.suppressed:
                total += corrections(stable[-1], final.text)
    said = sum(len(units(take.recording.text)) for take in takes)
    limit, note = LIMIT_CORRECTED_PERCENT, f"the gateway says {own_percent:.2f} %"
    return [
        Figure("stable words that a final corrected", total.percent, f"% of {total.units}", limit, note),
        Figure("the same, of all words spoken", 100 * total.edits / said, f"% of {said}", limit),
        Figure("stable words that a partial took back", taken_back, "", 0),
    ]


def _own_corrected_percent(running: RunningGateway) -> float:
    corrected = running.metric("care_voice_corrected_words_total")
    return 100 * corrected / max(1.0, running.metric("care_voice_stable_words_total"))


def _sentences(takes: list[Take]) -> list[Figure]:
    counts: list[Census] = [census(take.recording.sentences, take.spans) for take in takes]
    faults = [f"{take.recording.name}: {fault}" for take in takes for fault in take.faults]
    said = sum(len(take.recording.sentences) for take in takes)
    lost = [text for count in counts for text in count.lost]
    doubled = [text for count in counts for text in count.doubled]
    return [
        Figure("sentences lost", len(lost), f"of {said}", 0, " ".join(lost)),
        Figure("sentences doubled", len(doubled), f"of {said}", 0, " ".join(doubled)),
        Figure("streams with a fault", len(faults), f"of {len(takes)}", 0, "; ".join(faults)),
    ]
