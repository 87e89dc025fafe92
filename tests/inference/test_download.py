import fcntl
import hashlib
import json
import random
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

from gateway.inference.catalogue import ModelEntry, ModelFile
from gateway.inference.download import DownloadError, plan, pull
from gateway.inference.hub import Hub
from gateway.inference.shelf import LOCK_NAME, read_lock, verify
from gateway.resources import bundled_models_dir
from tests.inference.standin_hub import COMMIT, StandinHub

REPOSITORY = "somebody/faster-whisper-toy"
DEMO = bundled_models_dir() / "demo"
FILES = {
    "config.json": (DEMO / "config.json").read_bytes(),
    "preprocessor_config.json": (DEMO / "preprocessor_config.json").read_bytes(),
    "model.bin": random.Random(1).randbytes(3_000_000),
    "tokenizer.json": random.Random(2).randbytes(60_000),
    "vocabulary.txt": b"a\nb\n",
}


def entry(checksums: bool = True, **changes: object) -> ModelEntry:
    files = {
        name: ModelFile(len(content), hashlib.sha256(content).hexdigest() if checksums else "")
        for name, content in FILES.items()
    }
    toy = ModelEntry(
        name="toy", revision=COMMIT, pinned=True, languages=("*",), mel_bands=80, license="MIT",
        short_context=False, gpu_float16_mb=1, cpu_int8_mb=1, description="toy", description_zh_tw="玩具",
        files=files, repository=REPOSITORY,
    )  # fmt: skip
    return replace(toy, **changes)  # type: ignore[arg-type] # fields of ModelEntry


@pytest.fixture
def server() -> Iterator[StandinHub]:
    with StandinHub(REPOSITORY, dict(FILES)) as standin:
        yield standin
        close_session()


@pytest.fixture
def hub(server: StandinHub) -> Hub:
    return Hub(server.url, token="", pauses_s=(0, 0, 0), sleep=lambda pause_s: None)


def ignore(file: str, here: int, size: int) -> None:
    pass


def test_a_pull_brings_every_file_and_a_lock(server: StandinHub, hub: Hub, tmp_path: Path) -> None:
    """All files arrive whole, in the model's own directory, with what was verified written beside them."""
    assert pull(entry(), tmp_path, hub, ignore) == tmp_path / "toy"
    assert {p.name: p.read_bytes() for p in (tmp_path / "toy").iterdir() if p.name != LOCK_NAME} == FILES
    lock = read_lock(tmp_path / "toy")
    assert lock is not None
    assert (lock.repository, lock.revision) == (REPOSITORY, COMMIT)
    assert lock.files == dict(entry().files)
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_the_manifests_checksums_need_no_metadata(server: StandinHub, hub: Hub, tmp_path: Path) -> None:
    """A manifest with every checksum is believed before anything that the hub says."""
    pull(entry(), tmp_path, hub, ignore)
    assert server.asked_for("/api/") == []


def test_without_checksums_the_hubs_are_verified_and_kept(
    server: StandinHub, hub: Hub, tmp_path: Path
) -> None:
    """Large files are checked by the hub's sha256, small ones by their git blob; the lock has a sha256 of each."""
    directory = pull(entry(checksums=False), tmp_path, hub, ignore)
    assert all(check.checked and not check.problem for check in verify(directory, entry(checksums=False)))
    lock = read_lock(directory)
    assert lock is not None
    assert lock.files == dict(entry().files)


@pytest.mark.parametrize("damaged", ["config.json", "model.bin"])
def test_a_wrong_checksum_never_gets_its_name(
    server: StandinHub, hub: Hub, tmp_path: Path, damaged: str
) -> None:
    """A damaged file, small or large, by the manifest or by the hub, is removed and the model is not there."""
    toy = entry(checksums=damaged == "model.bin")
    server.faults.extend([""] * list(FILES).index(damaged) + ["damage"])
    with pytest.raises(DownloadError, match=f"{damaged} arrived with a wrong checksum"):
        pull(toy, tmp_path, hub, ignore)
    assert not (tmp_path / "toy").exists()
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(damaged)]
    assert pull(toy, tmp_path, hub, ignore).is_dir()


def test_a_cut_is_resumed_where_it_was(server: StandinHub, hub: Hub, tmp_path: Path) -> None:
    """After a cut only the rest is asked for; progress never goes back."""
    server.faults.extend(["", "", "cut", "cut", "cut", "cut", "cut"])
    seen: list[int] = []
    pull(entry(), tmp_path, hub, lambda file, here, size: seen.append(here) if file == "model.bin" else None)
    ranges = [headers["range"] for headers in server.asked_for("/cdn/model.bin") if "range" in headers]
    assert len(ranges) == 5
    assert ranges[0] == "bytes=1500000-"
    assert seen == sorted(seen)
    assert seen[-1] == 3_000_000


