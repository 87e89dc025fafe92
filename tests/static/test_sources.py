"""What can be read off the sources of the pages, without a browser."""

import json
import re
from pathlib import Path

STATIC = Path(__file__).resolve().parents[2] / "static"


def test_pages_hold_nothing_inline_and_no_html_sink() -> None:
    """The Content-Security-Policy is strict; no script writes HTML or evaluates text."""
    for path in STATIC.glob("*.html"):
        text = path.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\son\w+=|javascript:", text), path.name
    for path in STATIC.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text()
        )


def test_scripts_stay_small() -> None:
    """No file above 300 lines."""
    for path in STATIC.glob("*.js"):
        assert path.read_text().count("\n") <= 300, path.name


def test_cores_touch_no_page_no_clock_and_no_network() -> None:
    """A script whose head says core decides from its arguments only."""
    impure = r"\bdocument\.\w|\bwindow\.\w|WebSocket\(|localStorage|Date\.now|Math\.random|setTimeout|fetch\("
    cores = [p for p in STATIC.glob("*.js") if p.read_text().startswith("// core")]
    assert {"captions.js", "alerts.js", "outbox.js", "i18n.js"} <= {p.name for p in cores}
    for path in cores:
        code = re.sub(r"^\s*(//|\*|/\*\*).*$", "", path.read_text(), flags=re.M)
        assert not re.search(impure, code), path.name


def test_everything_that_is_asked_for_exists() -> None:
    """Each /static/ address in a page, script, style or manifest is a file; each icon is in the sprite."""
    icons = set(re.findall(r'id="([\w-]+)"', (STATIC / "icons.svg").read_text()))
    for path in STATIC.iterdir():
        text = path.read_text()
        for name in re.findall(r"/static/([\w.-]+\.\w+)", text):
            assert (STATIC / name).is_file(), f"{path.name} asks for {name}"
        for name in re.findall(r'from "\./([\w.-]+)"', text):
            assert (STATIC / name).is_file(), f"{path.name} imports {name}"
        for name in re.findall(r"icons\.svg#([\w-]+)", text) + re.findall(r'\bicon\("([\w-]+)"', text):
            assert name in icons, f"{path.name} shows {name}"
    assert json.loads((STATIC / "site.webmanifest").read_text())["icons"]
