"""shell: from a session's records to the journal, and from there to viewers and back to the session.

Journal, then send, then ack: a caption gets its number when it is handed to the journal, and is told when the
journal answers. Answers come in the order of the records.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict

import msgspec
import structlog

from gateway.config import JournalSettings
from gateway.connection.effects import Lost, Record
from gateway.connection.messages import Final, Notice
from gateway.connection.ports import Member
from gateway.connection.resuming import token_hash
from gateway.connection.viewer import Viewers
from gateway.resources import data_dir
from gateway.ward.captions import Caption
from gateway.ward.hub import Hub
from gateway.ward.journal import Journal, JournalError
from gateway.ward.records import CaptionRow, Entry, JournalState, SessionRow, Written

FILE_NAME = "captions.sqlite3"
SEARCHED = 2000
"""Newest captions of a bed among which a session's missed finals are looked for."""
log = structlog.get_logger()


class Chronicle:
    """The journal among hub, viewers and sessions."""

    journal: Journal

    def __init__(self, hub: Hub, viewers: Viewers, notify: Callable[[Notice], None]) -> None:
        self._hub = hub
        self._viewers = viewers
        self._notify = notify
        self._retention_s = 0.0
        self._origin = time.time() - time.monotonic()
        self._waiting: deque[tuple[Member, Caption | None]] = deque()

    async def open(self, settings: JournalSettings) -> None:
        """Read what earlier runs left. Raises JournalError."""
        self._retention_s = settings.retention_h * 3600
        path = data_dir(settings.data_dir) / FILE_NAME
        self.journal = await Journal.open(
            path,
            synchronous=settings.journal_synchronous,
            retention_h=settings.retention_h,
            now=time.time,
            on_written=self._written,
            on_state=self._changed,
        )
        numbers = self.journal.last_numbers()
        self._hub.go_on(self.journal.epoch, numbers)
        for bed, last in numbers.items():
            self._hub.remember(await self.captions(bed, max(0, last - self._hub.kept)))

    def expire(self) -> None:
        """Forget what is older than may be kept, whatever the machine's clock jumps to."""
        if self._retention_s:
            self._hub.expire(self._origin + time.monotonic() - self._retention_s)

    def record(self, member: Member, record: Record) -> None:
        """Number it, hand it to the journal; never waits."""
        at = time.time()
        caption = self._caption(member, record, at) if record.caption else None
        row = CaptionRow(**msgspec.structs.asdict(caption)) if caption else None
        self._waiting.append((member, caption))
        self.journal.record(Entry(row, _session_row(member, record, at)))

    async def captions(self, bed: str, after: int, limit: int = 100_000) -> list[Caption]:
        """What the journal has of a bed after a number."""
        rows = await self.journal.captions(bed, after=after, limit=limit)
        return [Caption(**asdict(row)) for row in rows]

    async def history(self, bed: str, numbers: range) -> list[Caption]:
        """What the journal has of these captions; nothing when it fails, which it has said then."""
        try:
            found = await self.captions(bed, after=numbers.start - 1, limit=len(numbers))
        except JournalError:
            return []
        return [caption for caption in found if caption.number in numbers]

    async def missed(self, row: SessionRow, after: int) -> list[Final]:
        """The finals of a session after number `after`, as far as they are kept."""
        if row.bed is None or after >= row.finals:
            return []
        newest = self.journal.last_numbers().get(row.bed, 0)
        kept = await self.journal.captions(row.bed, after=max(0, newest - SEARCHED), limit=SEARCHED)
        rows = [r for r in kept if r.speaker == row.speaker and not r.gap_s]
        first = row.finals - len(rows) + 1
        return [
            Final(
                number, r.utterance, r.start, r.end, r.text, r.language, r.confidence, r.corrected,
                suppressed=r.suppressed,
            )
            for number, r in enumerate(rows, first)
            if number > after
        ]  # fmt: skip

    def _caption(self, member: Member, record: Record, at: float) -> Caption:
        said, speaker = record.caption, member.session.number
        if isinstance(said, Lost):
            end = round(said.start + said.seconds, 3)
            gap = Caption(
                record.bed, 0, at, speaker, said.utterance, said.start, end, "", "", 0.0, gap_s=said.seconds
            )
            return self._hub.number(gap)
        assert isinstance(said, Final)
        return self._hub.number(
            Caption(
                record.bed, 0, at, speaker, said.utterance, said.start, said.end, said.text, said.language,
                said.confidence, said.corrected, said.suppressed,
            )
        )  # fmt: skip

    def _written(self, written: Written) -> None:
        member, caption = self._waiting.popleft()
        if caption:
            self._viewers.deliver(self._hub.publish(caption))
        member.written(written.durable)

    def _changed(self, state: JournalState) -> None:
        self._hub.go_on(state.epoch, {})
        if state.ok:
            log.info("journal writes again", backlog=state.backlog)
            self._notify(Notice("journal_ok", "Captions are kept again."))
        else:
            log.error("journal fails", reason=state.reason, backlog=state.backlog, lost=state.lost)
            why = f"Captions cannot be kept ({state.reason}): they are live only, until the disk is mended."
            self._notify(Notice("journal_failing", why))


def _session_row(member: Member, record: Record, at: float) -> SessionRow:
    session = member.session
    audio = session.start.audio
    return SessionRow(
        name=session.identity.name,
        token_hash=token_hash(session.identity.token),
        principal=session.identity.principal,
        bed=record.bed,
        encoding=audio.encoding,
        sample_rate=audio.sample_rate,
        channels=audio.channels,
        committed=record.committed,
        finals=record.finals,
        speaker=session.number,
        updated_at=at,
    )
