"""Which encoder is taken, and that PyTorch's hears what CTranslate2's hears."""

from dataclasses import replace

import numpy as np
import pytest

from gateway.config import InferenceSettings
from gateway.events import Kind
from gateway.inference import encoders
from gateway.inference.context import BUCKETS
from gateway.inference.device import is_device_fault, is_out_of_memory
from gateway.inference.encoders import CTranslate2Encoder, DeviceEncoder, load, takes_torch
from gateway.inference.engine import WhisperEngine
from gateway.inference.protocol import EngineError, EngineSpec
from tests.inference.clips import DEMO, REFS, SHORT, clip_job
from tests.inference.test_engine import mixed_jobs

SPEC = EngineSpec(str(DEMO), "demo", device="cpu", compute_type="float32", short_context=True, demo=True)
TORCH = replace(SPEC, settings=InferenceSettings(encoder="torch"))


def needs_torch() -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install care-voice[torch]")


def test_a_cpu_keeps_ctranslate2() -> None:
    """`auto` takes PyTorch on a GPU only, and what was asked for is taken whatever is installed."""
    assert not takes_torch(SPEC)
    assert not takes_torch(replace(SPEC, settings=InferenceSettings(encoder="ctranslate2")))
    assert isinstance(load(SPEC)[1], CTranslate2Encoder)


def test_torch_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never replaced silently, and the message says how to get it."""
    monkeypatch.setattr(encoders, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"not installed.*pip install care-voice\[torch\]") as refused:
        takes_torch(TORCH)
    assert refused.value.code == "encoder"


@pytest.mark.parametrize(
    ("device", "compute_type", "wanted", "torch"),
    [
        ("cuda", "float16", "auto", True),
        ("cuda", "float16", "ctranslate2", False),
        ("cuda", "bfloat16", "auto", False),
        ("cuda", "int8_float16", "auto", False),
        ("cpu", "int8", "auto", False),
        ("cpu", "int8", "torch", True),
    ],
)
def test_the_rule_of_auto(
    monkeypatch: pytest.MonkeyPatch, device: str, compute_type: str, wanted: str, torch: bool
) -> None:
    """PyTorch on a GPU that computes in float16; anywhere it is possible when it was asked for."""
    needs_torch()
    monkeypatch.setattr(encoders, "choose_device", lambda _: device)
    monkeypatch.setattr(encoders, "choose_compute_type", lambda *_: compute_type)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    spec = replace(SPEC, settings=InferenceSettings(encoder=wanted))
    assert takes_torch(spec) is torch


def test_torch_equals_ctranslate2() -> None:
    """The same numbers within float32, for every context and for odd lengths."""
    needs_torch()
    (_, ours), (_, theirs) = load(TORCH), load(SPEC)
    assert isinstance(ours, DeviceEncoder)
    random = np.random.default_rng(7)
    for frames in (1, 2, 3, 199, *BUCKETS[:-2]):
        features = [random.standard_normal((80, n), np.float32) for n in (frames, max(1, frames - 50))]
        heard, expected = ours.encode(features, frames), theirs.encode(features, frames)
        assert heard.shape == expected.shape == (2, (frames + 1) // 2, 256)
        assert np.linalg.norm(heard - expected) < 1e-5 * np.linalg.norm(expected)


def test_torch_runs_many_frames_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, the answers are the same."""
    needs_torch()
    from gateway.inference import torch_encoder

    _, encoder = load(TORCH)
    features = [np.full((80, 200), level, np.float32) for level in (-1.0, 0.0, 1.0, 0.5, 0.2)]
    together = encoder.encode(features, 200)
    monkeypatch.setattr(torch_encoder, "FRAMES_AT_ONCE", 450)
    assert np.allclose(encoder.encode(features, 200), together, atol=1e-5)


@pytest.mark.slow
def test_the_engine_answers_the_same_with_torch() -> None:
    """Mixed batches: languages, lengths, prompts, words, kinds."""
    needs_torch()
    ours, theirs = WhisperEngine(TORCH), WhisperEngine(SPEC)
    ours.warm_up()
    jobs = mixed_jobs(3)
    for heard, expected in zip(ours.transcribe(jobs), theirs.transcribe(jobs), strict=True):
        assert (heard.text, heard.language) == (expected.text, expected.language)
        times = [[(word.start_s, word.end_s) for word in answer.words] for answer in (heard, expected)]
        assert times[0] == times[1]


def test_torch_takes_the_int8_model_as_it_is() -> None:
    """The decoder in int8, as on every CPU, behind an encoder in float32."""
    needs_torch()
    engine = WhisperEngine(replace(TORCH, compute_type="int8"))
    job = clip_job(SHORT[0], Kind.FINAL, language=REFS[SHORT[0]]["language"])
    assert engine.transcribe([job])[0].text


def test_out_of_memory_is_known_from_either_library() -> None:
    """PyTorch's error halves the batch as CTranslate2's does; another error of CUDA replaces the process."""
    needs_torch()
    import torch

    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert is_device_fault(full)
    assert is_out_of_memory(full)
    broken = RuntimeError("CUDA error: an illegal memory access was encountered")
    assert is_device_fault(broken)
    assert not is_out_of_memory(broken)
