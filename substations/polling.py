"""Which reads cover the points of a Modbus station: the plan, not the reading.

Knows the limits of one request and merges what lies close. Does not know sockets or time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from substations.registers import BoundPoint
from substations.wiretypes import Table

MOST_REGISTERS: Final = 125
MOST_BITS: Final = 2000
"""Largest quantities of one read (Modbus Application Protocol V1.1b3, 6.1 to 6.4)."""


@dataclass(frozen=True, slots=True)
class ReadBlock:
    """One read request: addresses [start, start + count) of a unit's table, every ``period_s``, for ``entries``."""

    unit: int
    table: Table
    start: int
    count: int
    period_s: float
    entries: tuple[BoundPoint, ...]

    @property
    def place(self) -> str:
        """The addresses in words."""
        return f"{self.table.value} {self.start}..{self.start + self.count - 1}"


def most_addresses(table: Table) -> int:
    """How many addresses of ``table`` one request may ask for."""
    return MOST_BITS if table.of_bits else MOST_REGISTERS


def plan_reads(points: Iterable[BoundPoint]) -> tuple[ReadBlock, ...]:
    """The fewest reads, left to right, that cover every point exactly once, with its quality register.

    Points of one unit, table and period are merged over at most ``gap`` undefined addresses in a row, the smaller gap
    of both sides; addresses that belong to points of another period count as defined. Raises ValueError when a point
    and its quality register do not fit one request.
    """
    everything = tuple(points)
    defined: dict[tuple[int, Table], set[int]] = {}
    for each in everything:
        defined.setdefault((each.unit, each.table), set()).update(_addresses(each))
    ordered = sorted(everything, key=lambda each: (*_stream(each), *_hull(each)))
    plan: list[ReadBlock] = []
    for (unit, table, period_s), group in groupby(ordered, key=_stream):
        plan += _merge(unit, table, period_s, tuple(group), defined[unit, table])
    return tuple(plan)


def halves(block: ReadBlock) -> tuple[ReadBlock, ...]:
    """The block's points in two halves, left and right, each read by itself; none when it has only one point."""
    if len(block.entries) < 2:
        return ()
    middle = len(block.entries) // 2
    return (*plan_reads(block.entries[:middle]), *plan_reads(block.entries[middle:]))


def _stream(each: BoundPoint) -> tuple[int, Table, float]:
    """What points of one request have in common."""
    return each.unit, each.table, each.period_s


def _addresses(each: BoundPoint) -> list[int]:
    own = list(range(each.address, each.address + each.size))
    return own if each.quality_address is None else [*own, each.quality_address]


def _hull(each: BoundPoint) -> tuple[int, int]:
    """First address and the one after the last, quality register included."""
    addresses = _addresses(each)
    return min(addresses), max(addresses) + 1


def _merge(unit: int, table: Table, period_s: float, group: Sequence[BoundPoint], defined: set[int]) -> list[ReadBlock]:
    blocks: list[ReadBlock] = []
    entries: list[BoundPoint] = []
    start = end = gap = 0
    for each in group:
        first, last = _hull(each)
        if last - first > most_addresses(table):
            raise ValueError(f"{each.point.name} and its quality register do not fit one request")
        longest = _longest_hole(end, first, defined)
        fits = max(end, last) - start <= most_addresses(table) and longest <= min(gap, each.gap)
        if entries and not fits:
            blocks.append(ReadBlock(unit, table, start, end - start, period_s, tuple(entries)))
            entries = []
        if not entries:
            start, end = first, last
        gap = each.gap if last >= end else gap
        end = max(end, last)
        entries.append(each)
    blocks.append(ReadBlock(unit, table, start, end - start, period_s, tuple(entries)))
    return blocks


def _longest_hole(first: int, last: int, defined: set[int]) -> int:
    """Longest run of undefined addresses in [first, last)."""
    longest = run = 0
    for address in range(first, min(last, first + MOST_BITS)):
        run = 0 if address in defined else run + 1
        longest = max(longest, run)
    return longest
