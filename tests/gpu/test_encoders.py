"""PyTorch's encoder on a GPU: CTranslate2's numbers, handed over on the device, in bounded memory."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest

from gateway.benchmark.random_model import write_random_model
from gateway.benchmark.shapes import Shape
from gateway.config import InferenceSettings
from gateway.events import Kind, LogMel
from gateway.inference import encoders
from gateway.inference.context import BUCKETS
from gateway.inference.decode import Encoded, stack
from gateway.inference.encoders import CTranslate2Encoder, DeviceEncoder
from gateway.inference.engine import load
from gateway.inference.protocol import EngineSpec
from tests.gpu.card import MIB, SPEC, memory, needs_gpu
from tests.gpu.samples import error_rate, job, sentences
from tests.inference.clips import DEMO, clip_job

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install care-voice[torch]")
pytestmark = needs_gpu
OTHER = replace(SPEC, settings=InferenceSettings(encoder="ctranslate2"))
FULL = replace(SPEC, settings=InferenceSettings(encoder="torch", final_context="full", final_beam_size=1))
MIDDLE = Shape(768, 12, 12, 4, 80)
HALF_PRECISION = 4e-3
"""Relative error (norm over norm) of an encoder in float16 against another."""
ITEMS = (1, 2, 3, 5, 9, 33)
"""Numbers that are captured, that are rounded up to one, and that go in parts."""


@pytest.fixture(scope="module", params=["demo", "random weights"])
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
    if request.param == "demo":
        return SPEC
    folder = tmp_path_factory.mktemp("middle")
    write_random_model(MIDDLE, folder, DEMO)
    return EngineSpec(str(folder), "middle", device="cuda")


@pytest.fixture(scope="module")
def loaded(spec: EngineSpec) -> tuple[Any, DeviceEncoder]:
    model, encoder = encoders.load(spec)
    assert isinstance(encoder, DeviceEncoder)
    encoder.warm_up()
    return model, encoder


def windows(count: int, frames: int, seed: int) -> list[LogMel]:
    random = np.random.default_rng(seed)
    return [random.standard_normal((80, max(1, frames - 7 * i)), np.float32) for i in range(count)]


@pytest.mark.parametrize("frames", BUCKETS)
def test_numbers_are_those_of_ctranslate2(
    spec: EngineSpec, loaded: tuple[Any, DeviceEncoder], frames: int
) -> None:
    """Within float16, for every context, captured or not, padded by the same silence."""
    theirs = encoders.load(replace(spec, settings=InferenceSettings(encoder="ctranslate2")))[1]
    assert isinstance(theirs, CTranslate2Encoder)
    for count in ITEMS:
        features = windows(count, frames, seed=frames + count)
        heard = loaded[1].encode(features, frames)
        assert heard.is_cuda
        assert heard.is_contiguous()
        expected = theirs.encode(features, frames).astype(np.float32)
        error = np.linalg.norm(heard.float().cpu().numpy() - expected) / np.linalg.norm(expected)
        assert error < HALF_PRECISION, (frames, count)


def test_what_is_handed_over_is_what_was_heard(loaded: tuple[Any, DeviceEncoder]) -> None:
    """Two libraries, two streams: 300 batches of all kinds, memory overwritten as soon as it is free."""
    model, encoder = loaded
    batches = [
        (windows(count, frames, seed=count), frames) for count in (1, 4, 9) for frames in (200, 500, 3000)
    ]
    expected = []
    for features, frames in batches:
        heard = encoder.encode(features, frames)
        through_memory = ctranslate2.StorageView.from_array(heard.cpu().numpy())
        expected.append(answers(model, through_memory, len(features)))
    for i in range(300):
        features, frames = batches[i % len(batches)]
        heard = encoder.encode(features, frames)
        rows = [Encoded(heard, row) for row in range(len(features))]
        assert answers(model, stack(rows), len(rows)) == expected[i % len(batches)], i
        with torch.inference_mode():
            heard.fill_(float("nan"))
        del heard, rows
        torch.full((1 << 20,), float("nan"), device="cuda")


def test_rows_are_regrouped_on_the_device(loaded: tuple[Any, DeviceEncoder]) -> None:
    model, encoder = loaded
    heard = encoder.encode(windows(6, 300, seed=1), 300)
    together = answers(model, stack([Encoded(heard, i) for i in range(6)]), 6)
    for chosen in ((5, 0), (2, 3, 4), (4,)):
        rows = answers(model, stack([Encoded(heard, i) for i in chosen]), len(chosen))
        assert [tokens for tokens, _ in rows] == [together[i][0] for i in chosen]


def answers(model: Any, encoded: Any, rows: int) -> list[tuple[list[int], float]]:
    """Tokens and score of each row."""
    prompt = [50258, 50259, 50359, 50363]
    results = model.generate(encoded, [prompt] * rows, beam_size=1, max_length=16, return_scores=True)
    return [(result.sequences_ids[0], result.scores[0]) for result in results]


def test_ctranslate2s_output_can_be_read_where_it_is() -> None:
    """The other direction: a tensor of what CTranslate2 keeps on the GPU, no copy."""
    model = ctranslate2.models.Whisper(str(DEMO), device="cuda", compute_type="float16")
    features = np.random.default_rng(0).standard_normal((2, 80, 500)).astype(np.float16)
    kept = model.encode(ctranslate2.StorageView.from_array(features))
    seen = torch.as_tensor(kept, device="cuda")
    assert seen.data_ptr() == kept.__cuda_array_interface__["data"][0]
    on_host = model.encode(ctranslate2.StorageView.from_array(features), to_cpu=True)
    assert np.array_equal(seen.cpu().numpy(), np.asarray(on_host))


def test_texts_are_those_of_ctranslate2() -> None:
    """Of all recordings: a few near-ties fall the other way, nothing gets worse."""
    jobs = [job(sentence, words=True) for sentence in sentences()]
    ours, theirs = (load(spec).transcribe(jobs) for spec in (SPEC, OTHER))
    differing = sum(a.text != b.text for a, b in zip(ours, theirs, strict=True))
    assert differing <= 0.04 * len(jobs)
    for language in ("en", "zh"):
        rates = [error_rate(sentences(), [a.text for a in some], language) for some in (ours, theirs)]
        assert rates[0] <= rates[1] + 0.01


def test_no_weights_are_on_the_gpu_twice(tmp_path: Path) -> None:
    """Both encoders together would be 170 MB more: what CTranslate2 gets has one layer of it."""
    write_random_model(MIDDLE, tmp_path, DEMO)
    used = []
    for encoder in ("ctranslate2", "torch"):
        spec = EngineSpec(str(tmp_path), "middle", device="cuda", settings=InferenceSettings(encoder=encoder))
        before = free_bytes()
        model, kept = encoders.load(spec)
        used.append(before - free_bytes())
        del model, kept
        torch.cuda.empty_cache()
    assert used[1] < used[0] + 64 * MIB


def test_out_of_memory_halves_the_batch(caplog: pytest.LogCaptureFixture) -> None:
    """PyTorch's, too: every job is answered, in order, and the next batch is whole again."""
    engine = load(FULL)
    engine.warm_up()
    engine._encoder.release()
    name = "en_00.wav"
    jobs = [clip_job(name, Kind.FINAL, session=i, language="en") for i in range(30)]
    with memory() as held:
        held.take_all_but(96 * MIB)
        heard = engine.transcribe(jobs)
    assert [(answer.session, answer.text) for answer in heard] == [(i, "I am cold.") for i in range(30)]
    assert "a batch of 30 failed: CUDA" in caplog.text
    caplog.clear()
    assert all(answer.text == "I am cold." for answer in engine.transcribe(jobs))
    assert not caplog.records


def test_memory_is_bounded(loaded: tuple[Any, DeviceEncoder]) -> None:
    """Once all contexts were seen, more passes take no more."""
    _, encoder = loaded
    for frames in BUCKETS:
        encoder.encode(windows(32, frames, 0), frames)
    before = torch.cuda.memory_reserved()
    for count in (1, 7, 32, 20):
        for frames in BUCKETS:
            encoder.encode(windows(count, frames, count), frames)
    assert torch.cuda.memory_reserved() <= before + 32 * MIB
    assert before < 1024 * MIB


def free_bytes() -> int:
    torch.cuda.synchronize()
    return int(torch.cuda.mem_get_info()[0])


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    torch.cuda.empty_cache()
