"""What is shown: finals as lines, partials only on a terminal, JSON for programs."""

import io
import json

import pytest
from rich.console import Console

from gateway.client.bedside import AudioLost, Oddity, Resumed
from gateway.client.printer import CaptionPrinter, JsonPrinter, clock
from gateway.client.returning import Retry
from gateway.connection import messages as m
from tests.client.scripted import STARTED

TALK = [
    STARTED,
    m.Ack(1, 1),
    m.Partial(1, 1, 61.2, 62.0, "it is ", "col"),
    m.Final(1, 1, 61.2, 62.5, "it is [b]cold[/b]", "en", 0.9),
    m.Final(2, 2, 63.0, 64.0, "", "en", 0.2, suppressed="phrase"),
    m.Notice("slow", "partials come later"),
    m.Error("bad_opus", "packet dropped", fatal=False),
    m.Error("bad_bed", "no such bed", fatal=True),
    Retry(0.5, "1012 restart"),
    Retry(0.5, "the session is forgotten", afresh=True),
    Resumed(at_s=62.0, behind_s=3.25, afresh=True),
    Resumed(at_s=65.0, behind_s=0.1, afresh=False),
    AudioLost(at_s=62.0, seconds=12.0, samples=192_000),
    Oddity("caption 3 was to come, but 5 came"),
    m.Stopped(10, 2),
]


def shown(terminal: bool, partials: bool = True, quiet: bool = False) -> tuple[str, str]:
    """Captions and notes that TALK leaves behind."""
    captions, notes = io.StringIO(), io.StringIO()
    console = Console(file=captions, force_terminal=terminal, width=60, highlight=False)
    with CaptionPrinter(console, Console(file=notes, width=60), partials, quiet) as printer:
        for message in TALK:
            printer.show(message)
    return captions.getvalue(), notes.getvalue()


def test_a_pipe_gets_finals_only() -> None:
    """One plain line for each final that has text, with its time; markup in speech is no markup."""
    captions, _ = shown(terminal=False)
    assert captions == "01:01.2  it is [b]cold[/b]\n"


def test_a_terminal_sees_the_partial_and_then_the_final() -> None:
    """The partial's tentative part is dim; the final's line stays."""
    captions, _ = shown(terminal=True)
    assert "it is \x1b[2mcol" in captions
    assert "it is [b]cold[/b]" in captions
    assert "it is \x1b[2mcol" not in shown(terminal=True, partials=False)[0]


def test_the_rest_is_said_beside_the_captions() -> None:
    """Model, notices, errors and what happens to the link are notes; the demo model is named as such."""
    notes = shown(terminal=False)[1]
    assert "connected: demo on cpu (demo model" in notes
    for text in (
        "slow: partials come later\n", "bad_opus: packet dropped\n", "1012 restart; trying again\n",
        "the session is forgotten\n", "going on at 01:02.0, 3.2 s behind\n", "going on at 01:05.0\n",
        "12.0 s of audio lost while the link was down\n", "warning: caption 3 was to come, but 5 came\n",
    ):  # fmt: skip
        assert text in notes
    assert "bad_bed" not in notes  # the command says it, as the reason why it ends


def test_quiet_says_captions_only() -> None:
    """Not a word beside the captions."""
    captions, notes = shown(terminal=False, quiet=True)
    assert captions
    assert not notes


def test_json_is_one_message_a_line() -> None:
    """Every message but acknowledgements, as the gateway sent it, however long; and the link's events."""
    out = io.StringIO()
    long = m.Final(3, 3, 0.0, 9.0, "很冷 " * 100, "zh", 0.9)
    with JsonPrinter(Console(file=out, width=20), partials=True) as printer:
        for event in [*TALK, m.Pong(), long]:
            printer.show(event)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["type"] for line in lines] == [
        "started", "partial", "final", "final", "notice", "error", "error", "reconnecting", "reconnecting",
        "resumed", "resumed", "gap", "oddity", "stopped", "final",
    ]  # fmt: skip
    assert lines[-1]["text"] == "很冷 " * 100
    assert lines[7] == {"type": "reconnecting", "delay_s": 0.5, "reason": "1012 restart", "afresh": False}
    assert lines[9] == {"type": "resumed", "at_s": 62.0, "behind_s": 3.25, "afresh": True}
    assert lines[11] == {"type": "gap", "at_s": 62.0, "seconds": 12.0, "samples": 192_000}


def test_the_sessions_token_is_not_printed() -> None:
    """Whoever has it could continue the stream; JSON lines end up in logs."""
    out = io.StringIO()
    with JsonPrinter(Console(file=out), partials=True) as printer:
        printer.show(STARTED)
    assert "token" not in json.loads(out.getvalue())
    assert json.loads(out.getvalue())["session"] == "s"


def test_json_without_partials() -> None:
    """--no-partials leaves them out."""
    out = io.StringIO()
    with JsonPrinter(Console(file=out), partials=False) as printer:
        for message in TALK:
            printer.show(message)
    assert '"partial"' not in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00.0"), (0.04, "00:00.0"), (59.96, "01:00.0"), (61.25, "01:01.2"), (3723.5, "1:02:03.5")],
)
def test_clock(seconds: float, text: str) -> None:
    """Minutes, seconds, tenths; hours only when there are any."""
    assert clock(seconds) == text
