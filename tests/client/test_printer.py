"""What is shown: finals as lines, partials only on a terminal, JSON for programs."""

import io
import json

import pytest
from rich.console import Console

from gateway.client.bedside import Retry
from gateway.client.printer import CaptionPrinter, JsonPrinter, clock
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
    m.Stopped(10, 2),
]


def shown(terminal: bool, partials: bool = True, quiet: bool = False) -> tuple[str, str]:
    """Captions and notes that TALK leaves behind."""
    captions, notes = io.StringIO(), io.StringIO()
    console = Console(file=captions, force_terminal=terminal, width=60, highlight=False)
    with CaptionPrinter(console, Console(file=notes, width=60), partials, quiet) as printer:
        for message in TALK:
            printer.show(message)
        printer.show_retry(Retry(0.5, "1012 restart"))
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
    """Model, notices, errors and lost links are notes; the demo model is named as such."""
    notes = shown(terminal=False)[1]
    assert "connected: demo on cpu (demo model" in notes
    for text in ("slow: partials come later", "bad_opus: packet dropped", "1012 restart; trying again"):
        assert text in notes
    assert "bad_bed" not in notes  # the command says it, as the reason why it ends


def test_quiet_says_captions_only() -> None:
    """Not a word beside the captions."""
    captions, notes = shown(terminal=False, quiet=True)
    assert captions
    assert not notes


def test_json_is_one_message_a_line() -> None:
    """Every message but acknowledgements, as the gateway sent it, however long."""
    out = io.StringIO()
    long = m.Final(3, 3, 0.0, 9.0, "很冷 " * 100, "zh", 0.9)
    with JsonPrinter(Console(file=out, width=20), partials=True) as printer:
        for message in [*TALK, long, m.Pong()]:
            printer.show(message)
        printer.show_retry(Retry(0.5, "cut"))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["type"] for line in lines] == [
        "started", "partial", "final", "final", "notice", "error", "error", "stopped", "final", "reconnecting",
    ]  # fmt: skip
    assert lines[-2]["text"] == "很冷 " * 100
    assert lines[-1] == {"type": "reconnecting", "delay_s": 0.5, "reason": "cut"}


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
