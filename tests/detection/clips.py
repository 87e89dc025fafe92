"""The test recordings, and sounds that are no speech."""

import json
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np

from gateway.events import SAMPLE_RATE, Audio

FOLDER = Path(__file__).parent.parent / "data" / "audio"
REFERENCES: dict[str, Any] = json.loads((FOLDER / "refs.json").read_text())


def clip(name: str) -> Audio:
    """A recording by its name in the folder, 16 kHz mono."""
    if name.startswith("real/"):
        return _decode(FOLDER / name)
    with wave.open(str(FOLDER / name)) as file:
        assert (file.getframerate(), file.getnchannels()) == (SAMPLE_RATE, 1)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def _decode(path: Path) -> Audio:
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray().ravel() for frame in frames]).astype(np.float32)


def segments(name: str) -> list[tuple[float, float]]:
    """Where the reference has speech, in seconds."""
    return [(segment["start"], segment["end"]) for segment in REFERENCES[name]["segments"]]


def s16(audio: Audio) -> bytes:
    """As a client would send it."""
    return (audio * 32767).round().clip(-32768, 32767).astype("<i2").tobytes()


def noises(seconds: float = 5) -> dict[str, Audio]:
    """Sounds that no caption may come of."""
    rng = np.random.default_rng(7)
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    white = rng.standard_normal(len(t))
    bins = np.maximum(np.arange(len(t) // 2 + 1), 20)
    brown = np.fft.irfft(np.fft.rfft(white) / bins, len(t))
    hum = sum(np.sin(2 * np.pi * 50 * k * t + k) / k for k in range(1, 8))
    clicks = np.zeros(len(t))
    clicks[::8000] = 0.9
    sounds = {
        "silence": np.zeros(len(t)),
        "white, faint": white * 0.001,
        "white": white * 0.1,
        "white, clipped": white * 3,
        "brown": brown / brown.std() * 0.1,
        "hum": hum * 0.2,
        "hum, clipped": hum * 3,
        "clicks": clicks,
        "beeps": 0.3 * np.sin(2 * np.pi * 1000 * t) * (t % 1 < 0.15),
        "alarm": 0.5 * np.sign(np.sin(2 * np.pi * (800 + 200 * (t % 1 > 0.5)) * t)),
    }
    return {name: np.clip(sound, -1, 1).astype(np.float32) for name, sound in sounds.items()}
