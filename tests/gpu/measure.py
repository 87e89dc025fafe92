"""Figures of the engine on this machine's GPU: `python -m tests.gpu.measure [--model DIR] [--random] [...]`.

Starts (with and without compiled kernels), agreement with the CPU, milliseconds per pass, restarts and
throughput. With `--random` the model has random weights (tests/gpu/random_whisper.py): only times mean
something, and texts are held to the length of real speech.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gateway.config import InferenceSettings
from gateway.events import Hypothesis, Job, Kind
from gateway.inference import decode
from gateway.inference.engine import WhisperEngine
from gateway.inference.protocol import EngineSpec
from gateway.inference.worker import BatchDone, Worker, WorkerDied, WorkerEvent, WorkerReady
from tests.gpu.samples import error_rate, job, pieces, sentences
from tests.inference.clips import DEMO
from tests.inference.test_engine import mixed_jobs
from tests.inference.test_worker import Bench

DURATIONS_S = (1, 2, 4, 8)
SPOKEN_TOKENS_PER_S = 5
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["start", "agreement", "passes", "restart", "queue"])
    parser.add_argument("--model", type=Path, default=DEMO)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--encoder", choices=("auto", "ctranslate2", "torch"), default="auto")
    parser.add_argument("--context", choices=("auto", "short", "full"), default="auto")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 32])
    chosen = parser.parse_args()
    demo = chosen.model == DEMO
    settings = InferenceSettings(final_context=chosen.context, encoder=chosen.encoder)
    spec = EngineSpec(
        str(chosen.model), chosen.model.name, chosen.device, settings=settings, short_context=demo, demo=demo,
        factory="tests.gpu.measure:load_random" if chosen.random else "gateway.inference.engine:load",
    )  # fmt: skip
    for what in chosen.what:
        globals()[what](spec, chosen)


def say(**figures: Any) -> None:
    print(json.dumps(figures, ensure_ascii=False), flush=True)


# --- starts and restarts ----------------------------------------------------------------------------------------


@contextmanager
def clock(into: list[float]) -> Iterator[None]:
    started = time.monotonic()
    yield
    into.append(time.monotonic() - started)


def start(spec: EngineSpec, _: argparse.Namespace) -> None:
    """Until the process is ready: with nothing compiled, and again."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("CUDA_CACHE_PATH")
        os.environ["CUDA_CACHE_PATH"] = folder
        for name in ("nothing compiled", "compiled", "compiled"):
            asyncio.run(_start_once(spec, name))
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        say(kernel_cache_mib=round(size / 2**20, 1))
        os.environ.pop("CUDA_CACHE_PATH")
        if before is not None:
            os.environ["CUDA_CACHE_PATH"] = before


async def _start_once(spec: EngineSpec, name: str) -> None:
    events: list[WorkerEvent] = []
    taken: list[float] = []
    worker = Worker(spec, InferenceSettings(), lambda _: None, events.append)
    with clock(taken):
        await worker.start()
    ready = next(event for event in events if isinstance(event, WorkerReady))
    say(
        start=name,
        ready_s=round(taken[0], 2),
        load_and_warm_up_s=round(ready.load_s, 2),
        info=str(ready.info)[:120],
    )
    await worker.stop()


def restart(spec: EngineSpec, _: argparse.Namespace) -> None:
    """kill -9 in the middle of a queue."""
    asyncio.run(_restart(spec))


async def _restart(spec: EngineSpec) -> None:
    made = Bench(spec, InferenceSettings(max_batch_size=8))
    answered_at: list[float] = []
    made.on_answer = lambda _: answered_at.append(time.monotonic())
    info = await made.worker.start()
    mels = pieces(3, 64, info.mel_bands)
    for session, mel in enumerate(mels):
        made.worker.submit(Job(session, 1, 1, Kind.FINAL, mel, 3.0, language="en"))
    await made.until(lambda: made.answers)
    assert made.worker.pid
    before, killed = len(answered_at), time.monotonic()
    os.kill(made.worker.pid, signal.SIGKILL)
    await made.until(lambda: len(made.of(WorkerReady)) == 2)
    ready = time.monotonic()
    await made.until(lambda: len(made.answers) == len(mels))
    await made.worker.stop()
    say(
        restart_s=round(ready - killed, 2),
        first_answer_s=round(answered_at[before] - killed, 2),
        in_flight=made.of(WorkerDied)[0].in_flight,
        answered=len({answer.session for answer in made.answers}),
        of=len(mels),
        failed=sum(answer.failure is not None for answer in made.answers),
    )


# --- agreement --------------------------------------------------------------------------------------------------


