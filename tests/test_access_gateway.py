"""Access on the whole gateway: real processes, real sockets, real keys made on the command line."""

import asyncio
import json
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.connection.speech import pcm16
from tests.running import REPO, RunningGateway, command, environment
from tests.talking import SECRETS, Peer, peer

pytestmark = pytest.mark.slow
WAIT_S = 15


def token(directory: Path, *arguments: str) -> str:
    """`care-voice token ...`: what it prints."""
    done = subprocess.run(
        command("token", *arguments, "--data-dir", str(directory)),
        cwd=REPO, env=environment(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def tls(directory: Path, *arguments: str) -> str:
    """`care-voice tls ...`: what it prints."""
    done = subprocess.run(
        command("tls", *arguments, "--data-dir", str(directory)),
        cwd=REPO, env=environment(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


def make_key(directory: Path, role: str, *beds: str) -> str:
    key = token(directory, "create", "--role", role, *(part for bed in beds for part in ("--bed", bed)))
    SECRETS.add(key.rsplit("_", 1)[1])
    return key


@dataclass
class Ward:
    """A gateway with keys."""

    gateway: RunningGateway
    data: Path
    keys: dict[str, str]

    def headers(self, who: str) -> dict[str, dict[str, str]]:
        return {"additional_headers": {"Authorization": f"Bearer {self.keys[who]}"}}

    def ask(self, path: str, key: str | None = None, body: object = None) -> tuple[int, dict]:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.gateway.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read())

    def log_in(self, who: str) -> str:
        """The cookie."""
        host = self.gateway.url.removeprefix("http://")
        ours = {"Origin": f"http://{host}", "X-Care-Voice": "1", "Content-Type": "application/json"}
        body = json.dumps({"key": self.keys[who]}).encode()
        request = urllib.request.Request(self.gateway.url + "/v1/login", body, ours)
        with urllib.request.urlopen(request, timeout=10) as answer:
            cookie = str(answer.headers["Set-Cookie"]).split(";")[0]
        SECRETS.add(cookie.split("=")[1])
        return cookie


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    directory = tmp_path_factory.mktemp("ward")
    data = directory / "data"
    keys = {
        "speaker": make_key(data, "speaker", "3A"),
        "viewer": make_key(data, "viewer", "3*"),
        "admin": make_key(data, "admin"),
    }
    gateway = RunningGateway.start(directory / "log", "--query-tokens")
    yield Ward(gateway, data, keys)
    assert gateway.stop() == 0, gateway.log()
    for secret in [*keys.values(), *SECRETS]:
        assert secret not in gateway.log()


async def closing(peer_: Peer) -> int:
    async with asyncio.timeout(WAIT_S):
        return (await peer_.end())[0]


async def test_a_bed_is_spoken_and_read_by_those_who_may(ward: Ward) -> None:
    """The speaker of 3A, a viewer of 3*, and nothing of 4A for that viewer."""
    ws, words = ward.gateway.ws, pcm16("en_01.wav")
    async with (
        peer(ws, "/v1/captions", **ward.headers("viewer")) as viewer,
        peer(ws, "/v1/captions", **ward.headers("admin")) as admin,
    ):
        await viewer.say("watch", beds=["*"])
        await admin.say("watch", beds=["*"])
        for bed, who in (("4A", "admin"), ("3A", "speaker")):
            async with peer(ws, "/v1/stream", **ward.headers(who)) as speaker:
                await speaker.start(bed=bed, language="en")
                await speaker.speak(words)
                await speaker.say("stop")
                assert (await speaker.end())[0] == 1000
                assert speaker.text()
        await viewer.until("caption", bed="3A")
        await admin.until("caption", bed="3A")
    assert {m["bed"] for m in admin.messages if "bed" in m} == {"3A", "4A"}
    assert {m["bed"] for m in viewer.messages if "bed" in m} == {"3A"}
    status, answer = ward.ask("/v1/beds", ward.keys["viewer"])
    assert (status, [bed["bed"] for bed in answer["beds"]]) == (200, ["3A"])
    status, answer = ward.ask("/v1/beds/3A/captions", ward.keys["viewer"])
    assert status == 200
    assert answer["captions"][0]["text"]
    assert ward.ask("/v1/beds/4A/captions", ward.keys["viewer"])[0] == 403


@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        ("/v1/stream", None, 401), ("/v1/captions", None, 401), ("/v1/stream", "viewer", 403),
        ("/v1/captions", "speaker", 403),
    ],
)  # fmt: skip
async def test_a_socket_is_refused_before_it_is_one(
    ward: Ward, path: str, who: str | None, status: int
) -> None:
    """By HTTP status, with a reason that programs can read."""
    with pytest.raises(InvalidStatus) as refused:
        async with peer(ward.gateway.ws, path, **(ward.headers(who) if who else {})):
            pass
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body or b"{}")["code"] in {"no_token", "forbidden"}


