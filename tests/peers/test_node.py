"""The vendors' Node SDKs against a real gateway (`make node-test` installs them; they insist on TLS)."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import REPO, RunningGateway
from tests.talking import REFERENCES, error_rate

HERE = Path(__file__).parent / "node"
CLIP = "en_01.wav"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("node") and (HERE / "node_modules").is_dir()),
        reason="`make node-test` has not been run",
    ),
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    gateway = RunningGateway.start(tmp_path_factory.mktemp("gateway") / "log", "--tls-self-signed")
    yield gateway
    gateway.stop()


@pytest.mark.parametrize("sdk", ["openai", "deepgram"])
def test_the_node_sdk_gets_what_was_said(sdk: str, gateway: RunningGateway, tmp_path: Path) -> None:
    """The SDK trusts our CA, speaks its protocol, and hands out the words of the clip."""
    ca = next((gateway.log_path.parent / "data").rglob("*ca*.pem"))
    ran = subprocess.run(
        ["node", f"{sdk}.mjs", gateway.url, REPO / "tests/data/audio" / CLIP],
        cwd=HERE, capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"NODE_EXTRA_CA_CERTS": str(ca)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert error_rate(REFERENCES[CLIP]["text"], ran.stdout) <= 0.3, (ran.stdout, ran.stderr)


def test_the_sdks_are_pinned() -> None:
    """By version and hash, and by nobody's address."""
    lock = json.loads((HERE / "package-lock.json").read_text())
    packages = [package for name, package in lock["packages"].items() if name]
    assert all(package["integrity"].startswith("sha512-") for package in packages)
    assert not any("resolved" in package for package in packages)
