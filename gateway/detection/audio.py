"""core: a client's bytes -> 16 kHz mono float32, positions kept.

The client's sample n is our sample n * 16000 / rate, also after a flush or a gap: each time the resampler is
emptied its output is trimmed or padded to the exact count, so that rounding never adds up.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from gateway.detection.opus import DECODED_RATE, OpusStream
from gateway.events import SAMPLE_RATE, Audio, AudioFormat

OPUS_RATES: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
MIN_RATE: Final = 8_000
MAX_RATE: Final = 48_000


class AudioError(ValueError):
    """The client's audio cannot be read.

    Codes: bad_audio_format, odd_bytes, not_finite, bad_opus. The message says what to do next.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def mulaw_table() -> Audio:
    """The 256 values of G.711 mu-law, in [-1, 1]."""
    byte = ~np.arange(256) & 0xFF
    magnitude = ((((byte & 0x0F) << 3) + 0x84) << ((byte >> 4) & 7)) - 0x84
    return (np.where(byte & 0x80, -magnitude, magnitude) / 32768).astype(np.float32)


def alaw_table() -> Audio:
    """The 256 values of G.711 A-law, in [-1, 1]."""
    byte = np.arange(256) ^ 0x55
    exponent = (byte >> 4) & 7
    linear = ((byte & 0x0F) << 4) + 8
    magnitude = np.where(exponent == 0, linear, (linear + 0x100) << np.maximum(exponent - 1, 0))
    return (np.where(byte & 0x80, magnitude, -magnitude) / 32768).astype(np.float32)


_MULAW, _ALAW = mulaw_table(), alaw_table()
_S16_SCALE = np.float32(1 / 32768)


def _read_s16(payload: bytes) -> Audio:
    samples: Audio = np.multiply(np.frombuffer(payload, "<i2"), _S16_SCALE, dtype=np.float32)
    return samples


def _read_f32(payload: bytes) -> Audio:
    samples: Audio = np.frombuffer(payload, "<f4")
    if not np.isfinite(samples).all():
        raise AudioError("not_finite", "A sample is NaN or infinite: send finite floats in [-1, 1].")
    return samples.clip(-1, 1)


def _read_mulaw(payload: bytes) -> Audio:
    return _MULAW[np.frombuffer(payload, np.uint8)]


def _read_alaw(payload: bytes) -> Audio:
    return _ALAW[np.frombuffer(payload, np.uint8)]


_READERS: Final[dict[str, tuple[int, Callable[[bytes], Audio]]]] = {
    "pcm_s16le": (2, _read_s16),
    "pcm_f32le": (4, _read_f32),
    "mulaw": (1, _read_mulaw),
    "alaw": (1, _read_alaw),
}
"""Encoding -> bytes per sample, reader."""
ENCODINGS: Final = (*_READERS, "opus")


class AudioDecoder:
    """One stream's bytes -> audio. Raises AudioError("bad_audio_format") for a format it does not know."""

    def __init__(self, audio: AudioFormat) -> None:
        _check(audio)
        self._format = audio
        self._opus = OpusStream(audio.channels) if audio.encoding == "opus" else None
        self._rate = DECODED_RATE if self._opus else audio.sample_rate
        self._resampler = _Resampler(self._rate)

    @property
    def received(self) -> int:
        """The client's own samples per channel so far, declared gaps included."""
        return self._resampler.taken * self._format.sample_rate // self._rate

    def receive(self, payload: bytes) -> Audio:
        """One message -> what is ready of it, (samples,) 16 kHz mono in [-1, 1].

        Raises AudioError (odd_bytes, not_finite, bad_opus): then nothing of the message is taken, and the
        next one is read as if it had not been.
        """
        samples = self._decode(payload)
        mono = samples.mean(axis=1, dtype=np.float32) if samples.shape[1] > 1 else samples[:, 0]
        return self._resampler.push(mono)

    def flush(self) -> Audio:
        """What the resampler still holds; the stream goes on at its true position."""
        return self._resampler.flush()

    def skip(self, samples: int) -> int:
        """The client's samples that were lost -> how many of ours that is. To be called after flush()."""
        return self._resampler.skip(samples * self._rate // self._format.sample_rate)

    def _decode(self, payload: bytes) -> NDArray[np.float32]:
        channels = self._format.channels
        if self._opus:
            try:
                return self._opus.decode(payload).astype(np.float32) * _S16_SCALE
            except ValueError as error:
                advice = "Send one raw Opus packet per binary message, without a container."
                raise AudioError("bad_opus", f"Packet dropped: {error}. {advice}") from error
        width, read = _READERS[self._format.encoding]
        if len(payload) % (width * channels):
            raise AudioError(
                "odd_bytes",
                f"{len(payload)} bytes are no whole number of samples: with {self._format.encoding} and "
                f"{channels} channel(s) send a multiple of {width * channels} bytes per message.",
            )
        return read(payload).reshape(-1, channels)


class _Resampler:
    """soxr as a stream, whose output never drifts from the input by more than a sample.

    HQ keeps everything up to 7 kHz; it holds back at most 40 ms (8 kHz input: 115 ms). soxr's faster settings
    save little of that and cut into the band.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self.taken = 0
        """Samples in, skipped ones included."""
        self._given = 0
        self._soxr = soxr.ResampleStream(rate, SAMPLE_RATE, 1, "float32") if rate != SAMPLE_RATE else None

    def push(self, samples: Audio) -> Audio:
        self.taken += len(samples)
        if self._soxr is not None:
            samples = self._soxr.resample_chunk(samples).clip(-1, 1)
        self._given += len(samples)
        return samples

    def flush(self) -> Audio:
        if self._soxr is None:
            return np.zeros(0, np.float32)
        rest: Audio = self._soxr.resample_chunk(np.zeros(0, np.float32), last=True).clip(-1, 1)
        self._soxr.clear()
        missing = self.skip(0)
        return np.pad(rest[:missing], (0, max(0, missing - len(rest))))

    def skip(self, samples: int) -> int:
        """Samples in that never came -> samples out that stand for them, and for all not given yet."""
        self.taken += samples
        missing = self.taken * SAMPLE_RATE // self._rate - self._given
        self._given += missing
        return missing


def _check(audio: AudioFormat) -> None:
    if audio.encoding not in ENCODINGS:
        known = ", ".join(ENCODINGS)
        raise AudioError("bad_audio_format", f"Unknown encoding {audio.encoding[:40]!r}: use one of {known}.")
    if audio.channels not in (1, 2):
        raise AudioError("bad_audio_format", f"{audio.channels} channels: send 1, or 2 interleaved.")
    if audio.encoding == "opus" and audio.sample_rate not in OPUS_RATES:
        known = ", ".join(map(str, OPUS_RATES))
        raise AudioError("bad_audio_format", f"Opus at {audio.sample_rate} Hz: use one of {known}.")
    if not MIN_RATE <= audio.sample_rate <= MAX_RATE:
        raise AudioError(
            "bad_audio_format", f"{audio.sample_rate} Hz: use a rate from {MIN_RATE} to {MAX_RATE} Hz."
        )
