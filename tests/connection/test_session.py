"""Rules of a session: what it says, in which order, and what it survives."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import ServerSettings, Settings
from gateway.connection.effects import (
    Close,
    Effect,
    Enter,
    Lost,
    Measure,
    Presence,
    Publish,
    Record,
    Send,
    Submit,
    Withdraw,
)  # fmt: skip
from gateway.connection.messages import (
    Ack,
    Audio,
    ClientMessage,
    Error,
    Final,
    Flush,
    Flushed,
    Gap,
    Notice,
    Partial,
    Ping,
    Pong,
    Speech,
    Start,
    Started,
    Stop,
    Stopped,
)
from gateway.connection.opening import Surroundings
from gateway.connection.resuming import Identity, Past
from gateway.connection.session import MAX_ERRORS, Session, State
from gateway.events import AudioFormat, Hypothesis, Job, Kind, ModelInfo
from tests.connection.speech import answer, chunks, pcm16, silence

MODEL = ModelInfo("demo", "cpu", "int8", 80, ("en", "zh"), demo=True)
CONFIG = Settings(server=ServerSettings(max_ahead_s=10_000))


def new_session(config: Settings) -> Session:
    return Session(7, Identity("name", "token"), Surroundings(config, MODEL), 0.0)


@dataclass
class Talk:
    """A session, a hand-moved clock, and everything that came out."""

    session: Session = field(default_factory=lambda: new_session(CONFIG))
    disk: str = "quick"
    """quick: every record is written at once; slow: when `write` is called; broken: told, not written."""
    records: list[Record] = field(default_factory=list)
    now: float = 0.0
    effects: list[Effect] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)

    def say(self, message: ClientMessage) -> list[Effect]:
        return self.take(self.session.receive(message, self.now))

    def start(self, **fields: object) -> "Talk":
        self.say(Start(**fields))  # type: ignore[arg-type]
        return self

    def speak(self, pcm: bytes, reply: bool = False) -> "Talk":
        for chunk in chunks(pcm):
            self.now += len(chunk) / 32_000
            self.say(Audio(chunk))
            if reply:
                self.reply()
        return self

    def reply(self, text: str = "hello there") -> None:
        while self.jobs:
            self.hear(answer(self.jobs.pop(0), text))

    def hear(self, hypothesis: Hypothesis) -> list[Effect]:
        return self.take(self.session.receive_hypothesis(hypothesis, self.now))

    def take(self, effects: list[Effect]) -> list[Effect]:
        self.effects += effects
        for effect in effects:
            if isinstance(effect, Record):
                self.records.append(effect)
                if self.disk != "slow":
                    self.write(durable=self.disk == "quick")
        self.jobs += [e.job for e in effects if isinstance(e, Submit)]
        return effects

    def write(self, durable: bool = True) -> list[Effect]:
        """The journal answers the oldest record."""
        return self.take(self.session.written(durable, self.now))

    def recorded(self) -> list[Final | Lost]:
        return [record.caption for record in self.records if record.caption]

    def sent(self, *kinds: type) -> list[object]:
        found = [e.message for e in self.effects if isinstance(e, Send)]
        return [m for m in found if isinstance(m, kinds)] if kinds else found

    def closed(self) -> Close | None:
        return next((e for e in self.effects if isinstance(e, Close)), None)


def errors(talk: Talk) -> list[str]:
    return [e.code for e in talk.sent(Error) if isinstance(e, Error)]


def test_started_tells_the_session_the_model_and_the_limits() -> None:
    """The first answer to `start` says what runs."""
    [started] = Talk().start().sent()
    assert isinstance(started, Started)
    assert (started.session, started.resume_from, started.model, started.demo) == ("name", 0, "demo", True)
    assert started.languages == ("en", "zh")


def test_a_bed_is_entered_at_the_start() -> None:
    """Without a bed nobody is told."""
    assert Enter("3A") in Talk().start(bed="3A").effects
    assert not [e for e in Talk().start().effects if isinstance(e, Enter)]


def test_speech_becomes_one_final() -> None:
    """speech started, partials, speech stopped, final, in this order; times are those of the stream."""
    talk = Talk().start(bed="3A", language="en").speak(pcm16("en_01.wav") + silence(1), reply=True)
    kinds = [type(m) for m in talk.sent(Speech, Partial, Final)]
    assert kinds[0] is Speech
    assert kinds.count(Speech) == 2
    assert kinds.count(Final) == 1
    assert Partial in kinds
    [final] = talk.sent(Final)
    assert isinstance(final, Final)
    assert (final.number, final.text, final.language) == (1, "hello there", "en")
    assert 0.1 < final.start < 0.5
    assert 1.8 < final.end < 2.4
    assert [e.partial for e in talk.effects if isinstance(e, Publish)] == talk.sent(Partial)
    assert talk.recorded() == talk.sent(Final)


def test_a_partial_has_stable_text_that_only_grows() -> None:
    """Each stable text begins with the one before."""
    talk = Talk().start().speak(pcm16("en_07.wav"), reply=True)
    partials = [m for m in talk.sent(Partial) if isinstance(m, Partial)]
    assert partials
    for earlier, later in pairwise(partials):
        assert later.stable.startswith(earlier.stable)


def test_no_partials_when_the_client_wants_none() -> None:
    """`partials: false` sends finals only, and decodes no partial, whatever the load does."""
    talk = Talk().start(partials=False)
    talk.take(talk.session.stretch_partials(1.0, Notice("recovered", "")))
    talk.speak(pcm16("en_01.wav") + silence(1), reply=True)
    assert not talk.sent(Partial)
    assert len(talk.sent(Final)) == 1


def test_jobs_carry_what_the_session_asked_for() -> None:
    """Language, prompt, hotwords, task and words go with every job."""
    talk = Talk().start(language="zh", prompt="p", hotwords=["a", "b"], words=True, task="translate")
    talk.speak(pcm16("zh_00.wav") + silence(1))
    assert {(j.session, j.language, j.prompt, j.hotwords, j.words, j.task) for j in talk.jobs} == {
        (7, "zh", "p", "a, b", True, "translate")
    }
    assert {j.kind for j in talk.jobs} >= {Kind.PARTIAL, Kind.EAGER}


def test_flushed_comes_after_the_final() -> None:
    """`flush` closes the open utterance; `flushed` waits until everything before it is final."""
    talk = Talk().start().speak(pcm16("en_01.wav"))
    talk.say(Flush("f1"))
    assert not talk.sent(Flushed)
    talk.reply()
    order = [type(m) for m in talk.sent(Final, Flushed)]
    assert order == [Final, Flushed]


def test_flush_without_speech_is_answered_at_once() -> None:
    """Nothing to wait for."""
    talk = Talk().start().speak(silence(0.5))
    talk.say(Flush(3))
    assert talk.sent(Flushed) == [Flushed(3)]


def test_stop_gives_the_last_final_and_then_closes() -> None:
    """The last words are never lost: final, ack, stopped, close 1000."""
    talk = Talk().start().speak(pcm16("en_01.wav"))
    talk.say(Stop())
    assert talk.closed() is None
    talk.reply()
    last = [type(m) for m in talk.sent(Final, Ack, Stopped)][-3:]
    assert last == [Final, Ack, Stopped]
    assert talk.effects[-1] == Close(1000, "done")
    assert talk.session.state is State.CLOSED
    assert talk.sent(Stopped) == [Stopped(received=len(pcm16("en_01.wav")) // 2, finals=1)]


def test_a_client_that_vanishes_still_gets_its_final_published() -> None:
    """finish() is a stop that nobody sent: viewers lose nothing."""
    talk = Talk().start(bed="3A").speak(pcm16("en_01.wav"))
    talk.take(talk.session.finish(talk.now))
    talk.reply()
    assert len(talk.recorded()) == 1
    assert talk.session.state is State.CLOSED


def test_committed_never_passes_audio_without_a_final() -> None:
    """While an answer is missing the client must keep that audio; afterwards it may forget it."""
    talk = Talk().start().speak(pcm16("en_01.wav") + silence(2))
    [final] = [j for j in talk.jobs if j.kind is Kind.EAGER][-1:]
    waiting = [m for m in talk.sent(Ack) if isinstance(m, Ack)][-1]
    assert waiting.received > 60_000
    assert waiting.committed < 0.5 * 16_000
    talk.hear(answer(final))
    done = [m for m in talk.sent(Ack) if isinstance(m, Ack)][-1]
    assert done.committed > 2.0 * 16_000


def test_an_eager_answer_is_discarded_when_speech_goes_on() -> None:
    """A short pause inside a sentence: the eager decode is withdrawn, the final covers everything."""
    talk = Talk().start(endpointing_ms=2000)
    talk.speak(pcm16("en_01.wav") + pcm16("en_02.wav") + silence(2.5))
    assert any(isinstance(e, Withdraw) for e in talk.effects)
    talk.reply()
    assert len(talk.sent(Final)) == 1


def test_stale_and_foreign_answers_are_ignored() -> None:
    """An utterance or revision that was not asked for changes nothing."""
    talk = Talk().start().speak(pcm16("en_01.wav"))
    count = len(talk.effects)
    talk.hear(Hypothesis(7, 99, 1, Kind.FINAL, "x"))
    talk.hear(Hypothesis(7, 1, 99, Kind.FINAL, "x"))
    assert len(talk.effects) == count


def test_a_failed_decode_is_said_not_hidden() -> None:
    """A final without text carries the reason, and counts as suppressed."""
    talk = Talk().start().speak(pcm16("en_01.wav") + silence(1))
    job = [j for j in talk.jobs if j.kind is not Kind.PARTIAL][-1]
    talk.hear(Hypothesis(7, job.utterance, job.revision, job.kind, failure="decode_failed"))
    [final] = talk.sent(Final)
    assert isinstance(final, Final)
    assert (final.text, final.suppressed) == ("", "decode_failed")
    assert Measure("suppressed", 1, "decode_failed") in talk.effects


def test_a_detected_language_is_kept_once_it_is_certain() -> None:
    """`language` null: detected with the first speech, then asked for by name."""
    talk = Talk().start().speak(pcm16("en_07.wav") + silence(1), reply=True)
    talk.speak(pcm16("en_03.wav"))
    assert talk.jobs[-1].language == "en"


def test_ping_is_answered_before_the_start_and_after() -> None:
    """A ping needs no stream."""
    talk = Talk()
    talk.say(Ping("a"))
    talk.start()
    talk.say(Ping(None))
    assert talk.sent(Pong) == [Pong("a"), Pong(None)]


@pytest.mark.parametrize("message", [Audio(b"\0\0"), Flush(1), Stop(), Gap(5)])
def test_nothing_comes_before_start(message: ClientMessage) -> None:
    """A named, fatal error and close 1008."""
    talk = Talk()
    talk.say(message)
    assert errors(talk) == ["not_started"]
    assert talk.closed() == Close(1008, "not_started")


def test_a_second_start_is_refused_and_the_stream_goes_on() -> None:
    """`already_started` is not fatal: nothing is lost."""
    talk = Talk().start().start()
    assert errors(talk) == ["already_started"]
    talk.speak(pcm16("en_01.wav") + silence(1), reply=True)
    assert len(talk.sent(Final)) == 1


@pytest.mark.parametrize(
    ("audio", "payload", "code"),
    [
        (AudioFormat(encoding="mp3"), None, "bad_audio_format"),
        (AudioFormat(sample_rate=7999), None, "bad_audio_format"),
        (AudioFormat(sample_rate=96_000), None, "bad_audio_format"),
        (AudioFormat(channels=3), None, "bad_audio_format"),
        (AudioFormat(), b"\0\0\0", "odd_bytes"),
        (AudioFormat(channels=2), b"\0\0", "odd_bytes"),
        (AudioFormat(encoding="pcm_f32le"), b"\x00\x00\xc0\x7f", "not_finite"),
    ],
)
def test_bad_audio_ends_the_session_by_name(audio: AudioFormat, payload: bytes | None, code: str) -> None:
    """Audio that cannot be what it claims would give wrong captions: close 1008."""
    talk = Talk().start(audio=audio)
    if payload is not None:
        talk.say(Audio(payload))
    assert errors(talk) == [code]
    assert talk.closed() == Close(1008, code)


def test_speech_before_bad_audio_still_gets_its_final() -> None:
    """The error ends the session, not what was already said."""
    talk = Talk().start(bed="3A").speak(pcm16("en_01.wav"))
    talk.say(Audio(b"\0"))
    talk.reply()
    assert len(talk.recorded()) == 1


def test_mistakes_are_forgiven_up_to_a_number() -> None:
    """Unreadable messages are named one by one; a client that only makes mistakes is closed."""
    talk = Talk().start()
    for _ in range(MAX_ERRORS):
        talk.take(talk.session.receive_mistake("bad_json", "not JSON", talk.now))
    assert talk.closed() is None
    talk.take(talk.session.receive_mistake("bad_json", "not JSON", talk.now))
    assert talk.closed() == Close(1008, "bad_json")


def test_audio_between_mistakes_resets_the_count() -> None:
    """Only mistakes in a row count."""
    talk = Talk().start()
    for _ in range(3 * MAX_ERRORS):
        talk.take(talk.session.receive_mistake("bad_json", "not JSON", talk.now))
        talk.say(Audio(silence(0.1)))
    assert talk.closed() is None


def test_a_client_that_never_starts_is_closed() -> None:
    """After start_timeout_s: 4408."""
    talk = Talk()
    deadline = talk.session.deadline()
    assert deadline == CONFIG.server.start_timeout_s
    assert talk.session.handle_timeout(deadline - 0.1) == []
    talk.take(talk.session.handle_timeout(deadline))
    assert talk.closed() == Close(4408, "no_start")
    assert talk.session.deadline() is None


def test_silence_as_audio_is_not_idle_but_nothing_at_all_is() -> None:
    """An hour of silent audio is a stream; a minute without a message is not."""
    talk = Talk().start()
    for _ in range(60):
        talk.now += 60
        talk.say(Audio(silence(0.1)))
        assert talk.session.handle_timeout(talk.now + CONFIG.server.idle_timeout_s - 0.1) == []
    talk.take(talk.session.handle_timeout(talk.now + CONFIG.server.idle_timeout_s))
    assert talk.closed() == Close(4408, "idle")
    assert not talk.sent(Final, Partial)


def test_audio_faster_than_allowed_is_stopped() -> None:
    """A burst of max_ahead_s, then max_audio_rate: beyond it 4429; what was said is still answered."""
    strict = Settings(server=ServerSettings(max_ahead_s=2.1, max_audio_rate=2))
    talk = Talk(new_session(strict)).start()
    talk.say(Audio(silence(1)))
    for _ in range(10):
        talk.now += 1
        talk.say(Audio(silence(1.99)))
        assert talk.closed() is None
    talk.say(Audio(silence(1)))
    assert talk.closed() == Close(4429, "too_fast")


def test_a_flood_of_other_messages_is_stopped_too() -> None:
    """Each costs a little, a gap a second: neither pings nor gaps nor empty audio go on for ever."""
    for message, most in ((Ping(1), 1500), (Audio(b""), 1500), (Gap(1), 4)):
        talk = Talk(new_session(Settings(server=ServerSettings(max_ahead_s=3)))).start()
        sent = 0
        while talk.closed() is None:
            talk.say(message)
            sent += 1
        assert talk.closed() == Close(4429, "too_fast")
        assert most - 5 <= sent <= most + 1


def test_a_ping_does_not_replace_a_start() -> None:
    """A socket that only pings is closed like one that says nothing."""
    talk = Talk()
    for talk.now in (3, 6, 9):
        talk.say(Ping())
    talk.take(talk.session.handle_timeout(CONFIG.server.start_timeout_s))
    assert talk.closed() == Close(4408, "no_start")


def test_a_session_of_full_length_ends_at_a_pause() -> None:
    """A notice a minute before; then the sentence is finished, has its final, and 1012 asks for a new session."""
    talk = Talk(new_session(Settings(server=ServerSettings(max_session_h=1, max_ahead_s=10_000)))).start()
    talk.now = 3599
    talk.say(Audio(pcm16("en_01.wav")))
    talk.take(talk.session.handle_timeout(talk.now))
    assert [n.code for n in talk.sent(Notice)] == ["session_ending"]
    talk.take(talk.session.handle_timeout(3600))
    assert talk.session.state is State.LISTENING
    talk.say(Audio(silence(1)))
    talk.take(talk.session.handle_timeout(3601))
    talk.reply()
    assert [type(m) for m in talk.sent(Final, Stopped)] == [Final, Stopped]
    assert talk.closed() == Close(1012, "done")
    assert talk.sent(Stopped)[0].received == talk.sent(Ack)[-1].received


def test_a_full_engine_never_drops_a_final() -> None:
    """A refused partial is nothing; a refused final closes the socket 1013 and is asked for again until there
    is room: when the client resumes, its final is there, and no audio was lost."""
    talk = Talk().start(bed="3A").speak(pcm16("en_01.wav") + silence(1))
    partial = next(j for j in talk.jobs if j.kind is Kind.PARTIAL)
    final = next(j for j in talk.jobs if j.kind is Kind.EAGER)
    assert talk.session.refuse(partial) == []
    talk.take(talk.session.refuse(final))
    assert talk.closed() == Close(1013, "overloaded")
    talk.take(talk.session.detach(talk.now))
    assert talk.session.handle_timeout(talk.now) == [Submit(final)]
    assert talk.session.refuse(final) == []
    [again] = talk.session.handle_timeout(talk.now)
    assert again == Submit(final)
    talk.hear(answer(final))
    assert len(talk.recorded()) == 1
    received = len(pcm16("en_01.wav")) // 2 + 16_000
    started = talk.session.attach(0, talk.now)[0]
    assert isinstance(started, Send)
    assert isinstance(started.message, Started)
    assert started.message.resume_from == received


def test_a_refused_final_does_not_keep_an_ended_session_for_ever() -> None:
    """Stopped while the engine is full: closed as soon as there was room."""
    talk = Talk().start(bed="3A").speak(pcm16("en_01.wav"))
    talk.say(Stop())
    final = talk.jobs[-1]
    talk.take(talk.session.refuse(final))
    assert talk.session.state is State.STOPPING
    assert talk.session.handle_timeout(talk.now) == [Submit(final)]
    talk.hear(answer(final))
    assert talk.session.state is State.CLOSED


def test_a_gap_moves_the_positions() -> None:
    """Lost samples count as received; an open utterance ends before them."""
    talk = Talk().start().speak(pcm16("en_01.wav")[: 2 * 16_000])
    talk.say(Gap(16_000))
    talk.reply()
    talk.say(Gap(0))
    assert errors(talk) == ["bad_gap"]


def test_load_is_announced_and_slows_partials() -> None:
    """stretch_partials(None): no partial is decoded any more, finals go on."""
    talk = Talk().start()
    talk.take(talk.session.stretch_partials(None, Notice("degraded_finals_only", "d")))
    talk.speak(pcm16("en_01.wav") + silence(1), reply=True)
    assert talk.sent(Notice) == [Notice("degraded_finals_only", "d")]
    assert not [j for j in talk.jobs if j.kind is Kind.PARTIAL]
    assert len(talk.sent(Final)) == 1


def test_a_drained_session_closes_with_going_away() -> None:
    """On SIGTERM: the final, then 1001."""
    talk = Talk().start().speak(pcm16("en_01.wav"))
    talk.take(talk.session.finish(talk.now, 1001))
    talk.reply()
    assert talk.effects[-1] == Close(1001, "done")


def test_a_final_waits_for_the_disk() -> None:
    """Nothing is said, flushed or committed before the journal has it; then all in order."""
    talk = Talk(disk="slow").start(bed="3A").speak(pcm16("en_01.wav"))
    talk.say(Flush("f"))
    talk.say(Stop())
    talk.reply()
    assert not talk.sent(Final, Flushed, Stopped)
    while talk.session.state is not State.CLOSED:
        talk.write()
    assert [type(m) for m in talk.sent(Final, Flushed, Stopped)] == [Final, Flushed, Stopped]


def test_a_record_never_covers_audio_of_a_later_final() -> None:
    """Two finals settle at once: a crash between their records must lose neither."""
    talk = Talk(disk="slow").start(bed="3A")
    talk.speak(pcm16("en_01.wav") + silence(1) + pcm16("en_02.wav") + silence(1))
    talk.jobs = [job for job in talk.jobs if job.kind is not Kind.PARTIAL]
    second, first = talk.jobs.pop(), talk.jobs.pop()
    talk.hear(answer(second))
    assert not talk.recorded()
    talk.hear(answer(first))
    finals = [r for r in talk.records if isinstance(r.caption, Final)]
    assert [r.finals for r in finals] == [1, 2]
    boundary = (len(pcm16("en_01.wav")) // 2) + 16_000 + int(0.2 * 16_000)
    assert finals[0].committed <= boundary < finals[1].committed


def test_a_failing_disk_keeps_captions_live_and_audio_uncommitted() -> None:
    """Told to speaker and viewers, but the client is asked to keep its audio."""
    talk = Talk(disk="broken").start(bed="3A").speak(pcm16("en_01.wav") + silence(1), reply=True)
    assert len(talk.sent(Final)) == 1
    assert {a.committed for a in talk.sent(Ack) if isinstance(a, Ack)} == {0}


def test_a_lost_socket_is_waited_for() -> None:
    """detach: the bed says so; attach: started with the same token, from where the audio stopped."""
    talk = Talk().start(bed="3A").speak(pcm16("en_01.wav") + silence(1), reply=True)
    talk.take(talk.session.detach(talk.now))
    assert talk.effects[-1] == Presence("3A", connected=False)
    assert talk.closed() is None
    count = len(talk.sent())
    talk.take(talk.session.attach(0, talk.now + 5))
    [started, resent, *rest] = talk.sent()[count:]
    assert isinstance(started, Started)
    assert (started.token, started.resume_from) == ("token", len(pcm16("en_01.wav")) // 2 + 16_000)
    assert resent == talk.sent(Final)[0]
    assert Presence("3A", connected=True) in talk.effects
    assert all(isinstance(m, Ack) for m in rest)


def test_what_was_seen_is_not_sent_again() -> None:
    """`after` names the last final that the client has."""
    talk = Talk().start().speak(pcm16("en_01.wav") + silence(1), reply=True)
    talk.take(talk.session.detach(talk.now))
    talk.take(talk.session.attach(1, talk.now + 5))
    assert len(talk.sent(Final)) == 1


def test_words_do_not_wait_for_a_lost_device() -> None:
    """After three seconds the open utterance is closed; after the grace time the session is."""
    talk = Talk().start(bed="3A").speak(pcm16("en_01.wav"))
    talk.take(talk.session.detach(talk.now))
    talk.take(talk.session.handle_timeout(talk.now + 3))
    talk.reply()
    assert len(talk.recorded()) == 1
    assert talk.session.state is State.LISTENING
    talk.take(talk.session.handle_timeout(talk.now + CONFIG.server.resume_grace_s))
    assert talk.session.state is State.CLOSED


def test_a_session_goes_on_in_another_process() -> None:
    """Positions, times and final numbers continue; missed finals come first."""
    missed = Final(3, 9, 5.0, 6.0, "missed", "en", 0.9)
    talk = Talk()
    talk.take(talk.session.receive(Start(bed="3A"), 0.0, Past(160_000, 3, (missed,))))
    started = talk.sent()[0]
    assert isinstance(started, Started)
    assert started.resume_from == 160_000
    assert talk.sent()[1] == missed
    talk.speak(pcm16("en_01.wav") + silence(1), reply=True)
    new = talk.sent(Final)[-1]
    assert isinstance(new, Final)
    assert (new.number, new.start > 10) == (4, True)
    assert talk.records[-1].committed > 160_000


def test_a_gap_is_recorded_between_the_finals_around_it() -> None:
    """Lost audio is a caption of its own, in its place."""
    talk = Talk().start(bed="3A").speak(pcm16("en_01.wav"))
    talk.say(Gap(32_000))
    talk.speak(pcm16("en_02.wav") + silence(1))
    assert not talk.recorded()
    talk.reply()
    kinds = [type(caption) for caption in talk.recorded()]
    assert kinds == [Final, Lost, Final]
    [lost] = [c for c in talk.recorded() if isinstance(c, Lost)]
    assert (lost.start, lost.seconds) == (round(len(pcm16("en_01.wav")) / 32_000, 3), 2.0)


def test_its_repr_shows_the_situation() -> None:
    """One line for a failing test."""
    talk = Talk()
    assert repr(talk.session) == "<Session 7 NEW>"
    talk.start().speak(pcm16("en_01.wav"))
    assert repr(talk.session) == "<Session 7 LISTENING finals=0 <Utterances 1…>>"


MESSAGES = st.one_of(
    st.sampled_from([Start(), Start(bed="b"), Flush(1), Stop(), Ping(), Gap(160), Audio(b""), Audio(b"\0")]),
    st.integers(0, 30).map(lambda n: Audio(pcm16("en_01.wav")[n * 3200 : (n + 5) * 3200])),
)
STEPS = st.lists(
    st.one_of(MESSAGES, st.sampled_from(["answer", "answer newest", "hang up", "mistake"])), max_size=25
)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_any_order_of_anything_keeps_the_promises(steps: list[ClientMessage | str]) -> None:
    """Finals are numbered without gap, acks only grow, nothing is sent after close, every job is answerable."""
    talk = Talk()
    for step in [Start(), *steps, "hang up", *["answer"] * 60]:
        talk.now += 0.1
        if step in ("answer", "answer newest"):
            if talk.jobs:
                talk.hear(answer(talk.jobs.pop(0 if step == "answer" else -1)))
        elif step == "hang up":
            talk.take(talk.session.finish(talk.now))
        elif step == "mistake":
            talk.take(talk.session.receive_mistake("bad_json", "", talk.now))
        elif not isinstance(step, str):
            talk.say(step)
    talk.reply()
    finals = [m for m in talk.sent(Final) if isinstance(m, Final)]
    assert [f.number for f in finals] == list(range(1, len(finals) + 1))
    assert [f.utterance for f in finals] == sorted({f.utterance for f in finals})
    acks = [m for m in talk.sent(Ack) if isinstance(m, Ack)]
    assert [a.committed for a in acks] == sorted(a.committed for a in acks)
    assert all(a.committed <= a.received for a in acks)
    assert talk.session.state is State.CLOSED
    assert len(talk.sent(Stopped)) == 1
