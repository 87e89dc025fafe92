"""The engine on a GPU hears what it hears on a CPU, in batches as one by one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gateway.events import Hypothesis, Job, Kind
from gateway.inference.engine import WhisperEngine, load
from tests.gpu.card import SPEC, needs_gpu
from tests.gpu.samples import error_rate, job, sentences
from tests.inference.clips import EXTRACT, clip_job
from tests.inference.test_engine import mixed_jobs

pytestmark = needs_gpu
NEAR_TIES = 0.03
"""Share of texts that may differ where only rounding does: FP16 products depend on the size of the batch."""


@pytest.fixture(scope="module")
def engine() -> WhisperEngine:
    made = load(SPEC)
    made.warm_up()
    return made


@pytest.fixture(scope="module")
def on_cpu() -> list[Hypothesis]:
    return load(replace(SPEC, device="cpu")).transcribe(
        [job(sentence, words=True) for sentence in sentences()]
    )


@pytest.fixture(scope="module")
def on_gpu(engine: WhisperEngine) -> list[Hypothesis]:
    return engine.transcribe([job(sentence, words=True) for sentence in sentences()])


def test_auto_is_the_gpu_in_float16() -> None:
    info = load(replace(SPEC, device="auto")).info
    assert (info.device, info.compute_type) == ("cuda", "float16")


def test_texts_are_those_of_the_cpu(on_cpu: list[Hypothesis], on_gpu: list[Hypothesis]) -> None:
    """FP16 and int8 round differently: a few near-ties fall the other way."""
    differing = sum(cpu.text != gpu.text for cpu, gpu in zip(on_cpu, on_gpu, strict=True))
    assert differing <= 0.06 * len(sentences())
    for language in ("en", "zh"):
        rates = [
            error_rate(sentences(), [answer.text for answer in answers], language)
            for answers in (on_cpu, on_gpu)
        ]
        assert rates[1] <= rates[0] + 0.015


def differing_texts(engine: WhisperEngine, jobs: Sequence[Job]) -> tuple[int, int]:
    """(texts that differ between together and one by one, texts compared)."""
    together = engine.transcribe(jobs)
    apart = [engine.transcribe([job])[0] for job in jobs]
    pairs = [
        (batched, single)
        for batched, single in zip(together, apart, strict=True)
        # What was tried again with sampling is not reproducible.
        if batched.average_logprob >= -1 and batched.compression_ratio <= 2.4
    ]
    for batched, single in pairs:
        assert (batched.session, batched.kind, batched.failure) == (single.session, single.kind, None)
    return sum(batched.text != single.text for batched, single in pairs), len(pairs)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_large_batch_equals_its_items_one_by_one(engine: WhisperEngine, kind: Kind) -> None:
    differing, compared = differing_texts(engine, [job(s, i, kind) for i, s in enumerate(sentences())])
    assert compared > 0.9 * len(sentences())
    assert differing <= NEAR_TIES * compared


def test_mixed_batches_equal_their_items_one_by_one(engine: WhisperEngine) -> None:
    """Languages, lengths, prompts, hotwords, kinds, words and tasks, all different."""
    counts = [differing_texts(engine, mixed_jobs(seed)) for seed in range(8)]
    differing, compared = (sum(column) for column in zip(*counts, strict=True))
    assert compared > 60
    assert differing <= NEAR_TIES * compared + 1


def test_word_times_in_a_batch_are_those_of_the_cpu(
    on_cpu: list[Hypothesis], on_gpu: list[Hypothesis]
) -> None:
    """Half of a video frame's difference in all but one of twenty; as many words, whenever the texts agree."""
    gaps = []
    for cpu, gpu in zip(on_cpu, on_gpu, strict=True):
        if cpu.text == gpu.text:
            assert [word.text for word in cpu.words] == [word.text for word in gpu.words]
            gaps += [abs(a.end_s - b.end_s) for a, b in zip(cpu.words, gpu.words, strict=True)]
    assert len(gaps) > 300
    assert np.quantile(gaps, 0.95) <= 0.0201


def test_word_times_make_up_the_text(on_gpu: list[Hypothesis]) -> None:
    for answer, sentence in zip(on_gpu, sentences(), strict=True):
        assert "".join(word.text for word in answer.words).strip() == answer.text
        times = [time for word in answer.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert times[-1] <= sentence.features.shape[-1] / 100


def test_noise_is_tried_again_and_answered(engine: WhisperEngine) -> None:
    """Sampling at higher temperatures works on the GPU, too; confidence is finite."""
    noise = np.random.default_rng(5)
    mels = [EXTRACT((noise.standard_normal(n) * 0.01).astype(np.float32)) for n in (16000, 24000, 32000)]
    answers = engine.transcribe([clip_job("noise", language="en", features=mel) for mel in mels * 3])
    assert all(answer.failure is None and np.isfinite(answer.average_logprob) for answer in answers)


def test_languages_are_detected(engine: WhisperEngine) -> None:
    jobs = [replace(job(sentence, i), language=None) for i, sentence in enumerate(sentences())]
    answers = engine.transcribe(jobs)
    right = sum(
        answer.language == sentence.language for answer, sentence in zip(answers, sentences(), strict=True)
    )
    assert right >= 0.98 * len(sentences())


@pytest.mark.parametrize("compute_type", ["bfloat16", "float32"])
def test_other_compute_types_are_had_as_asked(compute_type: str) -> None:
    asked = load(replace(SPEC, compute_type=compute_type))
    assert asked.info.compute_type == compute_type
    assert asked.transcribe([clip_job("en_00.wav", language="en", words=True)])[0].text == "I am cold."
