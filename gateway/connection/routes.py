"""shell: HTTP: the pages, health, readiness, metrics, and the doors to the WebSockets."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.connection import beds, foreign_websocket, openai_http, transcriptions, viewer, websocket
from gateway.connection.door import Seats, hurry
from gateway.connection.gate import PRINCIPAL, Gate, is_websocket
from gateway.connection.login import Login
from gateway.connection.ports import Certificate, Ports
from gateway.connection.protocols.dialects import DIALECTS, Dialect
from gateway.connection.viewer import Viewers

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "media-src 'self'; worker-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000"}
"""Only with a certificate of a public CA: a browser that has seen it lets nobody click past a bad one."""


def build(ports: Ports, gate: Gate, viewers: Viewers, static: Path) -> web.Application:
    """All routes of the gateway, each behind its gate."""
    gate.on_refusal = lambda code: ports.measure("refused", 1, code)
    headers = PAGE_HEADERS | (HSTS if ports.tls and not ports.tls.self_signed else {})
    server = ports.settings.server
    in_time = hurry(server.handshake_timeout_s, transcriptions.PATHS)
    app = web.Application(middlewares=[_secure(headers), gate.admit, in_time], client_max_size=1 << 16)
    app[foreign_websocket.OPEN] = set()
    app.on_shutdown.append(foreign_websocket.hang_up)
    uploads = transcriptions.Uploads(ports)
    app.on_shutdown.append(uploads.hang_up)
    seats = Seats(server, lambda code: ports.measure("refused", 1, code))

    def seated(handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            address, key = gate.client(request).address, request[PRINCIPAL].id
            return await seats.seat(request, address, key, handler)

        return answer

    app.add_routes(
        [
            *_sockets(ports, viewers, seated, _page(static / "ward.html")),
            web.get("/beds/{bed}", _page(static / "captions.html")),
            web.get("/microphone", _page(static / "microphone.html")),
            web.get("/login", _page(static / "login.html")),
            *Login(gate).routes(),
            *beds.routes(ports),
            *uploads.routes(),
            *openai_http.routes(ports, gate),
            *_operations(ports),
            *(_trust(ports.tls, static) if ports.tls else []),
        ]
    )
    app.router.add_static("/static/", static)
    return app


def _secure(headers: dict[str, str]) -> Middleware:
    @web.middleware
    async def secure(request: web.Request, handler: Handler) -> web.StreamResponse:
        """The same safe headers on every answer, errors included; a handler may know better."""
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(headers)
            raise
        if not response.prepared:
            for name, value in headers.items():
                response.headers.setdefault(name, value)
        return response

    return secure


def _page(path: Path) -> Handler:
    async def page(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(path)

    return page


def _sockets(
    ports: Ports, viewers: Viewers, seated: Callable[[Handler], Handler], ward: Handler
) -> list[web.RouteDef]:
    """What stays: speakers and viewers. `/` is the ward's page, unless a WebSocket is wanted there."""

    async def stream(request: web.Request) -> web.StreamResponse:
        return await websocket.stream(request, ports, request[PRINCIPAL])

    async def captions(request: web.Request) -> web.StreamResponse:
        return await viewer.captions(request, ports, viewers)

    async def events(request: web.Request) -> web.StreamResponse:
        return await viewer.events(request, ports, viewers)

    def foreign(dialect: Dialect) -> Handler:
        async def speak(request: web.Request) -> web.StreamResponse:
            return await foreign_websocket.serve(request, ports, request[PRINCIPAL], dialect)

        return seated(speak)

    dialects = {path: foreign(dialect) for path, dialect in DIALECTS.items()}
    nameless = dialects.pop("/", ward)

    async def root(request: web.Request) -> web.StreamResponse:
        return await (nameless if is_websocket(request) else ward)(request)

    return [
        web.get("/", root),
        web.get("/v1/stream", seated(stream)),
        web.get("/v1/captions", seated(captions)),
        web.get("/v1/captions/events", seated(events)),
        *(web.get(path, speak) for path, speak in dialects.items()),
    ]


def _operations(ports: Ports) -> list[web.RouteDef]:
    async def health(request: web.Request) -> web.StreamResponse:
        """All of it for those who may read; how it is, for everybody."""
        principal, health = request.get(PRINCIPAL), ports.health()
        if principal is None or principal.role == "speaker":
            health = {"status": health["status"]}
        return web.json_response(health)

    async def alive(_: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "alive"})

    async def ready(_: web.Request) -> web.StreamResponse:
        reason = ports.refusal() or ports.refusal_of_new()
        if reason:
            return web.json_response({"ready": False, "reason": reason}, status=503)
        return web.json_response({"ready": True})

    async def metrics(_: web.Request) -> web.StreamResponse:
        return web.Response(body=ports.exposition(), headers={"Content-Type": "text/plain; version=0.0.4"})

    return [
        web.get("/health", health),
        web.get("/healthz", alive),
        web.get("/readyz", ready),
        web.get("/metrics", metrics),
    ]


def _trust(certificate: Certificate, static: Path) -> list[web.RouteDef]:
    """How a device comes to trust a certificate of our own CA."""

    async def trust(_: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"self_signed": certificate.self_signed, "fingerprint_sha256": certificate.fingerprint}
        )

    async def ca(_: web.Request) -> web.StreamResponse:
        pem = certificate.ca_pem
        if pem is None:
            raise web.HTTPNotFound(text="This gateway's certificate needs no CA of ours.")
        headers = {"Content-Disposition": 'attachment; filename="care-voice-ca.crt"'}
        return web.Response(body=pem, content_type="application/x-x509-ca-cert", headers=headers)

    return [
        web.get("/trust", _page(static / "trust.html")),
        web.get("/v1/trust", trust),
        web.get("/ca.pem", ca),
    ]
