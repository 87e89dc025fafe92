"""Rules of `start`: served as asked, or refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Settings
from gateway.connection.messages import Start
from gateway.connection.opening import Opening, Refused, Surroundings, check_bed, open_stream, started
from gateway.events import ModelInfo

MODEL = ModelInfo("demo", "cpu", "int8", 80, ("en", "zh"), demo=True)


def opened(**fields: object) -> Opening:
    return open_stream(Start(**fields), Settings(), MODEL)  # type: ignore[arg-type]


def test_an_empty_start_takes_the_gateways_defaults() -> None:
    """Nothing but `start` is needed."""
    opening = opened()
    assert opening.detection == Settings().detection
    assert opening.hotwords == ""


def test_detection_can_be_set_per_session() -> None:
    """The starred settings of config.py are fields of `start`."""
    opening = opened(endpointing_ms=800, pre_roll_ms=100, min_speech_ms=200, max_utterance_ms=10_000)
    detection = opening.detection
    assert (detection.endpointing_ms, detection.pre_roll_ms) == (800, 100)
    assert (detection.min_speech_ms, detection.max_utterance_ms) == (200, 10_000)


def test_hotwords_become_one_text() -> None:
    """Empty ones do not count."""
    assert opened(hotwords=["  aspirin", "", "王小明 "]).hotwords == "aspirin, 王小明"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"language": "tlh"}, "unknown_language"),
        ({"script": "klingon"}, "unknown_script"),
        ({"task": "sing"}, "unknown_task"),
        ({"endpointing_ms": 1}, "bad_start"),
        ({"max_utterance_ms": 60_000}, "bad_start"),
        ({"bed": ""}, "bad_bed"),
        ({"bed": "a/b"}, "bad_bed"),
        ({"bed": "*"}, "bad_bed"),
        ({"bed": "x" * 65}, "bad_bed"),
        ({"bed": "a\u202eb"}, "bad_bed"),
        ({"hotwords": ["word"] * 10_000}, "too_many_hotwords"),
        ({"hotwords": ["w" * 2000]}, "prompt_too_long"),
        ({"prompt": "p" * 1001}, "prompt_too_long"),
        ({"prompt": "a\x00b"}, "bad_start"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(fields: dict[str, object], code: str) -> None:
    """Each refusal has a code, and a message that says what would be right."""
    with pytest.raises(Refused) as refused:
        opened(**fields)
    assert refused.value.code == code
    assert len(refused.value.message) > 20


@given(st.text(max_size=80))
def test_any_bed_name_is_accepted_or_refused(bed: str) -> None:
    """No name crashes; an accepted one can stand in a path, a list and a log line."""
    try:
        check_bed(bed)
    except Refused:
        return
    assert 0 < len(bed) <= 64
    assert bed.isprintable() or not bed.isascii()
    assert not set(bed) & set("/*,\n\r\0")


def test_limits_are_told() -> None:
    """`started` names the limits in force."""
    message = started("name", "token", 160, Surroundings(Settings(), MODEL))
    assert message.limits.max_hotwords == Settings().server.max_hotwords
    assert (message.session, message.token, message.resume_from) == ("name", "token", 160)
