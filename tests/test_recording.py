"""Audio on disk: never, unless an operator names the bed. Real gateway, real audio."""

import signal
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.connection.speech import pcm16
from tests.running import RunningGateway
from tests.talking import transcribe

pytestmark = pytest.mark.slow
PCM = pcm16("en_02.wav")


def contains(path: Path, pcm: bytes) -> bool:
    """A second from the middle of the speech, as raw samples."""
    return pcm[32_000:64_000] in path.read_bytes()


def recordings(directory: Path) -> list[Path]:
    return list((directory / "data" / "recordings").rglob("*.wav"))


def check_no_audio(directory: Path) -> None:
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert any(path.name == "captions.sqlite3" for path in files)
    assert not [path for path in files if contains(path, PCM) or path.suffix == ".wav"]


async def test_only_the_named_bed_is_recorded(tmp_path: Path) -> None:
    """The WAV holds what was sent; another bed leaves no trace; the log says so loudly."""
    running = RunningGateway.start(tmp_path / "log", "--record-beds", "3*")
    try:
        await transcribe(running.ws, PCM, bed="3A", language="en")
        await transcribe(running.ws, PCM, bed="4A", language="en")
        assert running.stop() == 0
        assert "RECORDING AUDIO TO DISK" in running.log()
        [recorded] = recordings(tmp_path)
        assert recorded.parent.name == "bed-3A"
        assert recorded.stat().st_mode & 0o777 == 0o600
        with wave.open(str(recorded)) as wav:
            audio = np.frombuffer(wav.readframes(wav.getnframes()), np.int16).astype(int)
        assert np.abs(audio - np.frombuffer(PCM, np.int16)[: len(audio)]).max() <= 1
        assert len(audio) >= len(PCM) // 2 - 320
    finally:
        running.stop(signal.SIGKILL)


async def test_no_audio_is_written_unless_it_is_asked_for(tmp_path: Path) -> None:
    """After a whole session no file of the gateway holds a second of its sound."""
    running = RunningGateway.start(tmp_path / "log")
    try:
        speaker = await transcribe(running.ws, PCM, bed="3A", language="en")
        assert speaker.text()
        assert running.stop() == 0
        check_no_audio(tmp_path)
    finally:
        running.stop(signal.SIGKILL)
