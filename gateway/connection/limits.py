"""core: how many connections there may be: in all, per address, per principal.

Its memory is bounded by the connections that are open: nothing is kept of those that have left or were
refused. Addresses of IPv6 count by their /64, which is what one client is given.
"""

import ipaddress
from collections import Counter
from dataclasses import dataclass

UNLIMITED = 0


@dataclass(frozen=True, slots=True)
class Quota:
    """The most there may be; UNLIMITED (0): any number."""

    in_all: int
    per_address: int = UNLIMITED
    per_key: int = UNLIMITED


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place, until it is given back."""

    source: str
    key: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no place. `status` is 503 (the gateway is full) or 429 (this client has its share)."""

    status: int
    code: str
    message: str


FULL = Refusal(
    503, "too_many_connections", "The gateway has as many connections as it takes. Try again later."
)
ADDRESS_FULL = Refusal(
    429, "too_many_connections_address", "This address has as many connections as one may have."
)
KEY_FULL = Refusal(429, "too_many_connections_key", "This key has as many connections as one may have.")


def source_of(address: str) -> str:
    """Addresses with the same source count together; what is no address is its own source."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((int(ip), 64), strict=False))


class Limits:
    """Who is in. An empty address or key is not counted against one."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._in_all = 0
        self._sources: Counter[str] = Counter()
        self._keys: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Limits {self._in_all} in, {len(self._sources)} addresses, {len(self._keys)} keys>"

    def __len__(self) -> int:
        return self._in_all

    def enter(self, address: str, key: str = "") -> Ticket | Refusal:
        """A place for this client; give it back with leave()."""
        ticket, quota = Ticket(source_of(address) if address else "", key), self._quota
        if _reached(quota.in_all, self._in_all):
            return FULL
        if ticket.source and _reached(quota.per_address, self._sources[ticket.source]):
            return ADDRESS_FULL
        if key and _reached(quota.per_key, self._keys[key]):
            return KEY_FULL
        self._in_all += 1
        self._sources[ticket.source] += 1
        self._keys[key] += 1
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Once for each ticket."""
        self._in_all -= 1
        for counter, name in ((self._sources, ticket.source), (self._keys, ticket.key)):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]


def _reached(most: int, count: int) -> bool:
    return most != UNLIMITED and count >= most
