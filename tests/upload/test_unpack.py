"""The decoder's process: what it reads, what it refuses, and what it can no longer do when it reads."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gateway.upload.failure import Verdict
from gateway.upload.unpack import Unreadable, unpack
from tests.connection.speech import AUDIO, pcm16, silence
from tests.running import REPO
from tests.upload import files

SPOKEN = pcm16("en_00.wav")
SPOKEN_S = len(SPOKEN) / 32_000


def pcm(data: bytes, max_audio_s: float = 100.0) -> bytes:
    return b"".join(unpack(data, max_audio_s))


def verdict(data: bytes, max_audio_s: float = 100.0) -> Verdict:
    with pytest.raises(Unreadable) as no:
        pcm(data, max_audio_s)
    return no.value.verdict


def child(program: str, data: bytes = b"", **limits: int) -> "subprocess.CompletedProcess[bytes]":
    """main() in a process of its own, after this much Python."""
    arguments = [
        "--max-audio-s",
        str(limits.get("audio_s", 100)),
        "--max-cpu-s",
        str(limits.get("cpu_s", 20)),
    ]
    text = f"import os, sys\nfrom gateway.upload import unpack\n{program}\nos._exit(unpack.main({arguments}))"
    return subprocess.run(
        [sys.executable, "-c", text], input=data, capture_output=True, cwd=REPO, timeout=60, check=False
    )


# --- what is read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", files.AVAILABLE)
def test_every_common_kind_of_file_is_read(kind: str) -> None:
    """As long as it was, give or take what its codec pads, and sounding the same."""
    samples = np.frombuffer(pcm(files.made(kind, SPOKEN)), np.int16).astype(float)
    spoken = np.frombuffer(SPOKEN, np.int16).astype(float)
    assert abs(len(samples) - len(spoken)) < 0.15 * files.RATE
    assert 0.8 < np.sqrt(np.mean(samples**2)) / np.sqrt(np.mean(spoken**2)) < 1.2


@pytest.mark.parametrize("kind", [kind for kind in files.AVAILABLE if kind not in {"mp4", "m4a", "ogg"}])
def test_of_a_file_that_is_broken_off_what_is_there_is_read(kind: str) -> None:
    """Half of it gives about half of the audio."""
    whole = files.made(kind, SPOKEN)
    heard_s = len(pcm(whole[: len(whole) // 2])) / 32_000
    assert 0.25 * SPOKEN_S < heard_s < 0.75 * SPOKEN_S


def test_a_broken_packet_costs_itself_alone() -> None:
    """What follows is read."""
    whole = bytearray(files.made("mp3", SPOKEN))
    middle = len(whole) // 2
    whole[middle : middle + 200] = b"\xaa" * 200
    assert len(pcm(bytes(whole))) > 0.7 * len(SPOKEN)


def test_a_stream_of_unknown_length_is_read_to_its_end() -> None:
    """Recorders that cannot go back write 4 GiB into the header."""
    assert pcm(files.wav(SPOKEN, 0xFFFFFFFF)) == SPOKEN


def test_other_rates_and_channels_become_16_khz_mono() -> None:
    """44.1 kHz stereo."""
    tone = (8000 * np.sin(np.arange(44_100) / 20)).astype(np.int16).repeat(2).tobytes()
    assert abs(len(pcm(files.wav(tone, rate=44_100, channels=2))) - 32_000) < 64


def test_a_file_without_a_sample_is_empty_and_no_fault() -> None:
    assert pcm(files.wav(b"")) == b""


def test_sound_of_a_film_is_read_and_its_picture_never() -> None:
    """Whatever size the picture says it has."""
    assert pcm(files.film(65_535, 65_535, SPOKEN)) == SPOKEN


# --- what is not ------------------------------------------------------------------------------------------------

JUNK = {
    "nothing": b"",
    "zeros": bytes(10_000),
    "noise": np.random.default_rng(1).bytes(50_000),
    "text": b"The patient slept well.\n" * 500,
    "json": (AUDIO / "refs.json").read_bytes(),
    "zip": b"PK\x03\x04" + bytes(200),
    "a page": b"<!DOCTYPE html><html><body>404</body></html>",
    "a picture": files.picture(60_000, 60_000),
    "m4a that is broken off": files.made("m4a", SPOKEN)[:-2000],
    "wav header alone": files.wav(SPOKEN)[:30],
    "an attachment of 250 MB, announced": files.glutton(0x0FA00000),
    "subtitles": b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n",
}


@pytest.mark.parametrize("name", JUNK)
def test_what_is_no_audio_is_refused(name: str) -> None:
    assert verdict(JUNK[name]) is Verdict.UNREADABLE


@pytest.mark.parametrize("name", files.references(Path("x")))
def test_a_file_that_refers_to_another_one_gets_nothing(name: str) -> None:
    """Not even one that is there and could be read."""
    assert verdict(files.references(AUDIO / "en_00.wav")[name]) is Verdict.UNREADABLE


@pytest.mark.parametrize("kind", ["flac", "opus", "mp3", "webm"])
def test_a_small_file_with_hours_in_it_is_refused_before_any_of_it_is_given(kind: str) -> None:
    """Silence compresses to nothing: what counts is what comes out."""
    bomb = files.made(kind, silence(90))
    given = unpack(bomb, 60.0)
    with pytest.raises(Unreadable) as no:
        next(given)
    assert no.value.verdict is Verdict.TOO_LONG
    assert len(pcm(bomb, 100.0)) >= len(silence(90))


def test_a_file_that_hides_its_length_is_refused_where_the_limit_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packets that do not say how long they are: the samples are counted."""
    monkeypatch.setattr("gateway.upload.unpack.measured_s", lambda data: 0.0)
    given: list[bytes] = []
    bomb = unpack(files.made("flac", silence(20)), 10.0)
    with pytest.raises(Unreadable) as no:
        given.extend(bomb)
    assert no.value.verdict is Verdict.TOO_LONG
    assert sum(map(len, given)) <= len(silence(10))


