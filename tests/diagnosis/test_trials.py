"""A child that crashes, hangs or cannot is a finding; the parent lives on."""

import sys
from pathlib import Path

import pytest

from gateway.diagnosis import trials
from gateway.diagnosis.observed import Accelerator
from gateway.inference.protocol import EngineSpec
from tests.inference.clips import DEMO

pytestmark = pytest.mark.slow
PROGRAM = {
    "hang": 'import time; print(\'{"stage": "asking"}\', flush=True); time.sleep(60)',
    "crash": 'import os; print(\'{"stage": "asking"}\', flush=True); os.abort()',
    "complain": "import sys; sys.exit('no such thing')",
    "babble": 'print(\'{"stage": "asking"}\\n{"figures": {"a"\', flush=True)',
}


def run(what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trials.Trial:
    """With a program of another kind in place of the child."""
    package = tmp_path / "gateway" / "diagnosis"
    package.mkdir(parents=True)
    for directory in (package, package.parent):
        (directory / "__init__.py").write_text("")
    (package / "child.py").write_text(PROGRAM[what])
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return trials._run(what, b"", 2.0 if what == "hang" else 30.0)[0]


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What it was doing is known."""
    trial = run("hang", monkeypatch, tmp_path)
    assert (trial.stage, trial.ended, trial.well) == ("asking", "gave no answer within 2 s", False)


def test_a_child_that_crashes_is_told_by_its_signal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trial = run("crash", monkeypatch, tmp_path)
    assert (trial.stage, trial.well) == ("asking", False)
    assert trial.ended.startswith("was ended by SIGABRT")


def test_what_a_child_complains_of_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its status and its last words."""
    trial = run("complain", monkeypatch, tmp_path)
    assert (trial.stage, trial.ended) == ("starting", "ended with 1: no such thing")


def test_half_an_answer_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trial = run("babble", monkeypatch, tmp_path)
    assert (trial.stage, trial.ended, dict(trial.figures)) == ("asking", "ended with 0", {})


def test_looking_works_on_every_machine() -> None:
    """CTranslate2 answers; whether there is a GPU or not, no error of it ends anything."""
    trial, seen = trials.look()
    assert trial.well, trial
    assert isinstance(seen, Accelerator)
    assert seen.cuda.version
    assert "int8" in seen.cuda.cpu_types
    assert seen.reason.startswith("since ")
    assert bool(seen.driver.error) != bool(seen.driver.version)


def test_a_short_decode_is_timed_on_the_cpu() -> None:
    """With the demo model; figures are plausible, memory is that of the child."""
    trial = trials.try_decode(EngineSpec(str(DEMO), "demo", device="cpu", short_context=True, demo=True))
    assert trial.well, trial
    assert trial.stage == "decoding"
    assert dict(trial.notes) == {"model": "demo", "device": "cpu", "compute_type": "int8_float32"}
    assert all(trial.figures[name] > 0 for name in ("load_s", "warm_up_s", "decode_s"))
    assert 50 << 20 < trial.figures["peak_bytes"] < 2 << 30


def test_a_model_that_cannot_be_loaded_is_an_error_of_the_trial(tmp_path: Path) -> None:
    """In the engine's own words, with where it happened."""
    trial = trials.try_decode(EngineSpec(str(tmp_path), "none", device="cpu"))
    assert trial.stage == "loading the engine"
    assert "model.bin" in trial.error
    assert not trial.ended
