"""`care-voice diagnose` as an operator meets it, on any machine."""

import json
import subprocess
from pathlib import Path
from typing import Any

import ctranslate2
import pytest

from tests.running import REPO, RunningGateway, command, environment

pytestmark = pytest.mark.slow
no_gpu = pytest.mark.skipif(ctranslate2.get_cuda_device_count() > 0, reason="this machine has a GPU")


def diagnose(data: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """With a free port and a data directory of its own, unless told otherwise."""
    return subprocess.run(
        command("diagnose", "--model", "demo", "--port", "0", "--data-dir", str(data), *options),
        cwd=REPO, env=environment({"COLUMNS": "120", **variables}), capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def report(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return dict(json.loads(done.stdout))


def statuses(content: dict[str, Any]) -> dict[str, str]:
    return {finding["name"]: finding["status"] for finding in content["findings"]}


def test_the_cpu_is_enough(tmp_path: Path) -> None:
    """Exit 0 with a table in words; everything was tried, nothing was left behind, no colours in a pipe."""
    done = diagnose(tmp_path, "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok    decode" in done.stdout
    assert "All that is needed works: demo on the CPU." in done.stdout
    assert "\x1b" not in done.stdout
    assert not list(tmp_path.iterdir())


def test_json_is_one_object_and_nothing_else(tmp_path: Path) -> None:
    """Standard output can be read by a program."""
    content = report(diagnose(tmp_path, "--device", "cpu", "--json"))
    assert (content["format"], content["status"]) == (1, "ok")
    assert statuses(content)["decode"] == "ok"
    assert content["observed"]["decode"]["notes"]["model"] == "demo"
    assert set(content["findings"][0]) == {"area", "name", "status", "detail", "remedy"}


@no_gpu
def test_a_gpu_that_must_be_there_is_missed(tmp_path: Path) -> None:
    """Exit 1, with what to do; without a GPU `auto` is content with the CPU."""
    done = diagnose(tmp_path, "--device", "cuda", "--quick")
    assert done.returncode == 1
    assert "FAIL  driver" in done.stdout
    assert " -> " in done.stdout
    content = report(diagnose(tmp_path, "--quick", "--json", NVIDIA_VISIBLE_DEVICES="void"))
    assert statuses(content)["device"] == "ok"
    assert "since" in next(f["detail"] for f in content["findings"] if f["name"] == "device")


def test_quick_only_looks(tmp_path: Path) -> None:
    content = report(diagnose(tmp_path, "--quick", "--json"))
    assert content["observed"]["decode"] is None
    assert content["observed"]["product"] is None
    assert not {"decode", "fp16 product"} & set(statuses(content))


def test_a_model_that_is_missing_is_replaced_in_the_trial_only(tmp_path: Path) -> None:
    """The engine is tried with the demo model; the model is red all the same."""
    done = diagnose(
        tmp_path, "--model", "small", "--models-dir", str(tmp_path / "none"), "--device", "cpu", "--json"
    )
    assert done.returncode == 1
    assert statuses(report(done))["model"] == "fail"
    assert statuses(report(done))["decode"] == "ok"
    assert "stands in" in next(f["detail"] for f in report(done)["findings"] if f["name"] == "decode")


def test_float16_on_the_cpu_is_named_with_the_old_variable(tmp_path: Path) -> None:
    """ENABLE_FP16 of the first system asks for what the CPU has not."""
    done = diagnose(tmp_path, "--device", "cpu", "--quick", ENABLE_FP16="true")
    assert done.returncode == 1
    assert "FAIL  device" in done.stdout
    assert "ENABLE_FP16" in done.stdout


def test_bad_options_are_usage_errors(tmp_path: Path) -> None:
    """Exit 2, as serve has it."""
    assert diagnose(tmp_path, "--device", "tpu").returncode == 2
    assert diagnose(tmp_path, "--endpointing-ms", "1").returncode == 2


def test_help_shows_what_matters_here() -> None:
    """Serve's other options are taken, but not listed."""
    shown = subprocess.run(
        command("diagnose", "--help"), capture_output=True, text=True, cwd=REPO, timeout=60
    ).stdout
    for option in ("--json", "--quick", "--device", "--config", "--data-dir", "--models-dir"):
        assert option in shown
    assert "--endpointing-ms" not in shown


def test_a_running_gateway_is_recognised(tmp_path: Path) -> None:
    """Its port is no fault; what it chose and why is in its log and in /health."""
    gateway = RunningGateway.start(tmp_path / "log")
    try:
        port = gateway.url.rpartition(":")[2]
        content = report(diagnose(tmp_path / "data", "--port", port, "--quick", "--json"))
        assert content["observed"]["port"]["ours"]
        assert statuses(content)["port"] == "ok"
        why = gateway.health()["device_reason"]
        assert why.startswith("since ")
        assert gateway.wait_for_log("ready")["why"] == why
        assert "# TYPE care_voice_gpu_memory_used_bytes gauge" in gateway.get("/metrics")
    finally:
        assert gateway.stop() == 0
