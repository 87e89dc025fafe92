"""core: what a window of speech must cost at least: operations over their ceiling, bytes over theirs.

The roofline model (Williams, Waterman, Patterson 2009): no program does arithmetic faster than the measured
matrix product, none moves bytes faster than the measured copy; each part takes the longer of its two times.
Counted are the matrix products of Whisper (Radford et al. 2022), a multiplication and an addition as two, and
the bytes of what a decoder step must read: weights once for the batch, keys and values for each row. In the
formulas d is the width, L the layers, T the encoder's positions (50 a second), V the tokens, m the mel bands.
"""

from dataclasses import dataclass
from math import ceil

from gateway.benchmark.shapes import VOCABULARY, Shape

POSITIONS_PER_S = 50
TOKENS_PER_S = 3.5
"""Spoken: 150 words a minute."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What the device was seen to do."""

    flops: float
    """Operations per second of a large matrix product."""
    bytes_per_s: float
    """Of a large copy, read and written counted."""


@dataclass(frozen=True, slots=True)
class Work:
    """Operations and bytes of a part."""

    flops: float
    bytes: float

    def seconds(self, ceilings: Ceilings) -> float:
        return max(self.flops / ceilings.flops, self.bytes / ceilings.bytes_per_s)


def positions(length_s: float) -> int:
    return ceil(length_s * POSITIONS_PER_S)


def tokens(length_s: float) -> int:
    """What is said in so much speech, at least one."""
    return max(1, round(length_s * TOKENS_PER_S))


def encoder_work(shape: Shape, length_s: float, batch: int, weight_bytes: float) -> Work:
    """flops = L (24 T d^2 + 4 T^2 d) + 6 m d 2T + 6 d^2 T for each item; weights are read once."""
    d, t = shape.width, positions(length_s)
    layers = shape.encoder_layers * (24 * t * d**2 + 4 * t**2 * d)
    convolutions = 6 * shape.mel_bands * d * 2 * t + 6 * d**2 * t
    return Work(batch * (layers + convolutions), weight_bytes * shape.encoder_layers * 12 * d**2)


def decoder_work(
    shape: Shape, length_s: float, batch: int, steps: int, weight_bytes: float, cache_bytes: float
) -> Work:
    """Keys and values of the encoder's output once (4 T d^2 a layer), then for each step:
    14 d^2 weights a layer and V d of the projection, and 2 T d of keys and values a layer and item."""
    d, layers, t = shape.width, shape.decoder_layers, positions(length_s)
    weights = layers * 14 * d**2 + VOCABULARY * d
    cache = layers * 2 * t * d
    flops = batch * (layers * 4 * t * d**2 + steps * (2 * weights + 2 * cache))
    return Work(flops, steps * (weights * weight_bytes + batch * cache * cache_bytes))


@dataclass(frozen=True, slots=True)
class Profile:
    """How a speaker speaks, and how often the gateway asks."""

    duty: float = 0.4
    """Share of the time in which somebody speaks: a conversation."""
    partial_interval_s: float = 0.5
    utterance_s: float = 5.0


def streams(costs_s: dict[float, float], profile: Profile) -> float:
    """Simultaneous speakers that one device can serve, of the seconds that a window of each length costs.

    An utterance costs a partial at every interval, each as long as what was said by then, and a final of its
    whole. Between the lengths that were measured costs are interpolated; below the shortest they stay.
    """
    interval = profile.partial_interval_s
    asked = [interval * i for i in range(1, int(profile.utterance_s / interval) + 1)] + [profile.utterance_s]
    busy_s = sum(_interpolate(costs_s, length_s) for length_s in asked)
    return profile.utterance_s / profile.duty / busy_s


def _interpolate(costs_s: dict[float, float], length_s: float) -> float:
    """Straight lines between the points; beyond the last in proportion."""
    lengths = sorted(costs_s)
    above = next((length for length in lengths if length >= length_s), None)
    if above is None:
        return costs_s[lengths[-1]] * length_s / lengths[-1]
    below = max((length for length in lengths if length < length_s), default=above)
    if above == below:
        return costs_s[above]
    share = (length_s - below) / (above - below)
    return costs_s[below] + share * (costs_s[above] - costs_s[below])
