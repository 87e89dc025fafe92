"""core: one speaker's life as a state machine: a message or a hypothesis in, effects out.

Order of what is sent: finals in the order of the utterances, numbered 1, 2, 3 ...; `flushed` after every
final before it; `stopped` last. `committed` never passes audio whose final was not sent. Time (`now`) is
monotonic seconds; positions are 16 kHz samples until they are sent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from gateway.config import Settings
from gateway.connection.answering import Answers, seconds
from gateway.connection.arrivals import Arrivals
from gateway.connection.closing import CloseCode
from gateway.connection.effects import Close, Effect, Enter, Measure, Send, Submit, Withdraw
from gateway.connection.messages import (
    Ack,
    Audio,
    ClientMessage,
    Error,
    Final,
    Flush,
    Gap,
    Notice,
    Ping,
    Pong,
    Speech,
    Start,
    Started,
    Stop,
    Stopped,
)
from gateway.connection.opening import Opening, Refused, limits, open_stream
from gateway.detection.audio import AudioError
from gateway.detection.listener import Listener
from gateway.detection.silero import SileroModel
from gateway.events import (
    SAMPLE_RATE,
    EagerVoided,
    Heard,
    Hypothesis,
    Job,
    Kind,
    ModelInfo,
    Snapshot,
    SpeechStarted,
    UtteranceEnded,
)
from gateway.transcript.captioner import Captioner

ACK_INTERVAL_S = 1.0
MAX_ERRORS = 10
"""Mistakes in a row that a client may make before it is closed."""


class State(Enum):
    NEW = auto()
    LISTENING = auto()
    STOPPING = auto()
    """No more audio; waiting for the last finals."""
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every session of a gateway has in common."""

    settings: Settings
    model: ModelInfo
    silero: SileroModel | None = None