def test_a_new_process_resumes_too(server: StandinHub, hub: Hub, tmp_path: Path) -> None:
    """What an earlier pull left is used: verified files are not asked for again, the partial one goes on."""
    server.faults.extend(["", "", "cut", "503", "503", "503"])
    with pytest.raises(DownloadError):
        pull(entry(), tmp_path, hub, ignore)
    (left,) = (path for path in tmp_path.rglob("model.bin.incomplete"))
    assert left.stat().st_size == 1_500_000
    server.requests.clear()
    pull(entry(), tmp_path, hub, ignore)
    assert server.asked_for("/config.json") == []
    assert [headers["range"] for headers in server.asked_for("/cdn/model.bin")] == ["bytes=1500000-"]
    assert (tmp_path / "toy" / "model.bin").read_bytes() == FILES["model.bin"]


@pytest.mark.parametrize("fault", ["503", "416", "whole"])
def test_a_hub_in_trouble_is_asked_again(server: StandinHub, hub: Hub, tmp_path: Path, fault: str) -> None:
    """5xx, a refused Range and an ignored Range all end in the right bytes."""
    server.faults.extend(["", "", "cut", fault])
    directory = pull(entry(), tmp_path, hub, ignore)
    assert (directory / "model.bin").read_bytes() == FILES["model.bin"]


def test_it_pauses_longer_and_longer_and_says_so(server: StandinHub, tmp_path: Path) -> None:
    """Each failure in a row doubles the pause, with a note; then it gives up."""
    pauses: list[float] = []
    notes: list[str] = []
    server.faults.extend(["503"] * 5)
    hub = Hub(server.url, token="", note=notes.append, sleep=pauses.append)
    with pytest.raises(DownloadError, match="503"):
        pull(entry(), tmp_path, hub, ignore)
    assert pauses == [1, 2, 4, 8]
    assert notes[0] == "the hub answers 503; trying again in 1 s"


def test_more_bytes_than_announced_are_refused(server: StandinHub, hub: Hub, tmp_path: Path) -> None:
    """A hub cannot fill the disk."""
    server.faults.append("long")
    with pytest.raises(DownloadError, match="sends more than"):
        pull(entry(), tmp_path, hub, ignore)


def test_an_unpinned_revision_is_resolved_to_its_commit(server: StandinHub, hub: Hub, tmp_path: Path) -> None:
    """`main` is looked up once, with a warning, and the lock says which commit it was."""
    notes: list[str] = []
    toy = entry(checksums=False, revision="main", pinned=False)
    directory = pull(toy, tmp_path, replace(hub, note=notes.append), ignore)
    assert notes == [
        f"warning: main is no fixed commit and may change; today it is {COMMIT}, which is recorded"
    ]
    lock = read_lock(directory)
    assert lock is not None
    assert lock.revision == COMMIT


def test_another_revision_is_not_checked_against_the_manifest(
    server: StandinHub, hub: Hub, tmp_path: Path
) -> None:
    """--revision: the manifest's checksums belong to another commit, so the hub's are taken."""
    server.files["config.json"] = b"{}"
    directory = pull(entry(revision="f" * 40), tmp_path, hub, ignore, revision="main")
    assert (directory / "config.json").read_bytes() == b"{}"
    assert all(check.checked and not check.problem for check in verify(directory, entry(revision="f" * 40)))


def test_a_revision_that_does_not_exist_is_named(server: StandinHub, hub: Hub, tmp_path: Path) -> None:
    """404 is an error with the address, not tried again, and no directory appears."""
    with pytest.raises(DownloadError, match=r"does not have .*/revision/nope \(RevisionNotFound\)"):
        pull(entry(), tmp_path, hub, ignore, revision="nope")
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_repository_without_a_file_is_named(server: StandinHub, hub: Hub) -> None:
    """A file that the model needs and the commit lacks is said before anything is downloaded."""
    del server.files["tokenizer.json"]
    with pytest.raises(DownloadError, match=r"has no tokenizer\.json"):
        plan(entry(checksums=False), hub)


