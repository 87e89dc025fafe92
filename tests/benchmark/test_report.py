"""What was measured, put beside what could be."""

import json

import pytest

from gateway.benchmark.measure import Cell, Failed, Started
from gateway.benchmark.report import Report, make_report, number_bytes
from gateway.benchmark.roofline import Ceilings, Profile
from gateway.benchmark.shapes import SHAPES

STARTED = Started("cuda", "float16", "torch", SHAPES["large-v3-turbo"], 3.0, 1.2, 2.0, 0.05)
CELL = Cell(length_s=30, batch=8, steps=105, encode_s=0.048, decode_s=0.1, memory_bytes=3 << 30)
CEILINGS = Ceilings(790e12, 4.3e12)


def report(*measured: object) -> Report:
    made = make_report("turbo", list(measured), Profile())  # type: ignore[arg-type]
    assert isinstance(made, Report)
    return made


def test_times_are_for_a_window() -> None:
    (row,) = report(STARTED, CELL, CEILINGS).rows
    assert (row.encode_ms, row.decode_ms, row.window_ms) == pytest.approx((6.0, 12.5, 18.5))
    assert row.windows_per_s == pytest.approx(8 / 0.148)
    assert row.real_time_factor == pytest.approx(240 / 0.148)
    assert row.memory_mib == 3072


def test_shares_are_of_the_measured_ceilings() -> None:
    """2.274 TFLOP in 6 ms are 379 TFLOP/s, 48 % of 790."""
    (row,) = report(STARTED, CELL, CEILINGS).rows
    assert row.matmul_share == pytest.approx(0.48, abs=0.002)
    assert row.copy_share is not None
    assert 0 < row.copy_share < 1
    assert row.floor_ms is not None
    assert 2.88 < row.floor_ms < row.window_ms


def test_without_ceilings_shares_are_unknown() -> None:
    """A GPU without PyTorch, or int8, whose products nobody measured."""
    int8 = Started("cpu", "int8_float32", "ctranslate2", SHAPES["tiny"], 0.1, 0.2, 0.3, 0.1)
    for made in (report(STARTED, CELL), report(int8, CELL, CEILINGS)):
        assert made.ceilings is None
        assert made.rows[0].matmul_share is made.rows[0].copy_share is made.rows[0].floor_ms is None
        assert made.capacities[0].roofline is None


def test_what_was_measured_before_a_failure_stands() -> None:
    made = report(STARTED, CELL, Failed("CUDA failed with error out of memory"))
    assert len(made.rows) == 1
    assert "out of memory" in made.failure


def test_a_start_that_failed_is_no_report() -> None:
    assert make_report("x", [Failed("no such GPU")], Profile()) == Failed("no such GPU")
    assert isinstance(make_report("x", [], Profile()), Failed)


def test_a_report_is_json() -> None:
    content = json.loads(json.dumps(report(STARTED, CELL, CEILINGS).as_json()))
    assert content["started"]["shape"]["width"] == 1280
    assert content["rows"][0]["batch"] == 8


@pytest.mark.parametrize(
    ("compute_type", "expected"),
    [("float16", (2, 2)), ("bfloat16", (2, 2)), ("float32", (4, 4)), ("int8_float16", (1, 2)),
     ("int8_float32", (1, 4)), ("int8_bfloat16", (1, 2))],
)  # fmt: skip
def test_bytes_of_a_weight_and_of_an_activation(compute_type: str, expected: tuple[int, int]) -> None:
    assert number_bytes(compute_type) == expected
