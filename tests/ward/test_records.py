from dataclasses import fields

import msgspec

from gateway.ward.captions import Caption
from gateway.ward.records import CaptionRow, JournalState


def test_a_caption_row_keeps_every_field_of_a_caption() -> None:
    """What viewers are told and what is kept are the same fields, in the same order, with the same defaults."""
    told = {field.name: field.default for field in msgspec.structs.fields(Caption) if not field.required}
    row = {field.name: field.default for field in fields(CaptionRow) if field.name in told}
    assert [field.name for field in fields(CaptionRow)] == list(Caption.__struct_fields__)
    assert row == told


def test_a_state_is_ok_while_there_is_no_reason() -> None:
    """A backlog alone is no fault."""
    assert JournalState("e", backlog=3).ok
    assert not JournalState("e", "disk_full").ok
