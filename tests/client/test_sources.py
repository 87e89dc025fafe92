"""Where audio comes from: files of every kind, standard input, the microphone; and clear errors."""

import os
import sys
import threading
import types
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from gateway.client import sources
from gateway.client.sources import SourceError, SourceOptions, open_source
from gateway.events import AudioFormat

DATA = Path(__file__).parent.parent / "data" / "audio"


def write_wav(path: Path, rate: int, channels: int, samples: int, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(bytes(range(256)) * (samples * channels * width // 256 + 1))
    return path


def pcm_of(source: sources.Source) -> bytes:
    return b"".join(chunk.payload for chunk in source.chunks)


def test_a_wav_comes_through_bit_by_bit() -> None:
    """A 16 kHz s16 file is streamed as it is, in chunks of 100 ms, and is not live."""
    path = DATA / "en_00.wav"
    with wave.open(str(path)) as file:
        wanted = file.readframes(file.getnframes())
    source = open_source(str(path), SourceOptions())
    assert (source.format, source.is_live) == (AudioFormat("pcm_s16le", 16_000, 1), False)
    chunks = list(source.chunks)
    assert b"".join(chunk.payload for chunk in chunks) == wanted
    assert {chunk.samples for chunk in chunks[:-1]} == {1600}


def test_a_flac_is_read_too() -> None:
    """Anything PyAV opens is a source; its rate and channels are its own."""
    source = open_source(str(DATA / "real" / "jfk.flac"), SourceOptions())
    samples = sum(chunk.samples for chunk in source.chunks)
    with av.open(str(DATA / "real" / "jfk.flac")) as file:
        assert source.format.sample_rate == file.streams.audio[0].rate
        assert samples / source.format.sample_rate == pytest.approx(file.duration / 1e6, abs=0.1)


@pytest.mark.parametrize(
    ("rate", "channels", "encoding", "wanted"),
    [
        (44_100, 2, "pcm_s16le", AudioFormat("pcm_s16le", 44_100, 2)),
        (8_000, 1, "mulaw", AudioFormat("mulaw", 8_000, 1)),
        (96_000, 1, "pcm_s16le", AudioFormat("pcm_s16le", 48_000, 1)),
        (4_000, 1, "pcm_s16le", AudioFormat("pcm_s16le", 8_000, 1)),
        (44_100, 1, "opus", AudioFormat("opus", 48_000, 1)),
        (24_000, 2, "opus", AudioFormat("opus", 24_000, 2)),
        (16_000, 4, "pcm_s16le", AudioFormat("pcm_s16le", 16_000, 2)),
    ],
)
def test_files_are_fitted_to_what_the_gateway_takes(
    tmp_path: Path, rate: int, channels: int, encoding: str, wanted: AudioFormat
) -> None:
    """Rates outside 8-48 kHz, more than two channels and rates Opus lacks are converted; all else stays."""
    source = open_source(str(write_wav(tmp_path / "a.wav", rate, channels, rate)), SourceOptions(encoding))
    assert source.format == wanted
    seconds = sum(chunk.samples for chunk in source.chunks) / wanted.sample_rate
    assert seconds == pytest.approx(1.0, abs=0.15)


def test_loop_repeats_without_a_seam(tmp_path: Path) -> None:
    """The second pass follows the last sample of the first, in the middle of a chunk."""
    path = write_wav(tmp_path / "a.wav", 16_000, 1, 1000)
    once = pcm_of(open_source(str(path), SourceOptions()))
    endless = open_source(str(path), SourceOptions(loop=True)).chunks
    heard = b"".join(next(endless).payload for _ in range(3))
    assert heard == (once * 10)[: len(heard)]


def test_an_empty_file_is_not_repeated_for_ever(tmp_path: Path) -> None:
    """A loop over nothing ends with an error."""
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
    assert not list(open_source(str(tmp_path / "a.wav"), SourceOptions()).chunks)
    with pytest.raises(SourceError, match="empty"):
        next(open_source(str(tmp_path / "a.wav"), SourceOptions(loop=True)).chunks)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """No file, no guess."""
    with pytest.raises(SourceError, match=r"no such file: .*nowhere\.wav"):
        open_source(str(tmp_path / "nowhere.wav"), SourceOptions())


def test_what_is_no_audio_is_named(tmp_path: Path) -> None:
    """A text file is refused before a gateway is asked for anything."""
    (tmp_path / "a.wav").write_text("not a sound")
    with pytest.raises(SourceError, match="no audio file that can be read"):
        open_source(str(tmp_path / "a.wav"), SourceOptions())


def test_a_file_without_sound_is_named(tmp_path: Path) -> None:
    """A picture has no audio in it."""
    with av.open(str(tmp_path / "a.png"), "w", format="image2") as file:
        stream = file.add_stream("png", rate=1)
        stream.width = stream.height = 16
        stream.pix_fmt = "rgb24"
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with pytest.raises(SourceError, match="no audio in it"):
        open_source(str(tmp_path / "a.png"), SourceOptions())


def test_standard_input_is_raw_and_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes on the pipe become chunks as they come; a last half sample is dropped."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as pipe, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", pipe)
        source = open_source("-", SourceOptions(rate=8000, channels=2))

        def feed() -> None:
            for block in (b"\x01" * 3000, b"\x02" * 1001):
                os.write(writer, block)
            os.close(writer)

        threading.Thread(target=feed).start()
        assert (source.format, source.is_live) == (AudioFormat("pcm_s16le", 8000, 2), True)
        assert pcm_of(source) == b"\x01" * 3000 + b"\x02" * 1000


def test_opus_needs_a_rate_that_opus_has() -> None:
    """Raw input at another rate is refused with the rates there are."""
    with pytest.raises(SourceError, match="8000, 12000, 16000, 24000, 48000"):
        open_source("-", SourceOptions("opus", rate=44_100))


def test_a_missing_microphone_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optional extra is named."""
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(SourceError, match=r"care-voice\[microphone\]"):
        open_source("mic", SourceOptions())


class Recorder:
    """A stand-in for the sound card: delivers its blocks, then stops."""

    def __init__(self, blocks: list[bytes], callback, **asked) -> None:
        self.asked = asked
        self._blocks = blocks
        self._callback = callback
        self.active = True

    def __enter__(self) -> "Recorder":
        for block in self._blocks:
            self._callback(block, len(block) // 2, None, None)
        self.active = False
        return self

    def __exit__(self, *_: object) -> None: ...


def sound_card(blocks: list[bytes], error: Exception | None = None) -> types.ModuleType:
    card = types.ModuleType("sounddevice")
    card.PortAudioError = type("PortAudioError", (Exception,), {})
    card.CallbackAbort = type("CallbackAbort", (Exception,), {})

    def open_card(**asked):
        if error:
            raise card.PortAudioError(str(error))
        return Recorder(blocks, **asked)

    card.RawInputStream = open_card
    return card


def test_the_microphone_is_live_and_its_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of the sound card become chunks; a card that stops is not the end of a talk."""
    monkeypatch.setitem(sys.modules, "sounddevice", sound_card([b"\x01" * 3200, b"\x02" * 3200]))
    source = open_source("mic", SourceOptions())
    assert source.is_live
    assert [next(source.chunks).payload for _ in range(2)] == [b"\x01" * 3200, b"\x02" * 3200]
    with pytest.raises(SourceError, match="stopped"):
        next(source.chunks)


def test_a_microphone_that_cannot_be_opened_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sound system's own words are passed on."""
    monkeypatch.setitem(sys.modules, "sounddevice", sound_card([], OSError("no device")))
    with pytest.raises(SourceError, match="no device"):
        next(open_source("mic", SourceOptions()).chunks)
