"""shell: start a child (child.py), wait for it with patience that ends, and tell how it fared."""

import contextlib
import os
import signal
import subprocess  # nosec B404 # our own module
import sys
from typing import Any

import msgspec

from gateway.diagnosis.observed import Accelerator, Trial
from gateway.inference.protocol import EngineSpec, encode

LOOK_TIMEOUT_S = 60.0
"""A driver that has to be loaded for many GPUs takes ten seconds."""
PRODUCT_TIMEOUT_S = 60.0
DECODE_TIMEOUT_S = 600.0
"""The first start on a new GPU compiles its kernels; a large model on a slow CPU takes minutes."""
KILL_TIMEOUT_S = 5.0
COMPLAINT_CHARS = 400
HEADER_BYTES = 8


def look() -> tuple[Trial, Accelerator]:
    """What driver, GPUs and CTranslate2 say of themselves."""
    trial, said = _run("look", b"", LOOK_TIMEOUT_S)
    return trial, msgspec.convert(said.get("seen", {}), Accelerator)


def try_product() -> Trial:
    """A timed FP16 matrix product on the first GPU."""
    return _run("product", b"", PRODUCT_TIMEOUT_S)[0]


def try_decode(spec: EngineSpec) -> Trial:
    """A short decode with the engine that the gateway would start."""
    return _run("decode", encode(spec)[HEADER_BYTES:], DECODE_TIMEOUT_S)[0]


def _run(what: str, given: bytes, timeout_s: float) -> tuple[Trial, dict[str, Any]]:
    process = subprocess.Popen(  # noqa: S603 # nosec B603 # no shell, nobody else's words
        [sys.executable, "-P", "-m", "gateway.diagnosis.child", what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    late = False
    try:
        out, complaints = process.communicate(given, timeout_s)
    except subprocess.TimeoutExpired:
        late = True
        out, complaints = _kill(process)
    except BaseException:  # Ctrl-C goes to us alone
        _kill(process)
        raise
    said: dict[str, Any] = {}
    for line in out.splitlines():
        with contextlib.suppress(msgspec.DecodeError):  # cut short by its end
            said |= msgspec.json.decode(line)
    answered = said.keys() & {"seen", "figures", "error"}
    ended = (
        f"gave no answer within {timeout_s:g} s" if late else "" if answered else _end_of(process, complaints)
    )
    told = {name: said.get(name, {}) for name in ("figures", "notes")}
    return Trial(said.get("stage", "starting"), said.get("error", ""), ended, **told), said


def _kill(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What it said before. A process that hangs in a broken driver may outlive even this."""
    process.kill()
    try:
        return process.communicate(timeout=KILL_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        return error.stdout or b"", error.stderr or b""


def _end_of(process: subprocess.Popen[bytes], complaints: bytes) -> str:
    code = process.returncode
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    last = complaints.decode(errors="replace").strip()[-COMPLAINT_CHARS:]
    return f"{how}: {last}" if last else how
