"""shell: a stranger's file -> PCM, in a process of its own: `python -m gateway.upload.unpack`.

The file comes on standard input, 16 kHz mono s16 goes to standard output, the exit status is a Verdict.
FFmpeg reads here what anybody may have made: before the first byte is looked at, this process gives up the
right to open files and sockets, and all but a little memory and time. What it must import for decoding it has
imported by then. Whatever a file does to it, it does to this process alone.
"""

import argparse
import ctypes
import io
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import av
from av.error import FFmpegError

from gateway.upload.failure import Verdict

RATE = 16_000
MEMORY_BYTES = 256 << 20
"""Beyond what the process has when it is ready to begin."""
NICENESS = 10
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
"""prctl(2)"""
CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mp3,"
    "mpeg,mpegts,ogg,tta,w64,wav,wv"
)
"""No playlists and no descriptions of streams elsewhere (hls, dash, concat, sdp ...), no pictures."""
CODECS = ",".join(
    name
    for name in sorted(av.codecs_available)
    if name.startswith(("pcm_", "adpcm_", "aac", "mp1", "mp2", "mp3", "amr", "wma"))
    or name in {"ac3", "alac", "ape", "eac3", "flac", "gsm", "gsm_ms", "opus", "libopus", "speex", "tta"}
    or name in {"vorbis", "wavpack", "libopencore_amrnb", "libopencore_amrwb", "g722"}
)
"""What FFmpeg may try out while it looks for streams: pictures of any size are never decoded."""
OPTIONS = {"format_whitelist": CONTAINERS, "codec_whitelist": CODECS, "protocol_whitelist": "none"}


class Unreadable(Exception):
    """The file gives no PCM, or no more of it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.name)
        self.verdict = verdict


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gateway.upload.unpack")
    parser.add_argument("--max-audio-s", type=float, required=True)
    parser.add_argument("--max-cpu-s", type=int, required=True)
    options = parser.parse_args(arguments)
    rehearse()
    data = sys.stdin.buffer.read()
    isolate(options.max_cpu_s)
    try:
        for samples in unpack(data, options.max_audio_s):
            sys.stdout.buffer.write(samples)
        sys.stdout.buffer.flush()
    except Unreadable as no:
        return no.verdict
    except MemoryError:
        return Verdict.OUT_OF_MEMORY
    return Verdict.DECODED


def rehearse() -> None:
    """Decode silence: what is imported only when it is needed is imported now."""
    silence = bytes(RATE // 10)
    form = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 36 + len(silence), b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16
    )
    for _ in unpack(form + struct.pack("<4sI", b"data", len(silence)) + silence, 1.0):
        pass


def isolate(max_cpu_s: int) -> None:
    """From here on: no new file or socket, no core dump, little memory and time."""
    os.nice(NICENESS)
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        with open("/proc/self/statm") as pages:
            most = int(pages.read().split()[0]) * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (max_cpu_s, max_cpu_s + 5))
    for right in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
        resource.setrlimit(right, (0, 0))


def unpack(data: bytes, max_audio_s: float) -> Iterator[bytes]:
    """The first audio track as 16 kHz mono s16, as far as it can be read. Raises Unreadable, MemoryError.

    The packets are counted first: what is honestly too long is refused before any of it is given.
    """
    if measured_s(data) > max_audio_s:
        raise Unreadable(Verdict.TOO_LONG)
    left = int(max_audio_s * RATE)
    for samples in _decoded(data):
        left -= len(samples) // 2
        if left < 0:
            raise Unreadable(Verdict.TOO_LONG)
        yield samples


def measured_s(data: bytes) -> float:
    """How long the packets say that they are. Raises Unreadable, MemoryError."""
    with _open(data) as container:
        stream = _audio(container)
        return sum(float((p.duration or 0) * p.time_base) for p in _packets(container, stream))


def _decoded(data: bytes) -> Iterator[bytes]:
    resampler: Any = None
    like, broken = None, False
    with _open(data) as container:
        for packet in _packets(container, _audio(container)):
            try:
                frames = packet.decode()
            except FFmpegError as error:
                _no_memory(error)
                broken = True
                continue
            for frame in frames:
                shape = frame.format.name, frame.layout.name, frame.sample_rate
                if shape != like:
                    yield from _resampled(resampler, None) if resampler else ()
                    resampler, like = av.AudioResampler("s16", "mono", RATE), shape
                yield from _resampled(resampler, frame)
    if resampler:
        yield from _resampled(resampler, None)
    elif broken:
        raise Unreadable(Verdict.UNREADABLE)


def _open(data: bytes) -> Any:
    try:
        return av.open(io.BytesIO(data), metadata_errors="ignore", options=OPTIONS, io_open=_refuse)
    except (FFmpegError, ValueError, OSError) as error:
        _no_memory(error)
        raise Unreadable(Verdict.UNREADABLE) from error


def _refuse(*_: object) -> NoReturn:
    """A file that refers to another one gets nothing."""
    raise PermissionError


def _audio(container: Any) -> Any:
    if not container.streams.audio:
        raise Unreadable(Verdict.NO_AUDIO)
    return container.streams.audio[0]


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Until the end, or to where the file is broken off."""
    try:
        yield from container.demux(stream)
    except FFmpegError as error:
        _no_memory(error)


def _resampled(resampler: Any, frame: Any) -> Iterator[bytes]:
    try:
        for out in resampler.resample(frame):
            yield bytes(out.planes[0])[: 2 * out.samples]
    except (FFmpegError, ValueError) as error:
        _no_memory(error)
        raise Unreadable(Verdict.UNREADABLE) from error


def _no_memory(error: BaseException) -> None:
    if isinstance(error, MemoryError):
        raise error


if __name__ == "__main__":
    code = int(Verdict.UNREADABLE)
    try:
        code = main()
    except BrokenPipeError:
        pass
    finally:
        os._exit(code)  # destructors of what a bad file left behind do not run