async def test_beds_that_are_not_ones_own_end_in_4403(ward: Ward) -> None:
    """Both ways: speaking there and watching there."""
    async with peer(ward.gateway.ws, "/v1/stream", **ward.headers("speaker")) as speaker:
        await speaker.say("start", bed="4A")
        assert (await closing(speaker), speaker.of("error")[0]["code"]) == (4403, "forbidden_bed")
    async with peer(ward.gateway.ws, "/v1/captions", **ward.headers("viewer")) as viewer:
        await viewer.say("watch", beds=["3A", "4A"])
        assert (await closing(viewer), viewer.of("error")[0]["code"]) == (4403, "forbidden_bed")
        assert not viewer.of("snapshot")


async def test_a_token_is_never_the_chosen_subprotocol(ward: Ward) -> None:
    """Browsers can show a token in no other way."""
    offered = [Subprotocol(f"care-voice.token.{ward.keys['viewer']}"), Subprotocol("care-voice.v1")]
    async with connect(ward.gateway.ws + "/v1/captions", subprotocols=offered) as socket_:
        assert socket_.subprotocol == "care-voice.v1"
    with pytest.raises(InvalidStatus) as refused:
        async with connect(ward.gateway.ws + "/v1/captions", subprotocols=offered[:1]):
            pass
    assert refused.value.response.status_code == 400


async def test_cross_site_websocket_hijacking_fails(ward: Ward) -> None:
    """A browser on a foreign page brings the cookie and its Origin; without Origin a cookie counts for nothing."""
    host = ward.gateway.url.removeprefix("http://")
    cookie = ward.log_in("viewer")
    url = ward.gateway.ws + "/v1/captions"
    async with connect(url, origin=f"http://{host}", additional_headers={"Cookie": cookie}) as socket_:
        await socket_.send('{"type": "watch", "beds": ["3A"]}')
        assert json.loads(await socket_.recv())["type"] in {"snapshot", "heartbeat"}
    for origin in ("http://evil.example", "null", f"http://{host}.evil.example", None):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url, origin=origin, additional_headers={"Cookie": cookie}):
                pass
        assert refused.value.response.status_code == 403


async def test_revoking_a_key_ends_its_connections(ward: Ward) -> None:
    """Within seconds, 4401, while others go on."""
    key = make_key(ward.data, "admin")
    headers = {"additional_headers": {"Authorization": f"Bearer {key}"}}
    ws = ward.gateway.ws
    async with (
        peer(ws, "/v1/captions", **headers) as viewer,
        peer(ws, "/v1/stream", **headers) as speaker,
        peer(ws, "/v1/captions", **ward.headers("admin")) as other,
    ):
        await viewer.say("watch", beds=["*"])
        await speaker.start(bed="3B")
        started = time.monotonic()
        await asyncio.to_thread(token, ward.data, "revoke", key)
        assert [await closing(p) for p in (viewer, speaker)] == [4401, 4401]
        assert time.monotonic() - started < WAIT_S
        await other.say("watch", beds=["3B"])
        await other.until("snapshot")
    assert ward.ask("/v1/beds", key)[1]["code"] == "revoked_key"


