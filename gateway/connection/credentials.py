"""core: API keys and the short-lived tokens made from them. Time is Unix seconds; randomness is an argument.

An API key is `cv_ID_SECRET`. ID is public, SECRET is 256 random bits, and only its SHA-256 is kept: slow
hashes protect passwords that can be guessed, and nobody guesses 2^256. A token is a JWT (RFC 7519), HS256,
signed with a key that changes every SIGNING_DAYS; it names the API key it was made from and dies with it.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import jwt
import msgspec

from gateway.connection.access import AccessError, Principal, Role

PREFIX = "cv_"
ID_BYTES, SECRET_BYTES = 5, 32
SIGNING_DAYS = 30
MAX_TOKEN_S = 12 * 3600
CLOCK_SKEW_S = 60
ALGORITHM = "HS256"
LOGIN_PREFIX = "login-"
"""Of the ids (jti) of tokens that a login made."""
CLAIMS = ("sub", "role", "beds", "iat", "exp", "jti")


class KeyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of an API key."""

    id: str
    hash: str
    """SHA-256 of the secret, hexadecimal."""
    role: Role
    beds: tuple[str, ...]
    name: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None


class SigningKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    secret: bytes
    created_at: float

    def __repr__(self) -> str:
        return f"<SigningKey {self.id}>"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says once its signature is checked."""

    subject: str
    role: Role
    beds: tuple[str, ...]
    expires_at: float
    token_id: str


# --- API keys ---


def make_key(principal: Principal, noise: bytes, now: float) -> tuple[KeyRecord, str]:
    """A new API key for `principal` (its id is ignored): what to keep, and what to tell its owner once.

    `noise`: ID_BYTES + SECRET_BYTES random bytes.
    """
    key_id, secret = _base32(noise[:ID_BYTES]), _base32(noise[ID_BYTES:])
    record = KeyRecord(
        key_id, _hash(secret), principal.role, principal.beds, principal.name, now, principal.expires_at
    )
    return record, f"{PREFIX}{key_id}_{secret}"


def check_key(presented: str, records: Sequence[KeyRecord], now: float) -> Principal:
    """Whose key this is. Raises AccessError (401)."""
    key_id, _, secret = presented.removeprefix(PREFIX).partition("_")
    record = next((r for r in records if r.id == key_id), None)
    if record is None or not hmac.compare_digest(record.hash, _hash(secret)):
        raise AccessError(401, "unknown_key", "This key is not known here. Was it copied whole?")
    return check_record(record, now)


def check_record(record: KeyRecord, now: float) -> Principal:
    """The principal of a key that still counts. Raises AccessError (401)."""
    if record.revoked_at is not None:
        raise AccessError(401, "revoked_key", "This key was revoked. Ask for a new one.")
    if is_over(record, now):
        raise AccessError(401, "expired_key", "This key has expired. Ask for a new one.")
    return Principal(record.id, record.role, record.beds, record.name, record.expires_at)


def is_over(record: KeyRecord, now: float) -> bool:
    """Nobody gets in with it any more."""
    return record.revoked_at is not None or (record.expires_at is not None and record.expires_at <= now)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _base32(noise: bytes) -> str:
    return base64.b32encode(noise).decode().rstrip("=").lower()


# --- tokens ---


def make_token(
    principal: Principal, ttl_s: float, key: SigningKey, token_id: str, now: float
) -> tuple[str, float]:
    """A token for this principal, and when it expires: after `ttl_s`, with the principal at the latest."""
    expires_at = int(min(now + min(ttl_s, MAX_TOKEN_S), principal.expires_at or now + MAX_TOKEN_S))
    claims = {
        "sub": principal.id,
        "role": principal.role,
        "beds": list(principal.beds),
        "iat": int(now),
        "exp": expires_at,
        "jti": token_id,
    }
    return jwt.encode(claims, key.secret, ALGORITHM, {"kid": key.id}), float(expires_at)


def read_token(token: str, keys: Sequence[SigningKey], now: float) -> Claims:
    """What the token says, if one of these keys signed it and it is not over. Raises AccessError (401)."""
    try:
        key_id = jwt.get_unverified_header(token).get("kid")
        secret = next((k.secret for k in keys if k.id == key_id), None)
        if secret is None:
            raise AccessError(
                401, "unknown_signer", "This token was signed elsewhere or long ago. Log in again."
            )
        said = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            options={"require": list(CLAIMS), "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
        names = {"subject": "sub", "role": "role", "beds": "beds", "expires_at": "exp", "token_id": "jti"}
        claims = msgspec.convert({name: said[claim] for name, claim in names.items()}, Claims)
        issued_at = msgspec.convert(said["iat"], float)
    except (jwt.InvalidTokenError, msgspec.ValidationError, UnicodeError):
        raise AccessError(401, "bad_token", "This is neither a key nor a token of this gateway.") from None
    if not issued_at - CLOCK_SKEW_S <= now < claims.expires_at <= issued_at + MAX_TOKEN_S + CLOCK_SKEW_S:
        raise AccessError(401, "expired_token", "This token has expired. Log in again, or ask for a new one.")
    return claims


def check_token(
    token: str, keys: Sequence[SigningKey], records: Sequence[KeyRecord], now: float
) -> Principal:
    """Who shows this token; its API key must still count. Raises AccessError (401)."""
    claims = read_token(token, keys, now)
    record = next((r for r in records if r.id == claims.subject), None)
    if record is None:
        raise AccessError(401, "revoked_key", "The key behind this token is gone. Ask for a new one.")
    owner = check_record(record, now)
    renewable = claims.token_id.startswith(LOGIN_PREFIX)
    return replace(
        owner, role=claims.role, beds=claims.beds, expires_at=claims.expires_at, renewable=renewable
    )


def check_secret(
    secret: str, keys: Sequence[SigningKey], records: Sequence[KeyRecord], now: float
) -> Principal:
    """Who shows this API key or token. Raises AccessError (401)."""
    if secret.startswith(PREFIX):
        return check_key(secret, records, now)
    return check_token(secret, keys, records, now)


# --- signing keys ---


def is_stale(keys: Sequence[SigningKey], now: float) -> bool:
    """Is it time for a new signing key?"""
    return not keys or not 0 <= now - keys[-1].created_at + CLOCK_SKEW_S < SIGNING_DAYS * 86_400


def rotate(keys: Sequence[SigningKey], new: SigningKey) -> list[SigningKey]:
    """`new` signs from now on; of the older ones stay those whose tokens may still be out."""
    kept = [
        key
        for key, successor in pairwise([*keys, new])
        if successor.created_at + MAX_TOKEN_S + CLOCK_SKEW_S > new.created_at
    ]
    return [*kept, new]
