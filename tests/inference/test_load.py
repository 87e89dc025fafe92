from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.load import FALL_S, STEPS_S, LoadGauge, LoadLevel, Strain

TICK_S = 0.25
WAITS = st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0, 1)), min_size=1, max_size=120)


def observe(gauge: LoadGauge, waits: list[tuple[float, float, float]], start: float = 0.0) -> list[LoadLevel]:
    return [gauge.observe(Strain(*wait), start + i * TICK_S) for i, wait in enumerate(waits)]


def settle(gauge: LoadGauge, final_wait_s: float, seconds: float = 60, start: float = 0.0) -> LoadLevel:
    return observe(gauge, [(final_wait_s, 0.0, 0.0)] * int(seconds / TICK_S), start)[-1]


@given(WAITS, st.lists(st.floats(0, 3), min_size=120, max_size=120))
def test_more_pressure_never_means_a_lower_level(
    waits: list[tuple[float, float, float]], extra: list[float]
) -> None:
    """Two gauges side by side: the one that always sees longer waits is never the calmer one."""
    calm, pressed = LoadGauge(), LoadGauge()
    more = [(f + e, p + e, min(1.0, q + e)) for (f, p, q), e in zip(waits, extra, strict=False)]
    for low, high in zip(observe(calm, waits), observe(pressed, more), strict=True):
        assert low <= high


def test_each_sustained_wait_has_its_level() -> None:
    """Normal, stretched, no partials, refusing, at 150, 400 and 1000 ms."""
    assert settle(LoadGauge(), 0.1) is LoadLevel.NORMAL
    assert settle(LoadGauge(), 0.2) is LoadLevel.STRETCHED
    assert settle(LoadGauge(), 0.5) is LoadLevel.NO_PARTIALS
    assert settle(LoadGauge(), 1.1) is LoadLevel.REFUSING


def test_the_interval_is_stretched_twice_before_partials_stop() -> None:
    gauge = LoadGauge()
    factors = []
    for i in range(400):
        gauge.observe(Strain(i / 200, 0.0, 0.0), i * TICK_S)
        factors.append(gauge.interval_factor)
    assert sorted(set(factors)) == [1, 2, 4]
    assert factors == sorted(factors)


def test_one_long_wait_changes_nothing() -> None:
    """A single slow pass is no overload."""
    gauge = LoadGauge()
    levels = observe(gauge, [(0.0, 0.0, 0.0)] * 8 + [(0.5, 0.0, 0.0)] + [(0.0, 0.0, 0.0)] * 20)
    assert set(levels) == {LoadLevel.NORMAL}


@given(st.floats(0, 3), st.floats(0, 3))
def test_a_wait_that_flickers_does_not_make_the_level_flap(a: float, b: float) -> None:
    """Alternating waits settle: after a minute the level changes no more."""
    gauge = LoadGauge()
    levels = observe(gauge, [(a, 0.0, 0.0), (b, 0.0, 0.0)] * 240)
    assert len(set(levels[240:])) == 1


@given(st.sampled_from(STEPS_S))
def test_a_step_is_left_only_at_half_its_pressure(step_s: float) -> None:
    gauge = LoadGauge()
    reached = settle(gauge, step_s * 1.01)
    assert reached > LoadLevel.NORMAL
    assert settle(gauge, step_s * 0.55, start=100) is reached
    assert settle(gauge, 0.0, start=200) is LoadLevel.NORMAL


def test_it_falls_slower_than_it_rises() -> None:
    """After an overload calm must last a while before anybody is told so."""
    gauge = LoadGauge()
    settle(gauge, 2.0)
    levels = observe(gauge, [(0.0, 0.0, 0.0)] * 200, 60)
    calm_at = levels.index(LoadLevel.NORMAL) * TICK_S
    assert FALL_S < calm_at < 10 * FALL_S


def test_waiting_partials_only_stretch() -> None:
    """Partials can wait for ever without stopping, or keeping anybody out."""
    assert observe(LoadGauge(), [(0.0, 100.0, 0.0)] * 400)[-1] is LoadLevel.STRETCHED


def test_a_queue_half_full_refuses_at_once() -> None:
    """And takes new sessions again when it is a quarter full."""
    gauge = LoadGauge()
    fills = [0.49, 0.5, 0.3, 0.26, 0.2, 0.49]
    refused = [level is LoadLevel.REFUSING for level in observe(gauge, [(0.0, 0.0, f) for f in fills])]
    assert refused == [False, True, True, True, False, False]


def test_a_clock_that_stands_still_changes_nothing() -> None:
    gauge = LoadGauge()
    for _ in range(100):
        assert gauge.observe(Strain(9.0, 9.0, 0.0), 5.0) is LoadLevel.NORMAL
