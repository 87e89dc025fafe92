import shutil
from pathlib import Path

import pytest
from ctranslate2 import get_cuda_device_count

from gateway.inference.device import (
    check_files,
    choose_compute_type,
    choose_device,
    explain,
    is_device_fault,
    is_out_of_memory,
    load_model,
)
from gateway.inference.protocol import EngineError, EngineSpec
from tests.inference.clips import DEMO

no_gpu = pytest.mark.skipif(get_cuda_device_count() > 0, reason="this machine has a GPU")


def test_a_directory_that_is_no_model_says_which_files_are_missing(tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r": config\.json, model\.bin, tokenizer\.json, vocabulary\.json or .* missing"
    ) as caught:
        check_files(tmp_path)
    assert caught.value.code == "not_a_model"
    shutil.copy(DEMO / "config.json", tmp_path)
    with pytest.raises(EngineError, match=r": model\.bin, tokenizer\.json, vocabulary\.json or .* missing"):
        check_files(tmp_path)


def test_what_is_no_directory_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="not a directory") as caught:
        check_files(tmp_path / "nowhere")
    assert caught.value.code == "not_a_model"


def test_a_damaged_model_is_an_engine_error(tmp_path: Path) -> None:
    """Half a download, say: the message has the next step."""
    for file in DEMO.glob("*.*"):
        shutil.copy(file, tmp_path)
    (tmp_path / "model.bin").write_bytes(b"\x06\x00\x00\x00half")
    with pytest.raises(EngineError) as caught:
        load_model(EngineSpec(str(tmp_path), "half", device="cpu"))
    assert caught.value.code == "load_failed"
    for part in (str(tmp_path), "care-voice models verify", "pull it again", "another --model"):
        assert part in caught.value.message


@no_gpu
def test_a_gpu_that_is_not_there_is_refused_not_replaced() -> None:
    with pytest.raises(EngineError, match="nvidia-smi") as caught:
        load_model(EngineSpec(str(DEMO), "demo", device="cuda"))
    assert caught.value.code == "cuda_unavailable"


@no_gpu
def test_auto_takes_the_cpu_where_there_is_no_gpu() -> None:
    assert choose_device("auto") == "cpu"


def test_a_compute_type_that_cannot_be_had_is_refused_not_replaced() -> None:
    with pytest.raises(EngineError, match="float16 cannot be had on cpu") as caught:
        choose_compute_type("float16", "cpu")
    assert caught.value.code == "compute_type"


def test_auto_computes_in_int8_on_a_cpu() -> None:
    assert choose_compute_type("auto", "cpu") == "int8"
    assert choose_compute_type("float32", "cpu") == "float32"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Library libcublas.so.12 is not found or cannot be loaded", "cublas_missing"),
        ("CUDA failed with error out of memory", "cuda_unavailable"),
        ("CUDA failed with error no kernel image is available", "cuda_unavailable"),
        ("Unsupported model binary version", "load_failed"),
    ],
)
def test_failures_to_load_are_explained(message: str, code: str) -> None:
    """Missing cuBLAS says what to install."""
    error = explain(RuntimeError(message), "models/x")
    assert error.code == code
    assert "care-voice[cuda]" in error.message or code != "cublas_missing"


def test_faults_of_the_device_are_told_from_faults_of_a_job() -> None:
    memory = RuntimeError("CUDA failed with error out of memory")
    assert is_out_of_memory(memory)
    assert is_device_fault(memory)
    assert is_out_of_memory(RuntimeError("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"))
    assert is_device_fault(RuntimeError("cuBLAS failed with status CUBLAS_STATUS_EXECUTION_FAILED"))
    assert not is_device_fault(ValueError("Invalid input features shape"))
    assert not is_device_fault(ValueError("CUDA is only a word here"))


def test_too_little_memory_says_what_to_do() -> None:
    error = explain(RuntimeError("CUDA failed with error out of memory"), "models/x")
    assert "nvidia-smi" in error.message
    assert "smaller --model" in error.message
