"""shell: a batch of jobs to a batch of hypotheses, on CTranslate2's Whisper.

Works below faster-whisper's transcribe(): encode(), generate(), align() and detect_language() take batches
whose items may differ in language, task, prompt and length, within the rules that decode.py and align.py
keep. The encoder's output is kept where its items can be regrouped freely for each step (encoders.py). On a
CPU batching the encoder gains nothing, only the decoder is batched.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.events import Hypothesis, Job, Kind, LogMel, ModelInfo, Word
from gateway.inference import encoders
from gateway.inference.align import Spoken, word_times
from gateway.inference.context import EVERY_CONTEXT, FULL_FRAMES, ContextRule
from gateway.inference.decode import Answer, Encoded, Question, ask, stack
from gateway.inference.device import explain, is_device_fault, is_out_of_memory, why_auto
from gateway.inference.protocol import DECODE_FAILED, EngineSpec
from gateway.inference.tokens import Vocabulary

LOG = logging.getLogger(__name__)
DEMO_LANGUAGES = ("en", "zh")


def load(spec: EngineSpec) -> "WhisperEngine":
    """Load a model. Raises EngineError."""
    return WhisperEngine(spec)


class WhisperEngine:
    """A loaded Whisper model. Not for more than one thread."""

    def __init__(self, spec: EngineSpec) -> None:
        self._model, self._encoder = encoders.load(spec)
        self._context = ContextRule(spec.short_context, spec.settings.final_context)
        self._beam = spec.settings.final_beam_size
        try:
            self._vocabulary = Vocabulary(
                Path(spec.model_dir) / "tokenizer.json",
                self._model.is_multilingual,
                DEMO_LANGUAGES if spec.demo else None,
            )
        except Exception as error:  # tokenizers raises bare Exception
            raise explain(error, spec.model_dir) from error
        self.info = ModelInfo(
            name=spec.name,
            device=self._model.device,
            compute_type=self._model.compute_type,
            mel_bands=self._model.n_mels,
            languages=self._vocabulary.languages,
            demo=spec.demo,
            device_reason=why_auto() if spec.device == "auto" else "as asked",
        )

    def warm_up(self) -> None:
        """Run every bucket once on a GPU (kernels are loaded or compiled), a short pass on a CPU."""
        lengths = EVERY_CONTEXT if self.info.device == "cuda" else EVERY_CONTEXT[:1]
        try:
            self._encoder.warm_up()
            for frames in lengths:
                silence = np.full((self.info.mel_bands, frames), -1.5, np.float32)
                self._pass([Job(0, 0, 0, kind, silence, 0.0) for kind in (Kind.PARTIAL, Kind.FINAL)])
            self._warm_up_alignment()
        except (RuntimeError, ValueError) as error:
            raise explain(error, self.info.name) from error

    def _warm_up_alignment(self) -> None:
        """Of words that nobody said: silence has none of its own."""
        silence = np.full((self.info.mel_bands, EVERY_CONTEXT[0]), -1.5, np.float32)
        encoded = self._encode([Job(0, 0, 0, Kind.FINAL, silence, 0.0)])[0]
        language = self._vocabulary.languages[0]
        tokens = self._vocabulary.tokenizer(language, "transcribe").encode(" one two")
        self._align([Spoken(encoded, tokens, language, "transcribe", silence)])

    def transcribe(self, jobs: Sequence[Job]) -> list[Hypothesis]:
        """One hypothesis per job, in order. Features are (mel bands, 1..3000 frames).

        A job that cannot be decoded gets `failure`. Out of memory halves the batch; any other error of CUDA
        is raised, since the process must be replaced.
        """
        try:
            return self._pass(jobs)
        except Exception as error:
            if is_device_fault(error) and (len(jobs) == 1 or not is_out_of_memory(error)):
                raise
            LOG.warning("a batch of %d failed: %s", len(jobs), error)
            if len(jobs) == 1:
                return [_hypothesis(jobs[0], failure=DECODE_FAILED)]
            step = (len(jobs) + 1) // 2 if is_out_of_memory(error) else 1
        self._encoder.release()
        parts = (jobs[start : start + step] for start in range(0, len(jobs), step))
        return [hypothesis for part in parts for hypothesis in self.transcribe(part)]

    def _pass(self, jobs: Sequence[Job]) -> list[Hypothesis]:
        encoded = self._encode(jobs)
        languages = self._languages(jobs, encoded)
        questions = [
            Question(
                encoded=row,
                prompt=self._vocabulary.prompt(job, language),
                frames=job.features.shape[-1],
                beam=1 if job.kind is Kind.PARTIAL else self._beam,
                retry=job.kind is not Kind.PARTIAL,
                temperature=job.temperature,
            )
            for job, row, (language, _) in zip(jobs, encoded, languages, strict=True)
        ]
        answers = ask(self._model, self._vocabulary, questions)
        words = self._words(jobs, questions, answers, languages)
        return [
            _hypothesis(
                job,
                text=answer.text,
                language=language,
                language_probability=probability,
                average_logprob=answer.average_logprob,
                no_speech_probability=answer.no_speech_probability,
                compression_ratio=answer.compression_ratio,
                words=spoken,
            )
            for job, answer, spoken, (language, probability) in zip(
                jobs, answers, words, languages, strict=True
            )
        ]

    def _encode(self, jobs: Sequence[Job]) -> list[Encoded]:
        groups = defaultdict(list)
        for i, job in enumerate(jobs):
            self._check(job.features)
            padded = self._context.padded_frames(job.features.shape[-1], job.kind)
            groups[(padded, 0 if self.info.device == "cuda" else i)].append(i)
        encoded: dict[int, Encoded] = {}
        for (padded, _), members in groups.items():
            features = [jobs[i].features for i in members]
            together = self._encoder.encode(features, padded)
            encoded.update((member, Encoded(together, i)) for i, member in enumerate(members))
        return [encoded[i] for i in range(len(jobs))]

    def _check(self, features: LogMel) -> None:
        if features.ndim != 2 or features.shape[0] != self.info.mel_bands:
            raise ValueError(
                f"features of shape {features.shape}, {self.info.mel_bands} mel bands are wanted"
            )
        if not 1 <= features.shape[1] <= FULL_FRAMES or not np.isfinite(features).all():
            raise ValueError(f"{features.shape[1]} frames, 1 to {FULL_FRAMES} finite ones are wanted")

    def _languages(self, jobs: Sequence[Job], encoded: list[Encoded]) -> list[tuple[str, float]]:
        """(code, probability) per job. A language that the model does not have is detected instead."""
        known = self._vocabulary.languages
        if len(known) == 1:
            return [(known[0], 1.0)] * len(jobs)
        found = {i: (job.language, 1.0) for i, job in enumerate(jobs) if job.language in known}
        groups = defaultdict(list)
        for i in range(len(jobs)):
            if i not in found:
                groups[encoded[i].shape].append(i)
        for members in groups.values():
            ranked = self._model.detect_language(stack(encoded[i] for i in members))
            for i, row in zip(members, ranked, strict=True):
                found[i] = _most_probable(row, known)
        return [(str(code), probability) for code, probability in (found[i] for i in range(len(jobs)))]

    def _words(
        self,
        jobs: Sequence[Job],
        questions: list[Question],
        answers: list[Answer],
        languages: list[tuple[str, float]],
    ) -> list[tuple[Word, ...]]:
        wanted = [
            i for i, job in enumerate(jobs) if job.words and job.kind is not Kind.PARTIAL and answers[i].text
        ]
        items = [
            Spoken(questions[i].encoded, answers[i].tokens, languages[i][0], jobs[i].task, jobs[i].features)
            for i in wanted
        ]
        words = dict(zip(wanted, self._align(items), strict=True))
        return [words.get(i, ()) for i in range(len(jobs))]

    def _align(self, items: list[Spoken]) -> list[tuple[Word, ...]]:
        """Words that cannot be timed are left out: their text is there all the same."""
        try:
            return word_times(self._model, self._vocabulary, items)
        except Exception as error:
            if is_device_fault(error):
                raise
            LOG.warning("%d items could not be aligned: %s", len(items), error)
        return [()] if len(items) == 1 else [words for item in items for words in self._align([item])]


def _most_probable(ranked: list[tuple[str, float]], known: tuple[str, ...]) -> tuple[str, float]:
    """The best of the languages that the model has, its probability among them alone."""
    allowed = [(token[2:-2], probability) for token, probability in ranked if token[2:-2] in known]
    code, probability = max(allowed, key=lambda item: item[1])
    return code, probability / (sum(p for _, p in allowed) or 1.0)


def _hypothesis(job: Job, **fields: Any) -> Hypothesis:
    return Hypothesis(job.session, job.utterance, job.revision, job.kind, **fields)
