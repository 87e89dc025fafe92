"""core: who somebody is, and what they may do. Deny by default: a route that is not in NEEDS is the admin's.

Beds of a principal are names or fnmatch patterns (`3A`, `3*`, `*`). Rights only ever narrow: a token made
from a key reaches no further than the key.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import Literal, get_args

Role = Literal["speaker", "viewer", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
ALL_BEDS = ("*",)
MAX_BEDS = 64
MAX_PATTERN_CHARS = 64


class AccessError(Exception):
    """Not like this: an HTTP status, a name for programs and words that say what to do."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who was let in."""

    id: str
    """The API key's public id, also when it came with a token made from that key. Empty: nobody asked."""
    role: Role
    beds: tuple[str, ...]
    name: str = ""
    expires_at: float | None = None
    """Unix seconds; None: when the key is revoked."""
    renewable: bool = False
    """It came by a login, which may be made to last longer; other tokens end when they end."""


OPEN = Principal("", "admin", ALL_BEDS, "anybody")
"""Everybody, while the gateway has no keys."""


# --- rights ---


def matches(bed: str, beds: Sequence[str]) -> bool:
    """Is this bed one of these names and patterns?"""
    return any(bed == pattern or fnmatchcase(bed, pattern) for pattern in beds)


def may_speak(principal: Principal, bed: str | None) -> bool:
    """Speak at this bed. Without a bed only the speaker itself reads: any speaker may."""
    if principal.role == "admin":
        return True
    return principal.role == "speaker" and (bed is None or matches(bed, principal.beds))


def may_watch(principal: Principal, bed: str) -> bool:
    if principal.role == "admin":
        return True
    return principal.role == "viewer" and matches(bed, principal.beds)


def only_bed(principal: Principal) -> str | None:
    """The bed of a device's own key: where it speaks when it names none."""
    if principal.role != "speaker" or len(principal.beds) != 1 or set(principal.beds[0]) & set("*?["):
        return None
    return principal.beds[0]


def watches_all(principal: Principal) -> bool:
    """Whoever watches every bed there is or will be."""
    return principal.role == "admin" or (principal.role == "viewer" and "*" in principal.beds)


def within(asked: str, held: str) -> bool:
    """Does `held` match every bed that `asked` matches? When in doubt: no."""
    if held == "*" or asked == held:
        return True
    if not set(asked) & set("*?["):
        return fnmatchcase(asked, held)
    # A wildcard of `asked` can only be covered by a `*` of `held`, and then so is all that it stands for.
    return "[" not in asked and not set(held) & set("?[") and fnmatchcase(asked, held)


def narrow(principal: Principal, role: str | None, beds: Sequence[str] | None) -> Principal:
    """The same principal with less: None keeps what it has. Raises AccessError when it asks for more."""
    wanted = principal.role if role is None else _role(role)
    if principal.role not in {"admin", wanted}:
        raise AccessError(403, "wider_role", f"A {principal.role} cannot give the role {wanted}.")
    if beds is None:
        beds = principal.beds
    check_patterns(beds)
    if principal.role != "admin" and not all(any(within(b, held) for held in principal.beds) for b in beds):
        raise AccessError(403, "wider_beds", f"These beds reach beyond {', '.join(principal.beds)}.")
    return replace(principal, role=wanted, beds=tuple(beds), renewable=False)


def _role(name: str) -> Role:
    for role in ROLES:
        if name == role:
            return role
    raise AccessError(400, "bad_role", f"`role` must be one of: {', '.join(ROLES)}.")


def check_patterns(beds: Sequence[str]) -> None:
    """Raises AccessError when these cannot be beds of a principal."""
    good = all(0 < len(b) <= MAX_PATTERN_CHARS and b.isprintable() and not set(b) & set("/,") for b in beds)
    if not (0 < len(beds) <= MAX_BEDS and good):
        raise AccessError(
            400,
            "bad_beds",
            f"Name 1 to {MAX_BEDS} beds or patterns of at most {MAX_PATTERN_CHARS} printable characters, "
            "without / and comma.",
        )


# --- what a route needs ---


class Need(Enum):
    PROBE = auto()
    """Nothing, and by whatever name the machine is called."""
    NOTHING = auto()
    LOGIN = auto()
    """Any role."""
    SPEAK = auto()
    WATCH = auto()
    SPEAK_PAGE = auto()
    """A page: whoever is not logged in is sent to the login page."""
    WATCH_PAGE = auto()
    ADMIN = auto()


