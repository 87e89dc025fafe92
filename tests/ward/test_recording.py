import ast
import os
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from gateway.events import SAMPLE_RATE
from gateway.ward.recording import Recorder

SECOND = np.sin(np.arange(SAMPLE_RATE) * 0.05).astype(np.float32) * 0.5


@contextmanager
def recorder(
    directory: Path, *beds: str, max_minutes: float = 60.0, retention_h: float = 1.0, **options: object
) -> Iterator[Recorder]:
    made = Recorder(directory, beds, max_minutes, retention_h, **options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


def read(path: Path) -> np.ndarray:
    with wave.open(str(path)) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, SAMPLE_RATE)
        return np.frombuffer(wav.readframes(wav.getnframes()), "<i2")


def files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.wav"))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_was_heard_is_in_the_file(tmp_path: Path) -> None:
    """16 kHz, mono, 16 bit, sample by sample; loud samples are clipped, not wrapped."""
    loud = np.array([2.0, -2.0, 1.0, -1.0], np.float32)
    with recorder(tmp_path, "3A") as made:
        made.record("s1", "3A", SECOND)
        made.record("s1", "3A", loud)
        made.end("s1", "3A")
    (path,) = files(tmp_path)
    assert path.parent.name == "bed-3A"
    samples = read(path)
    assert np.abs(samples[:SAMPLE_RATE] / 32768 - SECOND).max() <= 0.5 / 32768
    assert samples[SAMPLE_RATE:].tolist() == [32767, -32768, 32767, -32768]


def test_only_beds_that_were_named_are_recorded(tmp_path: Path) -> None:
    """By pattern, capital letters mattering; no file, no folder for any other."""
    with recorder(tmp_path, "3A", "ICU-*") as made:
        assert [made.wants(bed) for bed in ("3A", "3a", "3B", "ICU-7", "ICU")] == [
            True,
            False,
            False,
            True,
            False,
        ]
        made.record("s1", "3B", SECOND)
        made.end("s1", "3B")
        made.record("s2", "ICU-7", SECOND)
    assert [path.parent.name for path in files(tmp_path)] == ["bed-ICU-7"]


def test_it_is_said_loudly(tmp_path: Path) -> None:
    """Nobody records by accident without a line in the log that says where and whom."""
    with capture_logs() as logs, recorder(tmp_path, "3A"):
        pass
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == [
        "RECORDING AUDIO TO DISK"
    ]
    assert logs[0]["beds"] == ["3A"]


def test_files_are_the_gateways_only(tmp_path: Path) -> None:
    """Mode 0600 in folders 0700."""
    with recorder(tmp_path / "recordings", "*") as made:
        made.record("s1", "3A", SECOND)
    (path,) = files(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [path.parents[n].stat().st_mode & 0o777 for n in (0, 1)] == [0o700, 0o700]


@pytest.mark.parametrize("bed", ["..", ".", "三A 床", "a_b'\";$(x)", "x" * 64])
def test_a_beds_name_leads_nowhere_else(tmp_path: Path, bed: str) -> None:
    """Whatever it is, its recordings are in the directory."""
    with recorder(tmp_path / "recordings", "*") as made:
        made.record("../../s1", bed, SECOND)
    (path,) = files(tmp_path)
    assert path.parent.parent == tmp_path / "recordings"
    assert path.parent.name == f"bed-{bed}"


def test_a_long_session_is_cut_into_files(tmp_path: Path) -> None:
    """The last ten seconds that were asked for are there, the oldest have made room."""
    with recorder(tmp_path, "*", max_minutes=10 / 60) as made:
        for n in range(1, 15):
            made.record("s1", "3A", SECOND * (n / 14))
            until(lambda: made._queue.empty())
            time.sleep(0.01)  # names and ages of files count milliseconds
    kept = [read(path) for path in files(tmp_path)]
    assert [len(samples) for samples in kept] == [SAMPLE_RATE] * 10
    assert [round(14 * int(np.abs(samples).max()) / 16384) for samples in kept] == list(range(5, 15))


def test_old_recordings_are_deleted(tmp_path: Path) -> None:
    """At the start too, those of an earlier run; files of others are not touched."""
    folder = tmp_path / "bed-3A"
    folder.mkdir()
    for name, age_s in (("old.wav", 4000), ("young.wav", 3000), ("notes.txt", 9000)):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (time.time() - age_s, time.time() - age_s))
    with recorder(tmp_path, "3A", retention_h=1.0):
        until(lambda: not (folder / "old.wav").exists())
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "young.wav"]


def test_a_disk_that_fails_stops_the_recording_only(tmp_path: Path) -> None:
    """What could not be written is counted and said; record() goes on taking audio."""
    blocked = tmp_path / "bed-3A"
    blocked.touch()
    with capture_logs() as logs, recorder(tmp_path, "*") as made:
        for _ in range(5):
            made.record("s1", "3A", SECOND)
        until(lambda: made.dropped >= 5)
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["recording fails"]


def test_a_slow_disk_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the queue audio is dropped, counted and said once."""
    monkeypatch.setattr("gateway.ward.recording.MAX_QUEUED", 3)
    made = Recorder(tmp_path, ["*"], 1.0, 1.0)
    made.close()
    with capture_logs() as logs:
        for _ in range(10):
            made.record("s1", "3A", SECOND)
    assert made.dropped == 7
    assert [entry["event"] for entry in logs] == ["recording cannot keep up: audio is missing in it"]


def test_a_killed_gateway_leaves_readable_files(tmp_path: Path) -> None:
    """The header is right after each write."""
    with recorder(tmp_path, "*") as made:
        made.record("s1", "3A", SECOND)
        until(lambda: bool(files(tmp_path)) and files(tmp_path)[0].stat().st_size > 2 * SAMPLE_RATE)
        until(lambda: len(read(files(tmp_path)[0])) == SAMPLE_RATE)


def test_nothing_else_of_the_gateway_writes_audio() -> None:
    """Off by default: the Recorder is the only writer of audio, and is made only where it is asked for.

    No other file of the server's stages opens a file for writing or imports a writer of audio.
    """
    root = Path(__file__).resolve().parents[2] / "gateway"
    for stage in ("connection", "detection", "transcript", "ward"):
        for path in (root / stage).rglob("*.py"):
            imported = {
                alias.name.split(".")[0]
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in (
                    [ast.alias(node.module or "")] if isinstance(node, ast.ImportFrom) else node.names
                )
            }
            assert path.name == "recording.py" or not imported & {"wave", "soundfile", "scipy", "tempfile"}, (
                path
            )
