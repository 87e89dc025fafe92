"""Rules of the gate: what a request must show to pass, and when those inside must go."""

import time
from pathlib import Path

import pytest
from aiohttp import web

from gateway.config import AccessSettings, Settings
from gateway.connection import routes
from gateway.connection.access import NEEDS, OPEN, Principal
from gateway.connection.gate import CHECK_EVERY_S, Gate, GateError, build_gate
from gateway.connection.keys import ApiKeys
from tests.connection.gates import bearer, serving

UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}


# --- open ---


async def test_without_keys_everybody_on_this_machine_may_do_everything(tmp_path: Path) -> None:
    """Under our own names only, and from our own pages only."""
    async with serving(tmp_path) as visitors:
        for path in ("/", "/v1/stream", "/v1/captions", "/undeclared"):
            assert (await visitors.get(path))[1]["role"] == "admin"
        assert (await visitors.get("/v1/captions", Host="ward-pc:8001"))[0] == 200
        status, answer = await visitors.get("/v1/captions", Host="evil.example")
        assert (status, answer["code"]) == (421, "unknown_host")
        assert (await visitors.get("/healthz", Host="10.1.2.3.nip.example"))[0] == 200
        status, answer = await visitors.get("/v1/captions", Origin="http://evil.example", **UPGRADE)
        assert (status, answer["code"]) == (403, "foreign_origin")
        assert (await visitors.get("/v1/captions", **visitors.ours))[0] == 200


async def test_other_names_can_be_allowed(tmp_path: Path) -> None:
    """For containers and proxies."""
    settings = AccessSettings(allowed_hosts="gateway, ward.example", allowed_origins="https://ward.example")
    async with serving(tmp_path, settings) as visitors:
        assert (await visitors.get("/v1/captions", Host="ward.example"))[0] == 200
        assert (await visitors.get("/v1/captions", Origin="https://ward.example"))[0] == 200


async def test_the_first_key_locks_a_running_gateway(tmp_path: Path) -> None:
    """At once, for new requests."""
    async with serving(tmp_path) as visitors:
        assert (await visitors.get("/v1/captions"))[0] == 200
        key = visitors.key("viewer")
        status, answer = await visitors.get("/v1/captions")
        assert (status, answer["code"]) == (401, "no_token")
        assert answer["_headers"]["WWW-Authenticate"].startswith("Bearer")
        assert (await visitors.get("/v1/captions", **bearer(key)))[0] == 200
        assert (await visitors.get("/healthz"))[0] == 200
        (tmp_path / "keys.json").unlink()
        assert (await visitors.get("/v1/captions", **bearer(key)))[0] == 401


# --- keys ---


async def test_each_role_gets_in_where_it_belongs(tmp_path: Path) -> None:
    """401 for nobody, 403 for somebody else."""
    async with serving(tmp_path) as visitors:
        keys = {role: visitors.key(role, "3A") for role in ("speaker", "viewer", "admin")}
        expected = {
            "/v1/stream": (401, 200, 403, 200),
            "/v1/captions": (401, 403, 200, 200),
            "/v1/beds/3A/captions": (401, 403, 200, 200),
            "/v1/beds/4B/captions": (401, 403, 403, 200),
            "/undeclared": (401, 403, 403, 200),
            "/healthz": (200, 200, 200, 200),
        }
        for path, wanted in expected.items():
            headers = [{}, *(bearer(keys[role]) for role in ("speaker", "viewer", "admin"))]
            got = [(await visitors.get(path, **h))[0] for h in headers]
            assert got == list(wanted), path


@pytest.mark.parametrize("key", ["nonsense", "cv_x_y", "a.b.c", "\udcff"])
async def test_a_wrong_key_is_refused(tmp_path: Path, key: str) -> None:
    """By name, and without quoting it."""
    async with serving(tmp_path) as visitors:
        visitors.key()
        status, answer = await visitors.get("/v1/captions", **bearer(key))
        assert status == 401
        assert key not in answer["error"]


async def test_a_key_may_come_as_a_subprotocol(tmp_path: Path) -> None:
    """Beside the protocol that is to be spoken; on its own it would be echoed or logged."""
    async with serving(tmp_path) as visitors:
        key = visitors.key()
        offered = {"Sec-WebSocket-Protocol": f"care-voice.v1, care-voice.token.{key}"}
        assert (await visitors.get("/v1/captions", **offered))[0] == 200
        status, answer = await visitors.get(
            "/v1/captions", **{"Sec-WebSocket-Protocol": f"care-voice.token.{key}"}
        )
        assert (status, answer["code"]) == (400, "bad_subprotocol")