PUBLIC = {Need.PROBE, Need.NOTHING}
PAGES = {Need.SPEAK_PAGE, Need.WATCH_PAGE}
NEEDS = {
    "/healthz": Need.PROBE,
    "/readyz": Need.PROBE,
    "/health": Need.NOTHING,  # says less to strangers
    "/static": Need.NOTHING,
    "/login": Need.NOTHING,
    "/trust": Need.NOTHING,
    "/ca.pem": Need.NOTHING,
    "/v1/trust": Need.NOTHING,
    "/v1/whoami": Need.NOTHING,
    "/v1/login": Need.NOTHING,
    "/v1/logout": Need.NOTHING,
    "/v1/tokens": Need.LOGIN,
    "/v1/stream": Need.SPEAK,
    "/v1/realtime": Need.SPEAK,
    "/v1/realtime/client_secrets": Need.SPEAK,
    "/v1/realtime/transcription_sessions": Need.SPEAK,
    "/v1/audio/transcriptions": Need.SPEAK,
    "/v1/audio/translations": Need.SPEAK,
    "/v1/models": Need.LOGIN,
    "/v1/models/{id}": Need.LOGIN,
    "/v1/listen": Need.SPEAK,
    "/whisperlive": Need.SPEAK,
    "/ws": Need.SPEAK,
    "/vosk": Need.SPEAK,
    "/v1/captions": Need.WATCH,
    "/v1/captions/events": Need.WATCH,
    "/v1/beds": Need.WATCH,
    "/v1/beds/{bed}/captions": Need.WATCH,
    "/metrics": Need.WATCH,
    "/": Need.WATCH_PAGE,
    "/beds/{bed}": Need.WATCH_PAGE,
    "/microphone": Need.SPEAK_PAGE,
}


def needed(route: str, websocket: bool = False) -> Need:
    """What the route (its path with {names}) asks of whoever comes; as a WebSocket `/` is for speakers."""
    return Need.SPEAK if websocket and route == "/" else NEEDS.get(route, Need.ADMIN)


def permit(principal: Principal | None, need: Need, bed: str | None = None) -> None:
    """Raises AccessError (401: log in, 403: somebody else must) when this is not allowed."""
    if need in PUBLIC:
        return
    if principal is None:
        raise AccessError(
            401,
            "no_token",
            "Say who you are: `Authorization: Bearer KEY`, the WebSocket subprotocol care-voice.token.KEY, "
            "or log in at /login.",
        )
    if need in {Need.SPEAK, Need.SPEAK_PAGE}:
        allowed = may_speak(principal, bed)
    elif need in {Need.WATCH, Need.WATCH_PAGE}:
        allowed = may_watch(principal, bed) if bed else principal.role in {"viewer", "admin"}
    else:
        allowed = need is Need.LOGIN or principal.role == "admin"
    if not allowed:
        where = f" at bed {bed}" if bed else ""
        raise AccessError(
            403, "forbidden", f"A {principal.role} of {_said(principal)} may not do this{where}."
        )


def _said(principal: Principal) -> str:
    return "all beds" if "*" in principal.beds else f"bed {', '.join(principal.beds)}"


# --- where it may listen ---


def is_loopback(host: str) -> bool:
    """Only this machine can reach it."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_binding(host: str, has_keys: bool, insecure: bool, tls: bool) -> str | None:
    """Why the gateway must not listen there; None: it may."""
    if has_keys or insecure or is_loopback(host):
        return None
    scheme = "" if tls else " (and give it TLS: --tls-self-signed, or --tls-cert and --tls-key)"
    return (
        f"Without keys anybody who reaches {host or 'this machine'} could read all captions and speak for "
        f"any bed. Make a key first: care-voice token create --role admin{scheme}. Or say --insecure, where "
        "the network itself keeps others out."
    )


def exposure(host: str, has_keys: bool, tls: bool, behind_proxy: bool) -> str | None:
    """What to warn of at the start; None: nothing."""
    if is_loopback(host):
        return None if has_keys else "open: no keys, so everybody on this machine may speak and read"
    if not has_keys:
        return "insecure: no keys, so everybody who reaches this address may speak and read"
    if not tls and not behind_proxy:
        return (
            "no TLS: captions, audio and keys cross the network readable; use --tls-self-signed or --tls-cert"
        )
    return None
