"""podman as it works on any Linux with root, registry or none: storage and settings of its own, a base that is made here.

The base image comes from a registry with CONTAINER_TEST_BASE=registry. Else a minimal Debian is imported under its
name, with the user of id 1000 that Ubuntu 24.04 has: near enough for all but Ubuntu's own packages and CUDA's files.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.tools import DEPLOY
from tests.running import REPO

PLACE = Path("/var/tmp/care-voice-containers")
"""The base and the last images, kept from run to run: about 1 GB, with the GPU image 3."""
BASE = "docker.io/nvidia/cuda:12.9.1-base-ubuntu24.04"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
TIMESTAMP = 1_700_000_000
"""Unix seconds, of every file and layer: what is left to differ between two builds is a real difference."""
# Without these: no right to raise limits, and two kinds of control groups at once (crun refuses).
CONTAINERS = """[containers]
default_ulimits = ["nofile=8192:8192", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
DEBIAN = """
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n1)
mmdebstrap --quiet --variant=minbase --include=ca-certificates,passwd \
    --customize-hook='chroot "$1" useradd -m -u 1000 -s /bin/bash ubuntu' trixie - "${mirror%/}"
"""
LOCKED = [
    "--health-interval=disable", "--read-only", "--tmpfs", "/tmp:rw,size=64m,mode=1777", "--cap-drop=all",
    "--security-opt", "no-new-privileges", "--security-opt", "label=type:container_t", "--pids-limit", "512",
    "--memory", "4g",
]  # fmt: skip


class Podman:
    """Calls podman. Every call that fails fails the test, with what podman said."""

    def __init__(self) -> None:
        for name in ("podman", "runc", "mmdebstrap"):
            if shutil.which(name) is None:
                pytest.skip(f"{name} is missing: scripts/deploy-tools.sh")
        if os.geteuid() != 0:
            pytest.skip("root is missing: the base is made with chroot")
        PLACE.mkdir(parents=True, exist_ok=True)
        (PLACE / "containers.conf").write_text(CONTAINERS)
        (PLACE / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{PLACE}/root"\nrunroot = "{PLACE}/run"\n'
        )
        (PLACE / "pip.conf").write_text("[global]\ncert = /run/secrets/ca\n")
        self.environment = os.environ | {
            "CONTAINERS_CONF": f"{PLACE}/containers.conf", "CONTAINERS_STORAGE_CONF": f"{PLACE}/storage.conf",
        }  # fmt: skip

    def run(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["nice", "-n", "15", "podman", *map(str, arguments)], capture_output=True, text=True, cwd=REPO,
            env=self.environment, timeout=1500,
        )  # fmt: skip
        assert not check or done.returncode == 0, (
            f"podman {arguments}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        )
        return done

    def inspect(self, kind: str, name: str) -> Any:
        return json.loads(self.run(kind, "inspect", name).stdout)[0]

    def base(self) -> None:
        """Have the base image, under its name."""
        if self.run("image", "exists", BASE, check=False).returncode == 0:
            return
        if os.environ.get("CONTAINER_TEST_BASE") == "registry":
            self.run("pull", "-q", BASE)
            return
        made = subprocess.Popen(["sh", "-euc", DEBIAN], stdout=subprocess.PIPE)
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        subprocess.run(
            ["podman", "import", "-q", "--change", f"ENV {path}", "-", BASE],
            stdin=made.stdout, check=True, capture_output=True, env=self.environment,
        )  # fmt: skip
        assert made.wait() == 0

    def build(self, tag: str, *options: str, gpu: bool = False) -> str:
        """The image's name."""
        self.base()
        secrets = ["--secret", f"id=pipconf,src={PLACE}/pip.conf", "--secret", f"id=ca,src={CERTIFICATES}"]
        name = f"localhost/care-voice:{tag}"
        self.run(
            "build", "--isolation", "chroot", "--pull=never", "--format", "docker", "--layers", "--timestamp",
            str(TIMESTAMP), "-f", DEPLOY / "Containerfile", "--build-arg", f"GPU={'yes' if gpu else 'no'}", "-t", name,
            *(secrets if CERTIFICATES.is_file() else []), *options, REPO,
        )  # fmt: skip
        return name
