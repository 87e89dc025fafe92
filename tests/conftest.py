"""One real gateway with the real demo model for all tests that only talk to it."""

from collections.abc import Iterator

import pytest

from tests.running import LOGS, RunningGateway
from tests.talking import REFERENCES, SECRETS

MIN_SENTENCE_CHARS = 9
"""Shorter ones may stand in a log line by chance."""


@pytest.fixture(scope="session", autouse=True)
def nothing_spoken_is_logged() -> Iterator[None]:
    """No sentence of the test audio and no token is in any log of this whole test run."""
    yield
    sentences = {
        s["text"].strip(".?!。？！ ").lower() for r in REFERENCES.values() for s in r.get("segments", [])
    }
    private = {s for s in sentences if len(s.encode()) >= MIN_SENTENCE_CHARS} | SECRETS
    for path in LOGS:
        log = path.read_text().lower() if path.exists() else ""
        found = [secret for secret in private if secret.lower() in log]
        assert not found, f"{path} tells {found}"


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """Shared: a test must leave it as it found it."""
    running = RunningGateway.start(tmp_path_factory.mktemp("gateway") / "log")
    yield running
    assert running.stop() == 0, running.log()
