"""compose.yaml is valid, and runs the gateway as locked in as the image allows."""

import re

import pytest

from gateway.config import Settings
from tests.deploy.tools import DEPLOY, passes, read_yaml, run, tool

SERVICES = read_yaml("compose.yaml")["services"]
GATEWAYS = ["gateway-cpu", "gateway-gpu"]


def test_the_file_keeps_the_compose_schema() -> None:
    """No misspelt key, no value of another type."""
    passes(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


@pytest.mark.parametrize("profile", ["cpu", "gpu", "monitoring"])
def test_docker_compose_reads_each_profile(profile: str) -> None:
    """Anchors, profiles, secrets and volumes fit together."""
    passes(tool("docker-compose"), "-f", DEPLOY / "compose.yaml", "--profile", profile, "config", "-q")


def test_a_misspelt_key_is_seen() -> None:
    """The check is one: it refuses what is wrong."""
    wrong = (DEPLOY / "compose.yaml").read_text().replace("read_only:", "readonly:")
    assert run(tool("docker-compose"), "-f", "-", "--profile", "cpu", "config", "-q", stdin=wrong).returncode


@pytest.mark.parametrize("name", GATEWAYS)
def test_the_gateway_is_locked_in(name: str) -> None:
    """Read-only root, no capabilities, no new privileges, bounded processes and memory, loopback only."""
    service = SERVICES[name]
    assert service["read_only"]
    assert service["init"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert service["ports"] == ["${CARE_VOICE_BIND:-127.0.0.1}:${CARE_VOICE_PUBLISH:-8001}:8001"]
    assert [volume.split(":/app/")[1] for volume in service["volumes"]] == ["data", "models:ro,z"]


@pytest.mark.parametrize("name", GATEWAYS)
def test_there_is_time_for_the_last_finals(name: str) -> None:
    """The container is not killed before the gateway has drained: 15 s beyond the grace time."""
    grace_s = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace_s >= Settings().server.drain_grace_s + 15


def test_only_the_gpu_profile_wants_a_gpu() -> None:
    """The one refuses to start without a GPU, the other never asks for one."""
    assert SERVICES["gateway-gpu"]["environment"] == {"CARE_VOICE_DEVICE": "cuda"}
    assert "deploy" in SERVICES["gateway-gpu"]
    assert "deploy" not in SERVICES["gateway-cpu"]
    assert SERVICES["gateway-cpu"]["build"]["args"]["GPU"] == "no"


def test_every_variable_in_the_sample_is_a_setting() -> None:
    """gateway.env.example names settings of docs/configuration.md, and no other."""
    known = {
        f"CARE_VOICE_{field.upper()}" for _, section in Settings() for field in type(section).model_fields
    }
    used = set(re.findall(r"^(\w+)=", (DEPLOY / "gateway.env.example").read_text(), re.M))
    assert used
    assert used <= known


def test_no_published_image_is_a_moving_one() -> None:
    """Images of others are named with a version."""
    for service in SERVICES.values():
        assert re.search(r":(cpu|gpu|v?\d+\.\d+\.\d+)$", service["image"])
