"""core: findings as a table for people and as JSON for programs."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from gateway.diagnosis import engine_rules, gpu_rules, host_rules
from gateway.diagnosis.findings import Finding, Status, takes_gpu, worst
from gateway.diagnosis.observed import Observed

FORMAT = 1
"""Version of the JSON."""
TITLES = {"gpu": "GPU", "model": "Model and engine", "gateway": "Gateway"}
WORDS = {Status.OK: "ok", Status.WARN: "WARN", Status.FAIL: "FAIL", Status.ABSENT: "-"}
NAME_WIDTH = 15
WORD_WIDTH = 6
Line = tuple[Status | None, str]
"""A status (for colour) and the text; None: a heading."""


def judge(seen: Observed) -> list[Finding]:
    """All findings, by area, causes before what follows from them."""
    gpu = gpu_rules.judge(seen)
    found = [*gpu, *host_rules.judge(seen), *engine_rules.judge(seen, gpu)]
    return sorted(found, key=lambda finding: list(TITLES).index(finding.area))


def lines(findings: Sequence[Finding], width: int) -> Iterator[Line]:
    """A table of `width` columns; remedies stand below what they mend."""
    indent = " " * (2 + WORD_WIDTH + NAME_WIDTH)
    for area, title in TITLES.items():
        rows = [finding for finding in findings if finding.area == area]
        if rows:
            yield None, title
        for row in rows:
            head = f"  {WORDS[row.status]:<{WORD_WIDTH}}{row.name:<{NAME_WIDTH}}"
            yield from ((row.status, line) for line in _wrapped(head, row.detail, indent, width))
            if row.remedy:
                yield from (
                    (row.status, line) for line in _wrapped(f"{indent}-> ", row.remedy, f"{indent}   ", width)
                )


def _wrapped(head: str, text: str, indent: str, width: int) -> list[str]:
    found: list[str] = []
    for paragraph in text.splitlines():
        found += textwrap.wrap(
            paragraph.strip(), max(40, width), initial_indent=indent if found else head,
            subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return found or [head]


def verdict(seen: Observed, findings: Sequence[Finding]) -> str:
    """The last line."""
    count = {status: [f.name for f in findings if f.status is status] for status in Status}
    if broken := count[Status.FAIL]:
        return f"Something that is needed is broken: {', '.join(broken)}. The lines above say what to do."
    device = "on the GPU" if takes_gpu(seen) else "on the CPU"
    aside = f" To look at: {', '.join(count[Status.WARN])}." if count[Status.WARN] else ""
    return f"All that is needed works: {seen.model.name or 'a model'} {device}.{aside}"


def as_json(seen: Observed, findings: Sequence[Finding]) -> dict[str, Any]:
    """For programs, and for whoever is asked for help: nothing in it is secret."""
    return {
        "format": FORMAT,
        "care_voice": seen.system.version,
        "status": worst(findings),
        "verdict": verdict(seen, findings),
        "findings": [asdict(finding) for finding in findings],
        "observed": asdict(seen),
    }
