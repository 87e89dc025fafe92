"""core: may this principal begin a session at this bed now?"""

from gateway.connection.access import Principal, may_speak
from gateway.connection.closing import CloseCode
from gateway.connection.opening import Refused
from gateway.connection.ports import Ports


def check_new(ports: Ports, principal: Principal, bed: str | None) -> None:
    """A session that begins. Raises Refused."""
    if reason := ports.refusal_of_new():
        raise Refused("overloaded", reason, CloseCode.OVERLOADED)
    check_bed(ports, principal, bed)


def check_bed(ports: Ports, principal: Principal, bed: str | None) -> None:
    """A session that begins or goes on there. Raises Refused."""
    if bed and not ports.hub.has_room(bed):
        why = "The gateway knows as many beds as it may (max_known_beds)."
        raise Refused("too_many_beds", why, CloseCode.OVERLOADED)
    if not may_speak(principal, bed):
        raise Refused("forbidden_bed", f"This key may not speak at bed {bed}.", CloseCode.FORBIDDEN)
