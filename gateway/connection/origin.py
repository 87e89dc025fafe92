"""core: where a request comes from: the client behind a proxy, the page behind a browser, the credential.

Browsers attach cookies to what any page asks for, and open WebSockets to anywhere; the Origin header is the
only thing that tells our pages from others (RFC 6455, 10.2). It must name the very host that was asked.
"""

import base64
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.connection.access import AccessError

TOKEN_PROTOCOL = "care-voice.token."  # noqa: S105 (the name of the subprotocol item, no secret)
PROTOCOL = "care-voice.v1"
OPENAI_TOKEN = "openai-insecure-api-key."  # noqa: S105 (likewise)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Source = Literal["bearer", "subprotocol", "query", "cookie"]


@dataclass(frozen=True, slots=True)
class Client:
    """Who is really there."""

    address: str
    secure: bool
    """It speaks HTTPS, to us or to a proxy that we trust."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What somebody shows; an API key or a token made from one."""

    secret: str
    source: Source

    def __repr__(self) -> str:
        return f"<Credential by {self.source}>"


def split_list(text: str) -> tuple[str, ...]:
    """`a, b` -> ("a", "b")."""
    return tuple(item for part in text.split(",") if (item := part.strip()))


def networks(text: str) -> tuple[Network, ...]:
    """`10.0.0.1, 192.168.0.0/16` as networks. Raises ValueError."""
    return tuple(ipaddress.ip_network(item, strict=False) for item in split_list(text))


def client_of(
    peer: str, secure: bool, forwarded_for: str, forwarded_proto: str, trusted: Sequence[Network]
) -> Client:
    """The client itself, where proxies that we trust stand between: the last address not theirs."""
    if not _among(peer, trusted):
        return Client(peer, secure)
    address = peer
    for hop in reversed(split_list(forwarded_for)):
        address = hop
        if not _among(hop, trusted):
            break
    return Client(address, secure or split_list(forwarded_proto)[-1:] == ("https",))


def _among(address: str, trusted: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)


def check_host(host: str, known: Sequence[str]) -> None:
    """Against DNS rebinding, where no key is asked for: the name in Host must be ours. Raises AccessError.

    A page of evil.example may make its name resolve to 127.0.0.1 and then be of one origin with us, but it
    cannot make the browser say another name. Addresses cannot be rebound.
    """
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name.lower() in {"localhost", *(k.lower() for k in known)} or _is_address(name.strip("[]")):
        return
    raise AccessError(
        421,
        "unknown_host",
        "This gateway is not known by that name: say --allowed-hosts NAME when it should be.",
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def check_origin(
    origin: str | None, host: str, secure: bool, allowed: Sequence[str], ambient: bool, acts: bool
) -> None:
    """Raises AccessError (403) for a request of a page that is not ours.

    `ambient`: it brings a cookie only, which a browser attaches by itself. `acts`: a WebSocket or a POST,
    which browsers always send with an Origin.
    """
    if origin is None:
        if ambient and acts:
            raise AccessError(
                403,
                "no_origin",
                "A login cookie counts only from our own pages; programs send Authorization: Bearer.",
            )
        return
    ours = {f"https://{host}"} if secure else {f"https://{host}", f"http://{host}"}
    if origin.lower() not in {o.lower() for o in (*ours, *allowed)}:
        raise AccessError(
            403,
            "foreign_origin",
            "That page belongs to another site. If it is yours: --allowed-origins; behind a proxy, let it "
            "pass on the Host header.",
        )


def credential_of(
    authorization: str | None,
    protocols: str,
    cookie: str | None,
    query_token: str | None,
    query_allowed: bool,
) -> Credential | None:
    """What the request shows, the most deliberate first; a wrong one is never made good by the next.

    Raises AccessError when it is shown in a way that we do not take.
    """
    if authorization is not None:
        return Credential(_authorization(authorization), "bearer")
    if tokens := _offered_tokens(split_list(protocols)):
        if len(tokens) > 1:
            raise AccessError(400, "bad_subprotocol", "Offer one subprotocol with a key.")
        return Credential(tokens[0], "subprotocol")
    if query_token is not None:
        if not query_allowed:
            raise AccessError(
                401,
                "token_in_url",
                "Addresses end up in logs: send Authorization: Bearer (or allow --query-tokens).",
            )
        return Credential(query_token, "query")
    return Credential(cookie, "cookie") if cookie else None


def _authorization(header: str) -> str:
    """`Bearer KEY`; `Token KEY` is Deepgram's way, `Basic` what `ws://any:KEY@host` becomes."""
    scheme, _, secret = header.partition(" ")
    secret = secret.strip()
    if scheme.lower() == "basic":
        try:
            secret = base64.b64decode(secret, validate=True).decode().partition(":")[2]
        except ValueError:
            secret = ""
    if scheme.lower() not in {"bearer", "token", "basic"} or not secret:
        raise AccessError(401, "bad_authorization", "Only `Authorization: Bearer KEY` is understood.")
    return secret


def _offered_tokens(offered: Sequence[str]) -> list[str]:
    """Browsers can send a key in the list of subprotocols only: ours, OpenAI's and Deepgram's way.

    Raises AccessError: our key without our protocol, which no browser would accept.
    """
    ours = [p.removeprefix(TOKEN_PROTOCOL) for p in offered if p.startswith(TOKEN_PROTOCOL)]
    if ours and PROTOCOL not in offered:
        raise AccessError(400, "bad_subprotocol", f"Offer {PROTOCOL} and one {TOKEN_PROTOCOL}KEY.")
    openai = [p.removeprefix(OPENAI_TOKEN) for p in offered if p.startswith(OPENAI_TOKEN)]
    deepgram = list(offered[1:]) if offered[:1] in (("token",), ("bearer",)) else []
    return ours + openai + deepgram


def cookie_name(secure: bool) -> str:
    """`__Host-` binds it to this host and HTTPS; browsers refuse the prefix over HTTP."""
    return "__Host-care-voice" if secure else "care-voice"


def safe_next(path: str) -> str:
    """A path of our own site, for after the login; anything else becomes `/`."""
    plain = path.isprintable() and path.isascii() and "\\" not in path
    return path if plain and path.startswith("/") and not path.startswith("//") else "/"
