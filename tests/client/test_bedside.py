"""The client's decisions, with a clock moved by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client import bedside as b
from gateway.client.bedside import Bedside, GiveUp, Options, Retry, backoff_s, earliest_s, is_final_status
from gateway.client.ring import Chunk
from gateway.connection import messages as m
from tests.client.scripted import STARTED

RATE = 16_000
SECOND = Chunk(b"x", RATE)


def started(options: Options | None = None) -> Bedside:
    """A client whose session has just begun, at time 0."""
    bedside = Bedside(options or Options())
    bedside.connected(0.0)
    bedside.receive(STARTED, 0.0)
    return bedside


def drain(bedside: Bedside, now: float) -> list[m.ClientMessage]:
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
    assert bedside.take(0.1) == m.Audio(b"x")


def test_stop_follows_the_last_audio_once() -> None:
    """After finish() and all audio comes one `stop`; `stopped` then means done."""
    bedside = started()
    bedside.push(SECOND)
    bedside.finish()
    assert drain(bedside, 0.0) == [m.Audio(b"x"), m.Stop()]
    assert not bedside.is_done
    bedside.receive(m.Stopped(RATE, 1), 1.0)
    assert bedside.is_done
    assert bedside.take(1.0) is None


def test_stopped_without_a_stop_is_not_the_end() -> None:
    """A gateway that drains may say `stopped`; there is still audio to stream."""
    bedside = started()
    bedside.receive(m.Stopped(0, 0), 0.0)
    assert not bedside.is_done


def test_a_quiet_gateway_is_asked_once_whether_it_is_there() -> None:
    """After QUIET_PING_S without a word comes a ping, and no second one before something is heard."""
    bedside = started()
    assert bedside.take(1.0) == pytest.approx(b.QUIET_PING_S - 1.0)
    assert bedside.take(b.QUIET_PING_S) == m.Ping()
    assert bedside.take(100.0) is None
    bedside.receive(m.Pong(), 100.0)
    assert bedside.take(100.0) == b.QUIET_PING_S


def test_a_new_session_replays_what_was_not_committed() -> None:
    """Audio before `committed` is not sent again; everything after it is, then the stream goes on."""
    bedside = started()
    for name in (b"1", b"2", b"3"):
        bedside.push(Chunk(name, RATE // 4))
    assert len(drain(bedside, 0.0)) == 3
    bedside.receive(m.Ack(3 * RATE // 4, RATE // 4), 1.0)
    assert isinstance(bedside.lost(1006, "cut", 2.0, 0.5), Retry)
    bedside.push(Chunk(b"4", RATE // 4))
    bedside.connected(3.0)
    bedside.receive(STARTED, 3.0)
    assert drain(bedside, 3.0) == [m.Audio(b"2"), m.Audio(b"3"), m.Audio(b"4")]


def test_audio_that_fell_out_of_the_ring_is_declared() -> None:
    """An outage longer than the ring ends with a `gap` of exactly what is missing."""
    bedside = Bedside(Options(ring_s=2.0))
    for number in range(5):
        bedside.push(Chunk(bytes([number]), RATE))
    bedside.connected(9.0)
    bedside.receive(STARTED, 9.0)
    assert bedside.take(9.0) == m.Gap(3 * RATE)
    assert bedside.lost_samples == 3 * RATE
    assert drain(bedside, 99.0)[:2] == [m.Audio(b"\x03"), m.Audio(b"\x04")]


def test_times_count_from_the_start_of_the_source() -> None:
    """A session that began 2 s into the source has its times shifted by 2 s, words too."""
    bedside = started()
    for _ in range(3):
        bedside.push(SECOND)
    drain(bedside, 99.0)
    bedside.receive(m.Ack(3 * RATE, 2 * RATE), 99.0)
    bedside.lost(1012, "restart", 100.0, 0.0)
    bedside.connected(100.0)
    bedside.receive(STARTED, 100.0)
    word = m.TimedWord("hi", 0.5, 0.75, 0.9)
    final = m.Final(1, 1, 0.5, 1.0, "hi", "en", 0.9, words=(word,))
    shifted = bedside.receive(final, 101.0)
    assert shifted == m.Final(1, 1, 2.5, 3.0, "hi", "en", 0.9, words=(m.TimedWord("hi", 2.5, 2.75, 0.9),))
    assert bedside.receive(m.Speech("started", 0.5), 101.0) == m.Speech("started", 2.5)
    assert bedside.receive(m.Partial(1, 1, 0.5, 1.0, "a", "b"), 101.0) == m.Partial(1, 1, 2.5, 3.0, "a", "b")
    plain = m.Final(1, 1, 0.5, 1.0, "hi", "en", 0.9)
    assert bedside.receive(plain, 101.0) == m.Final(1, 1, 2.5, 3.0, "hi", "en", 0.9)
    assert bedside.finals == 2


@pytest.mark.parametrize("code", [1002, 1008, 1009, 4401, 4403, 4409])
def test_some_codes_end_it(code: int) -> None:
    """A refusal that would be the same next time is not retried, and its reason is the gateway's error."""
    bedside = started()
    bedside.receive(m.Error("bad_bed", "no such bed", fatal=True), 0.0)
    assert bedside.lost(code, "closed", 0.0, 0.5) == GiveUp("bad_bed: no such bed", refused=True)


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 1013, 4408, 4410, 4429])
def test_other_codes_are_retried(code: int) -> None:
    """A restart, an overload or a broken link is worth coming back for."""
    assert started().lost(code, "why", 0.0, 0.5) == Retry(0.125, "why")


