"""core: the report's plots as SVG: no script, colours from the page's style sheet, so they follow its theme.

Each is drawn for a phone's width (VIEW) and scales up; each says in `said` what there is to see.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

VIEW = (420, 250)
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 22, 36
TICKS = 5
"""About so many on an axis."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """Values low .. high on pixels first .. last."""

    low: float
    high: float
    first: float
    last: float

    def at(self, value: float) -> float:
        inside = min(self.high, max(self.low, value))
        return self.first + (inside - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Round numbers inside."""
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
        start = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(start, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Axes:
    """A plot's two scales and what they measure."""

    x: Scale
    y: Scale
    x_name: str
    y_name: str

    @classmethod
    def make(cls, x: tuple[float, float], y: tuple[float, float], x_name: str, y_name: str) -> "Axes":
        width, height = VIEW
        return cls(
            Scale(x[0], max(x[1], x[0] + 1e-9), LEFT, width - RIGHT),
            Scale(y[0], max(y[1], y[0] + 1e-9), height - BOTTOM, TOP),
            x_name,
            y_name,
        )

    def grid(self) -> str:
        """Ticks, lines and names."""
        right, bottom = VIEW[0] - RIGHT, VIEW[1] - BOTTOM
        parts = []
        for tick in self.y.ticks():
            y = self.y.at(tick)
            parts += [
                f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>',
                label(LEFT - 6, y + 4, short(tick), "end"),
            ]
        parts += [label(self.x.at(tick), bottom + 16, short(tick), "middle") for tick in self.x.ticks()]
        parts.append(f'<path class="axis" d="M{LEFT} {bottom}H{right}"/>')
        parts.append(label(right, VIEW[1] - 4, self.x_name, "end", "name"))
        parts.append(label(LEFT + 4, TOP - 4, self.y_name, kind="name"))
        return "".join(parts)

    def line(self, points: Iterable[Point], kind: str) -> str:
        path = " ".join(f"{self.x.at(x):.1f},{self.y.at(y):.1f}" for x, y in points)
        return f'<polyline class="line {kind}" points="{path}"/>'

    def band(self, upper: Sequence[Point], lower: Sequence[Point], kind: str) -> str:
        path = " ".join(f"{self.x.at(x):.1f},{self.y.at(y):.1f}" for x, y in [*upper, *reversed(lower)])
        return f'<polygon class="band {kind}" points="{path}"/>'

    def across(self, value: float, words: str, kind: str = "limit") -> str:
        """A horizontal line, named at its right end."""
        y, right = self.y.at(value), VIEW[0] - RIGHT
        line = f'<path class="{kind}" d="M{LEFT} {y:.1f}H{right}"/>'
        below = 14 if kind == "floor" else -5
        return line + label(right, y + below, words, "end", f"{kind}-name")

    def mark(self, x: float, y: float, kind: str, words: str = "") -> str:
        """A dot; its name beside it, on the side where there is room."""
        at_x, at_y = self.x.at(x), self.y.at(y)
        anchor, shift = ("end", -8) if at_x > VIEW[0] * 0.68 else ("start", 8)
        name = label(at_x + shift, at_y + 4, words, anchor, f"{kind}-name") if words else ""
        return f'<circle class="{kind}" cx="{at_x:.1f}" cy="{at_y:.1f}" r="4.5"/>{name}'

    def ceiling(self, x: float, y: float) -> str:
        """The corner that a curve must pass above and left of: at most `x` for `y` percent."""
        at_x, at_y = self.x.at(x), self.y.at(y)
        return f'<path class="limit" d="M{at_x:.1f} {VIEW[1] - BOTTOM}V{at_y:.1f}H{VIEW[0] - RIGHT}"/>'


def label(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def picture(said: str, *parts: str, height: int = VIEW[1]) -> str:
    """An SVG of these parts; `said` is read out instead of it."""
    return (
        f'<svg viewBox="0 0 {VIEW[0]} {height}" role="img" aria-label="{escape(said, quote=True)}">'
        f"{''.join(parts)}</svg>"
    )


def short(value: float) -> str:
    """A tick: as few digits as tell it from its neighbours."""
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:g}"


@dataclass(frozen=True, slots=True)
class Part:
    """Of a stacked bar."""

    name: str
    value: float
    kind: str


def stacked(rows: Sequence[tuple[str, Sequence[Part]]], said: str, unit: str) -> str:
    """Horizontal bars of parts that add up, one below the other, on one scale."""
    most = max(sum(max(0.0, part.value) for part in parts) for _, parts in rows)
    width = VIEW[0] - 8
    out = []
    for i, (name, parts) in enumerate(rows):
        top = 10 + 66 * i
        total = sum(part.value for part in parts)
        out.append(label(4, top + 8, name))
        out.append(label(VIEW[0] - 4, top + 8, f"{total:.0f} {unit}", "end", "strong"))
        at = 4.0
        for part in parts:
            size = max(0.0, part.value) / max(most, 1e-9) * width
            out.append(
                f'<rect class="{part.kind}" x="{at:.1f}" y="{top + 16}" width="{size:.1f}" height="30"/>'
            )
            if size > 34:
                out.append(label(at + size / 2, top + 36, f"{part.value:.0f}", "middle", "inside"))
            at += size
    return picture(said, *out, height=10 + 66 * len(rows))


def gauge(value: float, limit: float, holds: bool) -> str:
    """How much of a limit is used: a bar, and the limit as a line at 80 % of its width."""
    room = 0.8
    share = 0.0 if math.isnan(value) or limit <= 0 else max(0.0, value / limit)
    length = min(100.0, 100 * room * share)
    kind = "good" if holds else "bad"
    return (
        '<svg class="gauge" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="6"/><rect class="{kind}" width="{length:.1f}" height="6"/>'
        f'<rect class="edge" x="{100 * room:.1f}" width="0.7" height="6"/></svg>'
    )
