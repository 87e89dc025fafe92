"""Rules of hearing: positions are the client's own, also where a session goes on in another process."""

from gateway.config import DetectionSettings
from gateway.connection.hearing import Hearing
from gateway.events import AudioFormat, SpeechStarted, UtteranceEnded
from tests.connection.speech import chunks, pcm16, silence

PCM = pcm16("en_01.wav") + silence(1)


def hearing(first: int = 0, rate: int = 16_000) -> Hearing:
    return Hearing(AudioFormat(sample_rate=rate), DetectionSettings(silero=False), 80, None, first)


def test_positions_go_on_from_the_first_sample() -> None:
    """The same audio heard from sample n on has all its positions moved by n."""
    fresh, resumed = hearing(), hearing(first=32_000)
    now = 0.0
    for chunk in chunks(PCM):
        now += 0.1
        heard = fresh.receive(chunk, now)
        assert [type(h) for h in heard] == [type(h) for h in resumed.receive(chunk, now)]
        for item in heard:
            if isinstance(item, SpeechStarted):
                assert round(resumed.seconds(item.at_samples) - fresh.seconds(item.at_samples), 3) == 2.0
            if isinstance(item, UtteranceEnded):
                assert fresh.arrived_at(item.end_samples) is not None
    assert resumed.received == fresh.received + 32_000
    assert resumed.committable(None) == fresh.committable(None) + 32_000
    assert resumed.take_heard_s() == fresh.take_heard_s() == len(PCM) / 32_000
    assert fresh.take_heard_s() == 0


def test_nothing_is_committable_that_waits_for_a_final() -> None:
    """The argument is where undecided audio begins."""
    ears = hearing()
    ears.receive(PCM, 1)
    assert ears.committable(8000) == 8000
    assert ears.committable(0) == 0
    assert ears.received >= ears.committable(None) > 8000


def test_a_gap_moves_the_position_but_is_not_audio() -> None:
    """Lost samples are received in position only."""
    ears = hearing()
    ears.receive(silence(1), 100)
    ears.skip(160_000, 100)
    assert (ears.received, ears.position_s, ears.take_heard_s()) == (176_000, 11.0, 1.0)


def test_an_open_utterance_is_known() -> None:
    """From the first speech to its end, a flush and a gap included."""
    ears = hearing()
    assert not ears.speaking
    for n, chunk in enumerate(chunks(PCM)):
        heard = [type(item) for item in ears.receive(chunk, n / 10)]
        if SpeechStarted in heard or UtteranceEnded in heard:
            assert ears.speaking is (UtteranceEnded not in heard)
    assert not ears.speaking
    for end in (ears.flush, lambda: ears.skip(100, 9)):
        ears.receive(pcm16("en_01.wav"), 9)
        assert ears.speaking
        end()
        assert not ears.speaking
