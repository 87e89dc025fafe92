"""Write the tables of docs/configuration.md from gateway/config.py, between its markers.

Run after a change of a setting: .venv/bin/python scripts/settings.py (tests/test_docs.py compares).
"""

import re
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gateway.commands.options import PREFIX, SECTIONS  # noqa: E402 (the checkout's, whatever is installed)

PAGE = ROOT / "docs" / "configuration.md"
BOUNDS = (("ge", "at least {}"), ("gt", "above {}"), ("le", "at most {}"), ("lt", "below {}"))


def tables() -> dict[str, str]:
    """Section -> its table in Markdown, one row a setting, in the order of config.py."""
    head = "| flag | environment | key | default | meaning |\n|---|---|---|---|---|\n"
    return {
        section: head + "\n".join(row(name, field) for name, field in model.model_fields.items())
        for section, model in SECTIONS.items()
    }


def row(name: str, field: FieldInfo) -> str:
    flag = name.replace("_", "-")
    said = f"`--{flag}`, `--no-{flag}`" if field.annotation is bool else f"`--{flag}`"
    default = str(field.default).lower() if field.annotation is bool else field.default
    cells = (
        said,
        f"`{PREFIX}{name.upper()}`",
        f"`{name}`",
        f"`{default}`" if default != "" else "empty",
        meaning(field),
    )
    return f"| {' | '.join(cells)} |"


def meaning(field: FieldInfo) -> str:
    """The description, and what values it may have."""
    limits = [
        text.format(getattr(rule, key))
        for key, text in BOUNDS
        for rule in field.metadata
        if hasattr(rule, key)
    ]
    if get_origin(field.annotation) is Literal:
        limits = ["one of " + ", ".join(f"`{choice}`" for choice in get_args(field.annotation))]
    text = (field.description or "").replace(" *", " \\*").replace("|", "\\|")
    return f"{text} ({', '.join(limits)})" if limits else text


def page(text: str) -> str:
    """The page with its tables as they must be."""
    for section, table in tables().items():
        marked = re.compile(rf"(<!-- {section} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, found = marked.subn(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)
        if found != 1:
            raise SystemExit(f"{PAGE}: exactly one <!-- {section} --> is wanted, {found} are there")
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
