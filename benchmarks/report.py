"""shell: figures beside their goals, as a table and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. Without a limit it explains the others."""

    name: str
    value: float
    unit: str = ""
    limit: float | None = None
    """The most it may be."""
    note: str = ""
    invalidates: bool = False
    """Above its limit the run says nothing: the measuring itself was disturbed."""

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return ""
        if self.value <= self.limit:  # False for NaN: nothing measured is a miss
            return "PASS"
        return "INVALID" if self.invalidates else "MISS"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "value": round(self.value, 4), "unit": self.unit, "limit": self.limit,
            "verdict": self.verdict, "note": self.note,
        }  # fmt: skip


def show(console: Console, results: Mapping[str, Sequence[Figure]]) -> None:
    colours = {"PASS": "green", "MISS": "bold red", "INVALID": "bold yellow", "": ""}
    table = Table(title="Care Voice, demo model, this machine")
    for column, justify in (
        ("figure", "left"),
        ("measured", "right"),
        ("goal", "right"),
        ("", "left"),
        ("", "left"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for section, figures in results.items():
        table.add_section()
        for figure in figures:
            goal = "" if figure.limit is None else f"≤ {_number(figure.limit)}"
            verdict = f"[{colours[figure.verdict]}]{figure.verdict}[/]" if figure.verdict else ""
            measured = f"{_number(figure.value)} {figure.unit}".strip()
            table.add_row(f"{section}: {figure.name}", measured, goal, verdict, figure.note)
    console.print(table)
    verdicts = [f.verdict for figures in results.values() for f in figures if f.verdict and not f.invalidates]
    console.print(f"{verdicts.count('PASS')} of {len(verdicts)} goals met")
    if any(f.verdict == "INVALID" for figures in results.values() for f in figures):
        console.print(
            "The measuring itself was disturbed: repeat the run on a quiet machine.", style="bold yellow"
        )


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.3g}"
