"""Gateways that a test may hurt."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import RunningGateway


@pytest.fixture
def own(tmp_path: Path) -> Iterator:
    """Start gateways over the same data directory; all are ended with the test."""
    started: list[RunningGateway] = []

    def start(*options: str, **more: object) -> RunningGateway:
        started.append(RunningGateway.start(tmp_path / f"log{len(started)}", *options, **more))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for running in started:
        running.stop(signal.SIGKILL)
