"""core: from the engine's hypotheses to captions: which are shown, in which order, with which times."""

from gateway.connection.arrivals import Arrivals
from gateway.connection.effects import Effect, Measure, Publish, Send
from gateway.connection.messages import Final, Flushed, Notice, Partial, Start, TimedWord
from gateway.connection.utterances import Utterance, Utterances
from gateway.events import SAMPLE_RATE, Hypothesis, Snapshot, UtteranceEnded
from gateway.transcript.captioner import Captioner, Settled, Shown

DECODE_FAILED = Notice(
    "decode_failed",
    "The engine could not decode the next final; it carries what was last shown, if anything.",
)


class Answers:
    """The answering half of a session: utterances waiting for finals, and flushes waiting for those."""

    def __init__(self, start: Start, captioner: Captioner, arrivals: Arrivals) -> None:
        self._start = start
        self._captioner = captioner
        self._arrivals = arrivals
        self._utterances = Utterances()
        self._flushes: list[tuple[int, str | int]] = []
        """(the last utterance it waits for, its id)"""
        self.finals = 0

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
    def undecided_samples(self) -> int | None:
        """Where the audio begins that still waits for its final."""
        return self._utterances.undecided_samples

    def ask(self, snapshot: Snapshot) -> None:
        """A snapshot goes to the engine."""
        self._utterances.add(snapshot)

    def end(self, ended: UtteranceEnded) -> None:
        """Its utterance is over: the answer to `final_revision` will be the final."""
        self._utterances.end(ended)

    def flush(self, name: str | int) -> None:
        """Answer `flushed` when everything before this moment is final."""
        self._flushes.append((self._utterances.newest, name))

    def receive(self, hypothesis: Hypothesis, now: float) -> list[Effect]:
        """A partial, or an eager final whose utterance may yet go on, is shown as text that may change."""
        utterance = self._utterances.answer(hypothesis)
        if utterance is None or utterance.ended or hypothesis.failure or not self._start.partials:
            return []
        snapshot = utterance.snapshots[hypothesis.revision]
        shown = self._captioner.partial(hypothesis, snapshot.speech_samples / SAMPLE_RATE)
        if shown is None:
            return []
        message = partial(shown, snapshot)
        return [
            Send(message),
            *self._publish(message),
            *self._late("partial_latency_s", snapshot.end_samples, now),
        ]

    def settle(self, now: float) -> list[Effect]:
        """Finals whose turn has come, and the flushes that waited for them."""
        effects: list[Effect] = []
        for utterance in self._utterances.take_settled():
            self.finals += 1
            effects += self._give(utterance, now)
        while self._flushes and (not self._utterances or self._flushes[0][0] < self._utterances.oldest):
            effects.append(Send(Flushed(self._flushes.pop(0)[1])))
        return effects

    def _give(self, utterance: Utterance, now: float) -> list[Effect]:
        hypothesis, ended = utterance.answer, utterance.ended
        assert hypothesis is not None  # take_settled promises both
        assert ended is not None
        snapshot = utterance.snapshots[hypothesis.revision]
        settled = self._captioner.final(hypothesis, snapshot.speech_samples / SAMPLE_RATE)
        self._captioner.forget(utterance.number)
        message = final(self.finals, settled, ended, snapshot)
        late = self._late("ttfs_s", ended.end_samples, now)
        failed = [Send(DECODE_FAILED)] if hypothesis.failure else []
        return [*failed, Send(message), *self._publish(message), *late, *measures(settled, hypothesis)]

    def _publish(self, caption: Final | Partial) -> list[Effect]:
        return [Publish(self._start.bed, caption)] if self._start.bed else []

    def _late(self, name: str, position_samples: int, now: float) -> list[Effect]:
        arrived = self._arrivals.at(position_samples)
        return [] if arrived is None else [Measure(name, now - arrived)]


def seconds(samples: int) -> float:
    """A 16 kHz position as seconds of the stream, to the millisecond."""
    return round(samples / SAMPLE_RATE, 3)


def partial(shown: Shown, snapshot: Snapshot) -> Partial:
    return Partial(
        utterance=shown.utterance,
        revision=shown.revision,
        start=seconds(snapshot.start_samples),
        end=seconds(snapshot.end_samples),
        stable=shown.stable,
        tentative=shown.tentative,
    )


def final(number: int, settled: Settled, ended: UtteranceEnded, snapshot: Snapshot) -> Final:
    """The authoritative caption of an utterance; word times counted from the stream's start."""
    start_s = snapshot.start_samples / SAMPLE_RATE
    words = tuple(
        TimedWord(w.text, round(start_s + w.start_s, 3), round(start_s + w.end_s, 3), round(w.probability, 3))
        for w in settled.words
    )
    return Final(
        number=number,
        utterance=settled.utterance,
        start=seconds(ended.start_samples),
        end=seconds(ended.end_samples),
        text=settled.text,
        language=settled.language,
        confidence=round(settled.confidence, 3),
        corrected=settled.corrected,
        words=words or None,
        suppressed=settled.suppressed,
    )


def measures(settled: Settled, hypothesis: Hypothesis) -> list[Effect]:
    """What the metrics want to know of a final."""
    reason = hypothesis.failure or settled.suppressed
    found: list[Effect] = [
        Measure("stable_words", settled.stable_words),
        Measure("corrected_words", settled.corrected_words),
    ]
    return [*found, Measure("suppressed", 1, reason)] if reason else found
