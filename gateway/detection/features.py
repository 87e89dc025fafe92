"""core: log-mel as Whisper wants it, each 10 ms computed once.

Equal to faster_whisper's FeatureExtractor on the same samples: 400-point FFT every 160 samples, Hann window,
Slaney mel bands, 160 zeros appended, both ends reflected by 200 samples, last frame dropped, log10 clamped to
8 below the loudest value, then (x + 4) / 4. When more audio comes, only the frames whose window touches the
end change, and the clamp: so the raw log10 of all others is kept, and the rest is done anew per snapshot.
Nothing is computed before a snapshot asks: many frames at once are cheaper than each as it comes.
"""

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from gateway.events import HOP_SAMPLES, SAMPLE_RATE, Audio, LogMel

N_FFT = 400
HALF = N_FFT // 2
END_PADDING = 160
"""Zeros that faster-whisper appends."""
BLOCK = 8
"""Frames per matrix product: small enough for BLAS not to wake its threads, whose spinning costs twenty times
as much as the product (OpenBLAS goes parallel above 2**18 multiplications)."""
_WINDOW = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
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
    windows = sliding_window_view(padded, N_FFT)[::HOP_SAMPLES]
    spectrum = np.fft.rfft(windows * _WINDOW).astype(np.complex64, copy=False)
    frames = len(spectrum)
    power = np.zeros((-(-frames // BLOCK), BLOCK, N_FFT // 2 + 1), np.float32)
    power.reshape(-1, N_FFT // 2 + 1)[:frames] = spectrum.real**2 + spectrum.imag**2
    energy = (power @ mel_filters(bands)).reshape(-1, bands)[:frames]
    log_energy: NDArray[np.float32] = np.log10(np.maximum(energy, np.float32(1e-10)))
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
        audio = self.audio
        self._settle(audio)
        settled = self._settled[: settled_frames(samples)]
        raw = np.concatenate([settled, raw_log_mel(self._ending(audio[:samples], len(settled)), self._bands)])
        raw = raw[: samples // HOP_SAMPLES + 1].T
        return np.ascontiguousarray((np.maximum(raw, raw.max() - 8) + 4) / 4)

    def _settle(self, audio: Audio) -> None:
        done, total = len(self._settled), settled_frames(len(audio))
        if total > done:
            windows = _from_frame(audio, done)[: (total - done - 1) * HOP_SAMPLES + N_FFT]
            raw = raw_log_mel(windows, self._bands)
            self._settled = np.concatenate([self._settled, raw])

    @staticmethod
    def _ending(audio: Audio, settled: int) -> Audio:
        """What the windows of the last frames see: the audio, the zeros, and the reflection of both."""
        padded = np.pad(audio, (0, END_PADDING))
        if settled == 0:
            return np.pad(padded, HALF, mode="reflect")
        return np.concatenate([_from_frame(padded, settled), padded[-HALF - 1 : -1][::-1]])


def _from_frame(audio: Audio, frame: int) -> Audio:
    """The audio from the first sample of the frame's window on, the beginning reflected."""
    first = frame * HOP_SAMPLES - HALF
    return audio[first:] if first >= 0 else np.concatenate([audio[-first:0:-1], audio])
