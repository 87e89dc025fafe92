import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.cost import PassCost

FIXED = st.floats(0.001, 0.5)
SLOPE = st.floats(1e-7, 1e-3)


@given(FIXED, SLOPE, FIXED, SLOPE)
def test_varied_passes_teach_the_true_cost(
    prior_fixed: float, prior_slope: float, fixed: float, slope: float
) -> None:
    """Whatever the prior, a few hundred passes of different sizes reveal both parts."""
    cost = PassCost(prior_fixed, prior_slope)
    for i in range(600):
        frames = 300 * (1 + i % 8)
        cost.learn(frames, fixed + slope * frames)
    for frames in (300, 4000):
        assert cost.predict_s(frames) == pytest.approx(fixed + slope * frames, rel=0.02)


@given(FIXED, SLOPE, st.lists(st.tuples(st.integers(1, 100_000), st.floats(0, 100)), max_size=30))
def test_a_larger_pass_is_never_predicted_cheaper(
    fixed: float, slope: float, passes: list[tuple[int, float]]
) -> None:
    """Also after nonsense measurements; never negative."""
    cost = PassCost(fixed, slope)
    for frames, seconds in passes:
        cost.learn(frames, seconds)
    predictions = [cost.predict_s(frames) for frames in (1, 100, 1000, 50_000)]
    assert predictions == sorted(predictions)
    assert predictions[0] >= 0


def test_single_jobs_do_not_hide_that_batches_are_cheap() -> None:
    """After many passes of one size, the marginal cost is not taken to be the mean cost."""
    cost = PassCost(0.03, 7e-5)
    for _ in range(1000):
        cost.learn(500, 0.02)
    assert cost.predict_s(500) == pytest.approx(0.02, rel=0.05)
    assert cost.predict_s(1000) < 2 * 0.02 + 1e-6


def test_the_first_guess_is_the_prior() -> None:
    assert PassCost(0.03, 7e-5).predict_s(500) == pytest.approx(0.03 + 500 * 7e-5)


def test_a_gpu_is_found_out_within_a_few_passes() -> None:
    """Told to expect a small model on a CPU, it fills passes of 100 ms on a GPU after half a second."""
    cost = PassCost(0.03, 7e-5)
    frames, items, spent_s = 500, 1, 0.0
    while items < 12:
        seconds = 0.03 + 1.1e-5 * items * frames  # large-v3-turbo on one H100
        cost.learn(items * frames, seconds)
        spent_s += seconds
        limit_s = max(0.1, 2 * cost.predict_s(frames))
        items = next(n for n in range(32, 0, -1) if n == 1 or cost.predict_s(n * frames) <= limit_s)
    assert spent_s < 0.5
