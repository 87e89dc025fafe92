"""core: one speaker's life as a state machine: a message or a hypothesis in, effects out.

It outlives its sockets: `detach` when one is lost, `attach` when the client comes back in time. Order of
what is said: finals in the order of the utterances, numbered 1, 2, 3 ..., each when the journal has it;
`flushed` after every final before it; `stopped` last. `committed` never passes audio whose final is not on
disk. Time (`now`) is monotonic seconds.
"""

from enum import Enum, auto

from msgspec import structs

from gateway import events
from gateway.connection import effects as fx
from gateway.connection import messages as m
from gateway.connection.allowance import Allowance, cost_s, too_fast
from gateway.connection.answering import Answers, Settlement
from gateway.connection.closing import CloseCode
from gateway.connection.effects import Close, Effect, Enter, Record, Send, Submit
from gateway.connection.hearing import Hearing
from gateway.connection.ledger import Ledger
from gateway.connection.opening import OVERLOADED, Opening, Refused, Surroundings, open_stream, started
from gateway.connection.patience import ENDING, REFUSALS, Patience, Verdict
from gateway.connection.resuming import Identity, Past
from gateway.detection.audio import AudioError
from gateway.transcript.captioner import Captioner

ACK_INTERVAL_S = 1.0
MAX_GAP_S = 24 * 3600
MAX_ERRORS = 10
"""Mistakes in a row that a client may make before it is closed."""


class State(Enum):
    NEW = auto()
    LISTENING = auto()
    STOPPING = auto()
    """No more audio; waiting for the last finals."""
    CLOSED = auto()


