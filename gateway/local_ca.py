"""shell: a certificate authority of this machine's own, and the gateway's certificate from it.

The CA is constrained (RFC 5280, 4.2.1.10) to this machine's names, to names that exist in local networks only
and to private addresses: a device that trusts it trusts it for nothing else. The certificate is made anew
before it expires and when names or addresses change; the CA stays, so that devices trust it once.
"""

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.private_files import locked_dir, make_private_dir, write_private

CA_AGE = timedelta(days=3650)
CERTIFICATE_AGE = timedelta(days=397)
"""iOS takes 825 days at most from a CA that its user installed; browsers are moving to fewer."""
RENEW_BEFORE = timedelta(days=30)
CLOCK_SKEW = timedelta(hours=1)
LOCAL_DOMAINS = ("localhost", "local", "lan", "internal", "home.arpa")
PRIVATE_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
        "::1/128", "fc00::/7", "fe80::/10",
    )
)  # fmt: skip
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Key = ec.EllipticCurvePrivateKey
log = structlog.get_logger()


class LocalCaError(Exception):
    """The CA cannot be made or used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a machine is called."""

    domains: tuple[str, ...]
    addresses: tuple[Address, ...]

    def __add__(self, other: "Names") -> "Names":
        domains = dict.fromkeys(self.domains + other.domains)
        return Names(tuple(domains), tuple(dict.fromkeys(self.addresses + other.addresses)))


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """Where the CA and the certificate lie."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def ca_key(self) -> Path:
        return self.directory / "ca.key"

    @property
    def certificate(self) -> Path:
        return self.directory / "server.pem"

    @property
    def key(self) -> Path:
        return self.directory / "server.key"


def ensure_certificate(files: LocalFiles, given: Names, found: Names, now: datetime) -> bool:
    """Make what is missing, about to expire or lacks a name. True when the certificate is new.

    `given`: names that it must have; `found`: those that it should have, if the CA allows them.
    Raises LocalCaError.
    """
    try:
        make_private_dir(files.directory)
        with locked_dir(files.directory):
            authority, authority_key = _authority(files, given, found, now)
            names = given + _permitted(authority, found)
            if _is_good(files, authority, names, now):
                return False
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = make_certificate(names, key, authority, authority_key, now)
            write_private(files.key, _key_pem(key))
            write_private(files.certificate, _pem(certificate) + _pem(authority))
            return True
    except OSError as error:
        raise LocalCaError(f"Cannot keep certificates in {files.directory}: {error.strerror}.") from error


def _authority(files: LocalFiles, given: Names, found: Names, now: datetime) -> tuple[x509.Certificate, Key]:
    if not files.ca.exists() and not files.ca_key.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        authority = make_authority(found + given, key, now)
        write_private(files.ca_key, _key_pem(key))
        write_private(files.ca, _pem(authority))
        return authority, key
    again = f"Move {files.directory} away and start again; every device must then trust the new ca.pem."
    try:
        authority = x509.load_pem_x509_certificate(files.ca.read_bytes())
        loaded = load_pem_private_key(files.ca_key.read_bytes(), password=None)
    except (FileNotFoundError, ValueError, TypeError) as error:
        raise LocalCaError(f"The local CA is damaged or incomplete. {again}") from error
    if not isinstance(loaded, Key) or loaded.public_key() != authority.public_key():
        raise LocalCaError(f"The local CA's key is not that of its certificate. {again}")
    if authority.not_valid_after_utc <= now + RENEW_BEFORE:
        raise LocalCaError(f"The local CA expires on {authority.not_valid_after_utc:%Y-%m-%d}. {again}")
    if _permitted(authority, given) != given:
        raise LocalCaError(f"The local CA was made without some of the names that are asked for. {again}")
    return authority, loaded


def _is_good(files: LocalFiles, authority: x509.Certificate, names: Names, now: datetime) -> bool:
    """The certificate that is there will do."""
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        key = load_pem_private_key(files.key.read_bytes(), password=None)
        certificate.verify_directly_issued_by(authority)
    except Exception:  # missing, damaged, of another CA: whatever it is, a new one is made
        return False
    has = names_of(certificate)
    return (
        key.public_key() == certificate.public_key()
        and certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE
        and set(names.domains) <= set(has.domains)
        and set(names.addresses) <= set(has.addresses)
    )


# --- certificates ---


def make_authority(names: Names, key: Key, now: datetime) -> x509.Certificate:
    """A CA for these names, local domains and private networks."""
    subject = _named(f"Care Voice {names.domains[0]} {now:%Y-%m-%d}")
    only = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    domains = dict.fromkeys([*names.domains, *LOCAL_DOMAINS])
    outside = [a for a in names.addresses if not any(a in network for network in PRIVATE_NETWORKS)]
    permitted: list[x509.GeneralName] = [x509.DNSName(domain) for domain in domains]
    permitted += [x509.IPAddress(network) for network in PRIVATE_NETWORKS]
    permitted += [x509.IPAddress(ipaddress.ip_network(address)) for address in outside]
    return (
        _builder(subject, subject, key, now, CA_AGE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(only, critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .sign(key, hashes.SHA256())
    )


def make_certificate(
    names: Names, key: Key, authority: x509.Certificate, authority_key: Key, now: datetime
) -> x509.Certificate:
    """The gateway's certificate; never longer than its CA."""
    age = min(CERTIFICATE_AGE, authority.not_valid_after_utc - now)
    alternatives: list[x509.GeneralName] = [x509.DNSName(domain) for domain in names.domains]
    alternatives += [x509.IPAddress(address) for address in names.addresses]
    only = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder(_named(names.domains[0]), authority.subject, key, now, age)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(only, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def names_of(certificate: x509.Certificate) -> Names:
    """What the certificate is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Names((), ())
    addresses = [a for a in found.get_values_for_type(x509.IPAddress) if isinstance(a, Address)]
    return Names(tuple(found.get_values_for_type(x509.DNSName)), tuple(addresses))


def _permitted(authority: x509.Certificate, names: Names) -> Names:
    """Those of the names that the CA may vouch for."""
    subtrees = (
        authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    )
    parents = [subtree.value for subtree in subtrees if isinstance(subtree, x509.DNSName)]
    networks = [
        ipaddress.ip_network(subtree.value) for subtree in subtrees if isinstance(subtree, x509.IPAddress)
    ]
    domains = [d for d in names.domains if any(d == parent or d.endswith(f".{parent}") for parent in parents)]
    addresses = [a for a in names.addresses if any(a in network for network in networks)]
    permitted = Names(tuple(domains), tuple(addresses))
    if permitted != names:
        left_out = {*names.domains, *map(str, names.addresses)} - {*domains, *map(str, addresses)}
        log.warning("names that the local CA was not made for", names=sorted(left_out))
    return permitted


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, now: datetime, age: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + age)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
