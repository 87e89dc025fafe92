"""The committed corpus, and a short run of the fuzzer: nothing that strangers send raises anything unexpected."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from tests.running import REPO

CORPUS = Path(__file__).parent / "corpus"
SOAK = bool(os.environ.get("SOAK"))
RUNS = {"audio": 2_000, "export_text": 200}
"""3000 of the others; ten minutes of each in `make soak`."""
LIMITS = ["-rss_limit_mb=2048", "-timeout=10", "-max_len=4096", "-seed=1"]
"""A decode of 4 KB may take 2 GB in all and 10 s, and is then a finding."""


def corpus(name: str) -> list[Path]:
    return sorted((CORPUS / name).iterdir())


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_holds_no_surprise(name: str) -> None:
    """Every input that was ever interesting, also cut short and with bytes changed."""
    target = TARGETS[name]
    assert len(corpus(name)) >= 5
    for path in corpus(name):
        data = path.read_bytes()
        for cut in (data, data[:-1], data[: len(data) // 2], bytes(b ^ 0x80 for b in data), data + data):
            target(cut)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100)
@given(data=st.binary(max_size=300))
def test_any_bytes_hold_no_surprise(name: str, data: bytes) -> None:
    """Without any knowledge of the format."""
    TARGETS[name](data)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not for this platform")
@pytest.mark.parametrize("name", TARGETS)
def test_the_fuzzer_finds_nothing(name: str, tmp_path: Path) -> None:
    """Guided by coverage, the same run every time; much longer in `make soak`."""
    found = tmp_path / "found"
    found.mkdir()
    command = [sys.executable, "-m", "tests.fuzz.run", name, *LIMITS]
    command.append("-max_total_time=600" if SOAK else f"-runs={RUNS.get(name, 3_000)}")
    done = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/", found, CORPUS / name],
        cwd=REPO, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
