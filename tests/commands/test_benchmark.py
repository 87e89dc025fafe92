"""`care-voice benchmark`, as one types it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.commands.benchmark import benchmark


def run(*arguments: str) -> Result:
    return CliRunner().invoke(benchmark, list(arguments), env={"COLUMNS": "120"})


@pytest.mark.slow
def test_every_figure_of_a_model(tmp_path: Path) -> None:
    """Length by batch by compute type, on the terminal and as JSON."""
    file = tmp_path / "figures.json"
    result = run("--device", "cpu", "--lengths", "1,2", "--batches", "1,3", "--repeats", "1",
                 "--compute-type", "int8,float32", "--json", str(file))  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout.count("streams in batches of 3: ") == 2
    int8, float32 = json.loads(file.read_text())
    assert (int8["started"]["compute_type"], float32["started"]["compute_type"]) == (
        "int8_float32",
        "float32",
    )
    assert int8["ceilings"] is None
    for row in float32["rows"]:
        assert row["encode_ms"] > 0 < row["decode_ms"]
        assert row["matmul_share"] > 0 < row["floor_ms"]
    assert [(row["length_s"], row["batch"]) for row in float32["rows"]] == [(1, 1), (1, 3), (2, 1), (2, 3)]


@pytest.mark.slow
def test_a_shape_needs_no_weights() -> None:
    """Random ones are written and gone again."""
    result = run(
        "--model", "shape:tiny", "--device", "cpu", "--lengths", "1", "--batches", "1", "--repeats", "1"
    )
    assert result.exit_code == 0, result.output
    assert "shape:tiny" in result.stdout
    assert "encoder ctranslate2" in result.stdout


def test_what_cannot_be_had_is_said() -> None:
    unknown = run("--model", "shape:huge")
    assert unknown.exit_code == 2
    assert "shape:large-v3-turbo" in unknown.output
    assert run("--lengths", "5,31").exit_code == 2
    assert run("--compute-type", "int4").exit_code == 2
    absent = run("--model", "no-such-model", "--device", "cpu")
    assert absent.exit_code == 1
    assert "no-such-model" in absent.output


@pytest.mark.slow
def test_an_engine_that_cannot_start_fails_the_command() -> None:
    """With the engine's own words, and exit status 1."""
    result = run("--device", "cpu", "--compute-type", "float16", "--lengths", "1", "--batches", "1")
    assert result.exit_code == 1
    assert "float16 cannot be had on cpu" in result.output
