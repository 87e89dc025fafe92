import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from huggingface_hub import close_session, constants

from gateway.commands.models import models
from gateway.inference.shelf import LOCK_NAME, load_catalogue
from gateway.resources import bundled_models_dir
from tests.inference.standin_hub import COMMIT, StandinHub

TINY = load_catalogue().find("tiny")
FILES = {name: f"{name} of a toy".encode() * 8000 for name in TINY.files}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandinHub]:
    with StandinHub(TINY.repository, dict(FILES)) as standin:
        monkeypatch.setattr(constants, "ENDPOINT", standin.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield standin
        close_session()


def run(*arguments: str, kept_in: Path, **environment: str) -> Result:
    variables = {"CARE_VOICE_MODELS_DIR": str(kept_in), "COLUMNS": "200", "LANG": "C"} | environment
    return CliRunner().invoke(models, list(arguments), env=variables)


def pull_toy(kept_in: Path) -> Result:
    return run("pull", "tiny", "--revision", "main", kept_in=kept_in)


def test_the_list_shows_every_model_and_what_is_here(tmp_path: Path) -> None:
    """One line a model: the built-in one is here, the others are not."""
    result = run("list", kept_in=tmp_path)
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert set(load_catalogue().models) <= set(rows)
    assert " here " in rows["demo"]
    assert " here " not in rows["large-v3-turbo"]
    assert "1.6 GB" in rows["large-v3-turbo"]
    assert str(tmp_path) in rows["Kept"]


def test_the_list_speaks_chinese(tmp_path: Path) -> None:
    """The descriptions follow the locale, and are not cut off on a narrow terminal."""
    result = run("list", kept_in=tmp_path, LANG="zh_TW.UTF-8", COLUMNS="80")
    text = "".join(line[60:].strip() for line in result.stdout.splitlines())
    assert "台灣首選" in text.replace(" ", "")
    assert "…" not in result.stdout


def test_the_list_as_json(tmp_path: Path) -> None:
    """Programs get every number, and the directory of what is here."""
    rows = {row["name"]: row for row in json.loads(run("list", "--json", kept_in=tmp_path).stdout)}
    assert rows["demo"]["directory"] == str(bundled_models_dir() / "demo")
    assert rows["small"]["directory"] is None
    assert rows["small"]["revision"] == load_catalogue().find("small").revision
    assert rows["small"]["download_bytes"] > 480_000_000


def test_pull_verify_path_list(hub: StandinHub, tmp_path: Path) -> None:
    """The whole way: after a pull the model is here, right, and has a path."""
    result = pull_toy(tmp_path)
    assert result.exit_code == 0, result.output
    assert "care-voice serve --model tiny" in result.stdout
    assert "model.bin" in result.stderr
    assert run("path", "tiny", kept_in=tmp_path).stdout.strip() == str(tmp_path / "tiny")
    result = run("verify", kept_in=tmp_path)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["demo: all files are right", "tiny: all files are right"]
    assert json.loads((tmp_path / "tiny" / LOCK_NAME).read_text())["revision"] == COMMIT


def test_several_models_in_one_pull(hub: StandinHub, tmp_path: Path) -> None:
    """One after the other; the second pull of the same does nothing."""
    result = run("pull", "tiny", "tiny", "--revision", "main", kept_in=tmp_path)
    assert result.exit_code == 0, result.output
    assert len(hub.asked_for("model.bin")) == 2  # resolve and its redirect


def test_verify_finds_a_changed_file(hub: StandinHub, tmp_path: Path) -> None:
    """Exit status 1, the file named, and what to do about it."""
    pull_toy(tmp_path)
    weights = tmp_path / "tiny" / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    result = run("verify", "tiny", kept_in=tmp_path)
    assert result.exit_code == 1
    assert f"{weights} has another sha256" in result.stderr
    assert "do not use it; remove" in result.stderr
    assert "models pull tiny" in result.stderr


def test_verify_of_what_is_not_here(tmp_path: Path) -> None:
    """Nothing to verify is a failure with the ways out, not a success."""
    result = run("verify", "small", kept_in=tmp_path)
    assert result.exit_code == 1
    assert "models pull small" in result.stderr


def test_verify_looks_at_an_incomplete_model_too(hub: StandinHub, tmp_path: Path) -> None:
    """A model that lacks a file is not listed as here, and verify says which file."""
    pull_toy(tmp_path)
    (tmp_path / "tiny" / "vocabulary.txt").unlink()
    assert "vocabulary.txt is missing" in run("verify", "tiny", kept_in=tmp_path).stderr
    (tmp_path / "tiny" / LOCK_NAME).write_text("{")
    result = run("verify", "tiny", kept_in=tmp_path)
    assert (result.exit_code, "pull it again" in result.stderr) == (1, True)


def test_files_without_a_checksum_are_not_called_right(tmp_path: Path) -> None:
    """A hand-copied model without a lock: what could not be compared is said."""
    entry = load_catalogue().find("breeze-asr-25")
    (tmp_path / entry.name).mkdir()
    for name in entry.files:
        (tmp_path / entry.name / name).write_text("copied")
    result = run("verify", entry.name, kept_in=tmp_path)
    assert "4 files without a recorded checksum were not compared" in result.stdout


@pytest.mark.parametrize("command", ["pull", "verify", "path"])
def test_an_unknown_name_is_a_usage_error(tmp_path: Path, command: str) -> None:
    """Exit status 2 with the near match."""
    result = run(command, "large-v3-trubo", kept_in=tmp_path)
    assert result.exit_code == 2
    assert "Did you mean large-v3-turbo" in result.stderr


def test_path_of_what_is_not_here(tmp_path: Path) -> None:
    """Exit status 1 and nothing on standard output, so that $(care-voice models path X) is safe."""
    result = run("path", "small", kept_in=tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")


def test_pull_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 1 with the three ways out, and nothing left that looks like a model."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    result = run("pull", "small", kept_in=tmp_path)
    assert result.exit_code == 1
    for way in ("models pull small", "--model DIRECTORY", "--model demo"):
        assert way in result.stderr
    assert not (tmp_path / "small").exists()


def test_pull_of_the_demo(tmp_path: Path) -> None:
    """It is built in: said plainly."""
    result = run("pull", "demo", kept_in=tmp_path)
    assert (result.exit_code, "nothing to download" in result.stderr) == (1, True)


@pytest.mark.parametrize("command", ["", "list", "pull", "verify", "path"])
def test_the_help_shows_how(command: str) -> None:
    """Every command explains itself; the group lists all of them."""
    result = CliRunner().invoke(models, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "care-voice models" in result.stdout or command in ("list", "path")
    assert all(ord(letter) < 128 for letter in result.stdout)


@pytest.mark.slow
def test_ctrl_c_leaves_a_state_to_go_on_from(hub: StandinHub, tmp_path: Path) -> None:
    """Exit status 130, half the weights kept; the same command goes on from there."""
    hub.faults.extend(["", "stall"])
    command = "from gateway.commands.models import models; models(prog_name='care-voice models')"
    arguments = ["pull", "tiny", "--revision", "main", "--models-dir", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *arguments],
        env=os.environ | {"HF_ENDPOINT": hub.url},
        stderr=subprocess.PIPE,
        text=True,
    )
    half = len(FILES["model.bin"]) // 2
    while not [1 for partial in tmp_path.rglob("model.bin.incomplete") if partial.stat().st_size == half]:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "The same command goes on from here." in said
    (partial,) = tmp_path.rglob("*.incomplete/model.bin.incomplete")
    assert not (tmp_path / "tiny").exists()
    hub.released.set()
    hub.requests.clear()
    assert pull_toy(tmp_path).exit_code == 0
    assert hub.asked_for("/cdn/model.bin")[0]["range"] == f"bytes={half}-"
    assert (tmp_path / "tiny" / "model.bin").read_bytes() == FILES["model.bin"]
    assert not partial.exists()


def test_a_copied_model_needs_no_network(hub: StandinHub, tmp_path: Path) -> None:
    """Air gap: the directory that `path` prints, copied with its lock, is a verified model elsewhere."""
    pull_toy(tmp_path / "here")
    shutil.copytree(
        run("path", "tiny", kept_in=tmp_path / "here").stdout.strip(), tmp_path / "there" / "tiny"
    )
    hub.requests.clear()
    assert run("verify", "tiny", kept_in=tmp_path / "there").exit_code == 0
    assert hub.requests == []
