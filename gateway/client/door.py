"""shell: the way to a gateway: its address, the token that opens it, the certificate by which it is known."""

import json
import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import connect
from websockets.http11 import Response
from websockets.typing import Subprotocol

SUBPROTOCOL = Subprotocol("care-voice.v1")
PATH = "/v1/stream"
OPEN_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
MAX_WORDS = 300
UNTRUSTED = {18, 19, 20, 21}
"""Self-signed, or by an authority that is not known here (OpenSSL's x509 verification results, as below)."""
NOT_YET_VALID, EXPIRED = 9, 10
OTHER_NAME = {62, 64}


class DoorError(ValueError):
    """There is no way to a gateway like this; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Door:
    """Raises DoorError when the token cannot be one."""

    url: str
    """As stream_url() gives it."""
    token: str = field(default="", repr=False)
    ca: Path | None = None
    """PEM of the authority that signed the gateway's certificate; None: those that this machine trusts."""

    def __post_init__(self) -> None:
        if not all("!" <= character <= "~" for character in self.token):
            raise DoorError("a token is one word of letters, digits and signs")
        if self.ca and not self.is_encrypted:
            raise DoorError("--ca is for https and wss only: write --url https://...")

    @property
    def is_encrypted(self) -> bool:
        return urlsplit(self.url).scheme == "wss"

    @property
    def is_local(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def shown(self) -> str:
        """The address without what may be secret in it."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    def opening(self) -> connect:
        """A WebSocket to be opened. Raises DoorError when the authority's file cannot be read."""
        return connect(
            self.url,
            subprotocols=[SUBPROTOCOL],
            compression=None,
            additional_headers={"Authorization": f"Bearer {self.token}"} if self.token else None,
            ssl=tls_context(self.ca) if self.is_encrypted else None,
            proxy=None if self.is_local else True,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=None,  # bedside.py asks by itself
            close_timeout=CLOSE_TIMEOUT_S,
        )


def stream_url(url: str) -> str:
    """http(s) or ws(s), with or without scheme and path -> the WebSocket address of a gateway's speakers.

    Raises DoorError for anything else.
    """
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if parts.scheme not in schemes or not parts.hostname:
        raise DoorError("not the address of a gateway (example: ws://127.0.0.1:8001)")
    path = parts.path if parts.path.rstrip("/") else PATH
    return urlunsplit((schemes[parts.scheme], parts.netloc, path, parts.query, ""))


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Trusts `ca` alone, or what this machine trusts. Raises DoorError."""
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise DoorError(f"{ca} is no certificate of an authority (PEM): {error}") from None


def explain_tls(error: ssl.SSLError, door: Door) -> str:
    """Why no encrypted connection comes about, and what to do."""
    host = urlsplit(door.url).hostname
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    if code in UNTRUSTED:
        known = f"{door.ca} did not sign it" if door.ca else "it is signed by nobody whom this machine trusts"
        return (
            f"the certificate of {host} is not trusted: {known}. If it is the gateway's own, copy its ca.pem "
            "here by a safe way and give --ca ca.pem"
        )
    if code in OTHER_NAME:
        return (
            f"the gateway's certificate is not for the name {host}: use one of its names in --url, or add "
            "this one to it (care-voice serve --tls-names)"
        )
    if code in {EXPIRED, NOT_YET_VALID}:
        when = "is not valid any more" if code == EXPIRED else "is not valid yet"
        return f"the certificate of {host} {when}: renew it, and see whether this machine's clock is right"
    return f"no encrypted connection with {door.shown}: {error.reason or error} (does it speak http only?)"


def words_of(response: Response) -> str:
    """What the gateway said with a refusal; empty: nothing that can be shown."""
    try:
        body = json.loads(response.body or b"")
    except ValueError:
        return ""
    words = (body.get("message") or body.get("error")) if isinstance(body, dict) else None
    return words[:MAX_WORDS] if isinstance(words, str) and words.isprintable() else ""