async def test_keys_in_addresses_only_when_allowed(tmp_path: Path) -> None:
    """They end up in histories and logs."""
    async with serving(tmp_path) as visitors:
        status, answer = await visitors.get(f"/v1/captions?token={visitors.key()}")
        assert (status, answer["code"]) == (401, "token_in_url")
    async with serving(tmp_path, AccessSettings(query_tokens=True)) as visitors:
        assert (await visitors.get(f"/v1/captions?token={visitors.key()}"))[0] == 200


async def test_a_revoked_key_opens_nothing_at_once(tmp_path: Path) -> None:
    """No restart, no waiting."""
    async with serving(tmp_path) as visitors:
        key = visitors.key()
        assert (await visitors.get("/v1/captions", **bearer(key)))[0] == 200
        visitors.keys.revoke(key.split("_")[1])
        status, answer = await visitors.get("/v1/captions", **bearer(key))
        assert (status, answer["code"]) == (401, "revoked_key")


# --- pages ---


async def test_pages_lead_to_the_login_and_back(tmp_path: Path) -> None:
    """Never to another site, never with a token in the address."""
    async with serving(tmp_path) as visitors:
        speaker = visitors.key("speaker", "3A")
        for path, location in (
            ("/", "/login?next=%2F"),
            ("/beds/3A", "/login?next=%2Fbeds%2F3A"),
            ("/microphone?bed=3A", "/login?next=%2Fmicrophone%3Fbed%3D3A"),
            ("/microphone?token=abc&bed=3A", "/login?next=%2Fmicrophone%3Fbed%3D3A"),
        ):
            status, answer = await visitors.get(path)
            assert (status, answer["_headers"]["Location"]) == (303, location)
        assert (await visitors.get("/microphone?bed=3A", **bearer(speaker)))[0] == 200
        status, answer = await visitors.get("/beds/3A", **bearer(speaker))
        assert (status, answer["_headers"]["Location"]) == (303, "/login?next=%2Fbeds%2F3A&denied=1")
        assert (await visitors.get("/nowhere"))[0] == 404


# --- cookies and origins ---


async def test_a_cookie_opens_a_socket_only_from_our_own_pages(tmp_path: Path) -> None:
    """Cross-site WebSocket hijacking: the browser brings the cookie along, and the foreign origin with it."""
    async with serving(tmp_path) as visitors:
        await visitors.log_in(visitors.key())
        assert (await visitors.get("/v1/captions", **UPGRADE, **visitors.ours))[0] == 200
        for origin in ("http://evil.example", "null", f"https://{visitors.host}.evil.example"):
            status, answer = await visitors.get("/v1/captions", **UPGRADE, Origin=origin)
            assert (status, answer["code"]) == (403, "foreign_origin")
        status, answer = await visitors.get("/v1/captions", **UPGRADE)
        assert (status, answer["code"]) == (403, "no_origin")
        assert (await visitors.get("/"))[0] == 200, "following a link is no attack"


async def test_a_foreign_page_with_a_key_is_still_foreign(tmp_path: Path) -> None:
    """Unless the operator named it."""
    async with serving(tmp_path) as visitors:
        key = visitors.key()
        headers = bearer(key) | {"Origin": "https://ward.example"}
        assert (await visitors.get("/v1/captions", **headers))[1]["code"] == "foreign_origin"
    async with serving(tmp_path, AccessSettings(allowed_origins="https://ward.example")) as visitors:
        assert (await visitors.get("/v1/captions", **headers))[0] == 200


async def test_behind_a_trusted_proxy_the_client_is_who_it_says(tmp_path: Path) -> None:
    """HTTPS at the proxy is HTTPS: the cookie has the __Host- name, and http origins are foreign."""
    async with serving(tmp_path, AccessSettings(trusted_proxies="127.0.0.1")) as visitors:
        key = visitors.key()
        proxied = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9", "Host": "ward.example"}
        ours = {"Origin": "https://ward.example", "X-Care-Voice": "1"}
        status, answer = await visitors.post("/v1/login", {"key": key}, **proxied, **ours)
        assert status == 200
        assert answer["_headers"]["Set-Cookie"].startswith("__Host-care-voice=")
        downgraded = ours | {"Origin": "http://ward.example"}
        assert (await visitors.post("/v1/login", {"key": key}, **proxied, **downgraded))[0] == 403


# --- who is inside ---


def inside(gate: Gate, principal: Principal) -> tuple[list[tuple[int, str]], object]:
    closed: list[tuple[int, str]] = []
    guard = gate.guard(principal, lambda code, reason: closed.append((code, reason)))
    guard.__enter__()
    return closed, guard


