"""The client's decisions, with a clock moved by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.bedside import AudioLost, Bedside, Oddity, Options, Resumed
from gateway.client.returning import GiveUp, Retry
from gateway.client.ring import Chunk
from gateway.connection import messages as m
from tests.client.scripted import STARTED
from tests.client.scripted import started as again

RATE = 16_000
SECOND = Chunk(b"x" * RATE, RATE)


def started(options: Options | None = None) -> Bedside:
    """A client whose session has just begun, at time 0."""
    bedside = Bedside(options or Options())
    bedside.connected(0.0)
    bedside.receive(STARTED, 0.0)
    return bedside


def drain(bedside: Bedside, now: float) -> list[m.ClientMessage | AudioLost]:
    """Everything it wants to send by `now`."""
    messages = []
    while not isinstance(message := bedside.take(now), float | None):
        messages.append(message)
    return messages


def test_audio_waits_for_the_gateways_answer() -> None:
    """Nothing is sent between `start` and `started`."""
    bedside = Bedside(Options(m.Start(bed="3A")))
    bedside.push(SECOND)
    assert bedside.take(0.0) is None
    assert bedside.connected(0.0) == m.Start(bed="3A")
    assert bedside.take(0.0) is None
    bedside.receive(STARTED, 0.1)
    assert bedside.take(0.1) == m.Audio(SECOND.payload)


def test_stop_follows_the_last_audio_once() -> None:
    """After finish() and all audio comes one `stop`; `stopped` then means done."""
    bedside = started()
    bedside.push(SECOND)
    bedside.finish()
    assert drain(bedside, 0.0) == [m.Audio(SECOND.payload), m.Stop()]
    assert not bedside.is_done
    bedside.receive(m.Stopped(RATE, 1), 1.0)
    assert bedside.is_done
    assert bedside.take(1.0) is None


def test_stopped_is_the_end_only_of_all_audio() -> None:
    """A gateway that drains says `stopped` before it has heard everything: the rest is for the next one."""
    bedside = started()
    bedside.receive(m.Stopped(0, 0), 0.0)
    assert not bedside.is_done
    bedside.push(SECOND)
    bedside.finish()
    assert drain(bedside, 0.0)[-1] == m.Stop()
    bedside.receive(m.Stopped(RATE - 1, 1), 1.0)
    assert not bedside.is_done
    assert isinstance(bedside.lost(1001, "going away", 1.0, 0.5), Retry)


def test_a_stream_that_was_closed_as_done_is_not_begun_again() -> None:
    """Whatever the gateway counted: it answered `stop`, and would answer the same again."""
    bedside = started()
    bedside.push(SECOND)
    bedside.finish()
    drain(bedside, 0.0)
    bedside.receive(m.Stopped(RATE - 1, 1), 1.0)
    assert bedside.lost(1000, "done", 1.0, 0.5) is None
    assert not bedside.is_done


def test_a_quiet_gateway_is_asked_once_then_dead() -> None:
    """A ping while there is time for an answer, no second one; then the link counts as dead."""
    bedside = started(Options(silent_s=5.0))
    assert bedside.take(1.0) == pytest.approx(1.0)
    assert bedside.take(2.0) == m.Ping()
    assert bedside.take(4.9) is None
    assert bedside.dead_at() == 5.0
    bedside.receive(m.Pong(), 4.9)
    assert bedside.take(4.9) == pytest.approx(2.0)
    assert bedside.dead_at() == 9.9


def quarters(*names: bytes) -> Bedside:
    """A client that has sent so many quarters of a second."""
    bedside = started()
    for name in names:
        bedside.push(Chunk(name * (RATE // 4), RATE // 4))
    assert len(drain(bedside, 0.0)) == len(names)
    return bedside


def test_a_lost_session_is_resumed_where_the_gateway_wants_it() -> None:
    """Name, token and last final; then the audio that it does not have, and what was spoken meanwhile."""
    bedside = quarters(b"1", b"2", b"3")
    bedside.receive(m.Ack(3 * RATE // 4, RATE // 4), 1.0)
    bedside.receive(m.Final(1, 1, 0.0, 0.2, "hi", "en", 0.9), 1.0)
    assert isinstance(bedside.lost(1006, "cut", 2.0, 0.5), Retry)
    bedside.push(Chunk(b"4" * (RATE // 4), RATE // 4))
    assert bedside.connected(3.0) == m.Start(resume=m.Resume("s", "t", 1))
    answer = again(RATE // 2)
    assert bedside.receive(answer, 3.0) == [answer, Resumed(at_s=0.5, behind_s=0.5, afresh=False)]
    assert drain(bedside, 3.0) == [m.Audio(b"3" * (RATE // 4)), m.Audio(b"4" * (RATE // 4))]


def test_a_forgotten_session_begins_afresh_with_what_is_not_committed() -> None:
    """4410: no resume, the offset keeps the times those of the source."""
    bedside = quarters(b"1", b"2", b"3")
    bedside.receive(m.Ack(3 * RATE // 4, RATE // 2), 1.0)
    bedside.receive(m.Error("resume_expired", "too late", fatal=True), 2.0)
    verdict = bedside.lost(4410, "resume_expired", 2.0, 0.5)
    assert isinstance(verdict, Retry)
    assert verdict.afresh
    assert "(resume_expired)" in verdict.reason
    assert bedside.connected(3.0) == m.Start()
    answer = again(0, "new")
    assert bedside.receive(answer, 3.0) == [answer, Resumed(at_s=0.5, behind_s=0.25, afresh=True)]
    assert drain(bedside, 3.0) == [m.Audio(b"3" * (RATE // 4))]
    assert bedside.receive(m.Speech("started", 0.1), 3.0) == [m.Speech("started", 0.6)]
    bedside.receive(m.Ack(RATE // 4, RATE // 4), 4.0)
    bedside.finish()
    assert drain(bedside, 4.0) == [m.Stop()]
    bedside.receive(m.Stopped(RATE // 4, 0), 4.0)
    assert bedside.is_done


def test_finals_are_shown_once_and_a_jump_is_said() -> None:
    """A repeat is dropped; a number that is missing is worth a warning before what came instead."""
    bedside = started()
    one, two, four = (m.Final(n, n, n - 1.0, n, "hi", "en", 0.9) for n in (1, 2, 4))
    assert bedside.receive(one, 1.0) == [one]
    assert bedside.receive(two, 2.0) == [two]
    assert bedside.receive(one, 3.0) == bedside.receive(two, 3.0) == []
    oddity, shown = bedside.receive(four, 4.0)
    assert isinstance(oddity, Oddity)
    assert "caption 3" in oddity.text
    assert (shown, bedside.finals) == (four, 3)


def test_audio_that_fell_out_of_the_ring_is_declared() -> None:
    """An outage longer than the ring: exactly what is missing is said first, and then nothing is skipped."""
    bedside = Bedside(Options(ring_s=2.0))
    for number in range(5):
        bedside.push(Chunk(bytes([number]) * RATE, RATE))
    bedside.connected(9.0)
    bedside.receive(STARTED, 9.0)
    assert bedside.take(9.0) == AudioLost(at_s=0.0, seconds=3.0, samples=3 * RATE)
    assert bedside.lost_samples == 3 * RATE
    assert [x.payload[0] for x in drain(bedside, 9.0) + drain(bedside, 10.0) if isinstance(x, m.Audio)] == [
        3,
        4,
    ]


@pytest.mark.parametrize("code", [1002, 1008, 1009, 4401, 4403, 4409])
def test_some_codes_end_it(code: int) -> None:
    """A refusal that would be the same next time is not retried, and its reason is the gateway's error."""
    bedside = started()
    bedside.receive(m.Error("bad_bed", "no such bed", fatal=True), 0.0)
    verdict = bedside.lost(code, "closed", 0.0, 0.5)
    assert isinstance(verdict, GiveUp)
    assert verdict.refused
    assert verdict.reason.startswith("bad_bed: no such bed")


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 4408, 4429])
def test_other_codes_are_retried(code: int) -> None:
    """A restart or a broken link is worth coming back for."""
    assert started().lost(code, "why", 0.0, 0.5) == Retry(0.125, "why")


