"""The engine's process, spoken to by hand."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.inference.process import read_exactly, receive, send
from gateway.inference.protocol import EngineSpec, Ran, Ready, Run, Unusable
from tests.inference.fakes import HANG, INFO, job, name

pytestmark = pytest.mark.slow
FAKE = EngineSpec("", "fake", factory="tests.inference.fakes:build")


@contextmanager
def process(spec: EngineSpec) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-m", "gateway.inference.process", "--fd", str(theirs.fileno())]
        child = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        theirs.close()
        with child:
            try:
                send(ours, spec)
                yield child, ours
            finally:
                child.kill()


def test_it_says_ready_and_answers_in_order() -> None:
    with process(FAKE) as (_, ours):
        ready = receive(ours)
        assert isinstance(ready, Ready)
        assert ready.info == INFO
        send(ours, Run(5, (job(3), job(1), job(2))))
        ran = receive(ours)
        assert isinstance(ran, Ran)
        assert ran.batch == 5
        assert [hypothesis.text for hypothesis in ran.hypotheses] == ["3.1.1", "1.1.1", "2.1.1"]


def test_it_says_why_it_is_unusable() -> None:
    with process(EngineSpec("", "fake", factory="tests.inference.fakes:refuse")) as (child, ours):
        assert receive(ours) == Unusable("cuda_unavailable", "no GPU here")
        assert child.wait(10) == 1


def test_it_ends_when_its_parent_closes() -> None:
    """At once, without a word on its outputs."""
    with process(FAKE) as (child, ours):
        receive(ours)
        ours.close()
        assert child.wait(10) == 0
        assert child.communicate() == (b"", b"")


def test_it_ends_when_its_parent_is_killed_in_the_middle_of_a_pass(tmp_path: object) -> None:
    """Even if the pass hangs: no orphan keeps the GPU."""
    script = (
        "import os, tests.inference.test_process as t\n"
        "with t.process(t.FAKE) as (child, ours):\n"
        "    t.receive(ours)\n"
        "    t.send(ours, t.Run(0, (t.job(marker=t.HANG),)))\n"
        "    os.write(1, str(child.pid).encode() + b'\\n')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        orphan = os.pidfd_open(int(parent.stdout.readline()))
        parent.wait()
    try:
        assert select.select([orphan], [], [], 10)[0], "the process outlived its parent"
    finally:
        os.close(orphan)


def test_signals_for_the_terminal_do_not_end_it() -> None:
    """Ctrl-C and a service manager's SIGTERM reach the whole group: the parent drains first."""
    with process(FAKE) as (child, ours):
        receive(ours)
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGTERM)
        send(ours, Run(0, (job(7),)))
        answer = receive(ours)
        assert isinstance(answer, Ran)
        assert [name(hypothesis) for hypothesis in answer.hypotheses] == ["7.1.1"]


def test_a_message_may_come_in_pieces() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"abc")
        ours.sendall(b"defg")
        assert read_exactly(theirs, 5) == b"abcde"
        ours.close()
        with pytest.raises(EOFError):
            read_exactly(theirs, 5)


def test_markers_are_what_the_fake_is_told() -> None:
    """The scripted engine dies on demand, which the tests of the worker rely on."""
    from tests.inference.fakes import DIE

    with process(FAKE) as (child, ours):
        receive(ours)
        send(ours, Run(0, (job(marker=DIE),)))
        assert child.wait(10) == 70
    assert HANG != DIE
