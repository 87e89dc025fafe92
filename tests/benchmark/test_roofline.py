"""Operations, bytes and streams, by hand and in general."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.benchmark.roofline import (
    Ceilings,
    Profile,
    Work,
    decoder_work,
    encoder_work,
    positions,
    streams,
    tokens,
)
from gateway.benchmark.shapes import SHAPES

TURBO = SHAPES["large-v3-turbo"]
H200 = Ceilings(flops=790e12, bytes_per_s=4.3e12)


def test_a_full_window_of_turbo_is_2_27_teraflop() -> None:
    """Layers 2,256 G, convolutions 2.9 and 14.7 G: 2.9 ms of an H200."""
    work = encoder_work(TURBO, 30, 1, 2)
    assert work.flops == pytest.approx(2.274e12, rel=0.001)
    assert work.seconds(H200) == pytest.approx(2.88e-3, rel=0.001)
    assert encoder_work(TURBO, 15, 1, 2).flops == pytest.approx(1.045e12, rel=0.001)


def test_a_step_of_turbos_decoder_reads_316_megabytes() -> None:
    """Weights once for the batch, 15.4 MB of keys and values for each row of 15 s."""
    one, two = (decoder_work(TURBO, 15, rows, 1, 2, 2).bytes for rows in (1, 2))
    assert two - one == pytest.approx(15.4e6, rel=0.01)
    assert one - (two - one) == pytest.approx(316e6, rel=0.01)


def test_the_longer_of_two_times_counts() -> None:
    assert Work(790e12, 1).seconds(H200) == 1
    assert Work(1, 8.6e12).seconds(H200) == 2


def test_speech_has_3_5_tokens_a_second() -> None:
    assert [tokens(length) for length in (0.1, 5, 15, 30)] == [1, 18, 52, 105]
    assert [positions(length) for length in (0.01, 5, 30)] == [1, 250, 1500]


def test_streams_of_a_constant_cost() -> None:
    """Ten partials and a final of 10 ms in 5 s of speech: 45 speakers who never stop, 114 in conversation."""
    constant = {0.1: 0.010, 5.0: 0.010, 30.0: 0.010}
    assert streams(constant, Profile(duty=1)) == pytest.approx(45.45, rel=0.01)
    assert streams(constant, Profile(duty=0.4)) == pytest.approx(113.6, rel=0.01)


@given(
    st.dictionaries(st.floats(0.5, 30), st.floats(1e-4, 1), min_size=1, max_size=5),
    st.floats(1.01, 10),
    st.floats(0.5, 30),
)
def test_slower_windows_never_serve_more(
    costs: dict[float, float], factor: float, utterance_s: float
) -> None:
    """In proportion: twice the cost, half the streams."""
    profile = Profile(utterance_s=utterance_s)
    slower = {length: cost * factor for length, cost in costs.items()}
    assert streams(slower, profile) == pytest.approx(streams(costs, profile) / factor)


@given(st.sampled_from(sorted(SHAPES)), st.floats(0.1, 30), st.integers(1, 64))
def test_batches_share_weights_and_nothing_else(name: str, length_s: float, batch: int) -> None:
    shape = SHAPES[name]
    one, many = (encoder_work(shape, length_s, n, 2) for n in (1, batch))
    assert many.flops == pytest.approx(batch * one.flops)
    assert many.bytes == one.bytes
    alone, together = (decoder_work(shape, length_s, n, 10, 2, 2) for n in (1, batch))
    assert alone.bytes <= together.bytes <= batch * alone.bytes * (1 + 1e-9)
    assert together.flops == pytest.approx(batch * alone.flops)