@pytest.mark.parametrize("answer", [b"<html>", b"[1]", b'{"sha": 1}'])
def test_something_that_is_no_hub_is_recognised(answer: bytes, tmp_path: Path) -> None:
    """A captive portal's page is not taken for metadata."""
    with StandinHub(REPOSITORY, {"x": answer}) as server:
        hub = Hub(f"{server.url}/cdn/x?", token="", pauses_s=())
        server.files |= {f"x?/api/models/{REPOSITORY}/tree/{COMMIT}": answer}
        with pytest.raises(DownloadError, match="does not answer like a model hub"):
            pull(entry(checksums=False), tmp_path, hub, ignore)
        close_session()


def test_no_network_names_three_ways_out(tmp_path: Path) -> None:
    """A closed port: the error says how to get the model otherwise."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        hub = Hub(f"http://127.0.0.1:{unused.getsockname()[1]}", token="", pauses_s=())
        with pytest.raises(DownloadError) as caught:
            pull(entry(), tmp_path, hub, ignore)
    close_session()
    text = str(caught.value)
    assert "no answer from" in text
    for way in ("care-voice models pull toy", "--model DIRECTORY", "--model demo"):
        assert way in text


def test_offline_mode_is_honoured(
    server: StandinHub, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HF_HUB_OFFLINE: not one request leaves."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set"):
        pull(entry(), tmp_path, hub, ignore)
    assert server.requests == []


def test_a_token_goes_to_the_hub_only(server: StandinHub, tmp_path: Path) -> None:
    """The redirect to another host does not carry the token; without one no header is sent."""
    pull(entry(), tmp_path / "a", Hub(server.url, token="hf_secret"), ignore)
    assert {headers.get("authorization") for headers in server.asked_for("/resolve/")} == {"Bearer hf_secret"}
    assert {headers.get("authorization") for headers in server.asked_for("/cdn/")} == {None}
    server.requests.clear()
    pull(entry(), tmp_path / "b", Hub(server.url, token=""), ignore)
    assert {headers.get("authorization") for _, headers in server.requests} == {None}
    assert "hf_secret" not in repr(Hub(server.url, token="hf_secret"))


@pytest.mark.parametrize(("status", "text"), [("401", "HF_TOKEN"), ("403", "HF_TOKEN"), ("418", "418")])
def test_a_refusal_is_final(server: StandinHub, hub: Hub, tmp_path: Path, status: str, text: str) -> None:
    """A refusal is not tried again; 401 and 403 (private, gated, or none) speak of the token."""
    server.faults.append(status)
    with pytest.raises(DownloadError, match=text):
        pull(entry(), tmp_path, hub, ignore)
    assert len(server.requests) == 1


def test_a_model_that_is_here_is_left_alone(server: StandinHub, hub: Hub, tmp_path: Path) -> None:
    """The second pull asks for nothing; one of another commit replaces the directory whole."""
    pull(entry(), tmp_path, hub, ignore)
    server.requests.clear()
    assert pull(entry(), tmp_path, hub, ignore) == tmp_path / "toy"
    assert server.requests == []
    (tmp_path / "toy" / "stray").write_text("of the old commit")
    lock = json.loads((tmp_path / "toy" / LOCK_NAME).read_text()) | {"revision": "e" * 40}
    (tmp_path / "toy" / LOCK_NAME).write_text(json.dumps(lock))
    pull(entry(), tmp_path, hub, ignore)
    assert not (tmp_path / "toy" / "stray").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_the_disk_is_asked_first(server: StandinHub, hub: Hub, tmp_path: Path) -> None:
    """A model that does not fit is refused before its first byte."""
    huge = replace(entry(), files=dict(entry().files) | {"model.bin": ModelFile(1 << 60, "0" * 64)})
    with pytest.raises(DownloadError, match="MB free"):
        pull(huge, tmp_path, hub, ignore)
    assert server.requests == []


def test_a_read_only_place_is_explained(hub: Hub, tmp_path: Path) -> None:
    """/app/models in a container is read-only: the error says what to do."""
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(DownloadError, match="pull on the host, or choose another place with --models-dir"):
        pull(entry(), tmp_path / "file", hub, ignore)


def test_two_pulls_do_not_share_a_file(hub: Hub, tmp_path: Path) -> None:
    """The second one is told that another is running."""
    staging = tmp_path / f".toy.{COMMIT[:12]}.incomplete"
    staging.mkdir()
    with (staging / ".claim").open("w") as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="another pull of this model is running"):
            pull(entry(), tmp_path, hub, ignore)


def test_the_bundled_model_is_not_downloaded(hub: Hub, tmp_path: Path) -> None:
    """demo is always there."""
    with pytest.raises(DownloadError, match="comes with Care Voice"):
        pull(entry(revision="bundled", repository=""), tmp_path, hub, ignore)
