"""A real network whose cable can be pulled: namespaces, a router between client and gateway. Root only.

The test is in the machine's own namespace, the gateway in one of its own; packets go through a router, which
drops all of them while the cable is pulled: nobody is told anything, as with a real cable or a lost Wi-Fi.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

MARK = os.getpid() % 200
GATEWAY_ADDRESS = f"10.77.{MARK}.6"


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def why_not() -> str | None:
    """Why there is no network to play with here; None: there is."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2"
    probe = subprocess.run(["ip", "netns", "add", f"cv-probe-{MARK}"], capture_output=True, text=True)
    if probe.returncode:
        return f"network namespaces are not allowed here: {probe.stderr.strip()}"
    run("ip", "netns", "del", f"cv-probe-{MARK}")
    return None


needs_network = pytest.mark.skipif(bool(why_not()), reason=why_not() or "")
needs_nft = pytest.mark.skipif(shutil.which("nft") is None, reason="packet loss needs nftables")


class Cable:
    """Between this machine and the namespace of the gateway."""

    def __init__(self) -> None:
        self.gateway, self._router = f"cv-g{MARK}", f"cv-r{MARK}"
        self._near, self._far = f"10.77.{MARK}.0/30", f"10.77.{MARK}.4/30"

    @property
    def prefix(self) -> list[str]:
        """What runs a command on the far side."""
        return ["ip", "netns", "exec", self.gateway]

    def lay(self) -> None:
        self.remove()  # what a killed run has left
        net = f"10.77.{MARK}"
        for name in (self.gateway, self._router):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "link", "add", f"cvh{MARK}", "type", "veth", "peer", "name", "near", "netns", self._router)
        run(
            "ip",
            "-n",
            self._router,
            "link",
            "add",
            "far",
            "type",
            "veth",
            "peer",
            "name",
            "eth",
            "netns",
            self.gateway,
        )
        run("ip", "address", "add", f"{net}.1/30", "dev", f"cvh{MARK}")
        run("ip", "-n", self._router, "address", "add", f"{net}.2/30", "dev", "near")
        run("ip", "-n", self._router, "address", "add", f"{net}.5/30", "dev", "far")
        run("ip", "-n", self.gateway, "address", "add", f"{net}.6/30", "dev", "eth")
        run("ip", "link", "set", f"cvh{MARK}", "up")
        for name, device in ((self._router, "near"), (self._router, "far"), (self.gateway, "eth")):
            run("ip", "-n", name, "link", "set", device, "up")
        run("ip", "route", "add", self._far, "via", f"{net}.2")
        run("ip", "-n", self.gateway, "route", "add", "default", "via", f"{net}.5")
        self.plug()

    def plug(self) -> None:
        run("ip", "netns", "exec", self._router, "sysctl", "-q", "net.ipv4.ip_forward=1")

    def pull(self) -> None:
        """Nothing passes in either direction, and nobody is told."""
        run("ip", "netns", "exec", self._router, "sysctl", "-q", "net.ipv4.ip_forward=0")

    def lose(self, percent: int) -> None:
        """So many of the packets, at random, in both directions."""
        rules = (
            "flush ruleset; add table ip f; "
            "add chain ip f c { type filter hook forward priority 0; policy accept; }; "
            f"add rule ip f c numgen random mod 100 < {percent} drop"
        )
        run("ip", "netns", "exec", self._router, "nft", rules)

    def remove(self) -> None:
        for name in (self.gateway, self._router):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


@contextlib.contextmanager
def cable() -> Iterator[Cable]:
    laid = Cable()
    try:
        laid.lay()
        yield laid
    finally:
        laid.remove()
