"""shell: the engine's own process: `python -m gateway.inference.process --fd N`.

Reads its EngineSpec from the socket, loads, warms up, says Ready or Unusable, then answers one Run after the
other. It lives exactly as long as its parent holds the other end; what goes wrong inside CUDA ends this
process and nothing else.
"""

import argparse
import ctypes
import importlib
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence

from gateway.inference.protocol import (
    HEADER_BYTES,
    Engine,
    EngineError,
    EngineSpec,
    Message,
    Ran,
    Ready,
    Run,
    Unusable,
    body_bytes,
    decode,
    encode,
)

PR_SET_PDEATHSIG = 1
"""prctl(2)"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gateway.inference.process")
    parser.add_argument("--fd", type=int, required=True)
    isolate()
    parent = socket.socket(fileno=parser.parse_args(arguments).fd)
    try:
        return serve(parent)
    except (EOFError, ConnectionError):
        return 0


def isolate() -> None:
    """Signals for the terminal's group are the parent's business; no core dump holds anybody's voice."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The closed socket is noticed between passes; this also ends a pass that hangs.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="engine: %(levelname)s %(message)s")


def serve(parent: socket.socket) -> int:
    """Answer until the parent closes. Raises EOFError or ConnectionError then."""
    spec = receive(parent)
    assert isinstance(spec, EngineSpec)
    started = time.monotonic()
    try:
        engine = make_engine(spec)
        engine.warm_up()
    except EngineError as error:
        send(parent, Unusable(error.code, error.message))
        return 1
    send(parent, Ready(engine.info, time.monotonic() - started))
    while True:
        run = receive(parent)
        assert isinstance(run, Run)
        started = time.monotonic()
        hypotheses = engine.transcribe(run.jobs)
        send(parent, Ran(run.batch, tuple(hypotheses), time.monotonic() - started))


def make_engine(spec: EngineSpec) -> Engine:
    module, _, name = spec.factory.partition(":")
    engine: Engine = getattr(importlib.import_module(module), name)(spec)
    return engine


def send(parent: socket.socket, message: Message) -> None:
    parent.sendall(encode(message))


def receive(parent: socket.socket) -> Message:
    return decode(read_exactly(parent, body_bytes(read_exactly(parent, HEADER_BYTES))))


def read_exactly(parent: socket.socket, count: int) -> bytes:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        received = parent.recv_into(view)
        if not received:
            raise EOFError
        view = view[received:]
    return bytes(data)


if __name__ == "__main__":
    code = 70
    try:
        code = main()
    except Exception:
        logging.exception("the engine cannot go on")
    # Not sys.exit: destructors of CUDA at exit may hang or abort.
    sys.stderr.flush()
    os._exit(code)