def test_http_refusals_are_final_unless_they_pass() -> None:
    """Wrong token or path: final. Overload, timeout, bad proxy: retried."""
    assert [s for s in (301, 401, 403, 404, 408, 429, 500, 502, 503, 504) if is_final_status(s)] == [
        301, 401, 403, 404,
    ]  # fmt: skip
    assert isinstance(started().refused(503, 0.0, 0.5), Retry)
    assert started().refused(401, 0.0, 0.5) == GiveUp("the gateway answered HTTP 401", refused=True)


def test_a_link_lost_after_everything_is_final_does_not_matter() -> None:
    """All audio committed and `stop` sent: there is nothing to come back for."""
    bedside = started()
    bedside.push(SECOND)
    bedside.finish()
    drain(bedside, 0.0)
    assert isinstance(bedside.lost(1006, "cut", 1.0, 0.0), Retry)
    bedside.receive(m.Ack(RATE, RATE), 1.0)
    assert bedside.lost(1006, "cut", 1.0, 0.0) is None


def test_backoff_grows_to_its_maximum_and_is_jittered() -> None:
    """Full jitter: anything from 0 to 0.25, 0.5, 1, 2, 5, 5, ... seconds."""
    assert [backoff_s(n, 1.0) for n in range(7)] == [0.25, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0]
    assert backoff_s(3, 0.0) == 0.0


def test_a_stable_link_resets_the_backoff() -> None:
    """After STABLE_S the next loss is the first again."""
    bedside = Bedside(Options(retry_s=math.inf))
    delays = []
    for start, end in [(0.0, 1.0), (2.0, 3.0), (4.0, 4.0 + b.STABLE_S), (50.0, 51.0)]:
        bedside.connected(start)
        bedside.receive(STARTED, start)
        verdict = bedside.lost(1006, "cut", end, 1.0)
        assert isinstance(verdict, Retry)
        delays.append(verdict.delay_s)
    assert delays == [0.25, 0.5, 0.25, 0.5]


def test_it_gives_up_when_no_gateway_was_there_in_time() -> None:
    """Before the first session `first_retry_s` counts, from the first failure."""
    bedside = Bedside(Options(first_retry_s=5.0, retry_s=60.0))
    now = 100.0
    while isinstance(verdict := bedside.lost(1006, "refused", now, 1.0), Retry):
        now += verdict.delay_s
    assert verdict == GiveUp("refused", refused=False)
    assert 103.0 < now <= 105.0


