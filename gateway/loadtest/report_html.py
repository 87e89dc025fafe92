"""core: a load test as one self-contained HTML file: no script, no request, for phones and paper too."""

import math
from html import escape

from gateway.loadtest.figures import Figures
from gateway.loadtest.level import Criterion
from gateway.loadtest.plots import gauge
from gateway.loadtest.report_plots import accuracy_words, cards
from gateway.loadtest.report_style import STYLE
from gateway.loadtest.results import Document
from gateway.loadtest.words import amount, cost_rows, criterion_row, figure_rows


def render(document: Document) -> bytes:
    """The whole file, UTF-8."""
    title = f"{_headline(document)} · Care Voice load test"
    plots = cards(document)
    body = "".join(
        (
            _kicker(document),
            _hero(document),
            '<div class="board">',
            _level(document),
            *plots,
            _accuracy(document, wide=len(plots) % 2 == 0),
            _figures(document),
            _costs(document),
            _conditions(document),
            "</div>",
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        '<meta name="color-scheme" content="light dark"/>'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    ).encode()


def _headline(document: Document) -> str:
    streams = document.run.figures.streams if document.capacity is None else document.capacity
    at_least = "≥ " if document.at_least else ""
    return f"{at_least}{streams} stream{'' if streams == 1 else 's'}"


def _kicker(document: Document) -> str:
    gateway = document.gateway
    what = " · ".join(str(gateway[k]) for k in ("model", "device", "compute_type") if gateway.get(k))
    shown = escape(f"{gateway.get('url', '')} {what}".strip())
    pieces = ("Care Voice load test", shown, escape(document.at))
    return f'<p class="kicker">{"".join(f"<span>{piece}</span>" for piece in pieces)}</p>'


def _hero(document: Document) -> str:
    verdict, figures = document.run.verdict, document.run.figures
    if verdict.invalid:
        tone, word, why = "warn", "! Says nothing", verdict.invalid
    elif verdict.holds:
        tone, word, why = "good", "✓ Holds the service level", ""
    else:
        broken = ", ".join(c.name for c in verdict.criteria if not c.holds)
        tone, word, why = "bad", "✗ Breaks the service level", f"Broken: {broken}."
    number, _, noun = _headline(document).rpartition(" ")
    title = "Capacity" if document.capacity is not None else "Load"
    conditions = document.conditions
    said = (
        f"Profile {conditions['profile']}: {100 * figures.speech_share:.0f} % speech, "
        f"for {figures.duration_s:.0f} s, "
        f"in chunks of {conditions['chunk_ms']} ms, hangover {conditions['hangover_ms']} ms."
    )
    return (
        f'<header class="hero {tone}"><div><h1>{title}</h1>'
        f'<p class="big">{number}<small>{noun}</small></p></div>'
        f'<div><p><span class="pill">{escape(word)}</span></p><p>{escape(said)} {escape(why)}</p></div>'
        f"{_tiles(figures)}</header>"
    )


def _tiles(figures: Figures) -> str:
    ttfs, cost = figures.ttfs_ms, figures.cost
    cpu = (cost.gateway_cpu_s_per_stream_hour, cost.engine_cpu_s_per_stream_hour)
    cpu_s = None if None in cpu else sum(filter(None, cpu))
    tiles = [
        ("final after speech, p50", amount(ttfs.p50), "ms"),
        ("p95", amount(ttfs.p95), "ms"),
        ("p99", amount(ttfs.p99), "ms"),
        ("word first seen, p50", amount(figures.word_first_ms.p50), "ms"),
        ("errors", str(figures.errors), ""),
        ("samples lost", str(figures.lost_samples), ""),
        ("CPU per stream-hour", amount(cpu_s), "s"),
    ]
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value} <small>{unit}</small></dd></div>"
        for name, value, unit in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def _level(document: Document) -> str:
    rows = "".join(_criterion(criterion) for criterion in document.run.verdict.criteria)
    said = "<p>Every line must hold. The bar is what was measured, the tick its limit.</p>"
    return _section("The service level", f'{said}<ul class="level">{rows}</ul>', wide=True)


