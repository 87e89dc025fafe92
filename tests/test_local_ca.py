"""Rules of the local CA: made once, for this machine and local networks only; certificates made anew in time."""

import ipaddress
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from gateway.local_ca import (
    CERTIFICATE_AGE,
    LOCAL_DOMAINS,
    RENEW_BEFORE,
    LocalCaError,
    LocalFiles,
    Names,
    ensure_certificate,
    names_of,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)
NONE = Names((), ())
WARD = Names(("ward-pc", "ward-pc.local", "localhost"), (ipaddress.ip_address("192.168.1.7"),))


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    files = LocalFiles(tmp_path / "tls")
    assert ensure_certificate(files, NONE, WARD, NOW)
    return files


@pytest.mark.parametrize("name", ["ward-pc", "ward-pc.local", "localhost", "192.168.1.7"])
def test_a_client_that_trusts_the_ca_trusts_the_certificate(files: LocalFiles, name: str) -> None:
    """By each of the machine's names and addresses; checked by a strict verifier."""
    try:
        subject: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        subject = x509.DNSName(name)
    store = Store([read(files.ca)])
    verifier = PolicyBuilder().store(store).time(NOW + timedelta(days=1)).build_server_verifier(subject)
    assert verifier.verify(read(files.certificate), [])


def test_the_certificate_is_what_phones_accept(files: LocalFiles) -> None:
    """iOS: an alternative name, server authentication, SHA-256, not over 825 days."""
    certificate = read(files.certificate)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == "sha256"
    age = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert age < timedelta(days=398)
    assert names_of(certificate) == WARD
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not basic.ca


def test_the_ca_can_vouch_for_nothing_else(files: LocalFiles) -> None:
    """Its constraints are critical: this machine's names, local domains, private addresses."""
    constraints = read(files.ca).extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    permitted = constraints.value.permitted_subtrees or []
    domains = {subtree.value for subtree in permitted if isinstance(subtree, x509.DNSName)}
    assert domains == {*WARD.domains, *LOCAL_DOMAINS}
    networks = [ipaddress.ip_network(s.value) for s in permitted if isinstance(s, x509.IPAddress)]
    assert not any(network.is_global for network in networks)
    basic = read(files.ca).extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)


def test_only_the_owner_reads_the_keys(files: LocalFiles) -> None:
    """0600 in 0700."""
    assert stat.S_IMODE(files.directory.stat().st_mode) == 0o700
    for path in files.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_made_twice(files: LocalFiles) -> None:
    """Devices trust the CA once; the certificate stays as long as it is good."""
    before = {path: path.read_bytes() for path in files.directory.iterdir()}
    assert not ensure_certificate(files, NONE, WARD, NOW + timedelta(days=300))
    assert {path: path.read_bytes() for path in files.directory.iterdir()} == before


def test_the_certificate_is_made_anew_before_it_expires(files: LocalFiles) -> None:
    """By the same CA."""
    ca, late = files.ca.read_bytes(), NOW + CERTIFICATE_AGE - RENEW_BEFORE
    assert not ensure_certificate(files, NONE, WARD, late - timedelta(days=1))
    assert ensure_certificate(files, NONE, WARD, late)
    assert read(files.certificate).not_valid_after_utc > late + timedelta(days=300)
    assert files.ca.read_bytes() == ca


def test_the_certificate_is_made_anew_for_a_new_address(files: LocalFiles) -> None:
    """The router gave another one; an address that is gone needs no new certificate."""
    moved = Names(WARD.domains, (ipaddress.ip_address("10.0.0.7"),))
    assert ensure_certificate(files, NONE, moved, NOW)
    assert names_of(read(files.certificate)) == moved
    assert not ensure_certificate(files, NONE, Names(WARD.domains, ()), NOW)


def test_names_beyond_the_ca_are_left_out_or_refused(files: LocalFiles) -> None:
    """What the machine happens to be called is left out; what the operator asked for is an error."""
    foreign = Names((*WARD.domains, "ward.example"), (*WARD.addresses, ipaddress.ip_address("203.0.113.7")))
    ensure_certificate(files, NONE, foreign, NOW)
    assert names_of(read(files.certificate)) == WARD
    with pytest.raises(LocalCaError, match=r"Move .*tls away"):
        ensure_certificate(files, Names(("ward.example",), ()), WARD, NOW)
    with pytest.raises(LocalCaError, match=r"Move .*tls away"):
        ensure_certificate(files, Names((), (ipaddress.ip_address("203.0.113.7"),)), WARD, NOW)


def test_a_given_public_name_is_allowed_from_the_start(tmp_path: Path) -> None:
    """Asked for when the CA is made."""
    files = LocalFiles(tmp_path)
    given = Names(("ward.example",), (ipaddress.ip_address("203.0.113.7"),))
    assert ensure_certificate(files, given, WARD, NOW)
    assert set(names_of(read(files.certificate)).domains) == {"ward.example", *WARD.domains}
    assert not ensure_certificate(files, given, WARD, NOW)


@pytest.mark.parametrize("name", ["server.pem", "server.key"])
def test_a_damaged_certificate_is_made_anew(files: LocalFiles, name: str) -> None:
    """Nobody trusts it but through the CA."""
    (files.directory / name).write_text("nonsense")
    assert ensure_certificate(files, NONE, WARD, NOW)
    assert not ensure_certificate(files, NONE, WARD, NOW)


@pytest.mark.parametrize("name", ["ca.pem", "ca.key"])
def test_a_damaged_ca_is_never_replaced_in_silence(files: LocalFiles, name: str) -> None:
    """Every device would have to trust a new one: somebody must decide that."""
    (files.directory / name).write_text("nonsense")
    with pytest.raises(LocalCaError, match="damaged"):
        ensure_certificate(files, NONE, WARD, NOW)
    (files.directory / name).unlink()
    with pytest.raises(LocalCaError, match="incomplete"):
        ensure_certificate(files, NONE, WARD, NOW)


def test_a_ca_of_another_key_or_past_its_time_is_refused(files: LocalFiles, tmp_path: Path) -> None:
    """And the message says what to do."""
    with pytest.raises(LocalCaError, match="expires on 2036"):
        ensure_certificate(files, NONE, WARD, NOW + timedelta(days=3649))
    other = LocalFiles(tmp_path / "other")
    ensure_certificate(other, NONE, WARD, NOW)
    files.ca_key.write_bytes(other.ca_key.read_bytes())
    with pytest.raises(LocalCaError, match="not that of its certificate"):
        ensure_certificate(files, NONE, WARD, NOW)


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A file in its place."""
    (tmp_path / "tls").write_text("")
    with pytest.raises(LocalCaError, match="Cannot keep certificates"):
        ensure_certificate(LocalFiles(tmp_path / "tls"), NONE, WARD, NOW)