# --- the process ------------------------------------------------------------------------------------------------


def test_the_process_gives_pcm_and_its_verdict() -> None:
    done = child("", files.made("flac", SPOKEN))
    assert (done.returncode, done.stdout) == (Verdict.DECODED, SPOKEN)
    assert child("", b"hello").returncode == Verdict.UNREADABLE
    assert child("", files.made("flac", silence(20)), audio_s=10).returncode == Verdict.TOO_LONG


def test_it_can_open_nothing_any_more_when_it_reads() -> None:
    """No file to read, none to write, no socket, no process: whatever a hole in a decoder would try."""
    program = """
import socket, subprocess
def attempt(data, max_audio_s):
    for name in ("open('/etc/passwd')", "open('/tmp/x', 'w')", "socket.socket()", "os.pipe()",
                 "subprocess.run(['true'])"):
        try:
            eval(name)
            yield name.encode()
        except OSError:
            pass
    yield b"done"
real, unpack.unpack = unpack.unpack, attempt
unpack.rehearse = lambda: None
"""
    done = child(program, SPOKEN)
    assert (done.returncode, done.stdout) == (0, b"done"), done.stderr


def test_too_much_memory_ends_in_its_verdict() -> None:
    greedy = "unpack.unpack = lambda data, s: [bytearray(600 << 20)]\nunpack.rehearse = lambda: None"
    assert child(greedy).returncode == Verdict.OUT_OF_MEMORY


def test_too_much_work_ends_the_process() -> None:
    """By the kernel, in a second of its time."""
    busy = "import itertools\nunpack.unpack = lambda d, s: (b'' for _ in itertools.count())\nunpack.rehearse = lambda: None"
    assert child(busy, cpu_s=1).returncode == -signal.SIGXCPU


@pytest.mark.parametrize("seed", range(6))
def test_damaged_files_give_audio_or_a_verdict(seed: int) -> None:
    """Any bytes changed anywhere: never another exception, never more than the limit."""
    random = np.random.default_rng(seed)
    for kind in files.AVAILABLE:
        damaged = bytearray(files.made(kind, SPOKEN))
        for place in random.integers(0, len(damaged), 1 + len(damaged) // 500):
            damaged[place] = random.integers(0, 256)
        with contextlib.suppress(Unreadable):
            assert len(pcm(bytes(damaged), 10.0)) <= len(silence(10))
