"""core: the close codes of every socket, in one place (docs/protocol.md has the table)."""

from enum import IntEnum


class CloseCode(IntEnum):
    DONE = 1000
    GOING_AWAY = 1001
    """The gateway stops or restarts; reconnect."""
    BAD_MESSAGE = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    RESTART = 1012
    """The session is as long as one may be; begin a new one."""
    OVERLOADED = 1013
    """Try again later. Also: a reader too slow for its captions, which may reconnect with `after`."""
    UNAUTHORIZED = 4401
    """The credentials are missing, wrong or have ended."""
    FORBIDDEN = 4403
    IDLE = 4408
    SUPERSEDED = 4409
    """Another socket continues this session; do not reconnect."""
    CANNOT_RESUME = 4410
    TOO_FAST = 4429


STANDARD: dict[int, int] = {
    CloseCode.UNAUTHORIZED: CloseCode.BAD_MESSAGE,
    CloseCode.FORBIDDEN: CloseCode.BAD_MESSAGE,
    CloseCode.IDLE: CloseCode.GOING_AWAY,
    CloseCode.TOO_FAST: CloseCode.OVERLOADED,
}


def standard(code: int) -> int:
    """Our own codes as those of RFC 6455, which clients of other protocols know."""
    return STANDARD.get(code, code)
