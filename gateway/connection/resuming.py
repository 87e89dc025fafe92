"""core: who a session is, and whether somebody who wants to continue it may.

A session is continued by its name and its secret token together, and only by the principal that began it. The
gateway keeps the token's hash alone beside the session's position, so that a stolen journal opens nothing.
"""

import hashlib
import hmac
from dataclasses import dataclass

from gateway.connection.closing import CloseCode
from gateway.connection.messages import Final, Resume
from gateway.connection.opening import Refused


@dataclass(frozen=True, slots=True)
class Identity:
    """What a session is known by."""

    name: str
    token: str
    """Secret; told to its client only."""
    principal: str = ""
    """Whose credentials it was started with; empty when the gateway is open."""


@dataclass(frozen=True, slots=True)
class Past:
    """Where a session stands that another gateway process began."""

    committed: int
    finals: int
    missed: tuple[Final, ...] = ()
    """Finals that its client has not seen."""
    bed: str | None = None


def token_hash(token: str) -> str:
    """Fast on purpose: tokens are 256 random bits, which nobody can guess from a hash."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def check_resume(resume: Resume, principal: str, known_hash: str, known_principal: str) -> None:
    """May this client continue the session? Raises Refused (resume_forbidden)."""
    right_token = hmac.compare_digest(token_hash(resume.token), known_hash)
    if not right_token or principal != known_principal:
        raise Refused(
            "resume_forbidden",
            "This session belongs to somebody else, or the token is wrong: start a new one.",
            CloseCode.FORBIDDEN,
        )


def cannot_resume(expired: bool) -> Refused:
    """The session is not there (any more)."""
    if expired:
        return Refused(
            "resume_expired",
            "The session has waited for its grace time and ended: send `start` without `resume` and replay "
            "the audio that was not committed.",
            CloseCode.CANNOT_RESUME,
        )
    return Refused(
        "resume_unknown",
        "No such session here: send `start` without `resume` and replay the audio that was not committed.",
        CloseCode.CANNOT_RESUME,
    )
