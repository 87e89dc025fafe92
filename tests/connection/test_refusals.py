"""Tests of the words in which a client is refused before the upgrade."""

import pytest

from gateway.connection.access import NEEDS, Need, Principal, needed, only_bed
from gateway.connection.refusals import DEEPGRAM_ROUTES, OPENAI_ROUTES, refusal

ID = "7a0f"


@pytest.mark.parametrize("route", OPENAI_ROUTES)
@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", "bad_bed"),
        (401, "invalid_request_error", "invalid_api_key"),
        (403, "invalid_request_error", "bad_bed"),
        (429, "rate_limit_exceeded", "rate_limit_exceeded"),
        (503, "server_error", "bad_bed"),
    ],
)
def test_openai_routes_have_openai_errors(route: str, status: int, kind: str, code: str) -> None:
    """`error` with message, type, param and code: the SDK hands that object to its user."""
    said = refusal(route, status, "bad_bed", "Not that bed.", ID)
    assert said.status == status
    assert said.body == {"error": {"message": "Not that bed.", "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize("route", DEEPGRAM_ROUTES)
def test_deepgram_routes_have_deepgram_errors(route: str) -> None:
    """err_code, err_msg and the request's id, which is a header as well."""
    said = refusal(route, 401, "no_token", "Wer da? 誰", ID)
    assert said.body == {"err_code": "INVALID_AUTH", "err_msg": "Wer da? 誰", "request_id": ID}
    assert said.headers == {"dg-request-id": ID, "dg-error": "Wer da? ?"}
    full = refusal(route, 503, "overloaded", "Full.", ID)
    assert (full.status, full.body["err_code"]) == (429, "TOO_MANY_REQUESTS")


@pytest.mark.parametrize("route", ["/v1/stream", "/", "/v1/realtime", "/v1/listen"])
@pytest.mark.parametrize("status", [429, 503])
def test_who_may_come_back_is_told_when(route: str, status: int) -> None:
    """A gateway that is full is not full for ever."""
    assert refusal(route, status, "full", "Full.", ID).headers["Retry-After"] == "5"


@pytest.mark.parametrize(("status", "again"), [(503, "true"), (429, "true"), (500, "false")])
def test_openais_clients_try_again_only_where_it_helps(status: int, again: str) -> None:
    """Their SDKs repeat every 5xx unless told not to."""
    assert refusal("/v1/audio/transcriptions", status, "x", "X.", ID).headers["x-should-retry"] == again


def test_elsewhere_the_error_is_ours() -> None:
    """As the native protocol documents it."""
    assert refusal("/v1/beds", 403, "forbidden", "No.", ID).body == {"error": "No.", "code": "forbidden"}


@pytest.mark.parametrize("route", [*OPENAI_ROUTES, *DEEPGRAM_ROUTES, "/ws", "/vosk", "/whisperlive"])
def test_a_foreign_protocol_is_for_speakers(route: str) -> None:
    """Deny by default would be right, but useless."""
    assert needed(route) is (Need.LOGIN if route.startswith("/v1/models") else Need.SPEAK)


def test_the_root_is_a_page_or_a_speakers_socket() -> None:
    """WhisperLive's clients know no path."""
    assert (needed("/"), needed("/", websocket=True)) == (Need.WATCH_PAGE, Need.SPEAK)
    assert all(needed(route, websocket=True) is need for route, need in NEEDS.items() if route != "/")


@pytest.mark.parametrize(
    ("role", "beds", "bed"),
    [
        ("speaker", ("3A",), "3A"),
        ("speaker", ("3*",), None),
        ("speaker", ("3A", "3B"), None),
        ("viewer", ("3A",), None),
        ("admin", ("*",), None),
    ],
)
def test_a_devices_own_key_knows_its_bed(role: str, beds: tuple[str, ...], bed: str | None) -> None:
    """One bed, no pattern: where else should it speak?"""
    assert only_bed(Principal("id", role, beds)) == bed  # type: ignore[arg-type]
