"""shell: HTTP: the pages, health, readiness, metrics, and the doors to the WebSockets."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from gateway.connection import viewer, websocket
from gateway.connection.ports import Ports
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


@web.middleware
async def secure(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The same safe headers on every answer, errors included."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers.update(PAGE_HEADERS)
        raise
    if not response.prepared:
        response.headers.update(PAGE_HEADERS)
    return response


def build(ports: Ports, viewers: Viewers, static: Path) -> web.Application:
    """All routes of the gateway."""
    app = web.Application(middlewares=[secure], client_max_size=1 << 16)

    async def stream(request: web.Request) -> web.StreamResponse:
        return await websocket.stream(request, ports, principal="")

    async def captions(request: web.Request) -> web.StreamResponse:
        return await viewer.captions(request, ports, viewers)

    async def events(request: web.Request) -> web.StreamResponse:
        return await viewer.events(request, ports, viewers)

    app.add_routes(
        [
            web.get("/v1/stream", stream),
            web.get("/v1/captions", captions),
            web.get("/v1/captions/events", events),
            web.get("/", _page(static / "ward.html")),
            web.get("/beds/{bed}", _page(static / "captions.html")),
            web.get("/microphone", _page(static / "microphone.html")),
            *_operations(ports),
        ]
    )
    app.router.add_static("/static/", static)
    return app


def _page(path: Path) -> Handler:
    async def page(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(path)

    return page


def _operations(ports: Ports) -> list[web.RouteDef]:
    async def health(_: web.Request) -> web.StreamResponse:
        return web.json_response(ports.health())

    async def alive(_: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "alive"})

    async def ready(_: web.Request) -> web.StreamResponse:
        reason = ports.refusal()
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
