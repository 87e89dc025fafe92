"""shell: where clients come in: the port of everything, and Wyoming's when there is one."""

import asyncio
import ssl
from collections.abc import Sequence

import structlog
from aiohttp import web

from gateway.connection.door import Network, open_door, serve, why_not
from gateway.connection.ports import Ports
from gateway.connection.wyoming_server import WyomingServer
from gateway.discovery import Announcement, DiscoveryError, check

log = structlog.get_logger()


class DoorError(Exception):
    """The gateway cannot be reached like this; the message says what to do."""


class Doors:
    """Opened when the gateway listens, closed when it has said its last."""

    def __init__(self, app: web.Application, ports: Ports) -> None:
        """Raises DoorError."""
        self._settings = ports.settings
        self._runner = serve(app, ports.settings.server)
        self._door: asyncio.Server | None = None
        self._wyoming_port = 0
        self._announcement: Announcement | None = None
        try:
            wanted = self._settings.wyoming
            self._wyoming = WyomingServer(ports) if wanted.wyoming_port >= 0 else None
            if self._wyoming and wanted.wyoming_announce:
                check()
        except (ValueError, DiscoveryError) as error:
            raise DoorError(str(error)) from error

    async def open(self, trusted: Sequence[Network], context: ssl.SSLContext | None) -> int:
        """Listen (answers, but nobody is let in yet). Returns the port of everything. Raises DoorError."""
        server = self._settings.server
        await self._runner.setup()
        assert self._runner.server is not None  # setup() made it
        try:
            self._door = await open_door(self._runner.server, server, trusted, context)
        except OSError as error:
            await self.close()
            raise DoorError(f"Cannot listen on {server.host}:{server.port}: {why_not(error)}") from error
        await self._open_wyoming()
        return int(self._door.sockets[0].getsockname()[1])

    async def _open_wyoming(self) -> None:
        if self._wyoming is None:
            return
        try:
            self._wyoming_port = await self._wyoming.open()
        except OSError as error:
            await self.close()
            wanted = self._settings.wyoming
            why = why_not(error).replace("--port", "--wyoming-port").replace("--host", "--wyoming-host")
            raise DoorError(
                f"Cannot listen on {wanted.wyoming_host}:{wanted.wyoming_port} (Wyoming): {why}"
            ) from error

    async def announce(self) -> None:
        """Tell the network, when speakers are welcome. Raises DoorError."""
        wanted = self._settings.wyoming
        if self._wyoming is None or not wanted.wyoming_announce:
            return
        try:
            self._announcement = await Announcement.make(wanted.wyoming_host, self._wyoming_port)
        except DiscoveryError as error:
            raise DoorError(str(error)) from error
        log.info("wyoming announced", port=self._wyoming_port)

    def drain(self) -> None:
        """Nobody new; the sessions end by themselves."""
        if self._wyoming:
            self._wyoming.drain()

    async def close(self) -> None:
        """The end."""
        if self._door:
            self._door.close()
        if self._wyoming:
            await self._wyoming.close()
        await self._runner.cleanup()
        if self._announcement:
            await self._announcement.close()
