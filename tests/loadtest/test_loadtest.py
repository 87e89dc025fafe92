"""`care-voice loadtest` against a real gateway, to each of its exit codes.

Timing is not asserted: where a verdict would depend on this machine, its limits are moved.
"""

import json
import math
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.commands.main import main
from gateway.loadtest import level, statistics
from gateway.loadtest.material import BUNDLED, MaterialError, load_clips
from gateway.loadtest.results import SCHEMA, typed
from tests.detection.clips import FOLDER, REFERENCES
from tests.running import RunningGateway

CLIPS = ("en_00.wav", "zh_02.wav")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    running = RunningGateway.start(tmp_path_factory.mktemp("gateway") / "log", "--max-sessions", "2")
    yield running
    assert running.stop() == 0


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """Two sentences, an English one with a .txt beside it, a Chinese one with refs.json."""
    folder = tmp_path / "audio"
    folder.mkdir()
    for name in CLIPS:
        shutil.copy(FOLDER / name, folder)
    (folder / "en_00.txt").write_text(REFERENCES["en_00.wav"]["text"])
    (folder / "refs.json").write_text(json.dumps({"zh_02.wav": REFERENCES["zh_02.wav"]}))
    return folder


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors and losses alone decide: a slow machine is not what is tested."""
    for name in ("TTFS_P95_MS", "TTFS_P99_MS", "WORD_P50_MS", "LATENESS_P99_MS"):
        monkeypatch.setattr(level, name, math.inf)
    monkeypatch.setattr(statistics, "HARMLESS_GROWTH_MS", math.inf)


def run(gateway: RunningGateway, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["loadtest", "--url", gateway.url, *map(str, arguments)])


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{path}.{key}")
    else:
        yield path.removeprefix("."), value


@pytest.mark.slow
def test_a_run_that_holds(gateway: RunningGateway, audio: Path, tmp_path: Path, patient: None) -> None:
    """Exit 0; every figure is there, nothing is lost, JSON and report are written."""
    files = tmp_path / "out.json", tmp_path / "out.html"
    done = run(
        gateway, "--streams", 2, "--duration", 7, "--audio", audio, "--json", files[0], "--report", files[1]
    )
    assert done.exit_code == 0, done.output
    document = json.loads(files[0].read_text())
    assert document["schema"] == SCHEMA
    assert document["gateway"]["model"] == "demo"
    figures = document["run"]["figures"]
    missing = [path for path, value in numbers(figures) if value is None]
    assert missing == []
    assert (figures["lost_samples"], figures["uncommitted_samples"], figures["faults"]) == (0, 0, {})
    assert figures["turns"] == figures["finals"]
    assert figures["accuracy"].keys() == {"auto", "zh"}
    assert figures["cost"]["reencode_factor"] > 1
    assert figures["cost"]["engine_cpu_s_per_stream_hour"] > 0
    assert document["unloaded"]["turns"] == 2
    assert "Holds the service level" in files[1].read_text()
    assert "lost samples" in done.output


@pytest.mark.slow
def test_a_gateway_that_refuses_breaks_the_level(gateway: RunningGateway, audio: Path, patient: None) -> None:
    """Exit 1: one stream more than the gateway takes, by name."""
    done = run(gateway, "--streams", 3, "--duration", 2, "--audio", audio, "--no-unloaded")
    assert done.exit_code == 1, done.output
    assert "refused 503 × 1" in done.output


@pytest.mark.slow
def test_a_late_generator_is_an_invalid_run(
    gateway: RunningGateway, audio: Path, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2, and what to do."""
    monkeypatch.setattr(level, "LATENESS_P99_MS", -1.0)
    done = run(gateway, "--streams", 1, "--duration", 2, "--audio", audio, "--no-unloaded")
    assert done.exit_code == 2, done.output
    assert "INVALID" in done.output
    assert "--processes" in done.output


@pytest.mark.slow
def test_calibration_writes_what_was_held(
    gateway: RunningGateway, audio: Path, tmp_path: Path, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 0; the capacity is the limit, all other text of the file stays."""
    monkeypatch.setattr(statistics.Drift, "known", True)
    config = tmp_path / "gateway.toml"
    config.write_text("# the ward's\n[server]\nport = 8001 # as printed on the wall\n")
    done = run(
        gateway, "--ramp", "--start", 2, "--max-streams", 2, "--step-s", 3, "--duration", 4,
        "--audio", audio, "--no-unloaded", "--calibrate", "--config", config,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "capacity: 2 streams or more\n" in done.output
    assert config.read_text().startswith("# the ward's\n[server]\nmax_sessions = 2\nport = 8001 # as")
    assert tomllib.loads(config.read_text()) == {"server": {"port": 8001, "max_sessions": 2}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--streams N, or --ramp"),
        (["--streams", "2", "--ramp"], "--streams N, or --ramp"),
        (["--streams", "2", "--calibrate"], "--calibrate needs --ramp"),
        (["--ramp", "--start", "9", "--max-streams", "8"], "--start"),
        (["--streams", "2", "--chunk-ms", "10"], "20<=x<=100"),
        (["--streams", "2", "--audio", "nowhere"], "no folder nowhere"),
        (["--streams", "2", "--url", "ws://127.0.0.1:1"], "care-voice serve"),
        (["--streams", "2", "--url", "ftp://x"], "not the address of a gateway"),
        (["--streams", "2", "--json", "nowhere/a.json"], "no folder"),
    ],
)
def test_wrong_use_is_told_before_anything_takes_time(arguments: list[str], said: str) -> None:
    """Exit 2, with what to do."""
    done = CliRunner().invoke(main, ["loadtest", *arguments])
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.split())


def test_a_key_is_not_repeated() -> None:
    """The report shows the command, without what is secret."""
    shown = typed(["loadtest", "--key", "secret", "--key=secret", "--streams", "2"])
    assert "secret" not in shown
    assert shown.startswith("care-voice loadtest")
    assert shown.endswith("--streams 2")


def test_the_bundled_sentences_are_there() -> None:
    """Both languages, each with its text."""
    clips, what = load_clips(BUNDLED)
    assert {clip.language for clip in clips} == {"en", "zh"}
    assert all(clip.text and clip.start < clip.end <= len(clip.audio) for clip in clips)
    assert "19 sentences" in what


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_texts_without_audio_are_spoken_by_espeak(tmp_path: Path) -> None:
    """Each line is a sentence."""
    (tmp_path / "talk.txt").write_text("I am cold.\n謝謝你。\n")
    clips, _ = load_clips(str(tmp_path))
    assert [(clip.text, clip.language) for clip in clips] == [("I am cold.", "en"), ("謝謝你。", "zh")]
    assert all(0.3 < (clip.end - clip.start) / 16_000 < 3 for clip in clips)


@pytest.mark.parametrize(
    ("name", "content"),
    [("refs.json", "{"), ("refs.json", '{"a.wav": 3}'), ("a.wav", "no sound"), ("b.md", "")],
)
def test_audio_that_cannot_be_used_is_named(tmp_path: Path, name: str, content: str) -> None:
    """No clip is left out quietly, and an empty folder is told what it lacks."""
    (tmp_path / name).write_text(content)
    (tmp_path / "a.txt" if name == "a.wav" else tmp_path / "c.md").write_text("hello")
    with pytest.raises(MaterialError, match=name.replace("b.md", "WAV files")):
        load_clips(str(tmp_path))