def agreement(spec: EngineSpec, _: argparse.Namespace) -> None:
    said = sentences()
    gpu, cpu = WhisperEngine(spec), WhisperEngine(replace(spec, device="cpu"))
    gpu.warm_up()
    jobs = [job(sentence, i, words=True) for i, sentence in enumerate(said)]
    here, there = gpu.transcribe(jobs), cpu.transcribe(jobs)
    for language in ("en", "zh"):
        say(
            language=language,
            clips=sum(s.language == language for s in said),
            differing_texts=sum(
                a.text != b.text for a, b, s in zip(here, there, said, strict=True) if s.language == language
            ),
            error_rate_gpu=round(error_rate(said, [a.text for a in here], language), 4),
            error_rate_cpu=round(error_rate(said, [a.text for a in there], language), 4),
        )
    for sentence, a, b in zip(said, here, there, strict=True):
        if a.text != b.text:
            say(differs=sentence.name, said=sentence.text, gpu=a.text, cpu=b.text)
    _word_gaps("gpu against cpu", here, there)
    apart = [gpu.transcribe([item])[0] for item in jobs]
    _word_gaps("gpu batched against one by one", here, apart)
    for kind in Kind:
        _compare(gpu, f"all as {kind.value}", [replace(item, kind=kind) for item in jobs])
    for seed in range(10):
        _compare(gpu, f"mixed {seed}", mixed_jobs(seed))


def _word_gaps(name: str, left: list[Hypothesis], right: list[Hypothesis]) -> None:
    gaps = [
        max(abs(p.start_s - q.start_s), abs(p.end_s - q.end_s))
        for a, b in zip(left, right, strict=True)
        if a.text == b.text
        for p, q in zip(a.words, b.words, strict=True)
    ]
    quantiles = {q: round(float(np.quantile(gaps, q)), 3) for q in (0.5, 0.9, 0.95, 0.99, 1.0)}
    say(word_times=name, words=len(gaps), gap_s=quantiles)


def _compare(engine: WhisperEngine, name: str, jobs: list[Job]) -> None:
    together = engine.transcribe(jobs)
    apart = [engine.transcribe([item])[0] for item in jobs]
    pairs = list(zip(together, apart, strict=True))
    greedy = [(a, b) for a, b in pairs if a.average_logprob >= -1 and a.compression_ratio <= 2.4]
    say(
        batched_against_single=name,
        compared=len(greedy),
        tried_again=len(pairs) - len(greedy),
        differing_texts=[(a.text, b.text) for a, b in greedy if a.text != b.text],
        differing_languages=sum(a.language != b.language for a, b in pairs),
        differing_words=sum(a.text == b.text and _times(a) != _times(b) for a, b in greedy),
        largest_logprob_gap=round(
            max(
                (abs(a.average_logprob - b.average_logprob) for a, b in greedy if a.text == b.text), default=0
            ),
            4,
        ),
    )


def _times(answer: Hypothesis) -> list[tuple[float, float]]:
    return [(word.start_s, word.end_s) for word in answer.words]


# --- passes -----------------------------------------------------------------------------------------------------


