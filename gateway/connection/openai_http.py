"""shell: what OpenAI's SDKs ask for over HTTP besides: models, and short-lived keys for browsers."""

import uuid
from typing import Any

import msgspec
import structlog
from aiohttp import web
from msgspec import Raw, Struct

from gateway.connection.access import narrow
from gateway.connection.gate import PRINCIPAL, Gate
from gateway.connection.ports import Ports
from gateway.connection.protocols.openai_events import Wrong
from gateway.connection.protocols.openai_session import Config, Terms
from gateway.connection.refusals import refusal

TTL_S = (10, 7200)
ALIAS = "whisper-1"
"""Any name of a model is taken; this is the one that clients look for in the list."""
log = structlog.get_logger()


class Expiry(Struct, frozen=True):
    """Counted from now on."""

    seconds: float = 600


class Secret(Struct, frozen=True):
    expires_at: Expiry = Expiry()


class Body(Struct, frozen=True):
    """`session` and `expires_after` are GA's; in the beta the body itself is the session."""

    session: Raw = Raw(b"{}")
    expires_after: Expiry = Expiry()
    client_secret: Secret = Secret()


def routes(ports: Ports, gate: Gate) -> list[web.RouteDef]:
    helper = OpenAi(ports, gate)
    return [
        web.get("/v1/models", helper.models),
        web.get("/v1/models/{id:.+}", helper.model),
        web.post("/v1/realtime/client_secrets", helper.client_secrets),
        web.post("/v1/realtime/transcription_sessions", helper.transcription_sessions),
    ]


class OpenAi:
    """The routes of one gateway."""

    def __init__(self, ports: Ports, gate: Gate) -> None:
        self._ports = ports
        self._gate = gate

    async def models(self, _: web.Request) -> web.Response:
        names = dict.fromkeys((self._ports.surroundings().model.name, ALIAS))
        return web.json_response({"object": "list", "data": [_model(name) for name in names]})

    async def model(self, request: web.Request) -> web.Response:
        """There is no name that the loaded model does not answer to."""
        return web.json_response(_model(request.match_info["id"]))

    async def client_secrets(self, request: web.Request) -> web.Response:
        """GA: a short-lived token, and the session that it may be used for."""
        try:
            body = await _read(request)
            config = self._config(bytes(body.session))
            token, expires_at = await self._token(request, body.expires_after)
        except Wrong as wrong:
            return _no(request, wrong)
        session = config.said(_session_id(), expires_at, flat=False)
        return _fresh({"value": token, "expires_at": expires_at, "session": session})

    async def transcription_sessions(self, request: web.Request) -> web.Response:
        """The beta: the session, and in it a short-lived token."""
        try:
            body = await _read(request)
            config = self._config(await request.read() or b"{}")
            token, expires_at = await self._token(request, body.client_secret.expires_at)
        except Wrong as wrong:
            return _no(request, wrong)
        session = config.said(_session_id(), expires_at, flat=True)
        return _fresh(session | {"client_secret": {"value": token, "expires_at": expires_at}})

    async def _token(self, request: web.Request, expiry: Expiry) -> tuple[str, int]:
        """It may speak and nothing else; with `?bed=` there only. Raises AccessError and Wrong."""
        if not TTL_S[0] <= expiry.seconds <= TTL_S[1]:
            raise Wrong(
                "invalid_value", f"`seconds`: from {TTL_S[0]} to {TTL_S[1]}.", "expires_after.seconds"
            )
        bed = request.query.get("bed")
        principal = narrow(request[PRINCIPAL], "speaker", [bed] if bed else None)
        token, expires_at = await self._gate.mint(principal, expiry.seconds)
        log.info("token made", key=principal.id, role=principal.role, ttl_s=expiry.seconds)
        return token, int(expires_at)

    def _config(self, session: bytes) -> Config:
        """Raises Wrong."""
        around = self._ports.surroundings()
        terms = Terms(around.settings, around.model)
        return terms.merged(terms.default(), session)


def _session_id() -> str:
    return f"sess_{uuid.uuid4().hex}"


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "care-voice"}


async def _read(request: web.Request) -> Body:
    """Raises Wrong."""
    try:
        return msgspec.json.decode(await request.read() or b"{}", type=Body)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise Wrong("invalid_value", f"{what}.", where.rstrip("`") or None) from None
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise Wrong("invalid_value", "Send JSON.") from None


def _no(request: web.Request, wrong: Wrong) -> web.Response:
    resource = request.match_info.route.resource
    route = resource.canonical if resource else ""
    said = refusal(route, 400, wrong.code, wrong.message, str(uuid.uuid4()), wrong.param)
    return web.json_response(said.body, status=said.status, headers=said.headers)


def _fresh(answer: dict[str, Any]) -> web.Response:
    """Nobody keeps it."""
    return web.json_response(answer, headers={"Cache-Control": "no-store"})
