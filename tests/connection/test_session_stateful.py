"""A session under everything at once: any order of messages, answers, writes, cuts and times.

The model beside it is a client that may lose what was on its way when a socket breaks, a journal that writes in
order, late, or not at all, and an engine that answers in any order.
"""

import itertools
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.config import DetectionSettings, ServerSettings, Settings
from gateway.connection.effects import Close, Effect, Record, Send, Submit
from gateway.connection.messages import (
    Ack,
    Audio,
    Final,
    Flush,
    Flushed,
    Gap,
    Notice,
    Ping,
    Speech,
    Start,
    Stop,
    Stopped,
)
from gateway.connection.opening import Surroundings
from gateway.connection.resuming import Identity
from gateway.connection.session import Session, State
from gateway.events import Hypothesis, Job, Kind, ModelInfo
from tests.connection.speech import answer, pcm16, silence

pytestmark = pytest.mark.slow
MODEL = ModelInfo("demo", "cpu", "int8", 80, ("en", "zh"), demo=True)
CONFIG = Settings(
    server=ServerSettings(max_ahead_s=100_000, resume_grace_s=20, max_session_h=0.1),
    detection=DetectionSettings(silero=False),
)
WORDS = pcm16("en_01.wav")
MILLISECOND = 16
"""Samples: times in messages are rounded to it."""
SOUNDS = {
    "a sentence and a pause": WORDS + silence(1),
    "two of them": 2 * (WORDS + silence(1)),
    "a word, cut off": WORDS[: 2 * 14_000],
    "silence": silence(0.7),
    "nothing": b"",
}