def test_overload_is_retried_later() -> None:
    """Not within the quarter of a second of a broken link."""
    assert started().lost(1013, "overloaded", 0.0, 0.5) == Retry(0.5, "overloaded")


def test_http_refusals_are_said_with_the_gateways_words() -> None:
    """Some are final."""
    assert started().refused(503, "starting", 0.0, 0.5) == Retry(
        0.125, "the gateway answered HTTP 503 (starting)"
    )
    verdict = started().refused(404, "", 0.0, 0.5)
    assert verdict == GiveUp("the gateway answered HTTP 404", refused=True)


def test_a_link_lost_after_everything_is_final_does_not_matter() -> None:
    """All audio committed and `stop` sent: there is nothing to come back for."""
    bedside = started()
    bedside.push(SECOND)
    bedside.finish()
    drain(bedside, 0.0)
    assert isinstance(bedside.lost(1006, "cut", 1.0, 0.0), Retry)
    bedside.receive(m.Ack(RATE, RATE), 1.0)
    assert bedside.lost(1006, "cut", 1.0, 0.0) is None
    assert bedside.is_done


def test_an_unreachable_gateway_is_not_tried_for_ever() -> None:
    """`first_retry_s` before the first session; time without a gateway is no stable link."""
    bedside, now = Bedside(Options(first_retry_s=5.0)), 100.0
    while isinstance(verdict := bedside.lost(1006, "refused", now, 1.0), Retry):
        now += verdict.delay_s
    assert verdict == GiveUp("refused", refused=False)
    bedside, now = started(Options(retry_s=40.0)), 0.0
    while isinstance(verdict := bedside.lost(1006, "refused", now, 1.0), Retry):
        now += verdict.delay_s
    assert 35 < now <= 40


