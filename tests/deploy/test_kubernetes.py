"""The manifests: what kustomize makes of them, against the schemas of Kubernetes and of the Prometheus operator."""

import json
from functools import cache
from typing import Any

import pytest
import yaml

from gateway.config import Settings
from tests.deploy.tools import DEPLOY, TOOLS, passes, run, tool

OVERLAYS = ["overlays/cpu", "overlays/gpu", "overlays/fleet"]
FOLDERS = [*OVERLAYS, "models"]
SCHEMA = "1.32"


@cache
def built(folder: str) -> str:
    return passes(tool("kubectl"), "kustomize", DEPLOY / "kubernetes" / folder)


def objects(folder: str) -> dict[tuple[str, str], Any]:
    """(kind, name) -> the object."""
    found = [item for item in yaml.safe_load_all(built(folder)) if item]
    return {(item["kind"], item["metadata"]["name"]): item for item in found}


def gateway_pod(folder: str) -> Any:
    return objects(folder)["StatefulSet", "care-voice"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_keeps_the_schema(folder: str) -> None:
    """No unknown field, no value of another type, in the API of Kubernetes."""
    passes(tool("kubernetes-validate"), "--strict", "--no-warn", "-k", SCHEMA, "-", stdin=built(folder))


def test_an_unknown_field_is_seen() -> None:
    """The check is one."""
    wrong = built("overlays/cpu").replace("readOnlyRootFilesystem", "readonlyRoot")
    done = run(tool("kubernetes-validate"), "--strict", "--no-warn", "-k", SCHEMA, "-", stdin=wrong)
    assert done.returncode


def test_the_service_monitor_keeps_the_operators_schema() -> None:
    """Checked by the operator's own definitions, since Kubernetes does not know the kind."""
    checker = TOOLS / "node/operator.mjs"
    if not checker.is_file():
        pytest.skip("@kubernetes-models/prometheus-operator is missing: scripts/deploy-tools.sh")
    monitor = objects("overlays/cpu")["ServiceMonitor", "care-voice"]
    passes(tool("node"), checker, stdin=json.dumps(monitor))
    monitor["spec"]["endpoints"][0]["port"] = 8001
    assert run(tool("node"), checker, stdin=json.dumps(monitor)).returncode


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_container_can_do_more_than_it_must(folder: str) -> None:
    """Pod security `restricted`, and a root file system that cannot be written."""
    for item in objects(folder).values():
        if "template" not in item.get("spec", {}):
            continue
        pod = item["spec"]["template"]["spec"]
        assert not pod["automountServiceAccountToken"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 1000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_service_changes_a_setting(folder: str) -> None:
    """A Service named care-voice would else set CARE_VOICE_PORT to tcp://..., which is no port."""
    pods = [
        i["spec"]["template"]["spec"] for i in objects(folder).values() if "template" in i.get("spec", {})
    ]
    assert pods
    assert all(pod["enableServiceLinks"] is False for pod in pods)


@pytest.mark.parametrize("folder", OVERLAYS)
def test_probes_ask_the_right_question(folder: str) -> None:
    """Lives: /healthz. Takes speakers: /readyz. A start may take minutes."""
    [container] = gateway_pod(folder)["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    startup = container["startupProbe"]
    assert startup["httpGet"]["path"] == "/readyz"
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
    assert gateway_pod(folder)["terminationGracePeriodSeconds"] >= Settings().server.drain_grace_s + 15


@pytest.mark.parametrize("folder", OVERLAYS)
def test_selectors_find_their_pods(folder: str) -> None:
    """Services, budget, network policy and monitor mean what is there."""
    found = objects(folder)
    labels = found["StatefulSet", "care-voice"]["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        found["Service", "care-voice"]["spec"]["selector"],
        found["Service", "care-voice-pods"]["spec"]["selector"],
        found["PodDisruptionBudget", "care-voice"]["spec"]["selector"]["matchLabels"],
        found["NetworkPolicy", "care-voice"]["spec"]["podSelector"]["matchLabels"],
        found["StatefulSet", "care-voice"]["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels for selector in selectors)
    monitor = found["ServiceMonitor", "care-voice"]["spec"]
    service = found["Service", "care-voice"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert not monitor["selector"]["matchLabels"].items() <= (
        found["Service", "care-voice-pods"]["metadata"]["labels"].items()
    ), "each pod is read once"
    assert monitor["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
    settings = [item for (kind, _), item in found.items() if kind == "ConfigMap"]
    [reference] = gateway_pod(folder)["containers"][0]["envFrom"]
    assert [item["metadata"]["name"] for item in settings] == [reference["configMapRef"]["name"]]


def test_viewers_reach_a_gateway_that_is_full() -> None:
    """The ward's Service has not-ready addresses too; the fleet's sends newcomers elsewhere, and old ones back."""
    for folder in ("overlays/cpu", "overlays/gpu"):
        assert objects(folder)["Service", "care-voice"]["spec"]["publishNotReadyAddresses"] is True
    fleet = objects("overlays/fleet")["Service", "care-voice"]["spec"]
    assert fleet["publishNotReadyAddresses"] is False
    assert fleet["sessionAffinity"] == "ClientIP"


def test_only_the_fleet_is_scaled() -> None:
    """By a metric that the gateway has; a ward's gateway is one, whose beds a second would not show."""
    for folder in ("overlays/cpu", "overlays/gpu"):
        assert not [kind for kind, _ in objects(folder) if kind == "HorizontalPodAutoscaler"]
        assert objects(folder)["StatefulSet", "care-voice"]["spec"]["replicas"] == 1
    scaler = objects("overlays/fleet")["HorizontalPodAutoscaler", "care-voice"]["spec"]
    assert scaler["scaleTargetRef"]["kind"] == "StatefulSet"
    assert scaler["metrics"][0]["pods"]["metric"]["name"] == "care_voice_sessions_open"


def test_settings_in_the_cluster_exist() -> None:
    """Every variable of every overlay is a setting."""
    known = {
        f"CARE_VOICE_{field.upper()}" for _, section in Settings() for field in type(section).model_fields
    }
    for folder in OVERLAYS:
        [config] = [item for (kind, _), item in objects(folder).items() if kind == "ConfigMap"]
        assert set(config["data"]) <= known
