"""shell: audio on disk, only where an operator has asked for it: bed by bed, bounded, 16-bit WAV.

A thread writes; what it cannot keep up with is dropped and counted, and a disk that fails stops the
recording, never the captions. A bed has a folder `bed-NAME`.
"""

import contextlib
import os
import queue
import threading
import time
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BufferedWriter
from pathlib import Path
from urllib.parse import quote

import numpy as np
import structlog

from gateway.events import SAMPLE_RATE, Audio
from gateway.ward.pruning import Recording, surplus

FOLDER = "bed-"
FILE_MINUTES = 5.0
FILES = 10
"""Audio is deleted file by file: of what may be kept, one is a tenth at most."""
BYTES_PER_MINUTE = 60 * 2 * SAMPLE_RATE
MAX_TOTAL_BYTES = 10 << 30
MAX_QUEUED = 5000
"""Messages; at 20 ms each 100 s of one speaker."""
PRUNE_INTERVAL_S = 60.0
PAUSE_S = 10.0
"""After the disk failed."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chunk:
    session: str
    bed: str
    audio: Audio | None
    """None: the session is over."""


@dataclass(slots=True)
class Open:
    bed: str
    file: BufferedWriter
    wav: wave.Wave_write
    samples: int = 0


class Recorder:
    """Make none unless the operator asked for it: this class is the only one that writes audio."""

    def __init__(
        self,
        directory: Path,
        beds: Sequence[str],
        max_minutes: float,
        retention_h: float,
        *,
        max_total_bytes: int = MAX_TOTAL_BYTES,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Of beds that match one of the patterns (3A, 3*, *) keep the last `max_minutes`, for `retention_h`.

        Raises OSError when the directory cannot be made.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory, self._beds, self._now = directory, tuple(beds), now
        self._file_samples = int(min(FILE_MINUTES, max_minutes / FILES) * 60 * SAMPLE_RATE)
        self._bounds = (retention_h * 3600, int(max_minutes * BYTES_PER_MINUTE) + 1024, max_total_bytes)
        self._queue: queue.Queue[Chunk | None] = queue.Queue(MAX_QUEUED)
        self._open: dict[str, Open] = {}
        self._prune_at = self._paused_until = 0.0
        self._refused = self._unwritten = 0
        log.warning(
            "RECORDING AUDIO TO DISK",
            beds=list(beds), directory=str(directory), max_minutes=max_minutes, retention_h=retention_h,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Messages that are missing in the recordings."""
        return self._refused + self._unwritten

    def wants(self, bed: str) -> bool:
        """Is this bed recorded? Its people must be told."""
        return any(fnmatchcase(bed, pattern) for pattern in self._beds)

    def record(self, session: str, bed: str, audio: Audio) -> None:
        """Never waits. Beds that are not wanted are ignored."""
        if self.wants(bed):
            self._put(Chunk(session, bed, audio))

    def end(self, session: str, bed: str) -> None:
        """The session's file is complete."""
        if self.wants(bed):
            self._put(Chunk(session, bed, None))

    def close(self) -> None:
        """Write what waits. Blocks."""
        self._queue.put(None)
        self._thread.join(10)

    def _put(self, chunk: Chunk) -> None:
        try:
            self._queue.put_nowait(chunk)
        except queue.Full:
            self._refused += 1
            if self._refused == 1:
                log.error("recording cannot keep up: audio is missing in it", bed=chunk.bed)

    # --- the thread ---

    def _run(self) -> None:
        ended = False
        while not ended:
            try:
                ended = self._step()
            except Exception as error:  # it must never end a gateway, nor stop without a word
                log.error("recording fails", error=type(error).__name__, detail=str(error))
                self._paused_until = time.monotonic() + PAUSE_S
                self._give_up_files()
        for session in list(self._open):
            self._finish(session)

    def _step(self) -> bool:
        """One chunk, or the broom. True: the end."""
        if time.monotonic() >= self._prune_at:
            self._prune()
        try:
            chunk = self._queue.get(timeout=PRUNE_INTERVAL_S)
        except queue.Empty:
            return False
        if chunk:
            self._unwritten += 1
            if time.monotonic() >= self._paused_until:
                self._write(chunk)
                self._unwritten -= 1
        return chunk is None

    def _give_up_files(self) -> None:
        """What they have of the audio stays readable: the header is kept up to date."""
        for current in self._open.values():
            with contextlib.suppress(OSError), current.file:
                current.wav.close()
        self._open.clear()

    def _write(self, chunk: Chunk) -> None:
        if chunk.audio is None:
            self._finish(chunk.session)
            return
        current = self._open.get(chunk.session) or self._begin(chunk)
        pcm = np.clip(np.rint(chunk.audio * 32768), -32768, 32767).astype("<i2")
        current.wav.writeframes(pcm.tobytes())
        current.samples += len(pcm)
        if current.samples >= self._file_samples:
            self._finish(chunk.session)

    def _begin(self, chunk: Chunk) -> Open:
        now = self._now()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
        path = self._directory / (FOLDER + chunk.bed) / f"{stamp}_{quote(chunk.session, safe='')}.wav"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        file = open(os.open(path, flags, 0o600), "wb")  # noqa: SIM115  # closed in _finish
        wav = wave.open(file, "wb")  # noqa: SIM115  # closed in _finish
        wav.setparams((1, 2, SAMPLE_RATE, 0, "NONE", "not compressed"))
        current = self._open[chunk.session] = Open(chunk.bed, file, wav)
        return current

    def _finish(self, session: str) -> None:
        if current := self._open.pop(session, None):
            with current.file:
                current.wav.close()
            self._prune()

    def _prune(self) -> None:
        self._prune_at = time.monotonic() + PRUNE_INTERVAL_S
        writing = {os.fstat(current.file.fileno()).st_ino for current in self._open.values()}
        found = []
        for path in self._directory.glob(f"{FOLDER}*/*.wav"):
            stat = path.stat()
            if stat.st_ino not in writing:
                found.append(Recording(str(path), path.parent.name, stat.st_mtime, stat.st_size))
        for recording in surplus(found, self._now(), *self._bounds):
            Path(recording.name).unlink(missing_ok=True)
