"""Rules of TLS: which certificate a handshake gets, and that a bad one changes nothing."""

import asyncio
import hashlib
import ipaddress
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.config import TlsSettings
from gateway.local_ca import CERTIFICATE_AGE, LocalFiles, Names, ensure_certificate
from gateway.tls import CHECK_EVERY_S, Tls, TlsError, build_tls, machine_names, names_from

LOCAL = Names(("localhost",), (ipaddress.ip_address("127.0.0.1"),))


def certificate(directory: Path, age_days: int = 0) -> tuple[Path, Path]:
    """A good pair, as an operator has it."""
    files = LocalFiles(directory)
    ensure_certificate(files, Names((), ()), LOCAL, datetime.now(UTC) - timedelta(days=age_days))
    return files.certificate, files.key


def settings_for(pair: tuple[Path, Path]) -> TlsSettings:
    return TlsSettings(tls_cert=str(pair[0]), tls_key=str(pair[1]))


@asynccontextmanager
async def serving(tls: Tls) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls.context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def shown(port: int, name: str | None = "localhost", **limits: ssl.TLSVersion) -> bytes:
    """The certificate that a handshake gets; the connection works."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for limit, version in limits.items():
        setattr(context, limit, version)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    connection = writer.get_extra_info("ssl_object")
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    writer.close()
    await writer.wait_closed()
    return bytes(connection.getpeercert(binary_form=True))


def der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text().split("-----END")[0] + "-----END CERTIFICATE-----\n")


async def test_new_handshakes_get_the_new_certificate(tmp_path: Path) -> None:
    """With and without a server name; connections that are open stay."""
    pair = certificate(tmp_path / "a")
    tls = build_tls(settings_for(pair), tmp_path)
    assert tls is not None
    assert (tls.self_signed, tls.ca_pem) == (False, None)
    async with serving(tls) as port:
        trusting = ssl.create_default_context(cafile=str(tmp_path / "a" / "ca.pem"))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname="localhost"
        )
        assert await shown(port) == der(pair[0])
        newer = certificate(tmp_path / "b")
        for old, new in zip(pair, newer, strict=True):
            shutil.copy(new, old)
        assert tls.reload()
        assert await shown(port) == der(newer[0])
        assert await shown(port, name="") == der(newer[0])
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("damage", ["certificate", "key", "mismatch", "gone"])
async def test_a_broken_new_certificate_changes_nothing(tmp_path: Path, damage: str) -> None:
    """The last good one is shown on, and the log says why, aloud."""
    certificate_path, key_path = pair = certificate(tmp_path / "a")
    tls = build_tls(settings_for(pair), tmp_path)
    assert tls is not None
    before = der(certificate_path)
    match damage:
        case "certificate":
            certificate_path.write_text("nonsense")
        case "key":
            key_path.write_text("nonsense")
        case "mismatch":
            shutil.copy(certificate(tmp_path / "b")[1], key_path)
        case "gone":
            certificate_path.unlink()
    with structlog.testing.capture_logs() as logged:
        assert not tls.reload()
    assert [entry["log_level"] for entry in logged] == ["error"]
    async with serving(tls) as port:
        assert await shown(port) == before


async def test_old_versions_of_tls_are_refused(tmp_path: Path) -> None:
    """1.2 and 1.3."""
    tls = build_tls(TlsSettings(tls_self_signed=True), tmp_path)
    assert tls is not None
    async with serving(tls) as port:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            assert await shown(port, minimum_version=version, maximum_version=version)
    assert tls.context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_our_own_certificate_is_renewed_while_it_runs(tmp_path: Path) -> None:
    """Looked at every few hours; the CA, which devices trust, stays."""
    tls = build_tls(TlsSettings(tls_self_signed=True), tmp_path)
    assert tls is not None
    ca, now = tls.ca_pem, datetime.now(UTC)
    async with serving(tls) as port:
        before = await shown(port)
        tls.tick(now + timedelta(seconds=CHECK_EVERY_S))
        assert await shown(port) == before
        tls.tick(now + CERTIFICATE_AGE - timedelta(days=20))
        assert await shown(port) != before
    assert tls.ca_pem == ca
    assert tls.self_signed


def test_the_fingerprint_is_the_cas(tmp_path: Path) -> None:
    """What `care-voice tls show` and the page say, and the device."""
    tls = build_tls(TlsSettings(tls_self_signed=True), tmp_path)
    assert tls is not None
    assert tls.ca_pem is not None
    assert len(tls.fingerprint.split(":")) == 32
    parsed = x509.load_pem_x509_certificate(tls.ca_pem)
    digest = hashlib.sha256(parsed.public_bytes(Encoding.DER)).digest()
    assert tls.fingerprint == digest.hex(":").upper()


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    """By the option's name, before anything starts."""
    good = certificate(tmp_path / "good")
    locked = tmp_path / "locked.key"
    key = load_pem_private_key(good[1].read_bytes(), None)
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    cases = {
        "--tls-cert and --tls-key": {"tls_cert": "a"},
        "leave out": {"tls_self_signed": True, "tls_cert": "a", "tls_key": "b"},
        "--tls-names is for": {"tls_names": "a"},
        "no file": {"tls_cert": "/nowhere.pem", "tls_key": "/nowhere.key"},
        "no name of a machine": {"tls_self_signed": True, "tls_names": "a b"},
        "password": {"tls_cert": str(good[0]), "tls_key": str(locked)},
        "no PEM": {"tls_cert": str(good[0]), "tls_key": str(good[0])},
    }
    for says, values in cases.items():
        with pytest.raises(TlsError, match=says):
            build_tls(TlsSettings.model_validate(values), tmp_path / "new")
    assert build_tls(TlsSettings(), tmp_path) is None


def test_an_old_certificate_is_warned_of(tmp_path: Path) -> None:
    """It works on, as long as clients take it."""
    for age_days, days_left in ((390, 6), (398, -2)):
        pair = certificate(tmp_path / str(age_days), age_days)
        with structlog.testing.capture_logs() as logged:
            build_tls(settings_for(pair), tmp_path)
        assert [e["days_left"] for e in logged if e["event"] == "certificate expires"] == [days_left]


def test_this_machine_is_known_by_all_its_names() -> None:
    """Its host name, NAME.local, localhost, and where it listens."""
    names = machine_names()
    short = socket.gethostname().lower().partition(".")[0]
    assert {short, f"{short}.local", "localhost"} <= set(names.domains)
    assert {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")} <= set(names.addresses)
    given = names_from("Ward.example, 203.0.113.7,, fd00::1")
    assert given == Names(
        ("ward.example",), (ipaddress.ip_address("203.0.113.7"), ipaddress.ip_address("fd00::1"))
    )
