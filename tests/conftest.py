"""One real gateway with the real demo model for all tests that only talk to it."""

from collections.abc import Iterator

import pytest

from tests.running import RunningGateway


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Shared: a test must leave it as it found it."""
    running = RunningGateway.start(tmp_path_factory.mktemp("gateway") / "log")
    yield running
    assert running.stop() == 0, running.log()
