"""An engine that answers at once: as many words as the speech is long. What is measured is all the rest."""

from collections.abc import Sequence

from gateway.events import Hypothesis, Job, ModelInfo
from gateway.inference.protocol import EngineSpec

FACTORY = "benchmarks.fake_engine:load"
MODEL = ModelInfo("fake", "cpu", "int8", 80, ("en", "zh"), demo=False)
WORDS_PER_S = 2.5
TEXTS = {
    "en": [
        "could",
        "you",
        "please",
        "bring",
        "me",
        "a",
        "glass",
        "of",
        "water",
        "and",
        "open",
        "the",
        "door",
    ],
    "zh": list("請幫我把窗戶打開一點因為這裡面有點熱然後再給我一杯溫開水謝謝你今天的幫忙"),
}


class FakeEngine:
    info = MODEL

    def warm_up(self) -> None:
        pass

    def transcribe(self, jobs: Sequence[Job]) -> list[Hypothesis]:
        return [
            Hypothesis(
                job.session, job.utterance, job.revision, job.kind,
                text=text(job), language=job.language or "en", language_probability=1.0, average_logprob=-0.1,
            )
            for job in jobs
        ]  # fmt: skip


def text(job: Job) -> str:
    words = TEXTS.get(job.language or "en", TEXTS["en"])
    said = [words[n % len(words)] for n in range(1 + int(job.speech_s * WORDS_PER_S))]
    return ("" if job.language == "zh" else " ").join(said)


def load(_: EngineSpec) -> FakeEngine:
    return FakeEngine()