def test_connections_end_with_their_key(tmp_path: Path) -> None:
    """Revoked, expired, forgotten: 4401, once; others stay."""
    keys, now = ApiKeys(tmp_path), time.time()
    kept, revoked, forgotten = (keys.create(Principal("", "viewer", ("*",)))[0] for _ in range(3))
    short, _ = keys.create(Principal("", "viewer", ("*",), expires_at=now + 100))
    gate = Gate(AccessSettings(), tmp_path, ())
    holders = {
        r.id: inside(gate, Principal(r.id, "viewer", ("*",))) for r in (kept, revoked, forgotten, short)
    }
    token, _ = inside(gate, Principal(kept.id, "viewer", ("*",), expires_at=now + 50))
    gate.tick(now)
    assert not any(closed for closed, _ in holders.values())
    keys.revoke(revoked.id)
    gate.tick(now + CHECK_EVERY_S)
    assert holders[revoked.id][0] == [(4401, "revoked_key")]
    gate.tick(now + 50)
    assert token == [(4401, "expired")]
    with keys.change() as records:
        records[:] = [r for r in records if r.id != forgotten.id]
    gate.tick(now + 100 + CHECK_EVERY_S)
    assert [len(holders[r.id][0]) for r in (kept, revoked, forgotten, short)] == [0, 1, 1, 1]
    gate.tick(now + 1000)
    assert holders[kept.id][0] == []


def test_it_looks_every_few_seconds_only(tmp_path: Path) -> None:
    """However often it is asked; and a clock that is set back stops nothing."""
    keys, now = ApiKeys(tmp_path), time.time()
    record, _ = keys.create(Principal("", "viewer", ("*",)))
    gate = Gate(AccessSettings(), tmp_path, ())
    closed, _ = inside(gate, Principal(record.id, "viewer", ("*",)))
    gate.tick(now)
    keys.revoke(record.id)
    gate.tick(now + CHECK_EVERY_S / 2)
    assert closed == []
    gate.tick(now - 3600)
    assert closed == [(4401, "revoked_key")]


def test_the_first_key_sends_everybody_out(tmp_path: Path) -> None:
    """Those who came while it was open."""
    gate, now = Gate(AccessSettings(), tmp_path, ()), time.time()
    closed, _ = inside(gate, OPEN)
    gate.tick(now)
    ApiKeys(tmp_path).create(Principal("", "admin", ("*",)))
    gate.tick(now + CHECK_EVERY_S)
    assert [code for code, _ in closed] == [4401]


def test_whoever_left_is_not_called(tmp_path: Path) -> None:
    """The guard ends with its block."""
    keys = ApiKeys(tmp_path)
    record, _ = keys.create(Principal("", "viewer", ("*",)))
    gate = Gate(AccessSettings(), tmp_path, ())
    closed: list[int] = []
    with gate.guard(Principal(record.id, "viewer", ("*",)), lambda code, _: closed.append(code)):
        pass
    keys.revoke(record.id)
    gate.tick(time.time())
    assert closed == []


# --- starting ---


def settings_for(tmp_path: Path, host: str, **access: object) -> Settings:
    return Settings.model_validate(
        {"server": {"host": host}, "journal": {"data_dir": str(tmp_path)}, "access": access}
    )


def test_it_does_not_start_open_to_the_network(tmp_path: Path) -> None:
    """Without keys, on another address than the loopback; keys or --insecure let it."""
    with pytest.raises(GateError, match="care-voice token create"):
        build_gate(settings_for(tmp_path, "0.0.0.0"))
    assert not build_gate(settings_for(tmp_path, "127.0.0.1")).locked
    assert not build_gate(settings_for(tmp_path, "0.0.0.0", insecure=True)).locked
    ApiKeys(tmp_path).create(Principal("", "admin", ("*",)))
    assert build_gate(settings_for(tmp_path, "0.0.0.0")).locked


def test_settings_that_mean_nothing_do_not_start(tmp_path: Path) -> None:
    """Said by name."""
    with pytest.raises(GateError, match="--trusted-proxies"):
        build_gate(settings_for(tmp_path, "127.0.0.1", trusted_proxies="the proxy"))
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(GateError, match="damaged"):
        build_gate(settings_for(tmp_path, "127.0.0.1"))


def test_every_route_has_declared_its_need(tmp_path: Path) -> None:
    """A route that nobody thought of is the admin's; none of ours is that by accident."""

    class Ports:
        settings = Settings()
        tls = type("Certificate", (), {"self_signed": True})()

    gate = Gate(AccessSettings(), tmp_path, ())
    app = routes.build(Ports(), gate, None, tmp_path)  # type: ignore[arg-type]
    paths = {resource.canonical for resource in app.router.resources()}
    assert paths <= NEEDS.keys()
    assert isinstance(app, web.Application)
