"""shell: captions on a terminal, in a pipe, or as JSON lines."""

import json
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from gateway.client.bedside import AudioLost, Event, Oddity, Resumed
from gateway.client.returning import Retry
from gateway.connection.messages import (
    Ack,
    Error,
    Final,
    Notice,
    Partial,
    Pong,
    Started,
)

SHOWN_BEHIND_S = 1.0


def clock(seconds: float) -> str:
    """Seconds of the stream as mm:ss.t (hours are added when there are any)."""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    prefix = f"{hours}:" if hours else ""
    return f"{prefix}{minutes:02}:{tenths // 10:02}.{tenths % 10}"


class JsonPrinter:
    """One JSON object a line: every message but acknowledgements, and what happens to the link.

    That is of type `reconnecting`, `resumed`, `gap` (audio that was lost) or `oddity`.
    """

    def __init__(self, console: Console, partials: bool) -> None:
        self._console = console
        self._partials = partials

    def __enter__(self) -> "JsonPrinter":
        return self

    def __exit__(self, *_: object) -> None: ...

    def show(self, event: Event) -> None:
        match event:
            case Ack() | Pong():
                return
            case Partial() if not self._partials:
                return
            case Started():
                secretless = msgspec.to_builtins(event)
                del secretless["token"]
                self._write(secretless)
            case Retry():
                self._write({"type": "reconnecting"} | msgspec.to_builtins(event))
            case Resumed():
                self._write({"type": "resumed"} | msgspec.to_builtins(event))
            case AudioLost():
                self._write({"type": "gap"} | msgspec.to_builtins(event))
            case Oddity():
                self._write({"type": "oddity"} | msgspec.to_builtins(event))
            case _:
                self._write(msgspec.to_builtins(event))

    def _write(self, line: dict[str, Any]) -> None:
        self._console.out(json.dumps(line, ensure_ascii=False), highlight=False)


class CaptionPrinter:
    """Finals as lines; on a terminal also the partial, rewritten in place: stable solid, tentative dim."""

    def __init__(self, console: Console, notes: Console, partials: bool, quiet: bool) -> None:
        """`console` gets the captions, `notes` what else there is to say (not when `quiet`)."""
        self._console = console
        self._notes = notes
        self._quiet = quiet
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._rewrites = partials and console.is_terminal

    def __enter__(self) -> "CaptionPrinter":
        if self._rewrites:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._rewrites:
            self._live.stop()

    def show(self, event: Event) -> None:
        match event:
            case Partial() if self._rewrites:
                self._live.update(_line(event.start, event.stable, event.tentative), refresh=True)
            case Final():
                self._show_final(event)
            case Started():
                demo = " (demo model: understands clear synthetic speech only)" if event.demo else ""
                self.note(f"connected: {event.model} on {event.device}{demo}")
            case Notice():
                self.note(f"{event.code}: {event.detail}")
            case Error(fatal=False):  # a fatal one is the reason with which the stream ends
                self.note(f"{event.code}: {event.message}", style="red")
            case _:
                self._show_link(event)

    def _show_link(self, event: Event) -> None:
        match event:
            case Retry(reason=reason, afresh=True):
                self.note(reason, style="yellow")
            case Retry(reason=reason):
                self.note(f"{reason}; trying again", style="yellow")
            case Resumed(at_s, behind_s):
                behind = f", {behind_s:.1f} s behind" if behind_s >= SHOWN_BEHIND_S else ""
                self.note(f"going on at {clock(at_s)}{behind}")
            case AudioLost(_, seconds):
                self.note(f"{seconds:.1f} s of audio lost while the link was down", style="red")
            case Oddity(text):
                self.note(f"warning: {text}", style="red")

    def note(self, text: str, style: str = "dim") -> None:
        if not self._quiet:
            self._notes.print(Text(text, style=style), soft_wrap=True)

    def _show_final(self, final: Final) -> None:
        if self._rewrites:
            self._live.update(Text(), refresh=True)
        if final.text:
            self._console.print(_line(final.start, final.text, ""), soft_wrap=True)


def _line(start_s: float, solid: str, dim: str) -> Text:
    return Text.assemble((f"{clock(start_s)}  ", "cyan"), solid, (dim, "dim"))
