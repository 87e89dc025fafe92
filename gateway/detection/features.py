"""core: log-mel as Whisper wants it, each 10 ms computed once.

Equal to faster_whisper's FeatureExtractor on the same samples: 400-point FFT every 160 samples, Hann window,
Slaney mel bands, 160 zeros appended, both ends reflected by 200 samples, last frame dropped, log10 clamped to
8 below the loudest value, then (x + 4) / 4. When more audio comes, only the frames whose window touches the
end change, and the clamp: so the raw log10 of all others is kept, and the rest is done anew per snapshot.
Nothing is computed before a snapshot asks: many frames at once are cheaper than each as it comes.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from gateway.events import HOP_SAMPLES, SAMPLE_RATE, Audio, LogMel

N_FFT = 400
HALF = N_FFT // 2
END_PADDING = 160
"""Zeros that faster-whisper appends."""
BLOCK = 8
"""Frames per matrix product: small enough for BLAS not to wake its threads, whose spinning costs twenty times
as much as the product (OpenBLAS goes parallel above 2**18 multiplications)."""
_END = np.zeros(2 * END_PADDING - 1, np.float32)
"""Those zeros and their reflection, which turns at the last of them."""
_WINDOW = (N_FFT * np.hanning(N_FFT + 1)[:-1]).astype(np.float32)
"""Hann, times what norm="forward" divides by: without a norm numpy computes in double, six times as slow."""
_SLANEY_LOG_HZ = 1000.0
_SLANEY_HZ_PER_MEL = 200.0 / 3
_SLANEY_LOG_STEP = np.log(6.4) / 27
_MAX_MEL = 45.245640471924965
"""8 kHz on the Slaney scale."""


@cache
def mel_filters(bands: int) -> NDArray[np.float32]:
    """Triangles of equal area, shape (201, bands), on Slaney's scale: linear to 1 kHz, then logarithmic."""
    mels = np.linspace(0, _MAX_MEL, bands + 2)
    log_mels = mels - _SLANEY_LOG_HZ / _SLANEY_HZ_PER_MEL
    logarithmic = _SLANEY_LOG_HZ * np.exp(_SLANEY_LOG_STEP * log_mels)
    edges = np.where(log_mels < 0, _SLANEY_HZ_PER_MEL * mels, logarithmic)
    bins = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    triangles = np.maximum(0, np.minimum(rising, falling))
    filters: NDArray[np.float32] = (triangles * (2 / (edges[2:] - edges[:-2]))).astype(np.float32)
    return filters


def raw_log_mel(padded: Audio, bands: int) -> NDArray[np.float32]:
    """log10 mel energy of each 400-sample window, 160 apart: shape (frames, bands), not yet clamped."""
    frames = (len(padded) - N_FFT) // HOP_SAMPLES + 1
    step = padded.itemsize
    # As sliding_window_view does, which takes as long to begin as ten transforms.
    windows = np.ndarray((frames, N_FFT), np.float32, padded, strides=(HOP_SAMPLES * step, step))
    parts = np.fft.rfft(windows * _WINDOW, norm="forward").astype(np.complex64, copy=False).view(np.float32)
    np.square(parts, out=parts)
    power = np.zeros((-(-frames // BLOCK), BLOCK, N_FFT // 2 + 1), np.float32)
    np.add(parts[:, ::2], parts[:, 1::2], out=power.reshape(-1, N_FFT // 2 + 1)[:frames])
    energy = (power @ mel_filters(bands)).reshape(-1, bands)[:frames]
    np.maximum(energy, np.float32(1e-10), out=energy)
    log_energy: NDArray[np.float32] = np.log10(energy, out=energy)
    return log_energy


def settled_frames(samples: int) -> int:
    """How many frames of so much audio will not change when more comes: their windows end inside it."""
    return 0 if samples <= HALF else (samples - HALF) // HOP_SAMPLES + 1


class IncrementalLogMel:
    """The audio of one utterance and its log-mel so far."""

    def __init__(self, bands: int) -> None:
        self._bands = bands
        self._audio: Audio = np.zeros(0, np.float32)
        self._new: list[Audio] = []
        self._settled: NDArray[np.float32] = np.zeros((0, bands), np.float32)

    def push(self, audio: Audio) -> None:
        """More samples, 16 kHz mono."""
        self._new.append(audio)

    @property
    def audio(self) -> Audio:
        """All samples so far."""
        if self._new:
            self._audio = np.concatenate([self._audio, *self._new])
            self._new.clear()
        return self._audio

    def snapshot(self, samples: int) -> LogMel:
        """Features of the first `samples` samples: (bands, samples // 160 + 1), normalised, a copy."""
        settled = settled_frames(samples)
        known = self._settled[:settled]
        new = raw_log_mel(_ending(self.audio[:samples], len(known)), self._bands)
        raw = np.concatenate([known, new])[: samples // HOP_SAMPLES + 1]
        if settled > len(self._settled):
            self._settled = raw[:settled]
        features: LogMel = np.empty(raw.shape[::-1], np.float32)
        np.maximum(raw.T, raw.max() - 8, out=features)
        features += 4
        features /= 4
        return features


def _ending(audio: Audio, settled: int) -> Audio:
    """What the windows of all later frames see: the audio, the zeros behind it, the reflection of both."""
    first = settled * HOP_SAMPLES - HALF
    if settled == 0:
        return np.pad(np.pad(audio, (0, END_PADDING)), HALF, mode="reflect")
    before = audio[-first:0:-1] if first < 0 else audio[:0]
    reflected = HALF + 1 - END_PADDING
    return np.concatenate([before, audio[max(0, first) :], _END, audio[: -reflected - 1 : -1]])
