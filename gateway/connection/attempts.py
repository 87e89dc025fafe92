"""core: how often an address has failed to log in. Bounded: of too many addresses the oldest is forgotten.
Nobody guesses a key of 256 random bits; the limit spares the gateway work and its log noise.
"""

import ipaddress
from collections import OrderedDict

MAX_FAILURES = 10
WINDOW_S = 300.0
MAX_ADDRESSES = 10_000


class Attempts:
    """Failed logins of the last WINDOW_S, by address (an IPv6 network of /64 counts as one)."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """Address -> (failures, since when)."""

    def __len__(self) -> int:
        return len(self._failures)

    def wait_s(self, address: str, now: float) -> float:
        """How long this address must wait before it may try again; 0: not at all."""
        failures, since = self._failures.get(_network(address), (0, now))
        return max(0.0, since + WINDOW_S - now) if failures >= MAX_FAILURES else 0.0

    def fail(self, address: str, now: float) -> None:
        """Another failed login."""
        network = _network(address)
        failures, since = self._failures.pop(network, (0, now))
        if now >= since + WINDOW_S:
            failures, since = 0, now
        self._failures[network] = (failures + 1, since)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)

    def succeed(self, address: str) -> None:
        self._failures.pop(_network(address), None)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