class Session:
    """A speaker's side of the conversation, from connect to the last final."""

    def __init__(self, number: int, name: str, surroundings: Surroundings, now: float) -> None:
        """`number` identifies it to the engine, `name` to its client."""
        self.number = number
        self.name = name
        self.state = State.NEW
        self._around = surroundings
        self._opened_at = self._heard_at = self._acked_at = now
        self._arrivals = Arrivals()
        self._committed = self._errors = 0
        self._partial_stretch: float | None = 1.0

    def __repr__(self) -> str:
        answers = f" {self._answers!r}" if self.state is not State.NEW else ""
        return f"<Session {self.number} {self.state.name}{answers}>"

    @property
    def bed(self) -> str | None:
        return self._opening.start.bed if self.state is not State.NEW else None

    # --- in ---

    def receive(self, message: ClientMessage, now: float) -> list[Effect]:
        """A message from the speaker."""
        self._heard_at = now
        try:
            effects = self._dispatch(message, now)
        except AudioError as error:
            return self._mistake(error.code, str(error), fatal=error.code != "bad_opus")
        except Refused as refused:
            return self._fail(refused.code, refused.message, refused.close_code)
        if isinstance(message, Audio):
            self._errors = 0
        return effects

    def receive_mistake(self, code: str, message: str, now: float) -> list[Effect]:
        """The codec could not read what the speaker sent."""
        self._heard_at = now
        return self._mistake(code, message, fatal=self.state is State.NEW)

    def receive_hypothesis(self, hypothesis: Hypothesis, now: float) -> list[Effect]:
        """An answer of the engine; ignored when it is stale."""
        if self.state not in {State.LISTENING, State.STOPPING}:
            return []
        return self._answers.receive(hypothesis, now) + self._settle(now)

    def refuse(self, job: Job) -> list[Effect]:
        """The engine's queue is full. A partial is worthless by then; a final is never dropped in silence."""
        if job.kind is Kind.PARTIAL:
            return []
        return self._fail(
            "overloaded",
            "The gateway cannot take more speech: reconnect in a while and replay what was not committed.",
            CloseCode.OVERLOADED,
        )

    def stretch_partials(self, factor: float | None, notice: Notice) -> list[Effect]:
        """The gateway's load changed: partials come `factor` times as far apart (None: not at all)."""
        self._partial_stretch = factor
        if self.state is not State.LISTENING or not self._opening.start.partials:
            return []
        self._listener.stretch_partials(factor)
        return [Send(notice)]

    def notify(self, notice: Notice) -> list[Effect]:
        """Tell the speaker something about the gateway."""
        return [Send(notice)] if self.state in {State.LISTENING, State.STOPPING} else []

    def deadline(self) -> float | None:
        """When `handle_timeout` wants to be called."""
        server = self._around.settings.server
        if self.state is State.NEW:
            return self._opened_at + server.start_timeout_s
        return self._heard_at + server.idle_timeout_s if self.state is State.LISTENING else None

    def handle_timeout(self, now: float) -> list[Effect]:
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return []
        if self.state is State.NEW:
            return self._fail("no_start", "Send `start` first.", CloseCode.IDLE)
        return self._fail(
            "idle", "Nothing was sent for too long; silence must be sent as audio.", CloseCode.IDLE
        )

    def finish(self, now: float, close_code: int = CloseCode.DONE) -> list[Effect]:
        """No more audio will come (stop, hang-up or drain): the open utterance gets its final."""
        if self.state is State.NEW:
            self.state = State.CLOSED
            return [Close(close_code, "done")]
        if self.state is not State.LISTENING:
            return []
        self._close_code = close_code
        effects = self._hear(self._listener.flush(), now)
        self.state = State.STOPPING
        return effects + self._settle(now)

    # --- messages ---

    def _dispatch(self, message: ClientMessage, now: float) -> list[Effect]:
        if isinstance(message, Ping):
            return [Send(Pong(message.id))]
        if isinstance(message, Start):
            return self._start(message)
        if self.state is State.NEW:
            raise Refused("not_started", "Send `start` before audio or anything else.")
        if self.state is not State.LISTENING:
            return []
        match message:
            case Audio(payload=payload):
                return self._listen(lambda listener: listener.receive(payload), now)
            case Gap(samples=samples):
                if samples <= 0:
                    raise Refused("bad_gap", "`samples` of a gap must be above 0.")
                return self._listen(lambda listener: listener.skip(samples), now)
            case Flush(id=flush):
                effects = self._hear(self._listener.flush(), now)
                self._answers.flush(flush)
                return effects + self._settle(now)
            case Stop():
                return self.finish(now)

    def _start(self, start: Start) -> list[Effect]:
        if self.state is not State.NEW:
            return self._mistake("already_started", "This stream has started; a second `start` is ignored.")
        around = self._around
        self._opening: Opening = open_stream(start, around.settings, around.model)
        self._listener = Listener(start.audio, self._opening.detection, around.model.mel_bands, around.silero)
        self._listener.stretch_partials(self._partial_stretch if start.partials else None)
        captioner = Captioner(around.settings.transcript, start.script, start.language)
        self._answers = Answers(start, captioner, self._arrivals)
        self.state = State.LISTENING
        model = around.model
        started = Started(
            self.name, 0, limits(around.settings), model.name, model.device, model.languages, model.demo
        )
        return [Send(started), *([Enter(start.bed)] if start.bed else [])]

    def _listen(self, take: Callable[[Listener], list[Heard]], now: float) -> list[Effect]:
        before = self._listener.received
        heard = take(self._listener)
        received = self._listener.received
        rate = self._opening.start.audio.sample_rate
        self._arrivals.push(received * SAMPLE_RATE // rate, now)
        effects: list[Effect] = [Measure("audio_s", (received - before) / rate), *self._hear(heard, now)]
        if received / rate - (now - self._opened_at) > self._around.settings.server.max_ahead_s:
            why = "Audio comes faster than real time: send it as it is spoken."
            return effects + self._fail("too_fast", why, CloseCode.TOO_FAST)
        if now - self._acked_at >= ACK_INTERVAL_S:
            effects.append(self._ack(now))
        return effects

    # --- speech ---

    def _hear(self, heard: list[Heard], now: float) -> list[Effect]:
        effects: list[Effect] = []
        for item in heard:
            match item:
                case SpeechStarted(at_samples=at):
                    effects.append(Send(Speech("started", seconds(at))))
                case Snapshot():
                    self._answers.ask(item)
                    effects.append(Submit(self._job(item)))
                case EagerVoided(utterance=utterance, revision=revision):
                    effects.append(Withdraw(utterance, revision))
                case UtteranceEnded(end_samples=end):
                    self._answers.end(item)
                    effects.append(Send(Speech("stopped", seconds(end))))
        return effects + self._settle(now) if heard else effects

    def _job(self, snapshot: Snapshot) -> Job:
        start = self._opening.start
        return Job(
            session=self.number,
            utterance=snapshot.utterance,
            revision=snapshot.revision,
            kind=snapshot.kind,
            features=snapshot.features,
            speech_s=snapshot.speech_samples / SAMPLE_RATE,
            language=self._answers.language,
            task=start.task,
            prompt=start.prompt,
            hotwords=self._opening.hotwords,
            words=start.words,
        )

    def _settle(self, now: float) -> list[Effect]:
        """Give every final that is due, and what waited for it."""
        effects = self._answers.settle(now)
        if any(isinstance(effect, Send) and isinstance(effect.message, Final) for effect in effects):
            effects.append(self._ack(now))
        if self.state is State.STOPPING and not self._answers.waiting:
            self.state = State.CLOSED
            stopped = Stopped(self._listener.received, self._answers.finals)
            effects += [Send(stopped), Close(self._close_code, "done")]
        return effects

    # --- small ---

    def _ack(self, now: float) -> Effect:
        self._acked_at = now
        undecided = self._answers.undecided_samples
        decided = self._listener.decided_samples
        decided = decided if undecided is None else min(decided, undecided)
        received = self._listener.received
        self._committed = max(self._committed, min(received, self._listener.client_samples(decided)))
        return Send(Ack(received, self._committed))

    def _mistake(self, code: str, message: str, *, fatal: bool = False) -> list[Effect]:
        self._errors += 1
        if fatal or self._errors > MAX_ERRORS:
            return self._fail(code, message, CloseCode.BAD_MESSAGE)
        return [Send(Error(code, message, fatal=False))]

    def _fail(self, code: str, message: str, close_code: int) -> list[Effect]:
        """End this session, and only this one; what was spoken still gets its final for the viewers."""
        now = self._heard_at
        error = Send(Error(code, message, fatal=True))
        return [error, Measure("error", 1, code), Close(close_code, code), *self.finish(now)]
