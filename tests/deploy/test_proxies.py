"""The proxies' examples: valid for their programs, with times that fit the gateway's, and captions really pass."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config import Settings
from tests.deploy.tools import DEPLOY, passes, run, tool
from tests.running import REPO, RunningGateway, command, environment

NGINX = (DEPLOY / "proxies/nginx.conf").read_text()
CADDY = (DEPLOY / "proxies/Caddyfile").read_text()
SERVER, UPLOAD = Settings().server, Settings().upload
STRANGERS = {"caddy": "127.0.0.2", "nginx": "127.0.0.3"}
"""Where a second client comes from: the proxy itself is at 127.0.0.1."""
SPEECH = REPO / "models/demo/audio/dialog_en.wav"


def seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ca.pem and a certificate for this machine, as `care-voice tls make` makes them."""
    folder = tmp_path_factory.mktemp("data")
    subprocess.run(
        command("tls", "make", "--data-dir", str(folder)),
        check=True, capture_output=True, env=environment(), cwd=REPO,
    )  # fmt: skip
    return folder / "tls"


def whole_nginx(folder: Path, certificate: Path, port: int, gateway: str = "127.0.0.1:8001") -> Path:
    """nginx.conf around the example, which is a file for conf.d; with ports that anybody may open."""
    site = NGINX.replace("/etc/ssl/ward.pem", str(certificate / "server.pem"))
    site = site.replace("/etc/ssl/ward.key", str(certificate / "server.key"))
    site = site.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    site = site.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
    site = site.replace("/var/log/nginx/", f"{folder}/").replace("server 127.0.0.1:8001", f"server {gateway}")
    places = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(
        f"user {'root' if os.geteuid() == 0 else 'nobody'};\npid {folder}/nginx.pid;\ndaemon off;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{places}{site}\n}}\n"
    )
    return path


def whole_caddy(folder: Path, certificate: Path, port: int, gateway: str = "127.0.0.1:8001") -> Path:
    """The example, with a certificate that is here instead of one from the net."""
    tls = f"tls {certificate / 'server.pem'} {certificate / 'server.key'}"
    text = CADDY.replace("ward.example {", f"https://localhost:{port} {{\n\t{tls}")
    text = text.replace("127.0.0.1:8001", gateway)
    path = folder / "Caddyfile"
    path.write_text(text.replace("{\n\tservers", "{\n\tadmin off\n\tauto_https off\n\tservers", 1))
    return path


def test_caddy_takes_its_file() -> None:
    """`caddy validate`, and the file is formatted as Caddy would."""
    caddy = tool("caddy")
    passes(caddy, "validate", "--config", DEPLOY / "proxies/Caddyfile")
    assert run(caddy, "fmt", DEPLOY / "proxies/Caddyfile").stdout == CADDY


def test_nginx_takes_its_file(tmp_path: Path, certificate: Path) -> None:
    """`nginx -t`, with the site in a configuration as distributions have it."""
    path = whole_nginx(tmp_path, certificate, free_port())
    passes(tool("nginx"), "-t", "-q", "-e", tmp_path / "error.log", "-p", tmp_path, "-c", path)


def test_times_of_nginx_fit_the_gateways() -> None:
    """A proxy never gives up before the gateway does."""
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        [value] = re.findall(rf"{name} (\w+);", NGINX)
        assert seconds(value) > max(UPLOAD.upload_timeout_s, SERVER.idle_timeout_s, SERVER.resume_grace_s)
    [size] = re.findall(r"client_max_body_size (\d+)m;", NGINX)
    assert int(size) << 20 > UPLOAD.max_upload_bytes
    for name in (
        "proxy_buffering off",
        "proxy_request_buffering off",
        "Host $http_host",
        "Upgrade $http_upgrade",
    ):
        assert f"{name};" in NGINX


def test_times_of_caddy_fit_the_gateways() -> None:
    """Likewise."""
    [value] = re.findall(r"response_header_timeout (\w+)", CADDY)
    assert seconds(value) > UPLOAD.upload_timeout_s
    [size] = re.findall(r"max_size (\d+)MB", CADDY)
    assert int(size) * 10**6 > UPLOAD.max_upload_bytes
    assert "flush_interval -1" in CADDY
    assert "read_timeout" not in CADDY
    assert "stream_timeout" not in CADDY


def test_times_of_the_ingress_are_those_of_nginx() -> None:
    """The annotations say what nginx.conf says."""
    text = (DEPLOY / "kubernetes/components/ingress/ingress.yaml").read_text()
    for name in ("proxy-read-timeout", "proxy-send-timeout"):
        [said] = re.findall(rf'{name}: "(\d+)"', text)
        [ours] = re.findall(rf"{name.replace('-', '_')} (\w+);", NGINX)
        assert int(said) == seconds(ours)
    assert "proxy-body-size: 26m" in text


@contextlib.contextmanager
def proxy(*command: str | Path, port: int, folder: Path) -> Iterator[None]:
    """A proxy that runs, until the block ends."""
    with (folder / "proxy.log").open("w") as log:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=log, stderr=log, cwd=folder,
            env=os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
        )  # fmt: skip
    try:
        for _ in range(200):
            assert process.poll() is None, (folder / "proxy.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@pytest.fixture(scope="module")
def locked_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningGateway, str]]:
    """A gateway that trusts its proxy, and an admin's key."""
    folder = tmp_path_factory.mktemp("gateway")
    made = subprocess.run(
        command("token", "create", "--role", "admin", "--data-dir", str(folder / "data")),
        check=True, capture_output=True, text=True, env=environment(), cwd=REPO,
    )  # fmt: skip
    gateway = RunningGateway.start(folder / "log", "--trusted-proxies", "127.0.0.1")
    yield gateway, made.stdout.strip()
    gateway.stop()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["caddy", "nginx"])
def test_captions_pass(
    name: str, tmp_path: Path, certificate: Path, locked_gateway: tuple[RunningGateway, str]
) -> None:
    """A device speaks through the proxy over TLS, captions come back, and the gateway knows whose address it was."""
    program = tool(name)
    gateway, key = locked_gateway
    port, behind = free_port(), gateway.url.removeprefix("http://")
    if name == "caddy":
        made = [program, "run", "--config", whole_caddy(tmp_path, certificate, port, behind)]
    else:
        made = [program, "-e", tmp_path / "error.log", "-p", tmp_path]
        made += ["-c", whole_nginx(tmp_path, certificate, port, behind)]
    with proxy(*made, port=port, folder=tmp_path):
        said = subprocess.run(
            [sys.executable, "-m", "gateway", "stream", str(SPEECH), "--url", f"https://localhost:{port}", "--bed",
             "3A", "--ca", str(certificate / "ca.pem"), "--fast", "8", "--no-partials", "--json"],
            capture_output=True, text=True, cwd=REPO, timeout=60, env=environment({"CARE_VOICE_TOKEN": key}),
        )  # fmt: skip
        assert said.returncode == 0, said.stderr
        stranger = http.client.HTTPSConnection(
            "localhost", port, timeout=10, source_address=(STRANGERS[name], 0),
            context=ssl.create_default_context(cafile=str(certificate / "ca.pem")),
        )  # fmt: skip
        stranger.request("GET", "/metrics")
        assert stranger.getresponse().status == 401
        stranger.close()
    finals = [item for item in map(json.loads, said.stdout.splitlines()) if item.get("type") == "final"]
    assert len(finals) >= 5
    assert any(
        f'"address": "{STRANGERS[name]}"' in line for line in gateway.log().splitlines() if "refused" in line
    )