class Timed:
    """A CTranslate2 model that adds up what its calls take, by name."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.seconds: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.model, name)
        return self._timed(name, value) if callable(value) else value

    def _timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                self.seconds[name] += time.perf_counter() - started

        return timed


def passes(spec: EngineSpec, chosen: argparse.Namespace) -> None:
    engine = load_random(spec) if chosen.random else WhisperEngine(spec)
    taken: list[float] = []
    with clock(taken):
        engine.warm_up()
    say(warm_up_s=round(taken[0], 2), context=chosen.context)
    timed = engine._model = Timed(engine._model)
    for kind, words in ((Kind.PARTIAL, False), (Kind.FINAL, False), (Kind.FINAL, True)):
        for duration_s in DURATIONS_S:
            for size in chosen.batches:
                jobs = [
                    Job(i, 1, 1, kind, mel, duration_s, language="en", words=words)
                    for i, mel in enumerate(pieces(duration_s, size, engine.info.mel_bands))
                ]
                _time_pass(engine, timed, jobs)


def _time_pass(engine: WhisperEngine, timed: Timed, jobs: list[Job]) -> None:
    taken, calls = [], []
    answers = []
    for _ in range(REPEATS):
        timed.seconds.clear()
        started = time.perf_counter()
        answers = engine.transcribe(jobs)
        taken.append(time.perf_counter() - started)
        calls.append(dict(timed.seconds))
    first, rest = taken[0], sorted(zip(taken[1:], calls[1:], strict=True), key=lambda pair: pair[0])
    median, parts = rest[len(rest) // 2]
    say(
        kind=jobs[0].kind.value + (" words" if jobs[0].words else ""),
        audio_s=jobs[0].speech_s,
        batch=len(jobs),
        ms=round(median * 1000, 1),
        first_ms=round(first * 1000, 1),
        **{f"{name}_ms": round(seconds * 1000, 1) for name, seconds in parts.items()},
        host_ms=round((median - sum(parts.values())) * 1000, 1),
        tokens=round(statistics.mean(len(engine._vocabulary.tokenizer("en", "transcribe").encode(a.text)) for a in answers), 1),
    )  # fmt: skip


# --- a full queue -----------------------------------------------------------------------------------------------


def queue(spec: EngineSpec, _: argparse.Namespace) -> None:
    """Many finals at once, as after an outage: what the batcher makes of the GPU."""
    asyncio.run(_queue(spec))


async def _queue(spec: EngineSpec) -> None:
    made = Bench(spec, InferenceSettings())
    info = await made.worker.start()
    mels = pieces(4, 200, info.mel_bands)
    for kind in (Kind.FINAL, Kind.PARTIAL, Kind.FINAL):
        made.events.clear()
        made.answers.clear()
        taken: list[float] = []
        with clock(taken):
            for session, mel in enumerate(mels):
                made.worker.submit(Job(session, 1, 1, kind, mel, 4.0, language="en"))
            await made.until(lambda: len(made.answers) == len(mels))
        done = made.of(BatchDone)
        say(
            queue=kind.value,
            jobs=len(mels),
            seconds=round(taken[0], 2),
            real_time_factor=round(4 * len(mels) / taken[0], 1),
            batch_sizes=[event.size for event in done],
            pass_ms=[round(event.seconds * 1000) for event in done],
            between_passes_ms=round((taken[0] - sum(event.seconds for event in done)) / len(done) * 1000, 1),
        )
    await made.worker.stop()


# --- a mixed queue ----------------------------------------------------------------------------------------------

UTTERANCES = 64
UTTERANCE_S = 5.0
PARTIAL_INTERVAL_S = 0.5
DUTY = 0.4
"""Of a conversation: the share of the time in which one of its speakers speaks."""


def mixed(spec: EngineSpec, _: argparse.Namespace) -> None:
    """All that 64 utterances of 5 s ask for, a partial every 500 ms and a final, at once: jobs per second."""
    asyncio.run(_mixed(spec))


async def _mixed(spec: EngineSpec) -> None:
    made = Bench(spec, spec.settings)
    info = await made.worker.start()
    count = int(UTTERANCE_S / PARTIAL_INTERVAL_S)
    mels = {i: pieces(PARTIAL_INTERVAL_S * i, UTTERANCES, info.mel_bands) for i in range(1, count + 1)}
    jobs = [
        Job(i * UTTERANCES + n, 1, 1, kind, mel, mel.shape[-1] / 100, language="en")
        for i, kind in [*((i, Kind.PARTIAL) for i in range(1, count + 1)), (count, Kind.FINAL)]
        for n, mel in enumerate(mels[i])
    ]
    jobs = [replace(job, session=number) for number, job in enumerate(jobs)]
    for _ in range(2):  # the second time the batcher knows what passes cost
        made.answers.clear()
        taken: list[float] = []
        with clock(taken):
            for item in jobs:
                made.worker.submit(item)
            await made.until(lambda: len(made.answers) == len(jobs))
    say(
        mixed=len(jobs),
        encoder=spec.settings.encoder,
        context=spec.settings.final_context,
        seconds=round(taken[0], 2),
        jobs_per_s=round(len(jobs) / taken[0], 1),
        streams_40_percent=round(UTTERANCES * UTTERANCE_S / DUTY / taken[0]),
    )
    await made.worker.stop()


# --- random weights ---------------------------------------------------------------------------------------------


def load_random(spec: EngineSpec) -> WhisperEngine:
    """The engine on random weights, which never end a text: as many tokens as speech has, nothing tried again."""
    decode.TOKENS_PER_S, decode.EXTRA_TOKENS = SPOKEN_TOKENS_PER_S, 0
    decode.MIN_AVERAGE_LOGPROB, decode.MAX_COMPRESSION_RATIO = -np.inf, np.inf
    engine = WhisperEngine(spec)
    vocabulary = engine._vocabulary
    end = vocabulary.tokenizer("en", "transcribe").eot
    vocabulary.__dict__["suppressed"] = [*vocabulary.suppressed, end]  # its own cached_property
    return engine


if __name__ == "__main__":
    sys.exit(main())