class Conversation(RuleBasedStateMachine):
    """`seen` is what the client has; `on_way` what was sent to its socket and may yet be lost with it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.session = Session(7, Identity("name", "token"), Surroundings(CONFIG, MODEL), self.now)
        self.bed: str | None = None
        self.connected = True
        self.jobs: list[Job] = []
        self.unwritten: list[Record] = []
        self.durable = 0
        self.durable_finals = 0
        self.starts: list[float] = []
        self.ended = self.given = 0
        self.seen: list[Final] = []
        self.on_way: list[Final] = []
        self.flushes: list[int] = []
        self.ended_before: dict[int, int] = {}
        self.flushed: list[int] = []
        self.committed = 0
        self.closed_at = 0
        self.ids = itertools.count(1)

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Submit(job):
                    self.jobs.append(job)
                case Record():
                    assert effect.bed == self.bed, "only a bed's session is journalled"
                    self.unwritten.append(effect)
                case Send(message):
                    self.hear(message)
                case Close():
                    self.closed_at += 1
        if self.session.state is State.CLOSED:
            assert not self.unwritten, "closed before the journal had everything"

    def hear(self, message: Any) -> None:
        match message:
            case Ack(received, committed):
                assert self.committed <= committed <= received
                assert self.bed is None or committed <= self.durable, "committed what is not on disk"
                final = self.durable_finals if self.bed else self.given
                first_open = [16_000 * at + MILLISECOND for at in self.starts[final : final + 1]]
                assert all(committed <= at for at in first_open), "committed speech without a final"
                self.committed = committed
            case Speech("started", at):
                self.starts.append(at)
            case Speech("stopped"):
                self.ended += 1
            case Final(number) if number <= self.given or not self.connected:
                self.given = max(self.given, number)
                if self.connected:
                    self.resend(message)
            case Final():
                self.given += 1
                assert message.number == self.given, "a hole in the numbers"
                self.resend(message)
            case Flushed(name):
                assert self.given >= self.ended_before.get(int(name), self.ended), "flushed before its finals"
                if self.connected:
                    self.flushed.append(int(name))
            case Stopped(finals=finals) if self.connected:
                assert finals == len(self.seen) + len(self.on_way)

    def resend(self, final: Final) -> None:
        assert final.number == len(self.seen) + len(self.on_way) + 1, "sent twice, or out of order"
        self.on_way.append(final)

    def write_oldest(self, durable: bool) -> None:
        record = self.unwritten.pop(0)
        if durable:
            self.durable = max(self.durable, record.committed)
            self.durable_finals = max(self.durable_finals, record.finals)
        self.take(self.session.written(durable, self.now))

    def say(self, message: Any) -> None:
        if self.connected:
            self.take(self.session.receive(message, self.now))

    # --- the client ---

    @initialize(bed=st.sampled_from(["3A", None]), early=st.booleans(), partials=st.booleans())
    def start(self, bed: str | None, early: bool, partials: bool) -> None:
        self.bed = bed
        if early:
            self.say(Ping(1))
        self.say(Start(bed=bed, partials=partials, language="en"))

    @rule(sound=st.sampled_from(list(SOUNDS)))
    def speak(self, sound: str) -> None:
        pcm = SOUNDS[sound]
        for i in range(0, max(1, len(pcm)), 16_000):
            self.say(Audio(pcm[i : i + 16_000]))
            self.now += 0.01

    @rule(sentences=st.integers(1, 3))
    def speak_and_be_answered(self, sentences: int) -> None:
        """An ordinary minute, so that there is something to lose."""
        for _ in range(sentences):
            self.speak("a sentence and a pause")
            while self.jobs:
                self.take(self.session.receive_hypothesis(answer(self.jobs.pop(0)), self.now))
            while self.unwritten:
                self.write_oldest(durable=True)

    @rule()
    def flush(self) -> None:
        number = next(self.ids)
        if self.connected and self.session.state is State.LISTENING:
            self.flushes.append(number)
        self.say(Flush(number))
        self.ended_before[number] = self.ended

    @rule(samples=st.sampled_from([1, 4_000, 100_000]))
    def lose_audio(self, samples: int) -> None:
        self.say(Gap(samples))

    @rule(message=st.sampled_from([Ping(), Start(), Gap(0), Audio(b"\0"), None]))
    def say_something_wrong(self, message: Any) -> None:
        """What ends a session may end it only after a while, or nothing else is tried."""
        if message is None and self.connected:
            self.take(self.session.receive_mistake("bad_json", "no", self.now))
        elif self.session.state is not State.LISTENING or isinstance(message, Ping | Start):
            self.say(message)

    @rule(how=st.sampled_from(["stop", "drain", "odd"]))
    @precondition(lambda self: len(self.seen) > 2)
    def end(self, how: str) -> None:
        if how == "drain":
            self.take(self.session.finish(self.now, 1001))
        else:
            self.say(Stop() if how == "stop" else Audio(b"\0"))

    # --- the engine ---

    @rule(data=st.data(), failure=st.sampled_from([None, None, None, "decode_failed"]))
    @precondition(lambda self: self.jobs)
    def decode(self, data: st.DataObject, failure: str | None) -> None:
        """Some of what waits, in any order."""
        for _ in range(data.draw(st.integers(1, len(self.jobs)))):
            job = self.jobs.pop(data.draw(st.integers(0, len(self.jobs) - 1)))
            hypothesis = answer(job, f"words of {job.utterance}")
            if failure:
                hypothesis = Hypothesis(job.session, job.utterance, job.revision, job.kind, failure=failure)
            for _ in range(2):  # the second one is stale
                self.take(self.session.receive_hypothesis(hypothesis, self.now))

    @rule(factor=st.sampled_from([1.0, 4.0, None]))
    def press(self, factor: float | None) -> None:
        """Overload: partials come later, and those that are in the queue may be refused."""
        self.take(self.session.stretch_partials(factor, Notice("degraded_slower", "")))
        for job in [job for job in self.jobs if job.kind is Kind.PARTIAL]:
            self.jobs.remove(job)
            assert self.session.refuse(job) == []

    # --- the journal ---

    @rule(durable=st.booleans(), data=st.data())
    @precondition(lambda self: self.unwritten)
    def write(self, durable: bool, data: st.DataObject) -> None:
        for _ in range(data.draw(st.integers(1, len(self.unwritten)))):
            self.write_oldest(durable)

    # --- the socket ---

    @rule(data=st.data())
    @precondition(lambda self: self.connected and self.session.state is State.LISTENING)
    def lose_the_socket(self, data: st.DataObject) -> None:
        self.connected = False
        arrived = data.draw(st.integers(0, len(self.on_way)))
        self.seen += self.on_way[:arrived]
        self.on_way.clear()
        self.take(self.session.detach(self.now))

    @rule()
    @precondition(lambda self: not self.connected and self.session.state is State.LISTENING)
    def come_back(self) -> None:
        self.connected = True
        self.take(self.session.attach(len(self.seen), self.now))

    @rule()
    @precondition(lambda self: self.connected and self.session.state is State.LISTENING)
    def take_over(self) -> None:
        """A new socket while the old one still seems to be there."""
        self.on_way.clear()
        self.take(self.session.attach(len(self.seen), self.now))

    @rule()
    @precondition(lambda self: self.connected)
    def receive_everything(self) -> None:
        self.seen += self.on_way
        self.on_way.clear()

    # --- time ---

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.5, 3.5, 25.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.session.handle_timeout(self.now))

    # --- always ---

    @invariant()
    def nothing_comes_after_the_end(self) -> None:
        if self.session.state is not State.CLOSED:
            return
        assert self.session.receive_hypothesis(Hypothesis(7, 1, 1, Kind.FINAL), self.now) == []
        assert self.session.handle_timeout(self.now + 1e6) == []
        assert self.session.written(True, self.now) == []
        assert self.session.notify(Notice("a", "b")) == []
        assert [
            e for e in self.session.receive(Audio(b""), self.now) if not isinstance(e, Send | Close)
        ] == []

    @invariant()
    def flushed_comes_in_order(self) -> None:
        assert self.flushed == [number for number in self.flushes if number in self.flushed]

    @invariant()
    def a_deadline_is_there_while_somebody_is_awaited(self) -> None:
        assert (self.session.deadline() is None) is (self.session.state in {State.STOPPING, State.CLOSED})

    def teardown(self) -> None:
        """Whatever was in the air comes down: the session closes, every utterance has its final."""
        self.take(self.session.finish(self.now))
        while self.jobs or self.unwritten:
            while self.jobs:
                self.take(self.session.receive_hypothesis(answer(self.jobs.pop()), self.now))
            if self.unwritten:
                self.write_oldest(durable=True)
        assert self.session.state is State.CLOSED
        assert self.closed_at >= 1


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
