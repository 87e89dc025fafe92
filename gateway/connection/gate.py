"""shell: the gate that every request passes: gathers what it shows, asks the cores, remembers who is in.

It keeps the API keys fresh and ends the connections whose key was revoked or whose token has expired.
"""

import asyncio
import contextlib
import secrets
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import structlog
from aiohttp import hdrs, web

from gateway.config import AccessSettings, Settings
from gateway.connection import access, origin, refusals
from gateway.connection.access import OPEN, PAGES, PUBLIC, AccessError, Need, Principal
from gateway.connection.closing import CloseCode
from gateway.connection.credentials import (
    LOGIN_PREFIX,
    check_key,
    check_record,
    check_secret,
    make_token,
)
from gateway.connection.keys import ApiKeys, KeyFileError, SigningKeys
from gateway.connection.origin import Client, Credential
from gateway.resources import data_dir

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Close = Callable[[int, str], None]
PRINCIPAL = web.RequestKey("principal", Principal)
"""Who makes this request. Absent where nobody had to say."""
PROBLEM = web.RequestKey("problem", AccessError)
"""Why the credential that a public route was shown does not count."""
CHECK_EVERY_S = 2.0
EXTRA_HEADERS = {401: {"WWW-Authenticate": 'Bearer realm="care-voice"'}, 429: {"Retry-After": "60"}}
log = structlog.get_logger()


class GateError(Exception):
    """The gateway must not start like this; the message says what to do."""


def build_gate(settings: Settings) -> "Gate":
    """The gate of a gateway with these settings. Warns in the log of what is exposed. Raises GateError."""
    host = settings.server.host
    tls = bool(settings.tls.tls_cert or settings.tls.tls_self_signed)
    names = (host, socket.gethostname(), *origin.split_list(settings.tls.tls_names))
    try:
        gate = Gate(settings.access, data_dir(settings.journal.data_dir), names)
    except KeyFileError as error:
        raise GateError(str(error)) from error
    except ValueError as error:
        raise GateError(f"--trusted-proxies: {error}.") from error
    if refusal := access.check_binding(host, gate.locked, settings.access.insecure, tls):
        raise GateError(refusal)
    if warning := access.exposure(host, gate.locked, tls, bool(settings.access.trusted_proxies)):
        log.warning("access", warning=warning)
    return gate


