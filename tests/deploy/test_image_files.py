"""What the image is made from, without building it."""

import re
import tomllib

import pytest

import gateway
from gateway.config import Settings
from tests.deploy.tools import DEPLOY, passes, tool
from tests.running import REPO
from tests.test_supply import locked

CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
LAST_STAGE = CONTAINERFILE.split("# --- the image")[1]


def test_hadolint_finds_nothing() -> None:
    """The Containerfile keeps the linter's rules; the exceptions stand in it."""
    passes(tool("hadolint"), DEPLOY / "Containerfile")


def test_the_label_says_the_version() -> None:
    """ARG VERSION is the package's, in both stages (the build itself fails if it is not)."""
    assert re.findall(r"^ARG VERSION=(.+)$", CONTAINERFILE, re.M) == [gateway.__version__] * 2


def test_one_port_and_one_data_directory() -> None:
    """The image opens the gateway's default port, and its volume is where the gateway looks by itself."""
    assert f"EXPOSE {Settings().server.port}\n" in LAST_STAGE
    assert f"or {Settings().server.port})" in (DEPLOY / "healthcheck.py").read_text()
    for name, path in (("resources.py", "/app/data"), ("inference/shelf.py", "/app/models")):
        assert f'Path("{path}")' in (REPO / "gateway" / name).read_text()
        assert path in LAST_STAGE
    assert 'VOLUME ["/app/data"]' in LAST_STAGE


def test_the_image_runs_as_a_numbered_user() -> None:
    """Kubernetes' runAsNonRoot looks at the number; nothing after it goes back to root."""
    assert re.findall(r"^USER (.+)$", LAST_STAGE, re.M) == ["1000:1000"]


def test_both_ignore_files_are_the_same() -> None:
    """podman and Docker send the same files to the build."""
    assert (REPO / ".containerignore").read_text() == (DEPLOY / "Containerfile.dockerignore").read_text()


def test_everything_in_the_wheel_is_sent_to_the_build() -> None:
    """What pyproject.toml puts into the wheel is not left out by the ignore file."""
    sent = {line[1:] for line in (REPO / ".containerignore").read_text().splitlines() if line.startswith("!")}
    built = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*built["packages"], *built["force-include"], "README.md", "LICENSE", "pyproject.toml"} <= sent


@pytest.mark.parametrize("name", ["deploy/cuda", "deploy/build", "tests/deploy/tools"])
def test_what_is_installed_besides_is_locked_too(name: str) -> None:
    """One version and its hashes for each package; what the .in file asks for is among them."""
    found = locked(f"{name}.lock")
    assert all("==" in requirement and hashes for requirement, hashes in found.items())
    wanted = re.findall(r"^([a-z0-9-]+)[>=]", (REPO / f"{name}.in").read_text(), re.M)
    assert set(wanted) <= {requirement.partition("==")[0] for requirement in found}
    assert not re.search(r"https?://|^-", (REPO / f"{name}.lock").read_text(), re.M)


def test_the_image_has_the_cublas_that_the_extra_means() -> None:
    """deploy/cuda.in asks for what `pip install care-voice[cuda]` asks for."""
    extras = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [ln for ln in (DEPLOY / "cuda.in").read_text().splitlines() if not ln.startswith("#")] == extras[
        "cuda"
    ]
