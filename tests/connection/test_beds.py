"""Rules of beds and captions for programs."""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.config import AccessSettings, Settings
from gateway.connection import beds
from gateway.connection.access import Principal
from gateway.connection.gate import Gate
from gateway.connection.keys import ApiKeys
from gateway.ward.captions import Caption
from gateway.ward.hub import Hub
from gateway.ward.records import CaptionRow, Entry
from tests.connection.gates import bearer
from tests.ward.journals import Told, journal

NOW = time.time()


def row(bed: str, number: int, text: str) -> CaptionRow:
    return CaptionRow(bed, number, NOW - 100 + number, 1, number, 0.0, 1.0, text, "en", 0.9)


class Ward:
    """What the routes need of a gateway."""

    def __init__(self, told: Told, retention_h: float) -> None:
        self.settings = Settings.model_validate({"journal": {"retention_h": retention_h}})
        self.hub = Hub(self.settings.ward, "e")
        self.told, self.journal = told, told.journal

    async def write(self, *rows: CaptionRow) -> None:
        for row in rows:
            self.journal.record(Entry(row))
        await self.told.reported(len(rows))


@contextlib.asynccontextmanager
async def serving(directory: Path, retention_h: float = 24) -> AsyncIterator[tuple[Ward, TestClient]]:
    path = directory / "journal" if retention_h else None
    async with journal(path, retention_h=retention_h) as told:
        ward = Ward(told, retention_h)
        app = web.Application(middlewares=[Gate(AccessSettings(), directory, ()).admit])
        app.add_routes(beds.routes(ward))  # type: ignore[arg-type]  # only these of the ports are used
        async with TestClient(TestServer(app)) as client:
            yield ward, client


async def numbers(client: TestClient, path: str, **headers: str) -> list[int]:
    async with client.get(path, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return [caption["number"] for caption in (await answer.json())["captions"]]


async def test_captions_by_number_and_time(tmp_path: Path) -> None:
    """After a number, from a time on, before a time; the rest is a link away."""
    async with serving(tmp_path) as (ward, client):
        await ward.write(*(row("3A", number, f"words {number}") for number in range(1, 7)), row("4A", 1, "x"))
        path = "/v1/beds/3A/captions"
        assert await numbers(client, path) == [1, 2, 3, 4, 5, 6]
        assert await numbers(client, f"{path}?after=4") == [5, 6]
        assert await numbers(client, f"{path}?since={NOW - 97}&until={NOW - 95}") == [3, 4]
        iso = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(NOW - 1000))
        assert await numbers(client, f"{path}?since={iso}") == [1, 2, 3, 4, 5, 6]
        async with client.get(f"{path}?limit=4&format=txt") as answer:
            assert (await answer.text()).count("words") == 4
            assert answer.headers["Link"] == '</v1/beds/3A/captions?limit=4&format=txt&after=4>; rel="next"'
            assert answer.headers["Cache-Control"] == "no-store"
        async with client.get(f"{path}?limit=6") as answer:
            assert "Link" not in answer.headers
        assert await numbers(client, "/v1/beds/nobody/captions") == []


@pytest.mark.parametrize(
    ("kind", "content_type", "has"),
    [
        ("srt", "application/x-subrip", "-->"), ("vtt", "text/vtt", "WEBVTT"), ("txt", "text/plain", "words"),
        ("json", "application/json", '"number": 1'),
    ],
)  # fmt: skip
async def test_captions_in_every_format(tmp_path: Path, kind: str, content_type: str, has: str) -> None:
    """As `care-voice export` writes them."""
    async with serving(tmp_path) as (ward, client):
        await ward.write(row("3A", 1, "some words 護理師"))
        async with client.get(f"/v1/beds/3A/captions?format={kind}") as answer:
            assert (answer.status, answer.content_type, answer.charset) == (200, content_type, "utf-8")
            text = await answer.text()
        assert has in text
        assert "護理師" in text


@pytest.mark.parametrize(
    "query",
    [
        "format=pdf", "after=-1", "after=x", "after=1e3", "limit=0", "limit=10001", "since=soon", "until=nan",
        "since=inf", "after=٣", "since=9999999-01-01",
    ],
)  # fmt: skip
async def test_questions_that_make_no_sense_are_refused(tmp_path: Path, query: str) -> None:
    """400, naming the field."""
    async with serving(tmp_path) as (_, client):
        async with client.get(f"/v1/beds/3A/captions?{query}") as answer:
            assert answer.status == 400
            assert (await answer.json())["code"] == f"bad_{query.split('=')[0]}"
        async with client.get("/v1/beds/a,b/captions") as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "bad_bed")


async def test_beds_that_one_may_see(tmp_path: Path) -> None:
    """Those with a speaker, and those that the journal knows; no others."""
    async with serving(tmp_path) as (ward, client):
        ward.hub.enter("3A", 1, NOW)
        ward.hub.enter("4A", 2, NOW)
        await ward.write(row("3B", 1, "words"))
        async with client.get("/v1/beds") as answer:
            shown = (await answer.json())["beds"]
        assert [(b["bed"], b["state"], b["last_number"]) for b in shown] == [
            ("3A", "online", 0), ("3B", "offline", 1), ("4A", "online", 0),
        ]  # fmt: skip
        key = ApiKeys(tmp_path).create(Principal("", "viewer", ("3*",)))[1]
        async with client.get("/v1/beds", headers=bearer(key)) as answer:
            assert [bed["bed"] for bed in (await answer.json())["beds"]] == ["3A", "3B"]
        async with client.get("/v1/beds/4A/captions", headers=bearer(key)) as answer:
            assert answer.status == 403
        assert await numbers(client, "/v1/beds/3B/captions", **bearer(key)) == [1]


async def test_without_a_journal_memory_answers(tmp_path: Path) -> None:
    """What the gateway keeps for late viewers."""
    async with serving(tmp_path, retention_h=0) as (ward, client):
        for number in range(1, 4):
            ward.hub.publish(Caption(**asdict(row("3A", number, "words"))))
        assert await numbers(client, "/v1/beds/3A/captions?after=1") == [2, 3]
        assert await numbers(client, f"/v1/beds/3A/captions?until={NOW - 98}") == [1]