def test_progress_ends_an_outage() -> None:
    """The time to give up counts from the last commit, not from the first loss of the day."""
    bedside = started(Options(retry_s=10.0))
    bedside.push(SECOND)
    drain(bedside, 0.0)
    assert isinstance(bedside.lost(1006, "cut", 0.0, 0.0), Retry)
    bedside.connected(9.0)
    bedside.receive(STARTED, 9.0)
    drain(bedside, 9.0)
    bedside.receive(m.Ack(RATE, RATE), 9.5)
    assert isinstance(bedside.lost(1006, "cut", 25.0, 0.0), Retry)
    assert isinstance(bedside.lost(1006, "cut", 36.0, 0.0), GiveUp)


@given(st.floats(0, 1e5), st.floats(1, 16))
def test_live_audio_never_waits(sent_s: float, speed: float) -> None:
    """At real time (or at `speed`) the limit on the backlog is never met; the gateway's limit never either."""
    at_s = earliest_s(sent_s, speed)
    assert 0 <= at_s <= sent_s
    assert sent_s - at_s <= b.MAX_AHEAD_S + 1e-6
    if sent_s < b.MAX_AHEAD_S:
        assert at_s <= sent_s / speed + 1e-6


@given(st.integers(1, 2000), st.integers(10, 1000), st.floats(1, 16))
def test_the_schedule_is_absolute(chunks: int, chunk_ms: int, speed: float) -> None:
    """Chunk n is due at n x chunk, however late the ones before it were."""
    bedside = Bedside(Options(speed=speed))
    samples = RATE * chunk_ms // 1000
    for number in range(min(chunks, 50)):
        assert bedside.due_s() == pytest.approx(number * samples / RATE / speed)
        bedside.push(Chunk(b"", samples))


def test_a_backlog_is_sent_faster_than_real_time_but_not_at_once() -> None:
    """After an outage the client catches up at CATCH_UP times real time."""
    bedside = Bedside(Options())
    for _ in range(60):
        bedside.push(SECOND)
    bedside.connected(0.0)
    bedside.receive(STARTED, 0.0)
    assert len(drain(bedside, 0.0)) == 2
    wait_s = bedside.take(0.0)
    assert wait_s == pytest.approx(1 / b.CATCH_UP)
    assert len(drain(bedside, wait_s)) == 1
    assert len([x for x in drain(bedside, 60 / b.CATCH_UP) if isinstance(x, m.Audio)]) == 57


events = st.lists(
    st.one_of(
        st.tuples(st.just("speak"), st.integers(1, 8)),
        st.tuples(st.just("send"), st.integers(1, 20)),
        st.tuples(st.just("commit"), st.floats(0, 1)),
        st.tuples(st.just("cut"), st.just(0)),
    ),
    max_size=80,
)


@given(events, st.integers(2, 20))
def test_no_sample_is_ever_lost_in_silence(story: list[tuple[str, float]], ring_s: int) -> None:
    """Whatever is cut when: at the end each second is final in some session, or declared as a gap."""
    bedside = Bedside(Options(ring_s=ring_s, retry_s=math.inf))
    final: set[int] = set()
    session: list[int] = []
    spoken = committed = 0
    now = 0.0

    def connect() -> None:
        nonlocal committed
        session.clear()
        committed = 0
        bedside.connected(now)
        bedside.receive(STARTED, now)

    def send(most: int) -> None:
        for _ in range(most):
            match bedside.take(now):
                case m.Audio(payload):
                    session.append(int.from_bytes(payload, "big"))
                case m.Gap(samples):
                    assert samples % RATE == 0
                    first = session[-1] + 1 if session else (max(final) + 1 if final else 0)
                    session.extend(range(first, first + samples // RATE))

    connect()
    for action, value in [*story, ("send", 10_000), ("commit", 1.0)]:
        now += 1000.0  # the pace is tested above
        if action == "speak":
            for _ in range(int(value)):
                bedside.push(Chunk(spoken.to_bytes(4, "big"), RATE))
                spoken += 1
        elif action == "send":
            send(int(value))
        elif action == "commit":
            committed = max(committed, round(value * len(session)))
            final |= set(session[:committed])
            bedside.receive(m.Ack(len(session) * RATE, committed * RATE), now)
        else:
            bedside.lost(1006, "cut", now, 0.5)
            connect()
    assert final == set(range(spoken))
