"""A gate with real keys on a free port, and stand-ins for what lies behind it."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.config import AccessSettings
from gateway.connection.access import Principal, Role
from gateway.connection.gate import PRINCIPAL, Gate
from gateway.connection.keys import ApiKeys
from gateway.connection.login import Login

PATHS = (
    "/", "/beds/{bed}", "/microphone", "/healthz", "/v1/stream", "/v1/captions", "/v1/beds/{bed}/captions",
    "/undeclared",
)  # fmt: skip


@dataclass
class Visitors:
    """Somebody at the gate."""

    gate: Gate
    keys: ApiKeys
    client: TestClient
    host: str

    @property
    def ours(self) -> dict[str, str]:
        """What our own pages send."""
        return {"Origin": f"http://{self.host}", "X-Care-Voice": "1"}

    def key(self, role: Role = "viewer", *beds: str, **fields: object) -> str:
        return self.keys.create(Principal("", role, beds or ("*",), **fields))[1]  # type: ignore[arg-type]

    async def get(self, path: str, **headers: str) -> tuple[int, dict]:
        """Status and JSON."""
        return await self._ask("GET", path, headers, None)

    async def post(self, path: str, body: object = None, **headers: str) -> tuple[int, dict]:
        return await self._ask("POST", path, headers, body)

    async def log_in(self, key: str) -> None:
        status, answer = await self.post("/v1/login", {"key": key}, **self.ours)
        assert status == 200, answer

    async def _ask(self, method: str, path: str, headers: dict, body: object) -> tuple[int, dict]:
        async with self.client.request(
            method, path, headers=headers, json=body, allow_redirects=False
        ) as answer:
            said = await answer.json() if answer.content_type == "application/json" else {}
            return answer.status, said | {"_headers": answer.headers}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@contextlib.asynccontextmanager
async def serving(directory: Path, settings: AccessSettings | None = None) -> AsyncIterator[Visitors]:
    """Without keys until somebody makes one."""
    gate = Gate(settings or AccessSettings(), directory, ("ward-pc",))

    async def answer(request: web.Request) -> web.Response:
        principal = request.get(PRINCIPAL)
        return web.json_response({"id": principal and principal.id, "role": principal and principal.role})

    app = web.Application(middlewares=[gate.admit])
    app.add_routes([*(web.get(path, answer) for path in PATHS), *Login(gate).routes()])
    async with TestClient(TestServer(app)) as client:
        host = f"{client.host}:{client.port}"
        yield Visitors(gate, ApiKeys(directory), client, host)
