"""Agents' own plug-ins against a real gateway: each example of docs/integrations.md is run as it stands."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import REPO, RunningGateway
from tests.talking import REFERENCES, error_rate
from tests.test_docs import blocks, read

PYTHON = REPO / ".venv/integrations/bin/python"
CLIP = "en_01.wav"
EXAMPLES = {text.split(":")[0].removeprefix("# "): text for _, text in blocks(read("docs/integrations.md"))}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="`make .venv/integrations/.done` has not been run"),
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    gateway = RunningGateway.start(tmp_path_factory.mktemp("gateway") / "log")
    yield gateway
    gateway.stop()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_prints_what_was_said(name: str, gateway: RunningGateway, tmp_path: Path) -> None:
    """A copied example, with nothing but the address changed, gives the words of the recording."""
    program = tmp_path / name
    program.write_text(EXAMPLES[name])
    clip = REPO / "tests/data/audio" / CLIP
    environment = os.environ | {"GATEWAY": gateway.url.removeprefix("http://")}
    ran = subprocess.run(
        [PYTHON, program, clip], capture_output=True, text=True, timeout=100, env=environment, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    said = ran.stdout.replace("\n", " ")
    assert error_rate(REFERENCES[CLIP]["text"], said) <= 0.3, (said, ran.stderr[-2000:])
