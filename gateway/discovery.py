"""shell: says by mDNS that there is a Wyoming server here, so that Home Assistant finds it by itself."""

import importlib.util
import ipaddress
import re
import socket
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

KIND = "_wyoming._tcp.local."
MAX_NAME_CHARS = 40
EVERYBODY = "224.0.0.251"
"""Where mDNS is spoken."""


class DiscoveryError(Exception):
    """It cannot be announced; the message says what to do."""


class Service(TypedDict):
    """The arguments of zeroconf's ServiceInfo."""

    type_: str
    name: str
    parsed_addresses: list[str]
    port: int
    server: str


def service(host_name: str, address: str, port: int) -> Service:
    """What is announced."""
    name = re.sub(r"[^A-Za-z0-9-]", "-", host_name.partition(".")[0])[:MAX_NAME_CHARS] or "gateway"
    return Service(
        type_=KIND,
        name=f"Care Voice {name}.{KIND}",
        parsed_addresses=[address],
        port=port,
        server=f"care-voice-{name}.local.",
    )


def check() -> None:
    """Raises DiscoveryError when nothing could be announced."""
    if importlib.util.find_spec("zeroconf") is None:
        raise DiscoveryError(
            "--wyoming-announce needs zeroconf: pip install 'care-voice[discovery]'. Or leave it out, "
            "and give Home Assistant the address by hand."
        )


def address_of(host: str) -> str:
    """Where others reach what listens at `host`. Raises OSError."""
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        ip = ipaddress.ip_address(socket.gethostbyname(host))
    family = socket.AF_INET if ip.version == 4 or ip.is_unspecified else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        if ip.is_unspecified:
            probe.connect((EVERYBODY, 1))  # sends nothing: asks for the route
        else:
            probe.bind((str(ip), 0))  # is it ours?
        return str(probe.getsockname()[0])


class Announcement:
    """One that lasts until it is taken back."""

    def __init__(self, zeroconf: "AsyncZeroconf") -> None:
        self._zeroconf = zeroconf

    @classmethod
    async def make(cls, host: str, port: int) -> "Announcement":
        """Announce what listens there, on that network. Raises DiscoveryError."""
        check()
        from zeroconf import Error
        from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

        try:
            address = address_of(host)
            announcement = cls(AsyncZeroconf(interfaces=[address]))
        except OSError as error:
            raise DiscoveryError(f"--wyoming-announce: no mDNS at {host}: {error}.") from error
        try:
            info = AsyncServiceInfo(**service(socket.gethostname(), address, port))
            zeroconf = announcement._zeroconf
            await (await zeroconf.async_register_service(info, allow_name_change=True))
        except BaseException as error:
            await announcement.close()
            if not isinstance(error, OSError | Error):
                raise
            raise DiscoveryError(f"--wyoming-announce: {error or type(error).__name__}.") from error
        return announcement

    async def close(self) -> None:
        """Take it back."""
        await self._zeroconf.async_unregister_all_services()
        await self._zeroconf.async_close()
