"""core: who may speak Wyoming, and at which bed. The protocol knows no keys: guests are known by address."""

import ipaddress

from gateway.config import WyomingSettings
from gateway.connection import origin
from gateway.connection.access import Principal, is_loopback
from gateway.connection.opening import Refused, check_bed


class Guests:
    """Raises ValueError, whose text says what to do, for settings that would let in anybody."""

    def __init__(self, settings: WyomingSettings) -> None:
        try:
            self._networks = origin.networks(settings.wyoming_allow)
        except ValueError as error:
            raise ValueError(f"--wyoming-allow: {error}.") from None
        if not self._networks and not is_loopback(settings.wyoming_host):
            raise ValueError(
                f"Wyoming knows no keys: whoever reaches {settings.wyoming_host} could speak. Name who may, "
                "like --wyoming-allow 192.168.1.20 (the address of Home Assistant), or a network."
            )
        self.bed = settings.wyoming_bed or None
        try:
            check_bed(self.bed)
        except Refused as refused:
            raise ValueError(f"--wyoming-bed: {refused.message}") from None

    @property
    def exposure(self) -> str | None:
        """What to warn of at the start; None: nothing."""
        if not self._networks or all(network.is_loopback for network in self._networks):
            return None
        allowed = ", ".join(map(str, self._networks))
        return f"wyoming: no keys and no TLS, so everybody at {allowed} may speak, and audio crosses readable"

    @property
    def principal(self) -> Principal:
        """Every guest: a speaker of that bed, or of none."""
        return Principal("", "speaker", (self.bed,) if self.bed else (), "wyoming")

    def admits(self, address: str) -> bool:
        """Without a list: this machine alone."""
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if not self._networks:
            return ip.is_loopback
        return any(ip in network for network in self._networks if network.version == ip.version)