def test_another_process_of_the_gateway_counts_the_pace_anew() -> None:
    """It asks for audio that the one before had acknowledged: a file at 16 times real time is fast again."""

    bedside, now = started(Options(speed=16.0, ring_s=1000.0)), 0.0
    for _ in range(900):
        bedside.push(SECOND)

    def flood(seconds: int) -> int:
        nonlocal now
        begin, now = now, now + seconds
        return sum(len(drain(bedside, begin + 0.05 * n)) for n in range(20 * seconds))

    def resume(at_s: int) -> None:
        bedside.lost(1006, "cut", now, 0.0)
        bedside.connected(now)
        bedside.receive(again(at_s * RATE), now)

    sent = flood(20)
    assert sent == pytest.approx(140 + 20 * 4, abs=3)
    bedside.receive(m.Ack(sent * RATE, 190 * RATE), now)
    resume(sent)
    assert flood(10) == pytest.approx(10 * 4, abs=3)
    resume(195)
    assert flood(10) == pytest.approx(1 + 10 * 16, abs=3)


@given(st.integers(1, 2000), st.integers(10, 1000), st.floats(1, 16))
def test_the_schedule_is_absolute(chunks: int, chunk_ms: int, speed: float) -> None:
    """Chunk n is due at n x chunk, however late the ones before it were."""
    bedside = Bedside(Options(speed=speed))
    samples = RATE * chunk_ms // 1000
    for number in range(min(chunks, 50)):
        assert bedside.due_s() == pytest.approx(number * samples / RATE / speed)
        bedside.push(Chunk(b"", samples))


events = st.lists(
    st.one_of(
        st.tuples(st.just("speak"), st.integers(1, 8)),
        st.tuples(st.just("send"), st.integers(1, 20)),
        st.tuples(st.just("commit"), st.floats(0, 1)),
        st.tuples(st.just("cut"), st.floats(0, 1)),
        st.tuples(st.just("kill"), st.just(0)),
        st.tuples(st.just("forget"), st.just(0)),
    ),
    max_size=80,
)


class Heard:
    """A gateway's side: what it has heard of the source, second by second; None: declared lost."""

    def __init__(self, bedside: Bedside) -> None:
        self.bedside = bedside
        self.kept: list[int | None] = []
        """Of sessions that were forgotten."""
        self.session: list[int | None] = []
        self.committed = 0
        self.name = 0
        self.now = 0.0

    def begin(self) -> None:
        """A new session."""
        self.kept += self.session[: self.committed]
        self.session, self.committed = [], 0
        self.name += 1
        assert self.bedside.connected(self.now).resume is None
        self.bedside.receive(again(0, str(self.name)), self.now)

    def resume(self, resume_from: int) -> None:
        """The session goes on, from a position in seconds."""
        asked = self.bedside.connected(self.now).resume
        assert asked is not None
        assert asked.session == str(self.name)
        del self.session[resume_from:]
        self.bedside.receive(again(resume_from * RATE, asked.session), self.now)

    def take(self, most: int) -> None:
        """So many messages, or as many as there are."""
        for _ in range(most):
            self.now += 10.0  # the pace is tested elsewhere
            self.bedside.receive(m.Pong(), self.now)
            match self.bedside.take(self.now):
                case m.Audio(payload):
                    self.session.append(int.from_bytes(payload, "big"))
                case AudioLost(samples=samples):
                    assert samples % RATE == 0
                    self.session += [None] * (samples // RATE)
                case _:
                    return

    def commit(self, share: float) -> None:
        self.committed = max(self.committed, round(share * len(self.session)))
        self.bedside.receive(m.Ack(len(self.session) * RATE, self.committed * RATE), self.now)


@given(events, st.integers(2, 20))
def test_no_sample_is_lost_in_silence_or_heard_twice(story: list[tuple[str, float]], ring_s: int) -> None:
    """Whatever is cut, killed or forgotten when: what the gateway has heard is the source, from its first
    second to its last, without hole or repeat except for declared gaps."""
    bedside = Bedside(Options(ring_s=ring_s, retry_s=math.inf))
    gateway = Heard(bedside)
    gateway.begin()
    spoken = 0
    for action, value in [*story, ("send", 10_000)]:
        gateway.now += 1000.0
        match action:
            case "speak":
                for _ in range(int(value)):
                    bedside.push(Chunk(spoken.to_bytes(2, "big"), RATE))
                    spoken += 1
            case "send":
                gateway.take(int(value))
            case "commit":
                gateway.commit(value)
            case "cut":  # the last of what was sent has not arrived
                arrived = gateway.committed + round(value * (len(gateway.session) - gateway.committed))
                bedside.lost(1006, "cut", gateway.now, 0.5)
                gateway.resume(arrived)
            case "kill":
                bedside.lost(1006, "cut", gateway.now, 0.5)
                gateway.resume(gateway.committed)
            case "forget":
                bedside.lost(4410, "resume_unknown", gateway.now, 0.5)
                gateway.begin()
    heard = gateway.kept + gateway.session
    assert len(heard) == spoken
    assert all(second in {position, None} for position, second in enumerate(heard))
    assert heard.count(None) * RATE <= bedside.lost_samples