async def test_a_connection_ends_with_its_token(ward: Ward) -> None:
    """Short-lived tokens are short-lived inside too."""
    status, made = ward.ask("/v1/tokens", ward.keys["viewer"], {"ttl_s": 3})
    assert status == 200
    SECRETS.add(made["token"])
    headers = {"additional_headers": {"Authorization": f"Bearer {made['token']}"}}
    async with peer(ward.gateway.ws, "/v1/captions", **headers) as viewer:
        await viewer.say("watch", beds=["3A"])
        await viewer.until("snapshot")
        assert await closing(viewer) == 4401
    assert ward.ask("/v1/beds", made["token"])[1]["code"] == "expired_token"


async def test_a_session_is_resumed_by_its_own_key_only(ward: Ward) -> None:
    """Its secret alone is not enough, nor a token of the same key for other beds."""
    ws = ward.gateway.ws
    async with peer(ws, "/v1/stream", **ward.headers("admin")) as speaker:
        started = await speaker.start(bed="3C")
        resume = {"session": started["session"], "token": started["token"]}
        other = make_key(ward.data, "admin")
        _, narrow = ward.ask("/v1/tokens", ward.keys["admin"], {"role": "speaker", "beds": ["4A"]})
        for secret, code in ((other, "resume_forbidden"), (narrow["token"], "forbidden_bed")):
            SECRETS.add(secret)
            headers = {"additional_headers": {"Authorization": f"Bearer {secret}"}}
            async with peer(ws, "/v1/stream", **headers) as thief:
                await thief.say("start", resume=resume)
                assert (await closing(thief), thief.of("error")[0]["code"]) == (4403, code)
        async with peer(ws, "/v1/stream", **ward.headers("admin")) as again:
            assert (await again.start(resume=resume))["session"] == started["session"]


def test_health_says_little_to_strangers(ward: Ward) -> None:
    """Alive and ready to everybody; numbers to those who may read."""
    assert ward.ask("/healthz") == (200, {"status": "alive"})
    assert ward.ask("/readyz") == (200, {"ready": True})
    assert ward.ask("/health") == (200, {"status": "ok"})
    assert "sessions" in ward.ask("/health", ward.keys["viewer"])[1]
    assert ward.ask("/metrics")[0] == 401
    assert ward.ask("/v1/whoami")[1] == {"access": "locked", "role": None, "beds": []}


async def test_secrets_in_broken_requests_are_not_logged(ward: Ward) -> None:
    """Libraries quote what they cannot read; in addresses tokens are allowed here, and still not logged."""
    key = ward.keys["viewer"]
    assert ward.ask(f"/v1/beds?token={key}")[0] == 200
    assert ward.ask(f"/v1/beds?token={key}x")[0] == 401
    address = ("127.0.0.1", int(ward.gateway.url.rsplit(":", 1)[1]))
    for line in (f"Authorization: Bearer {key}\x00", f"Bearer {key}", f"X{key}\x01: y"):
        with socket.create_connection(address, timeout=10) as raw:
            raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in raw.recv(4000)
            raw.sendall(f"GET /v1/beds?token={key} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n".encode())
            assert b" 400 " in raw.recv(4000)
    mistyped = Subprotocol(f"care-voice.tokens.{key}")
    async with connect(ward.gateway.ws + "/v1/captions", subprotocols=[mistyped], **ward.headers("viewer")):
        pass
    assert "***" in ward.gateway.log(), "the HTTP library no longer quotes: this test proves nothing"


# --- starting ---


