"""What connects the connections: the session, its positions, the finals that were seen."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.client.continuity import Continuity, shifted
from gateway.client.ring import Chunk, Ring
from gateway.connection import messages as m
from tests.client.scripted import STARTED, started


def ring(samples: int = 100, can_cut: bool = True) -> Ring:
    """All of it sent, in chunks of ten."""
    ring = Ring(1000, can_cut)
    for _ in range(samples // 10):
        ring.push(Chunk(bytes(20), 10))
        ring.take()
    return ring


def final(number: int, start: float, end: float) -> m.Final:
    return m.Final(number, number, start, end, "hi", "en", 0.9)


def seen(*finals: m.Final) -> Continuity:
    continuity = Continuity()
    continuity.begin(STARTED, Ring(1000))
    assert not any(continuity.see(final) for final in finals)
    return continuity


def test_the_first_connection_resumes_nothing() -> None:
    """There is no session yet."""
    assert Continuity().resume() is None


def test_a_session_is_resumed_by_name_token_and_last_final() -> None:
    """So that the gateway sends again what was missed, and only that."""
    assert seen(final(1, 0, 1), final(2, 1, 2)).resume() == m.Resume("s", "t", 2)


def test_a_resumed_session_keeps_its_positions() -> None:
    """The ring goes to where the gateway wants it; nothing is shifted."""
    continuity, audio = Continuity(), ring()
    assert not continuity.begin(STARTED, audio)
    assert continuity.begin(started(43), audio)
    assert (audio.cursor, continuity.offset, continuity.sessions) == (43, 0, 1)


def test_a_new_session_begins_with_what_is_not_committed() -> None:
    """Its position 0 is where the old one's committed audio ends; its finals count from 1."""
    continuity, audio = seen(final(1, 0, 1)), ring()
    audio.commit(30)
    continuity.forget()
    assert continuity.resume() is None
    assert not continuity.begin(started(0, "new"), audio)
    assert (audio.cursor, continuity.offset, continuity.sessions) == (30, 30, 2)
    assert continuity.resume() == m.Resume("new", "t", 0)


def test_a_gateway_that_ignores_resume_begins_a_new_session() -> None:
    """Another name than was asked for says so."""
    continuity, audio = seen(), ring()
    audio.commit(30)
    assert not continuity.begin(started(0, "other"), audio)
    assert (audio.cursor, continuity.offset) == (30, 30)


def test_an_opus_packet_sent_again_in_part_shifts_what_follows() -> None:
    """The gateway counts from where it asked; the packet began before: its positions are ahead by that."""
    continuity, audio = seen(), ring(can_cut=False)
    assert continuity.begin(started(43), audio)
    assert (audio.cursor, continuity.offset) == (40, -3)
    assert continuity.begin(started(63), audio)
    assert (audio.cursor, continuity.offset) == (60, -3)


def test_a_final_that_was_seen_is_a_repeat() -> None:
    """By its number; the next one is not."""
    continuity = seen(final(1, 0, 1), final(2, 1, 2))
    assert continuity.is_repeat(final(1, 0, 1))
    assert continuity.is_repeat(final(2, 1.02, 2.02))
    assert not continuity.is_repeat(final(3, 2.1, 3))


def test_words_of_later_audio_are_news_whatever_their_number() -> None:
    """A gateway whose journal failed may count again from before: no word is dropped for that, but it is said."""
    continuity = seen(final(1, 0, 1), final(2, 1, 2))
    news = final(2, 2.5, 3)
    assert not continuity.is_repeat(news)
    assert continuity.see(news) == "caption 3 was to come, but 2 came: some may be missing here"
    assert continuity.see(final(3, 3, 4)) == ""


def test_a_jump_of_numbers_is_said() -> None:
    """Something is missing."""
    assert "caption 2 was to come, but 4 came" in seen(final(1, 0, 1)).see(final(4, 3, 4))


def test_a_new_session_that_decodes_again_repeats_by_time() -> None:
    """Its numbers mean nothing to those of the old one; the time in the source does."""
    continuity = seen(final(1, 0, 1), final(2, 1, 2))
    continuity.forget()
    continuity.begin(started(0, "new"), Ring(10))
    assert continuity.is_repeat(final(1, 1.1, 2.05))
    assert not continuity.is_repeat(final(1, 2.1, 3))


@given(st.lists(st.integers(0, 5), max_size=20))
def test_every_final_is_shown_once_whatever_is_repeated(back: list[int]) -> None:
    """At each resume the gateway goes back by some finals: the shown ones are 1, 2, 3 ... all the same."""
    continuity, shown = seen(), []
    ready = 0
    for steps in back:
        ready += 2
        for number in range(max(1, ready - 1 - steps), ready + 1):
            repeated = final(number, number - 1.0, float(number))
            if not continuity.is_repeat(repeated):
                assert continuity.see(repeated) == ""
                shown.append(number)
    assert shown == list(range(1, ready + 1))


def test_times_are_shifted_everywhere() -> None:
    """Speech, partials, finals and their words; other messages have no times."""
    word = m.TimedWord("hi", 0.5, 0.75, 0.9)
    given = m.Final(1, 1, 0.5, 1.0, "hi", "en", 0.9, words=(word,))
    wanted = m.Final(1, 1, 2.5, 3.0, "hi", "en", 0.9, words=(m.TimedWord("hi", 2.5, 2.75, 0.9),))
    assert shifted(given, 2.0) == wanted
    assert shifted(final(1, 0.5, 1.0), 2.0) == final(1, 2.5, 3.0)
    assert shifted(m.Speech("started", 0.5), 2.0) == m.Speech("started", 2.5)
    assert shifted(m.Partial(1, 1, 0.5, 1.0, "a", "b"), 2.0) == m.Partial(1, 1, 2.5, 3.0, "a", "b")
    assert shifted(STARTED, 2.0) is STARTED
    assert shifted(given, 0.0) is given
