"""`care-voice diagnose` and the gauges on a machine with a GPU."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.serve import choose_engine
from gateway.config import ModelSettings, Settings
from gateway.diagnosis import trials
from gateway.diagnosis.gauges import ask_nvml
from gateway.diagnosis.libraries import open_cublas
from tests.gpu.card import MIB, SPEC, library_path_without_cublas, memory, needs_gpu
from tests.running import REPO, RunningGateway, command, environment

pytestmark = needs_gpu


def diagnose(data: Path, *options: str, **variables: str) -> tuple[int, dict[str, Any]]:
    """(exit status, the JSON)"""
    done = subprocess.run(
        command("diagnose", "--model", "demo", "--port", "0", "--data-dir", str(data), "--json", *options),
        cwd=REPO, env=environment(variables), capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.stdout, done.stderr
    if out := os.environ.get("OUT"):
        Path(out, f"diagnosis-{len(list(Path(out).iterdir()))}.json").write_text(done.stdout)
    return done.returncode, json.loads(done.stdout)


def findings(content: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in content["findings"]}


def test_a_gpu_that_works_is_found_and_tried(tmp_path: Path) -> None:
    """Exit 0; driver, card, library, product and decode are all told, with figures that can be."""
    status, content = diagnose(tmp_path)
    assert status == 0, content
    found = findings(content)
    assert {"driver", "gpu 0", "cublas", "fp16 product", "decode", "device"} <= set(found)
    seen = content["observed"]
    assert seen["accelerator"]["cuda"]["devices"] >= 1
    [gpu, *_] = seen["accelerator"]["gpus"]
    assert gpu["memory_bytes"] > 1 << 30
    assert gpu["capability"]
    assert 1e12 < seen["product"]["figures"]["flops_per_s"] < 5e15
    assert seen["decode"]["notes"]["device"] == "cuda"
    assert 100 * MIB < seen["decode"]["figures"]["peak_bytes"] < 8192 * MIB
    assert "since CUDA can use" in found["device"]["detail"]


def test_a_hidden_gpu_is_said_to_be_hidden(tmp_path: Path) -> None:
    """`auto`: a warning; `cuda`: a failure. Both with the variable's name."""
    for device, status in (("auto", 0), ("cuda", 1)):
        code, content = diagnose(tmp_path, "--device", device, "--quick", CUDA_VISIBLE_DEVICES="")
        assert code == status
        assert "hides all" in findings(content)["variables"]["detail"]
        assert findings(content)["variables"]["status"] == ("fail" if status else "warn")


def test_a_missing_libcublas_is_found_in_three_ways(tmp_path: Path) -> None:
    """The search, the product and the decode all say it, with the package to install."""
    code, content = diagnose(tmp_path, LD_LIBRARY_PATH=library_path_without_cublas())
    if findings(content)["cublas"]["status"] == "ok":
        pytest.skip("cuBLAS 12 is installed with pip: it cannot be hidden")
    assert code == 1
    for name in ("cublas", "fp16 product", "decode"):
        assert "care-voice[cuda]" in findings(content)[name]["remedy"], content


def test_too_little_memory_is_a_finding(tmp_path: Path) -> None:
    """Another program has nearly all: product or decode fail for it, and say who to look for."""
    with memory() as held:
        held.take_all_but(16 * MIB)
        code, content = diagnose(tmp_path, "--device", "cuda")
    assert code == 1
    failed = [finding for finding in content["findings"] if finding["status"] == "fail"]
    assert any("nvidia-smi" in finding["remedy"] for finding in failed), failed


@pytest.mark.parametrize("compute_type", ["float16", "bfloat16", "int8_float16", "float32"])
def test_compute_types_are_had_as_asked(compute_type: str) -> None:
    """On a card that has them; int8 with cuBLAS 12 only."""
    if compute_type.startswith("int8") and not open_cublas().version.startswith("12."):
        pytest.skip("int8 products are reported not to work with cuBLAS 13")
    trial = trials.try_decode(replace(SPEC, compute_type=compute_type))
    assert trial.well, trial
    assert trial.notes["compute_type"] == compute_type


def test_the_product_is_right_and_timed() -> None:
    trial = trials.try_product()
    assert trial.well, trial
    assert trial.stage == "multiplying"


def test_nvml_tells_the_gauges() -> None:
    [gpu, *_] = ask_nvml()
    assert not gpu.error
    assert gpu.memory_used_bytes is not None
    assert gpu.name


def test_a_gateway_says_what_it_took_and_why(tmp_path: Path) -> None:
    """In /health, in the log, and in gauges of the card."""
    gateway = RunningGateway.start(tmp_path / "log")
    try:
        assert gateway.health()["device"] == "cuda"
        assert gateway.health()["device_reason"].startswith("since CUDA can use")
        assert gateway.wait_for_log("ready")["why"] == gateway.health()["device_reason"]
        assert gateway.metric("care_voice_gpu_memory_bytes{") > 1 << 30
        assert gateway.metric("care_voice_gpu_memory_used_bytes{") > 100 * MIB
    finally:
        assert gateway.stop() == 0


def test_the_engine_is_asked_for_what_auto_means() -> None:
    """`--device auto` stays `auto` in the engine's process, which gives the reason."""
    assert choose_engine(Settings(model=ModelSettings(model="demo"))).device == "auto"
