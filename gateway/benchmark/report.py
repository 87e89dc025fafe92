"""core: what was measured, put beside what the device could do: figures for a table and for JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from gateway.benchmark.measure import Cell, Failed, Measured, Started
from gateway.benchmark.roofline import (
    Ceilings,
    Profile,
    Work,
    decoder_work,
    encoder_work,
    streams,
)

HALF, SINGLE, BYTE = 2, 4, 1


@dataclass(frozen=True, slots=True)
class Row:
    """One length at one batch size. Times are for a window, a batch shares what it can."""

    length_s: float
    batch: int
    encode_ms: float
    decode_ms: float
    windows_per_s: float
    real_time_factor: float
    """Seconds of audio in a second."""
    matmul_share: float | None
    """Of the ceiling, while encoding. None: no ceiling was measured."""
    copy_share: float | None
    """Of the ceiling, while decoding: only the bytes that must be read are counted."""
    floor_ms: float | None
    """A window by the roofline."""
    memory_mib: int

    @property
    def window_ms(self) -> float:
        return self.encode_ms + self.decode_ms


@dataclass(frozen=True, slots=True)
class Capacity:
    """Simultaneous speakers by the cost of windows in batches of this size."""

    batch: int
    measured: float
    roofline: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """One model on one device."""

    model: str
    started: Started
    ceilings: Ceilings | None
    """None: not measured, or of no use for this compute type."""
    rows: tuple[Row, ...]
    capacities: tuple[Capacity, ...]
    failure: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def make_report(model: str, measured: list[Measured], profile: Profile) -> Report | Failed:
    """Failed where not even the start succeeded."""
    failures = [item for item in measured if isinstance(item, Failed)]
    started = next((item for item in measured if isinstance(item, Started)), None)
    if started is None:
        return failures[0] if failures else Failed("the process ended without a word")
    cells = [item for item in measured if isinstance(item, Cell)]
    ceilings = next((item for item in measured if isinstance(item, Ceilings)), None)
    if started.compute_type.startswith("int8"):  # its products are faster than those that were measured
        ceilings = None
    rows = tuple(_row(started, cell, ceilings) for cell in cells)
    batches = sorted({row.batch for row in rows})
    capacities = tuple(_capacity(batch, rows, profile) for batch in batches)
    return Report(model, started, ceilings, rows, capacities, failures[0].message if failures else "")


def _row(started: Started, cell: Cell, ceilings: Ceilings | None) -> Row:
    whole_s = cell.encode_s + cell.decode_s
    encoder, decoder = _works(started, cell)
    return Row(
        length_s=cell.length_s,
        batch=cell.batch,
        encode_ms=cell.encode_s / cell.batch * 1000,
        decode_ms=cell.decode_s / cell.batch * 1000,
        windows_per_s=cell.batch / whole_s,
        real_time_factor=cell.batch * cell.length_s / whole_s,
        matmul_share=encoder.flops / cell.encode_s / ceilings.flops if ceilings else None,
        copy_share=decoder.bytes / cell.decode_s / ceilings.bytes_per_s if ceilings else None,
        floor_ms=_floor_s(encoder, decoder, ceilings) / cell.batch * 1000 if ceilings else None,
        memory_mib=cell.memory_bytes >> 20,
    )


def _floor_s(encoder: Work, decoder: Work, ceilings: Ceilings) -> float:
    return encoder.seconds(ceilings) + decoder.seconds(ceilings)


def _works(started: Started, cell: Cell) -> tuple[Work, Work]:
    weight_bytes, cache_bytes = number_bytes(started.compute_type)
    encoder = encoder_work(started.shape, cell.length_s, cell.batch, weight_bytes)
    decoder = decoder_work(started.shape, cell.length_s, cell.batch, cell.steps, weight_bytes, cache_bytes)
    return encoder, decoder


def number_bytes(compute_type: str) -> tuple[int, int]:
    """Of a (weight, activation): int8_float16 has weights of one byte and keys and values of two."""
    activation = HALF if compute_type.endswith("float16") else SINGLE
    return (BYTE if compute_type.startswith("int8") else activation), activation


def _capacity(batch: int, rows: tuple[Row, ...], profile: Profile) -> Capacity:
    same = [row for row in rows if row.batch == batch]
    floors = {row.length_s: row.floor_ms / 1000 for row in same if row.floor_ms is not None}
    return Capacity(
        batch,
        streams({row.length_s: row.window_ms / 1000 for row in same}, profile),
        streams(floors, profile) if floors else None,
    )