def refusal(*options: str) -> str:
    """What a gateway says that does not start."""
    done = subprocess.run(
        command("serve", "--model", "demo", "--port", "0", *options),
        cwd=REPO, env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_it_does_not_listen_to_the_network_without_keys(tmp_path: Path) -> None:
    """It says what to do; --insecure is a decision, and is said in the log."""
    said = refusal("--host", "0.0.0.0", "--data-dir", str(tmp_path))
    assert "care-voice token create" in said
    assert "--insecure" in said
    gateway = RunningGateway.start(tmp_path / "log", "--host", "0.0.0.0", "--insecure", ready=False)
    assert "insecure" in gateway.wait_for_log("access")["warning"]
    gateway.stop()


def test_it_does_not_start_with_a_broken_certificate(tmp_path: Path) -> None:
    """Nor fall back to plain HTTP."""
    (tmp_path / "x.pem").write_text("nonsense")
    path = str(tmp_path / "x.pem")
    data = ("--data-dir", str(tmp_path / "data"))
    assert "no PEM files" in refusal("--tls-cert", path, "--tls-key", path, *data)
    assert "belong together" in refusal("--tls-cert", path, *data)


# --- TLS ---


def fetch(gateway: RunningGateway, path: str, trusted: Path) -> tuple[dict[str, str], bytes]:
    context = ssl.create_default_context(cafile=str(trusted))
    with urllib.request.urlopen(gateway.url + path, timeout=10, context=context) as answer:
        return dict(answer.headers), answer.read()


async def test_a_phone_that_trusts_the_ca_gets_in(tmp_path: Path) -> None:
    """--tls-self-signed: pages, sockets and a cookie over HTTPS; no HSTS, which would lock people out."""
    key = make_key(tmp_path / "data", "viewer", "*")
    gateway = RunningGateway.start(tmp_path / "log", "--tls-self-signed", "--tls-names", "ward.example")
    ca = tmp_path / "data" / "tls" / "ca.pem"
    try:
        assert gateway.url.startswith("https://")
        headers, body = fetch(gateway, "/login", ca)
        assert b"login-page.js" in body
        assert "Strict-Transport-Security" not in headers
        assert fetch(gateway, "/ca.pem", ca)[1] == ca.read_bytes()
        fingerprint = json.loads(fetch(gateway, "/v1/trust", ca)[1])["fingerprint_sha256"]
        assert fingerprint in await asyncio.to_thread(tls, tmp_path / "data", "show")
        trusting = {"ssl": ssl.create_default_context(cafile=str(ca))}
        bearer = {"additional_headers": {"Authorization": f"Bearer {key}"}}
        async with peer(gateway.ws, "/v1/captions", **trusting, **bearer) as viewer:
            await viewer.say("watch", beds=["3A"])
            await viewer.until("snapshot")
    finally:
        assert gateway.stop() == 0, gateway.log()


def test_a_certificate_is_read_again_on_sighup(tmp_path: Path) -> None:
    """And with a certificate of their own, people get HSTS."""
    for name in ("a", "b"):
        tls(tmp_path / name, "make")
    cert, private = tmp_path / "cert.pem", tmp_path / "key.pem"

    def install(name: str) -> Path:
        cert.write_bytes((tmp_path / name / "tls" / "server.pem").read_bytes())
        private.write_bytes((tmp_path / name / "tls" / "server.key").read_bytes())
        return tmp_path / name / "tls" / "ca.pem"

    first = install("a")
    gateway = RunningGateway.start(tmp_path / "log", "--tls-cert", str(cert), "--tls-key", str(private))
    try:
        headers, _ = fetch(gateway, "/healthz", first)
        assert headers["Strict-Transport-Security"] == "max-age=31536000"
        second = install("b")
        gateway.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + WAIT_S
        while gateway.log().count('"event": "certificate"') < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        fetch(gateway, "/healthz", second)
        with pytest.raises(urllib.error.URLError):
            fetch(gateway, "/healthz", first)
        cert.write_text("nonsense")
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_for_log("certificate not reloaded, the last good one stays")
        fetch(gateway, "/healthz", second)
    finally:
        assert gateway.stop() == 0, gateway.log()
