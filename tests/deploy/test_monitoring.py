"""Scrape configuration, alarms and dashboard: valid, tested, and about metrics that exist."""

import contextlib
import json
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.metrics import Metrics
from gateway.vitals import Vitals
from tests.deploy.tools import DEPLOY, passes, read_yaml, tool
from tests.running import REPO, RunningGateway, command, environment

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


@pytest.mark.slow
def test_prometheus_reads_a_gateway_with_the_least_key(tmp_path: Path) -> None:
    """Run for real: the target is up with a key that opens no bed, the rules are loaded, and no alarm fires."""
    prometheus = tool("prometheus")
    key = subprocess.run(
        command("token", "create", "--role", "viewer", "--bed", "metrics", "--data-dir", str(tmp_path / "data")),
        check=True, capture_output=True, text=True, env=environment(), cwd=REPO,
    ).stdout  # fmt: skip
    (tmp_path / "key").write_text(key)
    (tmp_path / "alerts.yml").write_text((MONITORING / "alerts.yml").read_text())
    gateway = RunningGateway.start(tmp_path / "log")
    text = (MONITORING / "prometheus.yml").read_text().replace("15s", "1s")
    text = text.replace("/run/secrets/metrics_key", str(tmp_path / "key"))
    (tmp_path / "prometheus.yml").write_text(
        text.replace("gateway:8001", gateway.url.removeprefix("http://"))
    )
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{made.getsockname()[1]}"
    with (tmp_path / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [prometheus, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb",
             f"--web.listen-address={address}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        assert asked(address, 'up{job="care-voice"}') == ["1"], (tmp_path / "prometheus.log").read_text()
        assert asked(address, "care_voice_sessions_open") == ["0"]
        with urllib.request.urlopen(f"http://{address}/api/v1/rules", timeout=5) as answer:
            groups = json.load(answer)["data"]["groups"]
        assert {(rule["name"], rule["state"]) for group in groups for rule in group["rules"]} == {
            (rule["alert"], "inactive") for rule in RULES
        }
    finally:
        process.terminate()
        process.wait(20)
        gateway.stop()


def asked(address: str, query: str) -> list[str]:
    """The values that Prometheus has for it, as soon as it has some."""
    url = f"http://{address}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if found := json.load(answer)["data"]["result"]:
                return [series["value"][1] for series in found]
        time.sleep(0.2)
    return []
