import hashlib
import json
import shutil
from pathlib import Path

import pytest

from gateway.inference.catalogue import (
    CatalogueError,
    Choice,
    ModelEntry,
    ModelMissing,
    NotAModel,
    UnknownModel,
)
from gateway.inference.shelf import (
    LOCK_NAME,
    choose_model,
    installed,
    load_catalogue,
    models_dir,
    read_lock,
    sha256_of,
    verify,
)
from gateway.resources import bundled_models_dir

CATALOGUE = load_catalogue()
DEMO = bundled_models_dir() / "demo"


def make_model(directory: Path, entry: ModelEntry, lock: bool = True) -> None:
    """Small files in the shape of a model, as a pull from another commit would leave them."""
    directory.mkdir(parents=True)
    files = {}
    for name in entry.files:
        content = f"{entry.name} {name}".encode()
        (directory / name).write_bytes(content)
        files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if lock:
        document = {"model": entry.name, "repository": entry.repository, "revision": "a" * 40, "files": files}
        (directory / LOCK_NAME).write_text(json.dumps(document))


def problems(directory: Path, entry: ModelEntry) -> dict[str, str]:
    return {check.name: check.problem for check in verify(directory, entry) if check.problem}


def test_the_demo_model_is_always_there_and_right(tmp_path: Path) -> None:
    """It comes with the gateway, and its files are those of the manifest."""
    assert installed(CATALOGUE, tmp_path) == {"demo": DEMO}
    assert problems(DEMO, CATALOGUE.find("demo")) == {}


def test_a_pulled_model_is_there(tmp_path: Path) -> None:
    """All files with the sizes of the lock: it is on the shelf, and chosen by name."""
    make_model(tmp_path / "tiny", CATALOGUE.find("tiny"))
    assert set(installed(CATALOGUE, tmp_path)) == {"demo", "tiny"}
    assert choose_model("tiny", False, tmp_path).directory == str(tmp_path / "tiny")


@pytest.mark.parametrize("name", list(CATALOGUE.find("tiny").files))
def test_half_a_model_is_not_there(tmp_path: Path, name: str) -> None:
    """A missing or shorter file (a copy still running): ModelMissing, never a crash while loading."""
    file = tmp_path / "tiny" / name
    make_model(tmp_path / "tiny", CATALOGUE.find("tiny"))
    file.write_bytes(file.read_bytes()[:-1])
    assert "tiny" not in installed(CATALOGUE, tmp_path)
    file.unlink()
    with pytest.raises(ModelMissing):
        choose_model("tiny", False, tmp_path)


def test_without_a_lock_the_manifest_decides(tmp_path: Path) -> None:
    """Hand-copied files of the wrong size are not taken for the model; where no checksum is known they are."""
    make_model(tmp_path / "tiny", CATALOGUE.find("tiny"), lock=False)
    make_model(tmp_path / "breeze-asr-25", CATALOGUE.find("breeze-asr-25"), lock=False)
    assert set(installed(CATALOGUE, tmp_path)) == {"demo", "breeze-asr-25"}
    checks = list(verify(tmp_path / "breeze-asr-25", CATALOGUE.find("breeze-asr-25")))
    assert not any(check.checked or check.problem for check in checks)


def test_a_download_in_progress_is_invisible(tmp_path: Path) -> None:
    """The staging directory is hidden and called otherwise."""
    make_model(tmp_path / ".tiny.aaaaaaaaaaaa.incomplete", CATALOGUE.find("tiny"))
    assert set(installed(CATALOGUE, tmp_path)) == {"demo"}


def test_verify_says_what_is_wrong_with_which_file(tmp_path: Path) -> None:
    """Same size and other bytes, another size, gone: three different words."""
    shutil.copytree(DEMO, tmp_path / "demo")
    entry = CATALOGUE.find("demo")
    config = (DEMO / "config.json").read_bytes()
    (tmp_path / "demo" / "config.json").write_bytes(bytes([config[0] ^ 1]) + config[1:])
    (tmp_path / "demo" / "tokenizer.json").write_bytes(b"{}")
    (tmp_path / "demo" / "vocabulary.json").unlink()
    assert problems(tmp_path / "demo", entry) == {
        "config.json": "has another sha256",
        "tokenizer.json": "has 2 bytes instead of 3930378",
        "vocabulary.json": "is missing",
    }


def test_the_manifest_is_believed_before_the_lock(tmp_path: Path) -> None:
    """Who changes a file and its lock does not pass: for its own commit the manifest's checksum counts."""
    entry = CATALOGUE.find("tiny")
    make_model(tmp_path / "tiny", entry)
    assert problems(tmp_path / "tiny", entry) == {}
    lock = json.loads((tmp_path / "tiny" / LOCK_NAME).read_text()) | {"revision": entry.revision}
    (tmp_path / "tiny" / LOCK_NAME).write_text(json.dumps(lock))
    assert set(problems(tmp_path / "tiny", entry)) == set(entry.files)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": 1}'])
def test_a_broken_lock_is_an_error_and_no_model(tmp_path: Path, text: str) -> None:
    """It says to pull again; the gateway does not start on it."""
    make_model(tmp_path / "tiny", CATALOGUE.find("tiny"))
    (tmp_path / "tiny" / LOCK_NAME).write_text(text)
    with pytest.raises(CatalogueError, match="pull it again"):
        read_lock(tmp_path / "tiny")
    assert "tiny" not in installed(CATALOGUE, tmp_path)


def test_where_models_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is configured, else the container's mount, else the user's cache."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models_dir("~/m") == tmp_path / "m"
    monkeypatch.setattr("gateway.inference.shelf._CONTAINER_DIR", tmp_path / "mount")
    assert models_dir() == tmp_path / ".cache/care-voice/models"
    (tmp_path / "mount").mkdir()
    assert models_dir() == tmp_path / "mount"


def test_the_demo_is_chosen_from_where_it_is_bundled(tmp_path: Path) -> None:
    """Wherever models are kept."""
    assert choose_model("demo", False, tmp_path) == Choice("demo", str(DEMO), CATALOGUE.find("demo"))


def test_a_directory_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path becomes absolute: the engine is another process. Nothing is assumed of it."""
    shutil.copytree(DEMO, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert choose_model("./mine", False, tmp_path) == Choice("mine", str(tmp_path / "mine"), None)


def test_auto_on_the_cpu_means_the_small_model(tmp_path: Path) -> None:
    """And says so when it is not there."""
    with pytest.raises(ModelMissing, match=r"the model small \(`auto` means it on the CPU\)"):
        choose_model("auto", False, tmp_path)


@pytest.mark.parametrize(
    ("model", "error"), [("./empty", NotAModel), ("./none", UnknownModel), ("smol", UnknownModel)]
)
def test_what_is_no_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, error: type[Exception]
) -> None:
    """An empty directory, no directory, no such name."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        choose_model(model, False, tmp_path)


def test_sha256_of_a_file(tmp_path: Path) -> None:
    """The known value of the empty file."""
    (tmp_path / "empty").touch()
    assert sha256_of(tmp_path / "empty").startswith("e3b0c44298fc1c14")