class Gate:
    """Who may come in, and for how long."""

    def __init__(self, settings: AccessSettings, directory: Path, names: tuple[str, ...]) -> None:
        """`names`: how this gateway may be called while it has no keys.

        Raises KeyFileError, and ValueError for proxies that are no networks.
        """
        self.settings = settings
        self.on_refusal: Callable[[str], None] = lambda code: None
        """Is told the code of each refusal."""
        self._keys = ApiKeys(directory)
        self._signing = SigningKeys(directory)
        self.trusted = origin.networks(settings.trusted_proxies)
        self._origins = origin.split_list(settings.allowed_origins)
        self._names = (*names, *origin.split_list(settings.allowed_hosts))
        self._inside: dict[object, tuple[Principal, Close]] = {}
        self._checked_at = 0.0

    @property
    def locked(self) -> bool:
        """Keys are asked for. Once there were any, there is no way back while the gateway runs."""
        return self._keys.exists

    # --- a request ---

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Lets a request through to its handler, with `request[PRINCIPAL]`, or answers why not."""
        resource = request.match_info.route.resource
        if resource is None:  # no such path, or not with this method
            return await handler(request)
        need = access.needed(resource.canonical, is_websocket(request))
        try:
            self._judge(request, need)
            return await handler(request)
        except AccessError as refusal:
            self.on_refusal(refusal.code)
            address = self.client(request).address
            log.info("refused", code=refusal.code, route=resource.canonical, address=address)
            return _answer(request, need, refusal)

    def client(self, request: web.Request) -> Client:
        """Who is really there, where a trusted proxy stands between."""
        header = request.headers.get
        forwarded = header(hdrs.X_FORWARDED_FOR, ""), header(hdrs.X_FORWARDED_PROTO, "")
        return origin.client_of(request.remote or "", request.secure, *forwarded, self.trusted)

    def check_key(self, presented: str) -> Principal:
        """Who shows this API key. Raises AccessError (401)."""
        return check_key(presented, self._keys.items, time.time())

    def renewed(self, principal: Principal) -> Principal:
        """The same for as long as the API key behind it counts. Raises AccessError (401)."""
        key = next((record for record in self._keys.items if record.id == principal.id), None)
        if key is None:
            raise AccessError(401, "revoked_key", "The key behind this login is gone. Ask for a new one.")
        return replace(principal, expires_at=check_record(key, time.time()).expires_at)

    def _judge(self, request: web.Request, need: Need) -> None:
        self._keys.refresh()
        client = self.client(request)
        if not self.locked and need is not Need.PROBE:
            origin.check_host(request.headers.get(hdrs.HOST, ""), self._names)
        try:
            credential = self._credential(request, client)
            self._check_origin(request, client, credential)
            principal = self._principal(credential)
        except AccessError as problem:
            if need not in PUBLIC or problem.status != 401:
                raise
            request[PROBLEM] = problem
            return
        if principal:
            request[PRINCIPAL] = principal
        access.permit(principal, need, request.match_info.get("bed"))

    def _credential(self, request: web.Request, client: Client) -> Credential | None:
        if not self.locked:
            return None
        api_key = request.headers.get("api-key")  # Azure's way
        return origin.credential_of(
            request.headers.get(hdrs.AUTHORIZATION) or (f"Bearer {api_key}" if api_key else None),
            ",".join(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ())),
            request.cookies.get(origin.cookie_name(client.secure)),
            request.query.get("token"),
            self.settings.query_tokens,
        )

    def _check_origin(self, request: web.Request, client: Client, credential: Credential | None) -> None:
        origin.check_origin(
            request.headers.get(hdrs.ORIGIN),
            request.headers.get(hdrs.HOST, ""),
            client.secure,
            self._origins,
            ambient=credential is not None and credential.source == "cookie",
            acts=request.method == hdrs.METH_POST or hdrs.UPGRADE in request.headers,
        )

    def _principal(self, credential: Credential | None) -> Principal | None:
        if not self.locked:
            return OPEN
        if credential is None:
            return None
        self._signing.refresh()
        return check_secret(credential.secret, self._signing.items, self._keys.items, time.time())

    # --- tokens ---

    async def mint(self, principal: Principal, ttl_s: float, renewable: bool = False) -> tuple[str, float]:
        """A token for this principal and when it expires. Raises AccessError (503)."""
        try:
            key = await asyncio.to_thread(self._signing.current)
        except KeyFileError as error:
            log.error("cannot sign tokens", reason=str(error))
            raise AccessError(503, "cannot_sign", "The gateway cannot write its data directory.") from error
        token_id = (LOGIN_PREFIX if renewable else "") + secrets.token_hex(8)
        return make_token(principal, ttl_s, key, token_id, time.time())

    # --- who is in ---

    @contextlib.contextmanager
    def guard(self, principal: Principal, close: Close) -> Iterator[None]:
        """While the block runs: `close(code, reason)` is called when the principal's time is over."""
        entry = object()
        self._inside[entry] = (principal, close)
        try:
            yield
        finally:
            self._inside.pop(entry, None)

    def tick(self, now: float) -> None:
        """Call it often (`now` in Unix seconds): it looks every CHECK_EVERY_S."""
        if 0 <= now - self._checked_at < CHECK_EVERY_S:
            return
        self._checked_at = now
        if self._keys.refresh():
            log.info("keys changed", keys=len(self._keys.items))
        for entry, (principal, close) in list(self._inside.items()):
            if reason := self._ended(principal, now):
                del self._inside[entry]
                log.info("access ended", key=principal.id, reason=reason)
                close(CloseCode.UNAUTHORIZED, reason)

    def _ended(self, principal: Principal, now: float) -> str | None:
        if not principal.id:
            return "log in: this gateway has keys now" if self.locked else None
        if principal.expires_at is not None and principal.expires_at <= now:
            return "expired"
        record = next((r for r in self._keys.items if r.id == principal.id), None)
        try:
            return None if record and check_record(record, now) else "revoked"
        except AccessError as over:
            return over.code


def is_websocket(request: web.Request) -> bool:
    """It asks to become one."""
    return request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"


def _answer(request: web.Request, need: Need, refusal: AccessError) -> web.Response:
    if need in PAGES and refusal.code not in {"foreign_origin", "unknown_host"}:
        wanted = origin.safe_next(str(request.rel_url.without_query_params("token")))
        query = {"next": wanted} | ({"denied": "1"} if refusal.status == 403 else {})
        return web.Response(status=303, headers={hdrs.LOCATION: f"/login?{urlencode(query)}"})
    resource = request.match_info.route.resource
    route, id_ = resource.canonical if resource else "", str(uuid.uuid4())
    said = refusals.refusal(route, refusal.status, refusal.code, refusal.message, id_)
    headers = said.headers | EXTRA_HEADERS.get(refusal.status, {})
    return web.json_response(said.body, status=said.status, headers=headers)
