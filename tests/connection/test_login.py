"""Rules of logging in and out, and of tokens."""

import asyncio
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from gateway.config import AccessSettings
from gateway.connection.attempts import MAX_FAILURES
from tests.connection.gates import bearer, serving


async def test_whoami_tells_a_page_where_it_stands(tmp_path: Path) -> None:
    """Open, a stranger, somebody, somebody whose time is over: always 200."""
    async with serving(tmp_path) as visitors:
        status, answer = await visitors.get("/v1/whoami")
        assert (status, answer["access"], answer["role"]) == (200, "open", "admin")
        key = visitors.key("viewer", "3*", name="night nurse")
        status, answer = await visitors.get("/v1/whoami")
        assert (status, answer["access"], answer["role"], answer["beds"]) == (200, "locked", None, [])
        assert "problem" not in answer
        status, answer = await visitors.get("/v1/whoami", **bearer(key))
        assert (answer["role"], answer["beds"], answer["name"]) == ("viewer", ["3*"], "night nurse")
        status, answer = await visitors.get("/v1/whoami", **bearer("cv_no_body"))
        assert (status, answer["role"], answer["problem"]["code"]) == (200, None, "unknown_key")
        assert answer["_headers"]["Cache-Control"] == "no-store"


async def test_a_login_is_a_cookie_that_scripts_cannot_read(tmp_path: Path) -> None:
    """HttpOnly, SameSite=Strict, for the whole site, not for longer than it counts."""
    async with serving(tmp_path, AccessSettings(token_ttl_s=600)) as visitors:
        key = visitors.key("speaker", "3A")
        status, answer = await visitors.post("/v1/login", {"key": key}, **visitors.ours)
        assert (status, answer["role"], answer["beds"]) == (200, "speaker", ["3A"])
        cookie = SimpleCookie(answer["_headers"]["Set-Cookie"])["care-voice"]
        assert cookie["httponly"]
        assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Strict", "/", "")
        assert 590 <= int(cookie["max-age"]) <= 600
        assert key.split("_")[2] not in cookie.value
        status, answer = await visitors.get("/v1/whoami")
        assert answer["role"] == "speaker"


async def test_logging_out_takes_the_cookie_back(tmp_path: Path) -> None:
    """And the next request is a stranger's."""
    async with serving(tmp_path) as visitors:
        await visitors.log_in(visitors.key())
        assert (await visitors.get("/v1/captions"))[0] == 200
        assert (await visitors.post("/v1/logout", **visitors.ours))[0] == 200
        assert (await visitors.get("/v1/captions"))[0] == 401


async def test_other_sites_log_nobody_in_or_out(tmp_path: Path) -> None:
    """A foreign origin, or a form, which can send neither JSON nor our header."""
    async with serving(tmp_path) as visitors:
        key = visitors.key()
        await visitors.log_in(key)
        ours, evil = visitors.ours, visitors.ours | {"Origin": "https://evil.example"}
        plain = {"Origin": ours["Origin"]}
        for path, body in (("/v1/login", {"key": key}), ("/v1/logout", None), ("/v1/tokens", {})):
            assert (await visitors.post(path, body, **evil))[1]["code"] == "foreign_origin"
        for path in ("/v1/login", "/v1/logout"):
            assert (await visitors.post(path, {"key": key}, **plain))[1]["code"] == "no_custom_header"
        assert (await visitors.post("/v1/logout", **{"X-Care-Voice": "1"}))[1]["code"] == "no_origin"
        async with visitors.client.post("/v1/login", data={"key": key}, headers=ours) as answer:
            assert answer.status == 415


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"key": 3}', b"\xff", b"[" * 10_000])
async def test_a_body_that_is_none_is_refused(tmp_path: Path, body: bytes) -> None:
    """Without quoting it: it may hold a key."""
    async with serving(tmp_path) as visitors:
        visitors.key()
        headers = visitors.ours | {"Content-Type": "application/json"}
        async with visitors.client.post("/v1/login", data=body, headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "bad_body")


async def test_failed_logins_are_limited(tmp_path: Path) -> None:
    """Ten, then a pause, for that address; even a right key must wait."""
    async with serving(tmp_path, AccessSettings(trusted_proxies="127.0.0.1")) as visitors:
        key, wrong = visitors.key(), {"key": "cv_aaaaaaaa_bbbb"}
        ours = visitors.ours | {"X-Forwarded-For": "203.0.113.9"}
        for _ in range(MAX_FAILURES):
            assert (await visitors.post("/v1/login", wrong, **ours))[1]["code"] == "unknown_key"
        status, answer = await visitors.post("/v1/login", {"key": key}, **ours)
        assert (status, answer["code"]) == (429, "too_many_logins")
        assert "Retry-After" in answer["_headers"]
        other = visitors.ours | {"X-Forwarded-For": "203.0.113.10"}
        assert (await visitors.post("/v1/login", {"key": key}, **other))[0] == 200


