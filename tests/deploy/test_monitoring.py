"""Scrape configuration, alarms and dashboard: valid, tested, and about metrics that exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.metrics import Metrics
from gateway.vitals import Vitals
from tests.deploy.tools import DEPLOY, passes, read_yaml, tool
from tests.running import REPO

MONITORING = DEPLOY / "monitoring"
RULES = [rule for group in read_yaml("monitoring/alerts.yml")["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((MONITORING / "grafana/care-voice.json").read_text())
SUFFIXES = ("", "_total", "_bucket", "_sum", "_count")


def metrics() -> set[str]:
    """Every series that a gateway offers, by its name in queries."""
    ours = Metrics()
    nobody: Any = None  # gauges are declared without being read
    Vitals(nobody, nobody, nobody, nobody, nobody, nobody).watch(ours)
    return set(ours._registry._names_to_collectors)


def queries() -> list[str]:
    """Of the dashboard: panels, annotations, variables."""
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    notes = [note["expr"] for note in DASHBOARD["annotations"]["list"]]
    return [*panels, *notes]


def test_prometheus_takes_the_configuration(tmp_path: Path) -> None:
    """With the rules beside it, and the key where it will be."""
    (tmp_path / "key").write_text("x")
    text = (MONITORING / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(text.replace("/run/secrets/metrics_key", str(tmp_path / "key")))
    (tmp_path / "alerts.yml").write_text((MONITORING / "alerts.yml").read_text())
    passes(tool("promtool"), "check", "config", tmp_path / "prometheus.yml")


def test_each_alarm_comes_when_it_should() -> None:
    """promtool's own tests: all alarms in trouble, none on a quiet ward."""
    promtool = tool("promtool")
    passes(promtool, "check", "rules", "--lint-fatal", MONITORING / "alerts.yml")
    passes(promtool, "test", "rules", MONITORING / "alerts.test.yml")


def test_the_trouble_is_that_of_every_alarm() -> None:
    """alerts.test.yml counts all rules of alerts.yml as firing."""
    [trouble] = read_yaml("monitoring/alerts.test.yml")["tests"][1]["promql_expr_test"]
    assert trouble["exp_samples"][0]["value"] == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alarm_says_what_to_do(rule: dict[str, Any]) -> None:
    """A severity, a summary, and a runbook whose pages and headings exist."""
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"]
    runbook = rule["annotations"]["runbook"]
    assert len(runbook) > 40
    for page, anchor in re.findall(r"(docs/[\w-]+\.md)(?:#([\w-]+))?", runbook):
        headings = re.findall(r"^#+ (.+)$", (REPO / page).read_text(), re.M)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, runbook


@pytest.mark.parametrize("text", [*(rule["expr"] for rule in RULES), *queries()])
def test_every_metric_exists(text: str) -> None:
    """What rules and dashboard ask for, gateway/metrics.py or gateway/vitals.py offers."""
    used = set(re.findall(r"\bcare_voice_\w+", text))
    assert used <= metrics()
    assert used or "up{" in text


def test_codes_in_alarms_exist() -> None:
    """A code that an alarm waits for is one that the gateway refuses with."""
    told = (REPO / "docs/access.md").read_text() + (REPO / "docs/operations.md").read_text()
    for pattern in re.findall(r'code=~"([^"]+)"', " ".join(rule["expr"] for rule in RULES)):
        for code in pattern.replace(".*", "").split("|"):
            assert f"`{code}" in told


def test_the_dashboard_is_whole() -> None:
    """Panels have numbers of their own, do not overlap, and take their data from the chosen source."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"]
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "instance"}


def test_prometheus_understands_the_dashboard(tmp_path: Path) -> None:
    """Every query of it is PromQL, with Grafana's variables filled in."""
    filled = [text.replace("$__rate_interval", "1m").replace("$instance", ".*") for text in queries()]
    rules = [{"record": f"panel:{n}", "expr": text} for n, text in enumerate(filled)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    passes(tool("promtool"), "check", "rules", path)
