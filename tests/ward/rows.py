"""Rows for the journal's tests."""

from gateway.ward.records import CaptionRow, Entry, SessionRow


def caption(bed: str = "3A", number: int = 1, text: str = "good morning", at: float = 1000.0) -> CaptionRow:
    return CaptionRow(bed, number, at, 7, number, 1.5, 2.75, text, "en", 0.875)


def session(name: str = "s1", committed: int = 16_000, updated_at: float = 1000.0) -> SessionRow:
    return SessionRow(name, "hash", "key-1", "3A", "pcm_s16le", 16_000, 1, committed, 3, 7, updated_at)


def said(bed: str = "3A", number: int = 1, text: str = "good morning", at: float = 1000.0) -> Entry:
    return Entry(caption(bed, number, text, at), session(committed=number))
