"""shell: beds and their captions for programs: GET /v1/beds, GET /v1/beds/{bed}/captions."""

import asyncio
import math
from collections.abc import Callable
from datetime import datetime

from aiohttp import web
from msgspec import structs

from gateway.connection.access import AccessError, may_watch
from gateway.connection.gate import PRINCIPAL
from gateway.connection.opening import Refused, check_bed
from gateway.connection.ports import Ports
from gateway.ward import export
from gateway.ward.journal import JournalError
from gateway.ward.records import CaptionRow

MAX_CAPTIONS = 10_000
TYPES = {
    "json": "application/json",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "txt": "text/plain",
}
PRIVATE = {"Cache-Control": "no-store"}


def routes(ports: Ports) -> list[web.RouteDef]:
    async def beds(request: web.Request) -> web.Response:
        """Those that the caller may see, by name."""
        principal = request[PRINCIPAL]
        last = ports.journal.last_numbers()
        known = {
            state.bed: {"bed": state.bed, "state": state.state, "since": state.since}
            for state in ports.hub.states()
        }
        silent = {bed: {"bed": bed, "state": "offline", "since": None} for bed in last.keys() - known.keys()}
        shown = [
            bed | {"last_number": last.get(name, 0)}
            for name, bed in sorted((known | silent).items())
            if may_watch(principal, name)
        ]
        return web.json_response({"epoch": ports.hub.epoch, "beds": shown}, headers=PRIVATE)

    async def captions(request: web.Request) -> web.Response:
        """Of one bed, oldest first; where there are more than `limit`, a Link header says how to go on."""
        bed, kind = request.match_info["bed"], request.query.get("format", "json")
        try:
            check_bed(bed)
        except Refused as refused:
            raise AccessError(400, refused.code, refused.message) from None
        if kind not in TYPES:
            raise AccessError(400, "bad_format", f"`format` must be one of: {', '.join(TYPES)}.")
        after = _number(request, "after", 0, 0, 1 << 53)
        limit = _number(request, "limit", MAX_CAPTIONS, 1, MAX_CAPTIONS)
        since, until = _time(request, "since"), _time(request, "until")
        rows = await _captions(ports, bed, after, since, until, limit + 1)
        headers = dict(PRIVATE)
        if len(rows) > limit:
            following = request.rel_url.update_query({"after": str(rows[limit - 1].number)})
            headers["Link"] = f'<{following}>; rel="next"'
        text = await asyncio.to_thread(_formatted, rows[:limit], kind, since)
        return web.Response(text=text, content_type=TYPES[kind], charset="utf-8", headers=headers)

    return [web.get("/v1/beds", beds), web.get("/v1/beds/{bed}/captions", captions)]


async def _captions(
    ports: Ports, bed: str, after: int, since: float | None, until: float | None, limit: int
) -> list[CaptionRow]:
    """From the journal, or from memory where nothing is written down. Raises AccessError (503)."""
    if ports.settings.journal.retention_h:
        try:
            return await ports.journal.captions(bed, after, since, until, limit)
        except JournalError as error:
            raise AccessError(503, "journal_unreadable", str(error)) from error
    kept = [CaptionRow(**structs.asdict(caption)) for caption in ports.hub.recent(bed)]
    begin, end = -math.inf if since is None else since, math.inf if until is None else until
    return [row for row in kept if row.number > after and begin <= row.at < end][:limit]


def _formatted(rows: list[CaptionRow], kind: str, since: float | None) -> str:
    writers: dict[str, Callable[[], str]] = {
        "json": lambda: export.as_json(rows, _clock),
        "srt": lambda: export.as_srt(rows, since),
        "vtt": lambda: export.as_vtt(rows, _clock, since),
        "txt": lambda: export.as_txt(rows, _clock),
    }
    return writers[kind]()


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")


def _number(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if text.isascii() and text.isdigit() and len(text) < 17 and least <= int(text) <= most:
        return int(text)
    raise AccessError(400, f"bad_{name}", f"`{name}` must be a whole number of {least} to {most}.")


def _time(request: web.Request, name: str) -> float | None:
    """Unix seconds, or an ISO time (the gateway's own zone where it names none)."""
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        at = float(text)
    except ValueError:
        try:  # an unquoted + of a zone arrives as a space
            at = datetime.fromisoformat(text.replace(" ", "+")).timestamp()
        except (ValueError, OverflowError):
            at = math.nan
    if math.isfinite(at):
        return at
    raise AccessError(
        400, f"bad_{name}", f"`{name}` must be Unix seconds or a time like 2026-11-23T14:00+08:00."
    )
