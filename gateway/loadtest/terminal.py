"""shell: how a run goes, in one line of the terminal; and what came out of it, as a table."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from gateway.loadtest.level import LATENESS_P99_MS
from gateway.loadtest.results import RunResult
from gateway.loadtest.statistics import summary
from gateway.loadtest.swarm import Tick
from gateway.loadtest.words import amount, cost_rows, criterion_row, figure_rows


class Progress:
    """Ticks in, one line out; nothing where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._begin("", 0, 0)

    @contextmanager
    def of(self, what: str, duration_s: float, processes: int = 1) -> Iterator[None]:
        """While a run lasts."""
        self._begin(what, duration_s, processes)
        if not self._console.is_terminal:
            yield
            return
        with Live(
            console=self._console, get_renderable=self._line, refresh_per_second=4, transient=True
        ) as live:
            self._live = live
            yield

    def tick(self, tick: Tick) -> None:
        self._speaking[tick.process] = tick.speaking
        self._failures[tick.process] = tick.failures
        self._ttfs_ms += tick.ttfs_ms
        self._late_ms += tick.late_ms

    def _begin(self, what: str, duration_s: float, processes: int) -> None:
        self._what, self._duration_s, self._began = what, duration_s, time.monotonic()
        self._speaking: dict[int, int] = {}
        self._failures: dict[int, int] = {}
        self._ttfs_ms: list[float] = []
        self._late_ms: list[float] = []

    def _line(self) -> Text:
        ttfs, late, failures = summary(self._ttfs_ms), summary(self._late_ms), sum(self._failures.values())
        line = Text(no_wrap=True)
        line.append(self._what, style="bold")
        passed_s = min(self._duration_s, time.monotonic() - self._began)
        line.append(f"  {passed_s:.0f}/{self._duration_s:.0f} s", style="dim")
        line.append(f"  {sum(self._speaking.values())} speak")
        line.append(f"  TTFS p50/p95 {amount(ttfs.p50)}/{amount(ttfs.p95)} ms")
        line.append(f"  {failures} errors", style="bold red" if failures else "")
        too_late = late.p99 > LATENESS_P99_MS
        line.append(f"  late {amount(late.p99)} ms", style="bold yellow" if too_late else "")
        return line


def step_line(result: RunResult) -> Text:
    """One step of a search."""
    f, verdict = result.figures, result.verdict
    word, style = (
        ("invalid", "yellow")
        if verdict.invalid
        else ("holds", "green")
        if verdict.holds
        else ("breaks", "red")
    )
    line = Text(f"{f.streams:>6} streams  ")
    line.append(f"{word:<8}", style=style)
    line.append(
        f"  TTFS p50 {amount(f.ttfs_ms.p50)} p95 {amount(f.ttfs_ms.p95)} p99 {amount(f.ttfs_ms.p99)} ms"
    )
    line.append(f"  words {amount(f.word_first_ms.p50)} ms  {f.errors} errors", style="")
    if not verdict.holds:
        broken = ", ".join(c.name for c in verdict.criteria if not c.holds)
        line.append(f"  ({broken})", style="dim")
    return line


def show(console: Console, result: RunResult) -> None:
    """The level, then every figure."""
    level = Table("", Column("measured", justify="right"), Column("limit", justify="right"), "", "")
    for criterion in result.verdict.criteria:
        name, value, limit = criterion_row(criterion)
        level.add_row(
            name,
            value,
            limit,
            Text("holds", "green") if criterion.holds else Text("breaks", "bold red"),
            Text(criterion.note, "dim"),
        )
    console.print(level)
    table = Table("ms", *(Column(name, justify="right") for name in ("p50", "p95", "p99")))
    for row in figure_rows(result.figures):
        table.add_row(*row)
    console.print(table)
    for name, value in cost_rows(result.figures):
        console.print(f"{name}: {value}", highlight=False)
