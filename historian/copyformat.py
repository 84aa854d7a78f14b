"""PostgreSQL's binary COPY format, built and read by numpy.

Knows the bytes of a row (PostgreSQL manual, COPY, Binary Format) for telemetry, readings and meter events. Does not
know a connection, nor what is plausible: the tables' constraints judge values.

A row is a 16-bit field count, then for each field a 32-bit length and the value, all big-endian. No field is ever
null, so a batch is one packed array: 0.16 µs a row instead of 0.5 µs row by row.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scada.model.reading import METER_EVENT, READING, REGISTER
from scada.model.sample import SAMPLE
from scada.model.statusevent import STATUS_EVENT

PGCOPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
"""Signature, flags 0 and header extension length 0."""

PGCOPY_TRAILER = b"\xff\xff"

POSTGRES_EPOCH = 946_684_800_000_000
"""2000-01-01 00:00 UTC in µs since 1970: where timestamptz counts from."""

_INSTANTS = ("time", "received_at", "taken_at")
"""Columns that are instants, unless a layout names others."""

Rows = NDArray[np.void]


@dataclass(frozen=True)
class CopyLayout:
    """How rows of one dtype stand in a COPY stream: ``columns`` in stream order, ``wire`` the packed row.

    instants: the columns that are µs since 1970 here and since 2000 there.
    """

    rows: np.dtype[np.void]
    columns: tuple[str, ...]
    wire: np.dtype[np.void]
    instants: tuple[str, ...] = _INSTANTS


def copy_layout(
    rows: np.dtype[np.void], columns: tuple[tuple[str, str], ...], *, instants: tuple[str, ...] = _INSTANTS
) -> CopyLayout:
    """The layout for ``columns``, pairs of field name and big-endian wire type such as ``('meter', '>i4')``."""
    wire: list[tuple[str, str]] = [("field_count", ">i2")]
    for name, wire_type in columns:
        wire += [(f"{name}_length", ">i4"), (name, wire_type)]
    return CopyLayout(rows, tuple(name for name, _ in columns), np.dtype(wire), instants)


SAMPLE_COPY = copy_layout(
    SAMPLE, (("time", ">i8"), ("value", ">f8"), ("point", ">i4"), ("quality", ">i2"), ("cause", ">i2"))
)

STATUS_EVENT_COPY = copy_layout(
    STATUS_EVENT,
    (
        ("time", ">i8"),
        ("received_at", ">i8"),
        ("value", ">f8"),
        ("point", ">i4"),
        ("quality", ">i2"),
        ("cause", ">i2"),
    ),
)

_READING_COLUMNS = (
    ("time", ">i8"),
    ("import_wh", ">i8"),
    ("export_wh", ">i8"),
    ("import_varh", ">i8"),
    ("meter", ">i4"),
    ("power_w", ">i4"),
    ("voltage_dv", ">i2"),
    ("status", ">i2"),
    ("flag", ">i2"),
    ("method", ">i2"),
)

READING_COPY = copy_layout(READING, _READING_COLUMNS)

METER_EVENT_COPY = copy_layout(METER_EVENT, (("time", ">i8"), ("meter", ">i4"), ("code", ">i2")))

ARRIVAL = np.dtype([*READING.descr, ("first", "u1")])
"""A reading on its way through the staging table; first: 1 where it is the first of its key in the batch."""

ARRIVAL_COPY = copy_layout(ARRIVAL, (*_READING_COLUMNS, ("first", "u1")))

REGISTER_ARRIVAL = np.dtype([*REGISTER.descr, ("first", "u1")])
"""A billing register on the same way."""

_REGISTER_COLUMNS = (
    ("time", ">i8"),
    ("taken_at", ">i8"),
    ("value", ">i8"),
    ("meter", ">i4"),
    ("obis", ">i2"),
    ("kind", ">i2"),
    ("status", ">i2"),
    ("flag", ">i2"),
    ("method", ">i2"),
)

REGISTER_COPY = copy_layout(REGISTER, _REGISTER_COLUMNS)

REGISTER_ARRIVAL_COPY = copy_layout(REGISTER_ARRIVAL, (*_REGISTER_COLUMNS, ("first", "u1")))


def encode(rows: Rows, layout: CopyLayout) -> bytearray:
    """Rows of ``layout.rows`` → a complete COPY stream.

    A time so far in the past that the change of epoch leaves int64 comes out beyond the year 294 000, where the
    tables' constraints refuse it.
    """
    template = np.zeros((), dtype=layout.wire)
    template["field_count"] = len(layout.columns)
    for name in layout.columns:
        template[f"{name}_length"] = layout.wire[name].itemsize
    # The rows are built where they are sent from: the memory of another copy costs as much as all the columns.
    stream = bytearray(len(PGCOPY_HEADER) + len(rows) * layout.wire.itemsize + len(PGCOPY_TRAILER))
    stream[: len(PGCOPY_HEADER)] = PGCOPY_HEADER
    stream[-len(PGCOPY_TRAILER) :] = PGCOPY_TRAILER
    wire: NDArray[Any] = np.frombuffer(stream, layout.wire, len(rows), len(PGCOPY_HEADER))
    wire.view(np.uint8).reshape(len(rows), layout.wire.itemsize)[:] = np.frombuffer(template.tobytes(), np.uint8)
    for name in layout.columns:
        wire[name] = rows[name] - POSTGRES_EPOCH if name in layout.instants else rows[name]
    return stream


def decode(stream: bytes | bytearray, layout: CopyLayout) -> Rows:
    """A complete COPY stream → rows of ``layout.rows``; the inverse of ``encode``.

    Raises ValueError when the stream is not of this layout (another column count or width, a null, a cut end).
    """
    if not stream.startswith(PGCOPY_HEADER) or not stream.endswith(PGCOPY_TRAILER):
        raise ValueError("not a complete binary COPY stream")
    body = stream[len(PGCOPY_HEADER) : -len(PGCOPY_TRAILER)]
    if len(body) % layout.wire.itemsize:
        raise ValueError(f"{len(body)} bytes are no whole number of {layout.wire.itemsize}-byte rows")
    wire: NDArray[Any] = np.frombuffer(body, dtype=layout.wire)
    widths_fit = all(np.all(wire[f"{name}_length"] == layout.wire[name].itemsize) for name in layout.columns)
    if not widths_fit or not np.all(wire["field_count"] == len(layout.columns)):
        raise ValueError("rows of another layout, or a null")
    rows = np.empty(len(wire), dtype=layout.rows)
    for name in layout.columns:
        rows[name] = wire[name] + POSTGRES_EPOCH if name in layout.instants else wire[name]
    return rows
