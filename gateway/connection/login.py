"""shell: logging in and out, tokens, and who one is: /v1/login, /v1/logout, /v1/tokens, /v1/whoami.

The login page's cookie holds a token. SameSite=Strict, a header that no form can send and the gate's check of
the Origin keep other sites from logging anybody in or out.
"""

import time
from typing import TypeVar

import msgspec
import structlog
from aiohttp import web
from msgspec import Struct

from gateway.connection.access import OPEN, AccessError, Principal, narrow
from gateway.connection.attempts import Attempts
from gateway.connection.credentials import MAX_TOKEN_S
from gateway.connection.gate import PRINCIPAL, PROBLEM, Gate
from gateway.connection.origin import cookie_name

CUSTOM_HEADER = "X-Care-Voice"
T = TypeVar("T", bound=Struct)
log = structlog.get_logger()


class LoginRequest(Struct, frozen=True):
    """No key: the cookie's time begins anew."""

    key: str | None = None


class TokenRequest(Struct, frozen=True):
    role: str | None = None
    beds: tuple[str, ...] | None = None
    ttl_s: float | None = None


class Login:
    """The routes of one gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._attempts = Attempts()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/whoami", self.whoami),
            web.post("/v1/login", self.login),
            web.post("/v1/logout", self.logout),
            web.post("/v1/tokens", self.tokens),
        ]

    async def whoami(self, request: web.Request) -> web.Response:
        """Always 200: pages ask it, because a browser cannot say why a WebSocket was refused."""
        answer = self._describe(request.get(PRINCIPAL))
        if problem := request.get(PROBLEM):
            answer["problem"] = {"code": problem.code, "message": problem.message}
        return _fresh(web.json_response(answer))

    async def login(self, request: web.Request) -> web.Response:
        """A key for a cookie; without a key, a new cookie for the one that is still good."""
        _check_custom_header(request)
        body = await _read(request, LoginRequest)
        principal = self._renewing(request) if body.key is None else self._knocking(request, body.key)
        token, expires_at = await self._gate.mint(principal, self._gate.settings.token_ttl_s, renewable=True)
        if body.key is not None:
            log.info(
                "login", key=principal.id, role=principal.role, address=self._gate.client(request).address
            )
        response = web.json_response(self._describe(principal) | {"expires_at": expires_at})
        secure = self._gate.client(request).secure
        response.set_cookie(
            cookie_name(secure),
            token,
            max_age=max(0, int(expires_at - time.time())),
            path="/",
            httponly=True,
            secure=secure,
            samesite="Strict",
        )
        return _fresh(response)

    async def logout(self, request: web.Request) -> web.Response:
        _check_custom_header(request)
        response = web.json_response({"access": "locked" if self._gate.locked else "open", "role": None})
        secure = self._gate.client(request).secure
        response.del_cookie(cookie_name(secure), path="/", httponly=True, secure=secure, samesite="Strict")
        return _fresh(response)

    async def tokens(self, request: web.Request) -> web.Response:
        """A short-lived token with the caller's rights or fewer, never for longer than the caller's own."""
        principal = request[PRINCIPAL]
        if principal == OPEN:
            raise AccessError(409, "open", "This gateway has no keys and asks for no token.")
        body = await _read(request, TokenRequest)
        ttl_s = self._gate.settings.token_ttl_s if body.ttl_s is None else body.ttl_s
        if not 1 <= ttl_s <= MAX_TOKEN_S:
            raise AccessError(400, "bad_ttl", f"`ttl_s` must be 1 to {MAX_TOKEN_S} seconds.")
        principal = narrow(principal, body.role, body.beds)
        token, expires_at = await self._gate.mint(principal, ttl_s)
        log.info("token made", key=principal.id, role=principal.role, ttl_s=ttl_s)
        rights = {"role": principal.role, "beds": principal.beds, "expires_at": expires_at}
        return _fresh(web.json_response({"token": token} | rights))

    def _knocking(self, request: web.Request, key: str) -> Principal:
        if not self._gate.locked:
            raise AccessError(409, "open", "This gateway has no keys and asks for no login.")
        address, now = self._gate.client(request).address, time.monotonic()
        if wait_s := self._attempts.wait_s(address, now):
            raise AccessError(429, "too_many_logins", f"Too many failed logins: try again in {wait_s:.0f} s.")
        try:
            principal = self._gate.check_key(key)
        except AccessError as refusal:
            self._attempts.fail(address, now)
            log.warning("login failed", code=refusal.code, address=address)
            raise
        self._attempts.succeed(address)
        return principal

    def _renewing(self, request: web.Request) -> Principal:
        """The cookie's principal, with the key's own end: a page that stays open stays logged in."""
        principal = request.get(PRINCIPAL)
        if principal is None or not principal.renewable:
            raise request.get(PROBLEM) or AccessError(401, "no_login", "Log in with a key first.")
        return self._gate.renewed(principal)

    def _describe(self, principal: Principal | None) -> dict[str, object]:
        access = "locked" if self._gate.locked else "open"
        if principal is None:
            return {"access": access, "role": None, "beds": []}
        return {
            "access": access,
            "id": principal.id,
            "name": principal.name,
            "role": principal.role,
            "beds": principal.beds,
            "expires_at": principal.expires_at,
        }


def _check_custom_header(request: web.Request) -> None:
    """Forms cannot send it, and scripts of other sites may not."""
    if CUSTOM_HEADER not in request.headers:
        raise AccessError(403, "no_custom_header", f"Send the header {CUSTOM_HEADER}: 1.")


async def _read(request: web.Request, kind: type[T]) -> T:
    """The JSON body; an empty one is the default. Raises AccessError (400, 415)."""
    body = await request.read()
    if body and request.content_type != "application/json":
        raise AccessError(415, "bad_body", "Send JSON, as application/json.")
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise AccessError(
            400, "bad_body", f"The body is not what is asked for here: {_where(error)}"
        ) from None


def _where(error: Exception) -> str:
    """What msgspec says of types and fields; of text that is no JSON nothing, it may quote a secret."""
    return f"{error}." if isinstance(error, msgspec.ValidationError) else "no valid JSON."


def _fresh(response: web.Response) -> web.Response:
    """Nobody keeps it."""
    response.headers["Cache-Control"] = "no-store"
    return response
