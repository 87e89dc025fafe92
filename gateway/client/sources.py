"""shell: where a bedside client's audio comes from: a file, standard input, a microphone."""

import os
import queue
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import av

from gateway.client.encoding import OPUS_RATES, encode
from gateway.client.ring import Chunk
from gateway.events import AudioFormat

MIN_RATE, MAX_RATE = 8_000, 48_000
STDIN_BLOCK_BYTES = 4096
MICROPHONE_QUEUE_BLOCKS = 600


class SourceError(Exception):
    """The audio cannot be had; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    format: AudioFormat
    chunks: Generator[Chunk, None, None]
    """May block, so it belongs in a thread; close it to release what it reads from."""
    is_live: bool
    """It does not wait: what is not taken is gone."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    encoding: str = "pcm_s16le"
    chunk_ms: int = 100
    rate: int = 16_000
    """Hz, of standard input and microphone; a file knows its own."""
    channels: int = 1
    loop: bool = False


def open_source(name: str, options: SourceOptions) -> Source:
    """`name`: the path of a local file, `-` for raw s16le on standard input, or `mic`. Raises SourceError."""
    if name in {"-", "mic"}:
        format = AudioFormat(options.encoding, options.rate, options.channels)
        _check_opus_rate(format)
        blocks = _stdin_blocks(sys.stdin.fileno()) if name == "-" else _microphone_blocks(format)
        return Source(format, encode(blocks, format, options.chunk_ms), is_live=True)
    format = _file_format(name, options.encoding)
    blocks = _file_blocks(name, format)
    if options.loop:
        blocks = chain(blocks, _again(name, format))
    return Source(format, encode(blocks, format, options.chunk_ms), is_live=False)


def _check_opus_rate(format: AudioFormat) -> None:
    if format.encoding == "opus" and format.sample_rate not in OPUS_RATES:
        rates = ", ".join(map(str, OPUS_RATES))
        raise SourceError(f"opus cannot be made from {format.sample_rate} Hz; take one of {rates}")


# --- files ---


def _open(path: str) -> Any:
    if not Path(path).is_file():
        raise SourceError(f"no such file: {path}")
    try:
        container = av.open(path)
    except (av.FFmpegError, OSError) as error:
        raise SourceError(f"{path} is no audio file that can be read: {error}") from None
    if not container.streams.audio:
        container.close()
        raise SourceError(f"{path} has no audio in it")
    return container


def _file_format(path: str, encoding: str) -> AudioFormat:
    """The file's own rate and channels, as far as the gateway takes them."""
    with _open(path) as container:
        codec = container.streams.audio[0].codec_context
        rate = min(max(codec.sample_rate, MIN_RATE), MAX_RATE)
        if encoding == "opus" and rate not in OPUS_RATES:
            rate = OPUS_RATES[-1]
        return AudioFormat(encoding, rate, min(codec.channels, 2))


def _file_blocks(path: str, format: AudioFormat) -> Iterator[bytes]:
    resampler = av.AudioResampler(
        format="s16", layout="mono" if format.channels == 1 else "stereo", rate=format.sample_rate
    )
    with _open(path) as container:
        try:
            for frame in chain(container.decode(audio=0), [None]):
                for pcm in resampler.resample(frame):
                    yield pcm.to_ndarray().tobytes()
        except av.FFmpegError as error:
            raise SourceError(f"{path} is damaged: {error}") from None


def _again(path: str, format: AudioFormat) -> Iterator[bytes]:
    while True:
        blocks = 0
        for block in _file_blocks(path, format):
            blocks += 1
            yield block
        if not blocks:
            raise SourceError(f"{path} is empty")


# --- standard input ---


def _stdin_blocks(descriptor: int) -> Iterator[bytes]:
    """Unbuffered, so that a thread waiting here holds no lock when the program ends."""
    while block := os.read(descriptor, STDIN_BLOCK_BYTES):
        yield block


# --- microphone ---


def _microphone_blocks(format: AudioFormat) -> Iterator[bytes]:
    try:
        import sounddevice
    except ImportError:
        raise SourceError(
            "the microphone needs the sounddevice package: pip install 'care-voice[microphone]'"
        ) from None
    except OSError as error:
        raise SourceError(f"{error}: install it, e.g. apt install libportaudio2") from None
    return _recorded(sounddevice, format)


def _recorded(sounddevice: Any, format: AudioFormat) -> Iterator[bytes]:
    """Records until the generator is closed. A consumer that stops taking for a minute ends it."""
    blocks: queue.Queue[bytes] = queue.Queue(MICROPHONE_QUEUE_BLOCKS)

    def keep(block: Any, frames: int, time: Any, status: Any) -> None:
        try:
            blocks.put_nowait(bytes(block))
        except queue.Full:
            raise sounddevice.CallbackAbort from None

    try:
        with sounddevice.RawInputStream(
            samplerate=format.sample_rate,
            channels=format.channels,
            dtype="int16",
            blocksize=format.sample_rate // 10,
            callback=keep,
        ) as recording:
            while recording.active or not blocks.empty():
                try:
                    yield blocks.get(timeout=1)
                except queue.Empty:
                    continue
            raise SourceError("the microphone stopped delivering audio")
    except sounddevice.PortAudioError as error:
        raise SourceError(f"the microphone cannot be opened: {error}") from None
