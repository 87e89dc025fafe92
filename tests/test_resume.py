"""Nothing lost: sockets that break, gateways that die, viewers that come back. Real gateway, model and journal."""

import asyncio
import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.connection.speech import pcm16, silence
from tests.running import RunningGateway
from tests.talking import REFERENCES, Peer, error_rate, peer

pytestmark = pytest.mark.slow
SPEECH = b"".join(pcm16(f"en_{n:02}.wav") + silence(0.7) for n in range(8))
REFERENCE = " ".join(REFERENCES[f"en_{n:02}.wav"]["text"] for n in range(8))


class Device:
    """A bedside device that keeps what was not committed, and comes back."""

    def __init__(self, bed: str, pcm: bytes) -> None:
        self.bed, self.pcm = bed, pcm
        self.sent = self.committed = 0
        self.session: dict[str, str] = {}
        self.finals: list[dict[str, Any]] = []
        self.resumed_from: list[int] = []

    async def connect(self, speaker: Peer) -> None:
        resume = {"resume": self.session | {"after": len(self.finals)}} if self.session else {}
        started = await speaker.start(bed=self.bed, language="en", **resume)
        self.session = {"session": started["session"], "token": started["token"]}
        assert self.committed <= started["resume_from"]
        self.resumed_from.append(started["resume_from"])
        self.sent = started["resume_from"]

    async def speak(self, speaker: Peer, until: int, pause_s: float = 0.005) -> None:
        """Send up to sample `until`."""
        while self.sent < until:
            chunk = self.pcm[2 * self.sent : 2 * min(until, self.sent + 1600)]
            await speaker.socket.send(chunk)
            self.sent += len(chunk) // 2
            await asyncio.sleep(pause_s)

    def take(self, messages: list[dict[str, Any]]) -> None:
        for final in (m for m in messages if m["type"] == "final"):
            if final["number"] <= len(self.finals):  # sent to the old socket as well
                assert final == self.finals[final["number"] - 1]
            else:
                self.finals.append(final)
        self.committed = max([self.committed, *(m["committed"] for m in messages if m["type"] == "ack")])

    async def listen(self, speaker: Peer, seconds: float) -> None:
        """Take what comes."""
        try:
            async with asyncio.timeout(seconds):
                await speaker.end()
        except TimeoutError:
            pass
        self.take(speaker.messages)

    def check(self) -> None:
        """All words, once, in order."""
        assert [f["number"] for f in self.finals] == list(range(1, len(self.finals) + 1))
        assert all(a["end"] <= b["start"] for a, b in zip(self.finals, self.finals[1:], strict=False))
        text = " ".join(f["text"] for f in self.finals)
        assert error_rate(REFERENCE, text) <= 0.12, text


@pytest.fixture
def start(tmp_path: Path) -> Iterator:
    """Gateways over the same data directory."""
    running: list[RunningGateway] = []

    def begin(*options: str) -> RunningGateway:
        running.append(RunningGateway.start(tmp_path / f"log{len(running)}", *options))
        return running[-1]

    yield begin
    for gateway in running:
        gateway.stop(signal.SIGKILL)


async def read_all(gateway: RunningGateway, bed: str, **watch: Any) -> dict[str, Any]:
    async with peer(gateway.ws, "/v1/captions") as viewer:
        await viewer.say("watch", beds=[bed], **watch)
        return await viewer.until("snapshot")


