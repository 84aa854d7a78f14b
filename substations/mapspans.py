"""Which bits of which table belong to whom, and where two claim the same.

Knows addresses. Does not know maps or stations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scada.tables import Faults
from substations.wiretypes import Table, WireType


@dataclass(frozen=True, slots=True)
class Span:
    """Bits [start, end) of a table that belong to one name."""

    name: str
    table: Table
    start: int
    end: int


def quality_span(table: Table, address: int) -> Span:
    """A whole register, which points may share as such."""
    return Span(f"quality register {address}", table, address * 16, address * 16 + 16)


def register_span(name: str, table: Table, start: int, count: int) -> Span:
    """``count`` addresses of a table."""
    size = 1 if table.of_bits else 16
    return Span(name, table, start * size, (start + count) * size)


def bit_range(table: Table, address: int, wire_type: WireType, bit: int, width: int) -> tuple[int, int]:
    """First bit and the one after the last; an address has one bit in a table of bits, else 16."""
    if table.of_bits:
        return address, address + width
    if wire_type is WireType.BITS:
        return address * 16 + bit, address * 16 + bit + width
    return address * 16, (address + wire_type.registers) * 16


def check_overlaps(spans: Sequence[Span], faults: Faults) -> None:
    """Note every span that begins before another one of its table has ended."""
    last: dict[Table, Span] = {}
    for span in sorted(spans, key=lambda each: (each.table, each.start, each.end)):
        before = last.get(span.table)
        if before is not None and span.start < before.end:
            address = span.start if span.table.of_bits else span.start // 16
            faults.add(span.name, f"overlaps {before.name} at {span.table.value} {address}")
        if before is None or span.end > before.end:
            last[span.table] = span
