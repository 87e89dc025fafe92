"""shell: captions on a terminal, in a pipe, or as JSON lines."""

import json

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from gateway.client.bedside import Retry
from gateway.connection.messages import (
    Ack,
    Error,
    Final,
    Notice,
    Partial,
    Pong,
    ServerMessage,
    Started,
)
from gateway.connection.protocols.native import encode_server


def clock(seconds: float) -> str:
    """Seconds of the stream as mm:ss.t (hours are added when there are any)."""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    prefix = f"{hours}:" if hours else ""
    return f"{prefix}{minutes:02}:{tenths // 10:02}.{tenths % 10}"


class JsonPrinter:
    """One JSON object a line: every message but acknowledgements; a lost link as type `reconnecting`."""

    def __init__(self, console: Console, partials: bool) -> None:
        self._console = console
        self._partials = partials

    def __enter__(self) -> "JsonPrinter":
        return self

    def __exit__(self, *_: object) -> None: ...

    def show(self, message: ServerMessage) -> None:
        if isinstance(message, Ack | Pong) or (isinstance(message, Partial) and not self._partials):
            return
        self._write(encode_server(message))

    def show_retry(self, retry: Retry) -> None:
        self._write(json.dumps({"type": "reconnecting", **msgspec.to_builtins(retry)}, ensure_ascii=False))

    def _write(self, line: str) -> None:
        self._console.out(line, highlight=False)


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

    def show(self, message: ServerMessage) -> None:
        match message:
            case Partial() if self._rewrites:
                self._live.update(_line(message.start, message.stable, message.tentative), refresh=True)
            case Final():
                self._show_final(message)
            case Started():
                demo = " (demo model: understands clear synthetic speech only)" if message.demo else ""
                self.note(f"connected: {message.model} on {message.device}{demo}")
            case Notice():
                self.note(f"{message.code}: {message.detail}")
            case Error(fatal=False):  # a fatal one is the reason with which the stream ends
                self.note(f"{message.code}: {message.message}", style="red")

    def show_retry(self, retry: Retry) -> None:
        self.note(f"{retry.reason}; trying again", style="yellow")

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