async def test_a_session_goes_on_where_its_socket_broke(gateway: RunningGateway) -> None:
    """Four cuts, in and between words: no word lost, none twice, numbers without gap; viewers read the same."""
    device = Device("resume", SPEECH)
    samples = len(SPEECH) // 2
    for until in (samples // 7, samples // 3, samples // 2, samples * 2 // 3):
        async with peer(gateway.ws, "/v1/stream") as speaker:
            await device.connect(speaker)
            await device.speak(speaker, until)
            await device.listen(speaker, 0.2)
            speaker.socket.transport.abort()
    async with peer(gateway.ws, "/v1/stream") as speaker:
        await device.connect(speaker)
        await device.speak(speaker, samples)
        await speaker.say("stop")
        await device.listen(speaker, 20)
    device.check()
    assert device.resumed_from == sorted(device.resumed_from)
    assert device.resumed_from[1] == samples // 7
    seen = await read_all(gateway, "resume")
    assert [c["text"] for c in seen["captions"]] == [f["text"] for f in device.finals]


async def test_a_second_socket_takes_the_session_over(gateway: RunningGateway) -> None:
    """The old one, still half open, is closed 4409; the stream goes on."""
    device = Device("takeover", SPEECH)
    async with peer(gateway.ws, "/v1/stream") as old, peer(gateway.ws, "/v1/stream") as new:
        await device.connect(old)
        await device.speak(old, 40_000)
        await old.say("ping")
        await old.until("pong")
        await device.connect(new)
        assert device.resumed_from[-1] == 40_000
        assert (await old.end())[0] == 4409
        device.take(old.messages)
        await device.speak(new, len(SPEECH) // 2)
        await new.say("stop")
        await device.listen(new, 20)
    device.check()


async def test_a_wrong_token_or_session_is_named(gateway: RunningGateway) -> None:
    """resume_forbidden (4403) for a wrong token, resume_unknown (4410) for no such session."""
    async with peer(gateway.ws, "/v1/stream") as owner, peer(gateway.ws, "/v1/stream") as thief:
        started = await owner.start(bed="theft")
        await thief.say("start", resume={"session": started["session"], "token": "guess"})
        assert await thief.end() == (4403, "resume_forbidden")
        await owner.say("ping")
        await owner.until("pong")
    async with peer(gateway.ws, "/v1/stream") as stranger:
        await stranger.say("start", resume={"session": "0" * 32, "token": "guess"})
        assert await stranger.end() == (4410, "resume_unknown")


async def test_a_session_that_waited_too_long_says_so(start) -> None:
    """After the grace time a session without a journal is gone: resume_expired."""
    running = start("--resume-grace-s", "0.2", "--retention-h", "0")
    async with peer(running.ws, "/v1/stream") as speaker:
        started = await speaker.start(bed="late")
        speaker.socket.transport.abort()
    await asyncio.sleep(1)
    async with peer(running.ws, "/v1/stream") as speaker:
        await speaker.say("start", resume={"session": started["session"], "token": started["token"]})
        assert await speaker.end() == (4410, "resume_expired")


async def test_a_killed_gateway_loses_no_word_and_no_caption(start) -> None:
    """kill -9 at four moments: the device resumes at the next process from what was committed, the viewer
    reads every caption once and in order, and what it saw as final is in the journal."""
    device = Device("killed", SPEECH)
    samples = len(SPEECH) // 2
    seen: list[dict[str, Any]] = []
    epoch = None
    for until in (samples // 5, samples // 3, samples // 2, samples * 4 // 5):
        running = start()
        async with peer(running.ws, "/v1/captions") as viewer, peer(running.ws, "/v1/stream") as speaker:
            await viewer.say("watch", beds=["killed"], after={"killed": len(seen)}, epoch=epoch)
            await device.connect(speaker)
            await device.speak(speaker, until)
            await device.listen(speaker, 0.3)
            os.kill(running.process.pid, signal.SIGKILL)
            await viewer.end()
        for snapshot in viewer.of("snapshot"):
            assert snapshot["recovered"]
            epoch = snapshot["epoch"]
            seen += snapshot["captions"]
        seen += viewer.of("caption")
    running = start()
    async with peer(running.ws, "/v1/stream") as speaker:
        await device.connect(speaker)
        await device.speak(speaker, samples)
        await speaker.say("stop")
        await device.listen(speaker, 20)
    device.check()
    snapshot = await read_all(running, "killed", after={"killed": len(seen)}, epoch=epoch)
    assert snapshot["recovered"]
    seen += snapshot["captions"]
    assert [c["number"] for c in seen] == list(range(1, len(seen) + 1))
    assert [c["text"] for c in seen] == [f["text"] for f in device.finals]


async def test_two_sockets_that_bring_a_session_back_make_one(start) -> None:
    """After a restart both ask at once: one of them gets the session, the other is superseded."""
    first = start()
    async with peer(first.ws, "/v1/stream") as speaker:
        started = await speaker.start(bed="twins", language="en")
        await speaker.speak(pcm16("en_01.wav") + silence(1))
        await speaker.until("final")
        os.kill(first.process.pid, signal.SIGKILL)
    running = start()
    resume = {"session": started["session"], "token": started["token"], "after": 1}
    async with peer(running.ws, "/v1/stream") as a, peer(running.ws, "/v1/stream") as b:
        await asyncio.gather(*(socket.say("start", bed="twins", resume=resume) for socket in (a, b)))
        await asyncio.gather(a.until("started"), b.until("started"))
        await asyncio.sleep(0.5)
        assert running.health()["sessions"] == 1


async def test_a_session_that_was_ended_goes_on_after_its_last_final(start) -> None:
    """Closed 4408 for being idle: a client that comes back goes on behind that, and loses nothing."""
    running = start("--idle-timeout-s", "1")
    async with peer(running.ws, "/v1/stream") as speaker:
        started = await speaker.start(bed="idle", language="en")
        await speaker.speak(pcm16("en_01.wav"))
        assert await speaker.end() == (4408, "idle")
    resume = {"session": started["session"], "token": started["token"], "after": 0}
    async with peer(running.ws, "/v1/stream") as speaker:
        again = await speaker.start(bed="idle", language="en", resume=resume)
        assert 2.0 * 16_000 < again["resume_from"] <= len(pcm16("en_01.wav")) // 2
        await speaker.speak(pcm16("en_02.wav"))
        await speaker.say("stop")
        await speaker.end()
    assert [f["number"] for f in speaker.of("final")] == [1, 2]


async def test_a_session_goes_on_with_its_own_kind_of_audio(gateway: RunningGateway) -> None:
    """Another rate or encoding would be misread without a word: bad_start, and the session waits on."""
    async with peer(gateway.ws, "/v1/stream") as speaker:
        started = await speaker.start(bed="kind")
        speaker.socket.transport.abort()
    resume = {"session": started["session"], "token": started["token"]}
    async with peer(gateway.ws, "/v1/stream") as speaker:
        await speaker.say("start", resume=resume, audio={"encoding": "mulaw", "sample_rate": 8000})
        assert await speaker.end() == (1008, "bad_start")
    async with peer(gateway.ws, "/v1/stream") as speaker:
        await speaker.start(resume=resume)
        await speaker.say("stop")
        await speaker.end()


async def test_an_unreadable_journal_cuts_nobody(start, tmp_path: Path) -> None:
    """A viewer that asks for older captions gets the live ones; a speaker is told to come again."""
    running = start("--kept-captions", "1")
    async with peer(running.ws, "/v1/stream") as speaker:
        await speaker.start(bed="torn", language="en")
        await speaker.speak(SPEECH[: len(SPEECH) // 2])
        await speaker.say("stop")
        await speaker.end()
    for path in (tmp_path / "data").glob("captions.sqlite3*"):
        if not path.name.endswith(".lock"):
            path.write_bytes(b"garbage" * 20_000)
    snapshot = await read_all(running, "torn", after={"torn": 1})
    assert (len(snapshot["captions"]), snapshot["recovered"]) == (1, False)
    async with peer(running.ws, "/v1/stream") as speaker:
        await speaker.say("start", resume={"session": "0" * 32, "token": "t"})
        code, reason = await speaker.end()
    assert (code, reason) in {(1013, "cannot_resume_now"), (4410, "resume_unknown")}  # the latter once mended


async def test_lost_audio_is_shown_as_a_gap(gateway: RunningGateway) -> None:
    """A ring that overflowed: the loss is a caption of its own between the words around it."""
    async with peer(gateway.ws, "/v1/stream") as speaker:
        await speaker.start(bed="gap", language="en")
        await speaker.speak(pcm16("en_01.wav"))
        await speaker.say("gap", samples=32_000)
        await speaker.speak(pcm16("en_02.wav"))
        await speaker.say("stop")
        await speaker.end()
    captions = (await read_all(gateway, "gap"))["captions"]
    assert [bool(c["text"]) for c in captions] == [True, False, True]
    assert [c["gap_s"] for c in captions] == [0.0, 2.0, 0.0]
    finals = speaker.of("final")
    assert finals[1]["start"] > len(pcm16("en_01.wav")) / 32_000 + 2.0


async def test_a_viewer_of_another_epoch_is_told(gateway: RunningGateway) -> None:
    """Numbers of a journal that is lost mean nothing: everything is sent, recovered is false."""
    async with peer(gateway.ws, "/v1/stream") as speaker:
        await speaker.start(bed="epoch", language="en")
        await speaker.speak(pcm16("en_01.wav"))
        await speaker.say("stop")
        await speaker.end()
    snapshot = await read_all(gateway, "epoch", after={"epoch": 1}, epoch="another")
    assert (len(snapshot["captions"]), snapshot["recovered"]) == (1, False)


async def test_more_than_the_gateway_keeps_comes_from_the_journal(start) -> None:
    """Viewers catch up from any number; server-sent events go on from their last id."""
    running = start("--kept-captions", "2")
    async with peer(running.ws, "/v1/stream") as speaker:
        await speaker.start(bed="deep", language="en")
        await speaker.speak(SPEECH)
        await speaker.say("stop")
        await speaker.end()
    texts = [f["text"] for f in speaker.of("final")]
    assert len(texts) >= 6
    snapshot = await read_all(running, "deep", after={"deep": 1})
    assert [c["text"] for c in snapshot["captions"]] == texts[1:]
    assert snapshot["recovered"]

    def next_event(last_id: str) -> list[str]:
        request = urllib.request.Request(f"{running.url}/v1/captions/events?beds=deep")
        request.add_header("Last-Event-ID", last_id)
        with urllib.request.urlopen(request, timeout=10) as response:
            return [response.readline().decode().strip() for _ in range(3)]

    cursor, kind, data = await asyncio.to_thread(next_event, f"{snapshot['epoch']};deep=2")
    assert kind == "event: snapshot"
    assert [c["number"] for c in json.loads(data.removeprefix("data: "))["captions"]] == list(
        range(3, len(texts) + 1)
    )
    assert cursor == f"id: {snapshot['epoch']};deep={len(texts)}"


async def test_captions_flow_while_the_disk_fails(start, tmp_path: Path) -> None:
    """A journal that cannot be written: live captions all the same, loud in health, metrics and a notice;
    nothing is committed meanwhile."""
    running = start()
    async with peer(running.ws, "/v1/captions") as viewer, peer(running.ws, "/v1/stream") as speaker:
        await viewer.say("watch", beds=["disk"])
        await speaker.start(bed="disk", language="en")
        await speaker.speak(pcm16("en_01.wav") + silence(1))
        await viewer.until("caption", number=1)
        import sqlite3

        with sqlite3.connect(tmp_path / "data" / "captions.sqlite3", isolation_level=None) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            await speaker.speak(pcm16("en_02.wav") + silence(1), pause_s=0.02)
            await viewer.until("caption", number=2)
            assert running.health()["status"] == "journal_failing"
            assert running.metric("care_voice_journal_failing") == 1
            await speaker.until("notice", code="journal_failing")
            committed = max(a["committed"] for a in speaker.of("ack"))
            assert committed <= len(pcm16("en_01.wav") + silence(1)) // 2
            lock.execute("ROLLBACK")
        lock.close()
        await speaker.until("notice", code="journal_ok")
        await speaker.speak(pcm16("en_03.wav") + silence(1))
        await viewer.until("caption", number=3)
        await speaker.say("stop")
        await speaker.end()
    assert max(a["committed"] for a in speaker.of("ack")) > committed
    assert running.stop() == 0
    again = start()
    assert [c["number"] for c in (await read_all(again, "disk"))["captions"]] == [1, 2, 3]


@pytest.mark.parametrize("noticed", [True, False], ids=["reset", "half open"])
async def test_a_full_gateway_takes_its_own_back(start, noticed: bool) -> None:
    """The session that lost its socket still has its place: its client gets in, a new one does not."""
    running = start("--max-sessions", "1")
    async with peer(running.ws, "/v1/stream") as first:
        device = Device("full", SPEECH)
        await device.connect(first)
        await device.speak(first, 16_000)
        if noticed:
            first.socket.transport.abort()
        else:
            first.socket.transport.pause_reading()
            await asyncio.sleep(2.5)
        async with peer(running.ws, "/v1/stream") as stranger:
            await stranger.say("start")
            assert await stranger.end() == (1013, "overloaded")
        async with peer(running.ws, "/v1/stream", patient=False) as back:
            await device.connect(back)
            assert device.resumed_from == [0, 16_000]
            await back.say("stop")
            await back.end()