async def test_a_page_that_stays_open_stays_logged_in(tmp_path: Path) -> None:
    """Its cookie is made anew, as long as the key behind it counts."""
    async with serving(tmp_path, AccessSettings(token_ttl_s=60)) as visitors:
        key = visitors.key()
        await visitors.log_in(key)
        before = (await visitors.get("/v1/whoami"))[1]["expires_at"]
        await asyncio.sleep(1.1)  # tokens count in seconds
        status, answer = await visitors.post("/v1/login", **visitors.ours)
        assert (status, answer["role"]) == (200, "viewer")
        assert answer["expires_at"] > before
        assert (await visitors.get("/v1/whoami"))[1]["expires_at"] == answer["expires_at"]
        visitors.keys.revoke(key.split("_")[1])
        assert (await visitors.post("/v1/login", **visitors.ours))[1]["code"] == "revoked_key"


async def test_a_short_token_cannot_be_made_longer(tmp_path: Path) -> None:
    """Only a login is renewed; a token, or a key, shown as something else is not."""
    async with serving(tmp_path) as visitors:
        key = visitors.key()
        _, made = await visitors.post("/v1/tokens", {"ttl_s": 60}, **bearer(key))
        for secret in (made["token"], key):
            shown = visitors.ours | bearer(secret)
            assert (await visitors.post("/v1/login", **shown))[1]["code"] == "no_login"
        assert (await visitors.post("/v1/login", {"key": made["token"]}, **visitors.ours))[0] == 401
        visitors.client.session.cookie_jar.update_cookies({"care-voice": made["token"]})
        assert (await visitors.get("/v1/captions"))[0] == 200
        assert (await visitors.post("/v1/login", **visitors.ours))[1]["code"] == "no_login"


async def test_a_token_has_the_rights_of_its_key_or_fewer(tmp_path: Path) -> None:
    """Narrowed, never widened; nor by a token made from a token."""
    async with serving(tmp_path) as visitors:
        key = visitors.key("viewer", "3*")
        status, made = await visitors.post("/v1/tokens", {"beds": ["3A"], "ttl_s": 60}, **bearer(key))
        assert (status, made["role"], made["beds"]) == (200, "viewer", ["3A"])
        token = bearer(made["token"])
        assert (await visitors.get("/v1/beds/3A/captions", **token))[0] == 200
        assert (await visitors.get("/v1/beds/3B/captions", **token))[0] == 403
        assert (await visitors.get("/v1/stream", **token))[0] == 403
        for wider in ({"beds": ["3*"]}, {"role": "admin"}, {"role": "speaker"}):
            assert (await visitors.post("/v1/tokens", wider, **token))[0] == 403
        _, again = await visitors.post("/v1/tokens", {"ttl_s": 3600}, **token)
        assert again["expires_at"] <= made["expires_at"]


@pytest.mark.parametrize("ttl_s", [0, -1, 43_201, 1e308])
async def test_tokens_are_short_lived(tmp_path: Path, ttl_s: float) -> None:
    """A second to twelve hours."""
    async with serving(tmp_path) as visitors:
        status, answer = await visitors.post("/v1/tokens", {"ttl_s": ttl_s}, **bearer(visitors.key()))
        assert (status, answer["code"]) == (400, "bad_ttl")


async def test_a_token_dies_with_its_key(tmp_path: Path) -> None:
    """At once."""
    async with serving(tmp_path) as visitors:
        key = visitors.key()
        _, made = await visitors.post("/v1/tokens", **bearer(key))
        assert (await visitors.get("/v1/captions", **bearer(made["token"])))[0] == 200
        visitors.keys.revoke(key.split("_")[1])
        assert (await visitors.get("/v1/captions", **bearer(made["token"])))[1]["code"] == "revoked_key"


async def test_an_open_gateway_gives_no_tokens(tmp_path: Path) -> None:
    """It would not ask for them either."""
    async with serving(tmp_path) as visitors:
        for path, body in (("/v1/tokens", {}), ("/v1/login", {"key": "cv_a_b"})):
            status, answer = await visitors.post(path, body, **visitors.ours)
            assert (status, answer["code"]) == (409, "open")


async def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """Where tokens cannot be signed: 503, not 500."""
    async with serving(tmp_path) as visitors:
        key = visitors.key()
        (tmp_path / "signing.json").mkdir()
        status, answer = await visitors.post("/v1/tokens", **bearer(key))
        assert (status, answer["code"]) == (503, "cannot_sign")
