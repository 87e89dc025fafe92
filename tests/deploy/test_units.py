"""systemd on bare metal, and podman's quadlets."""

import re
from pathlib import Path

import pytest

from gateway.config import Settings
from tests.deploy.tools import DEPLOY, passes, run, tool

SYSTEMD = DEPLOY / "systemd"
QUADLETS = DEPLOY / "quadlet"
EXPOSURE = 15
"""Tenths: what `systemd-analyze security` may find at most, of 100."""


def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """Section -> key -> its values."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in path.read_text().splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(section, {}).setdefault(key, []).append(value)
    return found


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """The unit with a program that is there, and the GPU's drop-in beside it."""
    text = (SYSTEMD / "care-voice.service").read_text()
    path = tmp_path / "care-voice.service"
    path.write_text(text.replace("/opt/care-voice/bin/care-voice serve", "/bin/true"))
    return path


def test_systemd_knows_every_key(service: Path) -> None:
    """Neither an error nor a word about an unknown key, with the GPU's drop-in too."""
    for dropped_in in (False, True):
        if dropped_in:
            folder = service.with_name("care-voice.service.d")
            folder.mkdir()
            (folder / "gpu.conf").write_text((SYSTEMD / "gpu.conf").read_text())
        done = run(tool("systemd-analyze"), "verify", "--man=no", service)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_service_can_do_little(service: Path) -> None:
    """systemd's own judgement of what a broken gateway could reach."""
    passes(
        tool("systemd-analyze"),
        "security",
        "--no-pager",
        "--offline=true",
        f"--threshold={EXPOSURE}",
        service,
    )


def test_systemd_waits_for_the_last_finals() -> None:
    """The stop time is longer than the gateway's own, here and in the quadlets."""
    needed_s = Settings().server.drain_grace_s + 15
    assert int(unit(SYSTEMD / "care-voice.service")["Service"]["TimeoutStopSec"][0]) >= needed_s
    for path in QUADLETS.glob("*.container"):
        found = unit(path)
        inside = int(re.search(r"--stop-timeout=(\d+)", found["Container"]["PodmanArgs"][0])[1])  # type: ignore[index]
        assert needed_s <= inside < int(found["Service"]["TimeoutStopSec"][0])


def test_a_bad_option_is_not_tried_again() -> None:
    """Exit status 2 means that starting again would not help."""
    assert unit(SYSTEMD / "care-voice.service")["Service"]["RestartPreventExitStatus"] == ["2"]


def test_quadlet_makes_units_that_systemd_takes(tmp_path: Path) -> None:
    """No unsupported key, and what comes out is valid."""
    quadlet = tool("quadlet")
    passes(quadlet, "-dryrun", QUADLET_UNIT_DIRS=str(QUADLETS))
    passes(quadlet, "-no-kmsg-log", tmp_path, QUADLET_UNIT_DIRS=str(QUADLETS))
    made = sorted(tmp_path.glob("*.service"))
    assert [path.name for path in made] == [
        "care-voice-cpu.service", "care-voice-data-volume.service", "care-voice-gpu.service",
    ]  # fmt: skip
    for path in made:
        path.write_text(path.read_text().replace("/usr/bin/podman", "/bin/true"))
        done = run(tool("systemd-analyze"), "verify", "--man=no", path, SYSTEMD_UNIT_PATH=f"{tmp_path}:")
        assert (done.returncode, done.stderr) == (0, "")


def test_quadlet_refuses_a_misspelt_key(tmp_path: Path) -> None:
    """The dry run is a check."""
    text = (QUADLETS / "care-voice-cpu.container").read_text()
    (tmp_path / "care-voice-cpu.container").write_text(text.replace("ReadOnly=", "Readonlyy="))
    assert run(tool("quadlet"), "-dryrun", QUADLET_UNIT_DIRS=str(tmp_path)).returncode


def test_the_quadlets_differ_by_the_gpu_alone() -> None:
    """What is changed in one is changed in the other."""
    cpu, gpu = (unit(QUADLETS / f"care-voice-{kind}.container") for kind in ("cpu", "gpu"))
    assert gpu["Container"].pop("AddDevice") == ["nvidia.com/gpu=all"]
    assert gpu["Container"].pop("Environment") == ["CARE_VOICE_DEVICE=cuda"]
    assert cpu["Container"].pop("Image") == ["localhost/care-voice:cpu"]
    assert gpu["Container"].pop("Image") == ["localhost/care-voice:gpu"]
    cpu["Unit"].pop("Description")
    gpu["Unit"].pop("Description")
    assert cpu == gpu


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_a_quadlet_is_locked_in(kind: str) -> None:
    """Read-only root, no capabilities, no new privileges, loopback only."""
    found = unit(QUADLETS / f"care-voice-{kind}.container")["Container"]
    for key, value in (
        ("ReadOnly", "true"), ("DropCapability", "all"), ("NoNewPrivileges", "true"), ("RunInit", "true"),
        ("PublishPort", "127.0.0.1:8001:8001"),
    ):  # fmt: skip
        assert found[key] == [value]
    assert "/srv/care-voice/models:/app/models:ro,z" in found["Volume"]
