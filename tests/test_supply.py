"""What the gateway is made of: everything locked by hash, nothing that is not, and a list of it."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.running import REPO

LOCKS = ["requirements.lock", "requirements-dev.lock"]


def locked(path: str) -> dict[str, list[str]]:
    """Requirement -> its hashes."""
    found: dict[str, list[str]] = {}
    for line in (REPO / path).read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            name = line.split(" ")[0]
            found[name] = []
        elif line.strip().startswith("--hash=sha256:"):
            found[name].append(line.strip(" \\"))
    return found


@pytest.mark.parametrize("path", LOCKS)
def test_every_requirement_is_pinned_and_hashed(path: str) -> None:
    """One version, at least one SHA-256 each: pip installs nothing else."""
    assert len(locked(path)) > 40
    for requirement, hashes in locked(path).items():
        assert re.fullmatch(r"[a-z0-9.\[\]-]+==[\w.+!]+", requirement), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", item) for item in hashes)


@pytest.mark.parametrize("path", LOCKS)
def test_no_index_is_named(path: str) -> None:
    """Where packages come from is the installer's business; no other index is slipped in."""
    assert not re.search(
        r"https?://|file://|^-|--(extra-)?index-url|--find-links", (REPO / path).read_text(), re.M
    )


def test_every_dependency_is_locked() -> None:
    """What pyproject.toml asks for is in the lock file of those who run it."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[\[<>=!; ]", item)[0] for item in project["dependencies"]}
    assert wanted <= {name.partition("==")[0] for name in locked("requirements.lock")}


@pytest.mark.slow
def test_the_bill_of_materials_is_the_lock_file(tmp_path: Path) -> None:
    """`make sbom`: each locked package with its version and hash, CycloneDX, the same every time."""
    recipe = re.search(
        r"\$\(BIN\)/(cyclonedx-py .*?) 2>", (REPO / "Makefile").read_text().replace("\\\n", ""), re.S
    )
    assert recipe
    texts = []
    for n in range(2):
        made = tmp_path / f"{n}.json"
        command = recipe[1].replace("dist/sbom.json", str(made)).split()
        subprocess.run(
            [Path(sys.executable).parent / command[0], *command[1:]],
            cwd=REPO,
            check=True,
            capture_output=True,
        )
        texts.append(made.read_text())
    assert texts[0] == texts[1]
    bill = json.loads(texts[0])
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "care-voice"
    listed = {f"{c['name']}=={c['version']}": c for c in bill["components"]}
    assert set(listed) == set(locked("requirements.lock"))
    assert all(c["externalReferences"][0]["hashes"] for c in listed.values())
