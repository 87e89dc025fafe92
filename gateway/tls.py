"""shell: HTTPS: a certificate from files, or from a local CA made here, and new ones without a restart.

A browser gives its microphone to HTTPS pages only. Connections that are open keep what they began with; each
new handshake takes the newest certificate.
"""

import contextlib
import fcntl
import ipaddress
import re
import socket
import ssl
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gateway.config import TlsSettings
from gateway.local_ca import Address, LocalCaError, LocalFiles, Names, ensure_certificate, names_of

CHECK_EVERY_S = 6 * 3600
WARN_BEFORE = timedelta(days=14)
NO_NAMES = Names((), ())
SIOCGIFADDR = 0x8915
log = structlog.get_logger()


class TlsError(Exception):
    """TLS cannot be had like this; the message says what to do."""


def build_tls(settings: TlsSettings, data_dir: Path) -> "Tls | None":
    """What the settings ask for; None: plain HTTP. Raises TlsError."""
    if settings.tls_self_signed:
        if settings.tls_cert or settings.tls_key:
            raise TlsError("--tls-self-signed makes its own certificate: leave out --tls-cert and --tls-key.")
        return Tls(LocalFiles(data_dir / "tls"), names_from(settings.tls_names))
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise TlsError("--tls-cert and --tls-key belong together.")
    if settings.tls_names:
        raise TlsError("--tls-names is for --tls-self-signed.")
    return Tls((Path(settings.tls_cert), Path(settings.tls_key))) if settings.tls_cert else None


class Tls:
    """The gateway's certificate, always the newest good one."""

    def __init__(self, source: LocalFiles | tuple[Path, Path], names: Names = NO_NAMES) -> None:
        """`source`: where our own CA lies, or a certificate and its key. Raises TlsError."""
        self._local = source if isinstance(source, LocalFiles) else None
        pair = (source.certificate, source.key) if isinstance(source, LocalFiles) else source
        self._certificate, self._key = pair
        self._names = names
        self._checked_at = datetime.now(UTC)
        self._make_local(self._checked_at)
        self.context = self._load()
        self._newest = self.context
        self.context.sni_callback = self._choose

    @property
    def self_signed(self) -> bool:
        return self._local is not None

    @property
    def ca_pem(self) -> bytes | None:
        """The CA that devices must trust; None when a public one stands behind the certificate."""
        return self._local.ca.read_bytes() if self._local else None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the CA, or of the certificate where the CA is not ours: `AB:CD:...`."""
        path = self._local.ca if self._local else self._certificate
        return fingerprint_of(x509.load_pem_x509_certificate(path.read_bytes()))

    def reload(self) -> bool:
        """Read the files again. What is broken changes nothing, and is said aloud."""
        try:
            self._make_local(datetime.now(UTC))
            self._newest = self._load()
        except TlsError as error:
            log.error("certificate not reloaded, the last good one stays", reason=str(error))
            return False
        return True

    def tick(self, now: datetime) -> None:
        """Call it often: looks now and then whether our own certificate must be made anew."""
        if 0 <= (now - self._checked_at).total_seconds() < CHECK_EVERY_S:
            return
        self._checked_at = now
        try:
            if self._make_local(now):
                self._newest = self._load()
            self._warn_of_expiry(now)
        except TlsError as error:
            log.error("certificate not renewed", reason=str(error))

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """OpenSSL asks at every handshake, with or without a server name."""
        connection.context = self._newest

    def _make_local(self, now: datetime) -> bool:
        if self._local is None:
            return False
        try:
            return ensure_certificate(self._local, self._names, machine_names(), now)
        except LocalCaError as error:
            raise TlsError(str(error)) from error

    def _load(self) -> ssl.SSLContext:
        context = _context(self._certificate, self._key)
        certificate = self._read()
        names = names_of(certificate)
        known = [*names.domains, *map(str, names.addresses)]
        until = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        log.info("certificate", names=known, until=until, self_signed=self.self_signed)
        self._warn_of_expiry(datetime.now(UTC))
        return context

    def _warn_of_expiry(self, now: datetime) -> None:
        until = self._read().not_valid_after_utc
        if until < now + WARN_BEFORE:
            log.warning("certificate expires", path=str(self._certificate), days_left=(until - now).days)

    def _read(self) -> x509.Certificate:
        try:
            return x509.load_pem_x509_certificate(self._certificate.read_bytes())
        except (OSError, ValueError) as error:
            raise TlsError(f"Cannot read the certificate {self._certificate}: {error}.") from error


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer, HTTP/1.1. Raises TlsError."""

    def no_password() -> NoReturn:
        raise TlsError(f"The key {key} is protected by a password: write it without (openssl pkey -in ...).")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for path in (certificate, key):
        if not path.is_file():
            raise TlsError(f"There is no file {path}.")
    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except ssl.SSLError as error:
        why = (
            "the key is not that of the certificate" if "MISMATCH" in str(error) else "they are no PEM files"
        )
        raise TlsError(f"Cannot use {certificate} and {key}: {why} ({error.reason}).") from error
    except OSError as error:
        raise TlsError(f"Cannot read {certificate} or {key}: {error.strerror}.") from error
    return context


def fingerprint_of(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


# --- what this machine is called ---


def machine_names() -> Names:
    """Its host name, also as NAME.local, `localhost`, and its addresses."""
    host = socket.gethostname().lower().rstrip(".") or "localhost"
    short = host.partition(".")[0]
    addresses: list[Address] = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    addresses += [*_ipv4_addresses(), *_ipv6_addresses()]
    domains = [host, short, f"{short}.local", "localhost"]
    return Names(tuple(dict.fromkeys(domains)), tuple(dict.fromkeys(addresses)))


def names_from(text: str) -> Names:
    """`ward.example, 203.0.113.7`. Raises TlsError."""
    given = dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip())
    addresses = [address for name in given if (address := _address(name))]
    domains = [name for name in given if not _address(name)]
    if strange := [name for name in domains if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name)]:
        raise TlsError(f"--tls-names: {', '.join(strange)} is no name of a machine.")
    return Names(tuple(domains), tuple(addresses))


def _address(text: str) -> Address | None:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(text)
    return None


def _ipv4_addresses() -> list[Address]:
    """One of each network interface, as Linux tells it."""
    found: list[Address] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has none
                request = struct.pack("256s", name.encode()[:15])
                answer = fcntl.ioctl(asking.fileno(), SIOCGIFADDR, request)
                found.append(ipaddress.ip_address(answer[20:24]))
    return found


def _ipv6_addresses() -> list[Address]:
    """All but the link-local ones, which browsers do not take."""
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return []
    addresses = [ipaddress.ip_address(bytes.fromhex(line[:32])) for line in lines]
    return [address for address in addresses if not address.is_link_local]