def _criterion(criterion: Criterion) -> str:
    name, value, limit = criterion_row(criterion)
    kind, word = ("yes", "✓ holds") if criterion.holds else ("no", "✗ broken")
    note = f'<small class="note">{escape(criterion.note)}</small>' if criterion.note else ""
    limit_ms = criterion.limit or 1.0
    measured = criterion.value if criterion.limit else (0.0 if criterion.holds else math.inf)
    return (
        f"<li><div><span>{escape(name)}</span>"
        f"<span><b>{escape(value)}</b> <small>limit {escape(limit)}</small> "
        f'<b class="{kind}">{word}</b></span>{note}</div>{gauge(measured, limit_ms, criterion.holds)}</li>'
    )


def _accuracy(document: Document, wide: bool) -> str:
    figures = document.run.figures
    head = "".join(
        f'<th scope="col"{mark}>{name}</th>'
        for name, mark in (
            ("language", ""),
            ("measure", ""),
            ("errors", ' class="n"'),
            ("alone", ' class="n"'),
            ("changed", ' class="n"'),
        )
    )
    rows = []
    for language, one in figures.accuracy.items():
        alone = document.unloaded.accuracy.get(language) if document.unloaded else None
        changed = "–" if one.against_unloaded is None else f"{one.against_unloaded:.1f} %"
        rows.append(
            f'<tr><th scope="row">{escape(language)}</th><td>{one.measure}</td>'
            f'<td class="n">{one.against_references:.1f} %</td>'
            f'<td class="n">{f"{alone.against_references:.1f} %" if alone else "–"}</td>'
            f'<td class="n">{changed}</td></tr>'
        )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    said = f"<p>{escape(accuracy_words(figures))}</p>"
    return _section("Do the words stay the same?", said + _scroll(table), wide)


def _figures(document: Document) -> str:
    head = "".join(f'<th scope="col" class="n">{name}</th>' for name in ("p50", "p95", "p99"))
    rows = []
    for name, *values in figure_rows(document.run.figures):
        inner = ' class="indent"' if name.startswith(" ") else ""
        cells = "".join(f'<td class="n">{value}</td>' for value in values)
        rows.append(f'<tr><th scope="row"{inner}>{escape(name.strip())}</th>{cells}</tr>')
    table = (
        "<table><caption>Milliseconds, of what was said while all streams ran.</caption>"
        f'<thead><tr><th scope="col">latency</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )
    return _section("Every latency", _scroll(table))


def _costs(document: Document) -> str:
    return (
        f'<section class="card"><h2>Everything else</h2>{_pairs(cost_rows(document.run.figures))}</section>'
    )


def _conditions(document: Document) -> str:
    machine = document.machine
    rows = [
        ("gateway", ", ".join(f"{key} {value}" for key, value in document.gateway.items())),
        ("load generator's machine", ", ".join(f"{key} {value}" for key, value in machine.items())),
        *((key, str(value)) for key, value in document.conditions.items()),
        *(("not measured", note) for note in document.notes),
    ]
    command = f"<pre><code>{escape(document.command)}</code></pre>"
    return _section("Under these conditions", _pairs(rows) + command, wide=True)


def _section(title: str, content: str, wide: bool = False) -> str:
    return f'<section class="card{" wide" if wide else ""}"><h2>{escape(title)}</h2>{content}</section>'


def _scroll(table: str) -> str:
    """Wider than a phone: it scrolls by itself, by keyboard too."""
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _pairs(rows: list[tuple[str, str]]) -> str:
    body = "".join(f'<tr><th scope="row">{escape(k)}</th><td>{escape(v)}</td></tr>' for k, v in rows)
    return f"<table><tbody>{body}</tbody></table>"
