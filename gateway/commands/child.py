"""shell: `care-voice serve` as another command's child: `python -m gateway.commands.child OPTION...`.

Its standard input is a pipe whose other end only the parent holds: when that closes, by whatever end the
parent met (SIGKILL too), the gateway stops as on SIGTERM. On every system, and without code between fork and
exec.
"""

import os
import signal
import sys
import threading
import time

from gateway.commands.main import main

STOP_TIMEOUT_S = 20.0
"""For the last captions; then by force."""


def run() -> None:
    """The gateway, until it is stopped or standard input ends."""
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    main(["serve", *sys.argv[1:]])


def _stop_with_parent() -> None:
    while os.read(0, 4096):
        pass
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):  # pipes to the parent, too: a line for the log must not fail
        os.dup2(nowhere, output)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_TIMEOUT_S)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run()
