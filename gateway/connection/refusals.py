"""core: how a refusal before the upgrade reads, in the words of the protocol that the client speaks.

Every SDK turns an HTTP status and its own error body into a clear exception; anything else reads as an empty
result, or as nothing at all.
"""

from dataclasses import dataclass, field
from typing import Any

RETRY_AFTER_S = 5
OPENAI_ROUTES = (
    "/v1/realtime",
    "/v1/realtime/client_secrets",
    "/v1/realtime/transcription_sessions",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/models",
    "/v1/models/{id}",
)
DEEPGRAM_ROUTES = ("/v1/listen",)
BUSY = {429, 503}
_OPENAI_TYPES = {401: "invalid_request_error", 403: "invalid_request_error", 429: "rate_limit_exceeded"}
_OPENAI_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
_DEEPGRAM_CODES = {401: "INVALID_AUTH", 403: "INSUFFICIENT_PERMISSIONS", 429: "TOO_MANY_REQUESTS"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def refusal(
    route: str, status: int, code: str, message: str, connection: str, param: str | None = None
) -> Refusal:
    """`route`: its path with {names}. `code`: our own name of the reason. `connection`: a UUID."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status in BUSY else {}
    if route in OPENAI_ROUTES:
        return Refusal(status, _openai(status, code, message, param), headers | _retry(status))
    if route in DEEPGRAM_ROUTES:
        status = 429 if status == 503 else status  # the way Deepgram says that it is full
        said = {"err_code": _DEEPGRAM_CODES.get(status, code.upper()), "err_msg": message}
        headers |= {"dg-request-id": connection, "dg-error": message.encode("ascii", "replace").decode()}
        return Refusal(status, said | {"request_id": connection}, headers)
    return Refusal(status, {"error": message, "code": code}, headers)


def _openai(status: int, code: str, message: str, param: str | None) -> dict[str, Any]:
    kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {
        "error": {"message": message, "type": kind, "param": param, "code": _OPENAI_CODES.get(status, code)}
    }


def _retry(status: int) -> dict[str, str]:
    """OpenAI's SDKs try again on 5xx unless told not to."""
    return {"x-should-retry": "true" if status in BUSY else "false"} if status >= 429 else {}
