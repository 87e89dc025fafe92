"""`care-voice serve` as an operator meets it: what it refuses, and what it says then."""

import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.running import REPO, command, environment

pytestmark = pytest.mark.slow


def serve(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it, with nothing kept from before, until it gives up."""
    with tempfile.TemporaryDirectory() as data_dir:
        return subprocess.run(
            command("serve", "--port", "0", "--data-dir", data_dir, *options),
            cwd=REPO, env=environment(variables), capture_output=True, text=True, timeout=60,
        )  # fmt: skip


def test_a_port_in_use_is_said_with_the_way_out() -> None:
    """Exit 1; the message names the port and --port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        failed = serve("--model", "demo", "--port", str(port))
    assert failed.returncode == 1
    assert f"127.0.0.1:{port}" in failed.stderr
    assert "--port" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_gpu_that_is_not_there_is_never_replaced(tmp_path: Path) -> None:
    """--device cuda without a GPU: exit 1, no fallback to the CPU."""
    failed = serve("--model", "demo", "--device", "cuda", CUDA_VISIBLE_DEVICES="")
    assert failed.returncode == 1
    assert "--device cpu" in failed.stderr
    assert "care-voice diagnose" in failed.stderr
    assert "  FAIL  " in failed.stderr, "diagnose's own answer"
    assert " -> " in failed.stderr, "with its remedy"
    assert "Traceback" not in failed.stderr


def test_float16_on_the_cpu_is_refused() -> None:
    """ENABLE_FP16 of the first system asks for what the CPU has not, and is named."""
    failed = serve("--model", "demo", "--device", "cpu", ENABLE_FP16="true")
    assert failed.returncode == 1
    assert "ENABLE_FP16=true (--compute-type): float16 cannot be had on cpu" in failed.stderr


def test_a_directory_that_is_no_model_is_named(tmp_path: Path) -> None:
    """The missing files are listed."""
    (tmp_path / "config.json").write_text("{}")
    failed = serve("--model", str(tmp_path))
    assert failed.returncode == 1
    assert "model.bin" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_broken_model_is_no_model(tmp_path: Path) -> None:
    """Files with the right names but the wrong content: exit 1, with the directory's name."""
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json", "preprocessor_config.json"):
        (tmp_path / name).write_text("{}")
    failed = serve("--model", str(tmp_path))
    assert failed.returncode == 1
    assert str(tmp_path) in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_model_that_is_not_downloaded_names_three_ways_out(tmp_path: Path) -> None:
    """pull it, copy it, or take the demo model; `auto` never falls back to another one."""
    for model in ("small", "auto"):
        failed = serve("--model", model, "--device", "cpu", "--models-dir", str(tmp_path))
        assert failed.returncode == 1
        for way in ("care-voice models pull small", "--model DIR", "--model demo"):
            assert way in failed.stderr, failed.stderr


def test_an_unknown_model_is_answered_with_near_ones() -> None:
    """A typing error gets a suggestion."""
    failed = serve("--model", "large-v3-trubo")
    assert failed.returncode == 1
    assert "large-v3-turbo" in failed.stderr


def test_bad_options_are_usage_errors() -> None:
    """Exit 2, naming the option."""
    failed = serve("--endpointing-ms", "1")
    assert failed.returncode == 2
    assert "--endpointing-ms" in failed.stderr
