import pytest

from gateway.events import Kind, ModelInfo
from gateway.inference.protocol import (
    HEADER_BYTES,
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
from tests.inference.fakes import FakeEngine, job

MESSAGES: list[Message] = [
    EngineSpec(
        "dir", "name", device="cuda", compute_type="float16", cpu_threads=3, short_context=True, demo=True
    ),
    Ready(ModelInfo("name", "cpu", "int8", 80, ("en", "zh"), demo=False), 1.5),
    Unusable("not_a_model", "why, and how to mend it"),
    Ran(7, tuple(FakeEngine().transcribe([job(1), job(2, kind=Kind.PARTIAL)])), 0.25),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_survive_the_wire(message: Message) -> None:
    """Every field, behind a header that says how long the body is."""
    frame = encode(message)
    assert body_bytes(frame[:HEADER_BYTES]) == len(frame) - HEADER_BYTES
    assert decode(frame[HEADER_BYTES:]) == message


def test_features_survive_the_wire() -> None:
    """Bit by bit, also views into larger arrays."""
    sent = job(frames=300)
    received = decode(encode(Run(3, (sent,)))[HEADER_BYTES:])
    assert isinstance(received, Run)
    assert received.batch == 3
    assert (received.jobs[0].features == sent.features).all()
    assert received.jobs[0].kind is sent.kind


def test_an_engine_error_names_its_code_and_speaks() -> None:
    error = EngineError("cuda_unavailable", "no GPU")
    assert (error.code, error.message, str(error)) == ("cuda_unavailable", "no GPU", "no GPU")