class Session:
    """A speaker's side of the conversation, from connect to the last final."""

    def __init__(self, number: int, identity: Identity, around: Surroundings, now: float) -> None:
        """`number` identifies it to the engine and the viewers, `identity` to its client."""
        self.number = number
        self.identity = identity
        self.state = State.NEW
        self._around = around
        server = around.settings.server
        self.patience = Patience(server, now)
        self._allowance = Allowance(server.max_ahead_s, server.max_audio_rate, now)
        self._acked_at = now
        self._errors = 0
        self._partial_stretch: float | None = 1.0
        self._close_code = CloseCode.DONE

    def __repr__(self) -> str:
        answers = f" {self._answers!r}" if self.state is not State.NEW else ""
        return f"<Session {self.number} {self.state.name}{answers}>"

    @property
    def start(self) -> m.Start:
        """What its client began it with, once it has."""
        return self._opening.start

    # --- in ---

    def receive(self, message: m.ClientMessage, now: float, past: Past | None = None) -> list[Effect]:
        """A message from the speaker. `past`: its start goes on where another gateway process stopped."""
        self.patience.hear(now)
        try:
            effects = self._dispatch(message, now, past)
        except AudioError as error:
            return self._mistake(error.code, str(error), fatal=error.code != "bad_opus")
        except Refused as refused:
            return self.fail(refused)
        self._errors = 0 if isinstance(message, m.Audio) else self._errors
        return effects

    def receive_mistake(self, code: str, message: str, now: float) -> list[Effect]:
        """The codec could not read what the speaker sent."""
        self.patience.hear(now)
        return self._mistake(code, message, fatal=self.state is State.NEW)

    def receive_hypothesis(self, hypothesis: events.Hypothesis, now: float) -> list[Effect]:
        """An answer of the engine; ignored when it is stale."""
        if self.state not in {State.LISTENING, State.STOPPING}:
            return []
        return self._answers.receive(hypothesis) + self._settle(now)

    def written(self, durable: bool, now: float) -> list[Effect]:
        """The oldest Record is on disk; or the disk fails, and captions flow without being committed."""
        self._acked_at = now
        return self._ledger.written(durable, self._hearing.received) + self._close_when_done()

    def refuse(self, job: events.Job) -> list[Effect]:
        """The engine's queue is full: a final is asked for again, its client sent away to resume later."""
        if not self._answers.refuse(job) or self.patience.detached:
            return []
        return OVERLOADED.parting()

    def stretch_partials(self, factor: float | None, notice: m.Notice) -> list[Effect]:
        """The gateway's load changed: partials come `factor` times as far apart (None: not at all)."""
        self._partial_stretch = factor
        if self.state is not State.LISTENING or not self._opening.start.partials:
            return []
        self._hearing.stretch_partials(factor)
        return [Send(notice)]

    def notify(self, notice: m.Notice) -> list[Effect]:
        """Tell the speaker something about the gateway."""
        return [Send(notice)] if self.state in {State.LISTENING, State.STOPPING} else []

    # --- sockets come and go ---

    def detach(self, now: float) -> list[Effect]:
        """The socket is lost: wait for the client to come back."""
        if self.state is not State.LISTENING:
            return self.finish(now)
        self.patience.detach(now)
        return [fx.Presence(bed, connected=False)] if (bed := self.start.bed) else []

    def attach(self, after: int, now: float) -> list[Effect]:
        """The client is back on a new socket, and saw final number `after` last."""
        self.patience.attach(now)
        missed = [Send(final) for final in self._ledger.said_after(after)]
        back = [fx.Presence(bed, connected=True)] if (bed := self.start.bed) else []
        return [self._started(), *missed, *back, *self._acknowledge(now)]

    def deadline(self) -> float | None:
        """When `handle_timeout` wants to be called."""
        return self.patience.deadline() if self.state in {State.NEW, State.LISTENING} else None

    def handle_timeout(self, now: float) -> list[Effect]:
        if self.state in {State.STOPPING, State.CLOSED}:
            return self._ask_again()
        speaking = self.state is State.LISTENING and self._hearing.speaking
        match self.patience.verdict(now, speaking):
            case Verdict.NO_START | Verdict.IDLE as refusal:
                return self.fail(REFUSALS[refusal])
            case Verdict.FLUSH:
                return self._hear(self._hearing.flush(), now)
            case Verdict.ENDING:
                return [Send(ENDING)]
            case Verdict.EXPIRED | Verdict.OVER:
                return self.finish(now, CloseCode.RESTART)
        return self._ask_again()

    def _ask_again(self) -> list[Effect]:
        return [Submit(job) for job in self._answers.take_refused()] if self.state is not State.NEW else []

    def finish(self, now: float, close_code: CloseCode = CloseCode.DONE) -> list[Effect]:
        """No more audio will come (stop, grace over or drain): the open utterance gets its final."""
        if self.state is State.NEW:
            self.state = State.CLOSED
            return [Close(close_code, "done")]
        if self.state is not State.LISTENING:
            return []
        self._close_code = close_code
        heard, self.state = self._hear(self._hearing.flush(), now), State.STOPPING
        return [fx.Measure("audio_s", self._hearing.take_heard_s()), *heard, *self._settle(now)]

    # --- messages ---

    def _start(self, start: m.Start, now: float, past: Past | None) -> list[Effect]:
        if self.state is not State.NEW:
            return self._mistake("already_started", "This stream has started; a second `start` is ignored.")
        around = self._around
        past = past or Past(committed=0, finals=0)
        self._opening: Opening = open_stream(start, around.settings, around.model)
        detection = self._opening.detection
        self._hearing = Hearing(start.audio, detection, around.model.mel_bands, around.silero, past.committed)
        self._hearing.stretch_partials(self._partial_stretch if start.partials else None)
        captioner = Captioner(around.settings.transcript, start.script, start.language)
        self._answers = Answers(start, captioner, self._hearing, past.finals)
        self._ledger = Ledger(journalled=start.bed is not None, committed=past.committed)
        self.state = State.LISTENING
        self.patience.start(now)
        missed = [Send(final) for final in past.missed]
        return [self._started(), *missed, *([Enter(start.bed)] if start.bed else [])]

    def _configure(self, start: m.Start) -> list[Effect]:
        start = structs.replace(start, audio=self.start.audio, bed=self.start.bed)
        self._opening = open_stream(start, self._around.settings, self._around.model)
        self._hearing.configure(self._opening.detection)
        self._answers.configure(start)
        return []

    def _dispatch(self, message: m.ClientMessage, now: float, past: Past | None) -> list[Effect]:
        if not (isinstance(message, m.Audio) or self._allowance.spend(cost_s(message), now)):
            raise too_fast()
        if isinstance(message, m.Ping):
            return [Send(m.Pong(message.id))]
        if isinstance(message, m.Start):
            return self._start(message, now, past)
        if self.state is State.NEW:
            raise Refused("not_started", "Send `start` before audio or anything else.")
        if self.state is not State.LISTENING:
            return []
        match message:
            case m.Audio():
                return self._listen(message, now)
            case m.Gap(samples=samples):
                return self._skip(samples, now)
            case m.Flush(id=name):
                effects = self._hear(self._hearing.flush(), now)
                self._answers.put_behind(m.Flushed(name))
                return effects + self._settle(now)
            case m.Configure(start=start):
                return self._configure(start)
            case m.Stop():
                return self.finish(now)

    def _started(self) -> Send:
        return Send(started(self.identity.name, self.identity.token, self._hearing.received, self._around))

    # --- speech ---

    def _listen(self, message: m.Audio, now: float) -> list[Effect]:
        before = self._hearing.received
        effects = self._hear(self._hearing.receive(message.payload, now), now)
        audio_s = (self._hearing.received - before) / self.start.audio.sample_rate
        if not self._allowance.spend(cost_s(message, audio_s), now):
            return effects + self.fail(too_fast())
        if now - self._acked_at >= ACK_INTERVAL_S:
            effects += [fx.Measure("audio_s", self._hearing.take_heard_s()), *self._acknowledge(now)]
        return effects

    def _skip(self, samples: int, now: float) -> list[Effect]:
        if not 0 < samples <= MAX_GAP_S * self.start.audio.sample_rate:
            raise Refused("bad_gap", f"`samples` of a gap must be above 0, and at most {MAX_GAP_S} seconds.")
        effects = self._hear(self._hearing.flush(), now)
        start_s = self._hearing.position_s
        effects += self._hear(self._hearing.skip(samples, now), now)
        seconds = round(samples / self.start.audio.sample_rate, 3)
        self._answers.put_behind(fx.Lost(self._answers.newest, start_s, seconds))
        return effects + self._settle(now)

    def _hear(self, heard: list[events.Heard], now: float) -> list[Effect]:
        effects: list[Effect] = []
        for item in heard:
            match item:
                case events.SpeechStarted(at_samples=at):
                    effects.append(Send(m.Speech("started", self._hearing.seconds(at))))
                case events.Snapshot():
                    self._answers.ask(item)
                    effects.append(Submit(self._opening.job(self.number, item, self._answers.language)))
                case events.EagerVoided(utterance=utterance, revision=revision):
                    effects.append(fx.Withdraw(utterance, revision))
                case events.UtteranceEnded(end_samples=end):
                    self._answers.end(item)
                    effects.append(Send(m.Speech("stopped", self._hearing.seconds(end))))
        return effects + self._settle(now) if heard else effects

    # --- what is due ---

    def _settle(self, now: float) -> list[Effect]:
        """Record every final and gap whose turn has come, and say what waited for them."""
        effects: list[Effect] = []
        for settlement in self._answers.settle():
            effects += self._record(settlement)
        if effects and not self._opening.start.bed:
            effects += self._acknowledge(now)
        return effects + self._close_when_done()

    def _record(self, settlement: Settlement) -> list[Effect]:
        caption = settlement.caption
        if isinstance(caption, m.Flushed):
            return self._ledger.after_records(settlement.then[0])
        number = caption.number if isinstance(caption, m.Final) else settlement.finals
        committed = self._hearing.committable(settlement.undecided_samples)
        record = Record(self._opening.start.bed or "", caption, committed, number)
        return self._ledger.record(record, settlement.then)

    def _acknowledge(self, now: float) -> list[Effect]:
        self._acked_at = now
        committed = self._hearing.committable(self._answers.undecided_samples)
        record = Record(self._opening.start.bed or "", None, committed, self._answers.finals)
        return self._ledger.progress(record, self._hearing.received)

    def _close_when_done(self) -> list[Effect]:
        if self.state is not State.STOPPING or self._answers.waiting or self._ledger:
            return []
        self.state = State.CLOSED
        stopped = m.Stopped(self._hearing.received, self._answers.finals)
        return [Send(stopped), Close(self._close_code, "done")]

    def _mistake(self, code: str, message: str, *, fatal: bool = False) -> list[Effect]:
        self._errors += 1
        if fatal or self._errors > MAX_ERRORS:
            return self.fail(Refused(code, message))
        return [Send(m.Error(code, message, fatal=False))]

    def fail(self, refused: Refused) -> list[Effect]:
        """End this session, and only this one; what was spoken still gets its final for the viewers."""
        return [*refused.parting(), *self.finish(self.patience.heard_at)]
