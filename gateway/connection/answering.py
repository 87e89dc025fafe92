"""core: from the engine's hypotheses to captions: which are shown, in which order, with which times."""

from dataclasses import dataclass
from itertools import zip_longest

from gateway.connection.effects import Effect, Lost, Measure, Publish, Send, Since
from gateway.connection.hearing import Hearing
from gateway.connection.messages import Final, Flushed, Notice, Partial, Start, TimedWord
from gateway.connection.utterances import Utterance, Utterances
from gateway.events import SAMPLE_RATE, Hypothesis, Job, Kind, Snapshot, UtteranceEnded
from gateway.transcript.captioner import Captioner, Settled, Shown
from gateway.transcript.language import LIKELY

DECODE_FAILED = Notice(
    "decode_failed",
    "The engine could not decode the next final; it carries what was last shown, if anything.",
)


@dataclass(frozen=True, slots=True)
class Settlement:
    """Something whose turn has come, and what is to be said with it."""

    caption: Final | Lost | Flushed
    then: list[Effect]
    finals: int
    """Finals so far, this one included."""
    undecided_samples: int | None
    """Where the audio begins that still waits for its final when this one is given."""


class Answers:
    """The answering half of a session: utterances waiting for finals, and what waits behind those."""

    def __init__(self, start: Start, captioner: Captioner, hearing: Hearing, finals: int = 0) -> None:
        self._start = start
        self._captioner = captioner
        self._hearing = hearing
        self._utterances = Utterances()
        self._behind: list[tuple[int, Flushed | Lost]] = []
        """(the last utterance it waits for, what waits)"""
        self._refused: list[Job] = []
        """Finals for which the engine had no room yet."""
        self.finals = finals

    def __repr__(self) -> str:
        return f"finals={self.finals} {self._utterances!r}"

    @property
    def language(self) -> str | None:
        """What the next job should be decoded as; None: detect it."""
        return self._captioner.language

    @property
    def waiting(self) -> bool:
        return bool(self._utterances)

    @property
    def newest(self) -> int:
        """Number of the newest utterance without a final; 0 when there is none."""
        return self._utterances.newest

    @property
    def undecided_samples(self) -> int | None:
        """Where the audio begins that still waits for its final."""
        return self._utterances.undecided_samples

    def configure(self, start: Start) -> None:
        """What the client wants has changed."""
        if (start.script, start.language) != (self._start.script, self._start.language):
            self._captioner.configure(start.script, start.language)
        self._start = start

    def ask(self, snapshot: Snapshot) -> None:
        """A snapshot goes to the engine."""
        self._utterances.add(snapshot)

    def refuse(self, job: Job) -> bool:
        """The engine had no room. A partial is worthless by then; of finals, is it the first to wait?"""
        if job.kind is Kind.PARTIAL:
            return False
        self._refused.append(job)
        return len(self._refused) == 1

    def take_refused(self) -> list[Job]:
        """What is to be asked for again."""
        refused, self._refused = self._refused, []
        return refused

    def end(self, ended: UtteranceEnded) -> None:
        """Its utterance is over: the answer to `final_revision` will be the final."""
        self._utterances.end(ended)

    def put_behind(self, thing: Flushed | Lost) -> None:
        """Its turn comes when everything before this moment is final."""
        self._behind.append((self._utterances.newest, thing))

    def receive(self, hypothesis: Hypothesis) -> list[Effect]:
        """A partial, or an eager final whose utterance may yet go on, is shown as text that may change."""
        utterance = self._utterances.answer(hypothesis)
        if utterance is None or utterance.ended or hypothesis.failure or not self._start.partials:
            return []
        snapshot = utterance.snapshots[hypothesis.revision]
        shown = self._captioner.partial(hypothesis, snapshot.speech_samples / SAMPLE_RATE)
        if shown is None:
            return []
        likely = self._start.language is None and hypothesis.language_probability >= LIKELY
        language = hypothesis.language if likely else ""
        message = partial(shown, snapshot, self._hearing, language)
        published = [Publish(self._start.bed, message)] if self._start.bed else []
        return [Send(message), *published, *self._late("partial_latency_s", snapshot.end_samples)]

    def settle(self) -> list[Settlement]:
        """Finals whose turn has come, and what waited behind them, in order."""
        settled: list[Settlement] = []
        ready = self._utterances.take_settled()
        for utterance, following in zip_longest(ready, ready[1:]):
            settled += self._take_behind(utterance.number, utterance.first_samples)
            self.finals += 1
            rest = following.first_samples if following else self.undecided_samples
            settled.append(self._give(utterance, rest))
        return settled + self._take_behind(self._utterances.oldest or None, self.undecided_samples)

    def _take_behind(self, oldest: int | None, undecided_samples: int | None) -> list[Settlement]:
        """What waits for no utterance from the oldest on."""
        taken = []
        while self._behind and (oldest is None or self._behind[0][0] < oldest):
            thing = self._behind.pop(0)[1]
            then: list[Effect] = [Send(thing)] if isinstance(thing, Flushed) else []
            taken.append(Settlement(thing, then, self.finals, undecided_samples))
        return taken

    def _give(self, utterance: Utterance, undecided_samples: int | None) -> Settlement:
        hypothesis, ended = utterance.answer, utterance.ended
        assert hypothesis is not None  # take_settled promises both
        assert ended is not None
        snapshot = utterance.snapshots[hypothesis.revision]
        settled = self._captioner.final(hypothesis, snapshot.speech_samples / SAMPLE_RATE)
        self._captioner.forget(utterance.number)
        message = final(self.finals, settled, ended, snapshot, self._hearing)
        failed = [Send(DECODE_FAILED)] if hypothesis.failure else []
        late = self._late("ttfs_s", ended.end_samples)
        then = [*failed, Send(message), *late, *measures(settled, hypothesis)]
        return Settlement(message, then, self.finals, undecided_samples)

    def _late(self, name: str, position_samples: int) -> list[Effect]:
        arrived = self._hearing.arrived_at(position_samples)
        return [] if arrived is None else [Since(name, arrived)]


def partial(shown: Shown, snapshot: Snapshot, hearing: Hearing, language: str = "") -> Partial:
    return Partial(
        utterance=shown.utterance,
        revision=shown.revision,
        start=hearing.seconds(snapshot.start_samples),
        end=hearing.seconds(snapshot.end_samples),
        stable=shown.stable,
        tentative=shown.tentative,
        language=language,
    )


def final(
    number: int, settled: Settled, ended: UtteranceEnded, snapshot: Snapshot, hearing: Hearing
) -> Final:
    """The authoritative caption of an utterance; word times counted from the stream's start."""
    start_s = hearing.seconds(snapshot.start_samples)
    words = tuple(
        TimedWord(w.text, round(start_s + w.start_s, 3), round(start_s + w.end_s, 3), round(w.probability, 3))
        for w in settled.words
    )
    return Final(
        number=number,
        utterance=settled.utterance,
        start=hearing.seconds(ended.start_samples),
        end=hearing.seconds(ended.end_samples),
        text=settled.text,
        language=settled.language,
        confidence=round(settled.confidence, 3),
        corrected=settled.corrected,
        words=words or None,
        suppressed=settled.suppressed,
        cut=ended.cut,
    )


def measures(settled: Settled, hypothesis: Hypothesis) -> list[Effect]:
    """What the metrics want to know of a final."""
    reason = hypothesis.failure or settled.suppressed
    found: list[Effect] = [
        Measure("stable_words", settled.stable_words),
        Measure("corrected_words", settled.corrected_words),
    ]
    return [*found, Measure("suppressed", 1, reason)] if reason else found
