"""Where the bytes of values lie in what a device sends, precompiled so that one gather brings them into native order.

Knows every type and order of a register map. Does not know values, scales or sockets.

A layout may span several ranges of addresses: what a whole scan brought is then decoded in one go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from substations.registers import BoundPoint
from substations.wiretypes import WireType, wire_bytes

RawArray = NDArray[np.uint8]
"""Registers: their bytes as on the wire, high byte first, two per register. Bits: one byte each, 0 or 1."""

_TYPES: Final = tuple(WireType)


@dataclass(frozen=True, slots=True)
class Group:
    """Rows [first, last) are of one type; their bytes are [start, end) of the gathered ones."""

    type: WireType
    first: int
    last: int
    start: int
    end: int

    @property
    def rows(self) -> slice:
        """The rows of the group."""
        return slice(self.first, self.last)


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Addresses [start, start + count) of the one table in which ``entries`` lie."""

    entries: Sequence[BoundPoint]
    start: int
    count: int

    @property
    def of_bits(self) -> bool:
        """Whether it is of a table of bits."""
        return self.entries[0].table.of_bits

    @property
    def raw_size(self) -> int:
        """Raw bytes of the range."""
        return self.count if self.of_bits else self.count * 2


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """``entries`` in the order of their rows, by type; ``gather`` takes their bytes out of ``raw_size`` raw ones.

    ``quality_rows`` have a quality register with its low byte at ``quality_bytes``. ``part``: which of the ranges a row
    comes from, shape (n,).
    """

    entries: tuple[BoundPoint, ...]
    raw_size: int
    gather: NDArray[np.intp]
    groups: tuple[Group, ...]
    quality_rows: NDArray[np.intp]
    quality_bytes: NDArray[np.intp]
    part: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Row:
    entry: BoundPoint
    part: int
    bytes: list[int]
    quality_byte: int | None


def layout_of(ranges: Sequence[AddressRange]) -> Layout:
    """Of the raw bytes of all ranges, one after the other. Raises ValueError for an entry outside its range."""
    rows: list[_Row] = []
    size = 0
    for part, each in enumerate(ranges):
        rows += [_row(entry, part, each, size) for entry in each.entries]
        size += each.raw_size
    rows.sort(key=lambda row: (_TYPES.index(row.entry.type), row.part, row.entry.address, row.entry.bit))
    marked = [(row, each.quality_byte) for row, each in enumerate(rows) if each.quality_byte is not None]
    return Layout(
        entries=tuple(row.entry for row in rows),
        raw_size=size,
        gather=np.array([place for row in rows for place in row.bytes], dtype=np.intp),
        groups=_groups(rows),
        quality_rows=np.array([row for row, _ in marked], dtype=np.intp),
        quality_bytes=np.array([place for _, place in marked], dtype=np.intp),
        part=np.array([row.part for row in rows], dtype=np.intp),
    )


def _row(entry: BoundPoint, part: int, within: AddressRange, begin: int) -> _Row:
    if entry.table is not within.entries[0].table:
        raise ValueError(f"{entry.point.name} is in another table")
    if entry.address < within.start or entry.address + entry.size > within.start + within.count:
        raise ValueError(f"{entry.point.name} lies outside {within.start}..{within.start + within.count - 1}")
    offset = entry.address - within.start
    if within.of_bits:
        return _Row(entry, part, [begin + offset + min(bit, entry.width - 1) for bit in range(2)], None)
    own = [begin + offset * 2 + place for place in wire_bytes(entry.type.registers, entry.order)]
    quality = entry.quality_address
    return _Row(entry, part, own, None if quality is None else begin + (quality - within.start) * 2 + 1)


def _groups(rows: Sequence[_Row]) -> tuple[Group, ...]:
    groups: list[Group] = []
    first = start = 0
    for wire_type, members in groupby(rows, key=lambda row: row.entry.type):
        mine = list(members)
        end = start + sum(len(row.bytes) for row in mine)
        groups.append(Group(wire_type, first, first + len(mine), start, end))
        first, start = first + len(mine), end
    return tuple(groups)
