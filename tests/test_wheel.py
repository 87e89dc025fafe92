"""A plain `pip install .` gives a working care-voice: pages and demo model are inside."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.running import REPO

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the checkout by the project's own build backend."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=REPO, check=True, capture_output=True,
    )  # fmt: skip
    [built] = out.glob("care_voice-*.whl")
    return built


def test_pages_and_demo_model_are_inside_and_tests_are_not(wheel: Path) -> None:
    """What the gateway reads at run time is in the wheel, and nothing that it does not need."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for needed in (
        "static/captions.html", "static/ward.html", "static/microphone.html", "static/style.css",
        "models/manifest.toml", "models/demo/model.bin", "models/demo/tokenizer.json", "models/demo/audio/dialog_en.wav",
    ):  # fmt: skip
        assert f"gateway/_bundled/{needed}" in names
    assert not [name for name in names if name.startswith("tests") or "__pycache__" in name]


def test_an_unpacked_wheel_serves_itself(wheel: Path, tmp_path: Path) -> None:
    """Outside the checkout, with the wheel's own files only: the command runs and finds its model and pages."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "from gateway import resources; from gateway.inference.shelf import choose_model, models_dir;"
        "print(resources.static_dir()); print(choose_model('demo', False, models_dir()).directory)"
    )
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    ).stdout.split()  # fmt: skip
    assert found == [f"{tmp_path}/gateway/_bundled/static", f"{tmp_path}/gateway/_bundled/models/demo"]
    helped = subprocess.run(
        [sys.executable, "-P", "-m", "gateway", "--help"], cwd=tmp_path, check=True, capture_output=True,
        text=True, env=os.environ | {"PYTHONPATH": str(tmp_path)},
    ).stdout  # fmt: skip
    assert all(name in helped for name in ("serve", "demo", "stream", "models"))
