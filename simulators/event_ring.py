"""The sequence of events a station's terminal unit keeps: a ring of records in its registers.

Knows which changes are events, and what happens when nobody reads. Does not know sockets or the plant.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from scada.model.point import PointKind
from scada.model.sample import PointArray, QualityArray, TimeArray, ValueArray
from substations.eventbuffer import EVENT, EventArray, EventBuffer
from substations.registers import BoundEventBuffer
from substations.wiretypes import Table

_RECORDED: Final = (PointKind.SINGLE_POINT, PointKind.DOUBLE_POINT)


class Cells(Protocol):
    """A table that can be written."""

    def put(self, address: int, values: Sequence[int]) -> None:
        """Set registers from ``address`` on."""
        ...


def event_spans(bound: BoundEventBuffer, table: Table) -> list[tuple[int, int]]:
    """Address and length of every part of the buffer that lies in ``table``."""
    entry = bound.entry
    size = entry.sequence_type.registers
    spans = [(entry.acknowledge, size)] if table is Table.HOLDING_REGISTER else []
    if table is entry.table:
        spans += [(entry.next, size), (entry.flags, 1), (entry.records, entry.capacity * entry.record_size)]
    return [(bound.base + start, count) for start, count in spans]


class EventRing:
    """Records changes of contacts and positions, with their time to 1 ms, and keeps them until acknowledged."""

    def __init__(self, bound: BoundEventBuffer) -> None:
        self._bound = bound
        self._buffer = EventBuffer(bound)
        self._code_of = {point.id: code for code, point in bound.points.items() if point.kind in _RECORDED}
        self._rows: NDArray[np.intp] | None = None
        self._shown: NDArray[np.float64] | None = None
        self._next = 0
        self._acknowledged = 0
        self._overflow = False
        self._fresh: list[EventArray] = []
        self.written = 0
        """Records since the start."""
        self.overwritten = 0
        """Records overwritten before they were acknowledged."""

    def record(self, points: PointArray, values: ValueArray, quality: QualityArray, times: TimeArray) -> None:
        """Note what changed since the last time, in the order of its time. points: ids ascending; all shape (n,)."""
        if self._rows is None:
            self._rows = np.flatnonzero(np.isin(points, list(self._code_of)))
        mine = values[self._rows]
        if self._shown is not None:
            changed = self._rows[mine != self._shown]
            for row in changed[np.argsort(times[changed], kind="stable")].tolist():
                self._append(self._code_of[int(points[row])], float(values[row]), int(quality[row]), int(times[row]))
        self._shown = mine.copy()

    def _append(self, code: int, value: float, quality: int, time: int) -> None:
        if (self._next - self._acknowledged) % self._buffer.modulus >= self._bound.entry.capacity:
            self._overflow = True
            self.overwritten += 1
        self._fresh.append(np.array((self._next, code, value, quality, time), dtype=EVENT))
        self._next = (self._next + 1) % self._buffer.modulus
        self.written += 1

    def acknowledge(self, address: int, values: Sequence[int]) -> bool:
        """A write to the acknowledge registers frees what was taken; False when ``address`` is another."""
        size = self._bound.entry.sequence_type.registers
        if address != self._buffer.acknowledge or len(values) != size:
            return False
        raw = np.array(values, dtype=">u2").view(np.uint8)
        self._acknowledged = self._buffer.read_acknowledged(raw)
        self._overflow = False
        return True

    def show(self, tables: Mapping[Table, Cells]) -> None:
        """Bring the registers up to date."""
        entry = self._bound.entry
        cells = tables[entry.table]
        for event in self._fresh:
            raw = np.zeros(entry.record_size * 2, dtype=np.uint8)
            self._buffer.encode(event, raw)
            slot = int(event["sequence"]) % entry.capacity
            cells.put(self._bound.base + entry.records + slot * entry.record_size, raw.view(">u2").tolist())
        self._fresh.clear()
        cells.put(self._bound.base + entry.next, self._buffer.acknowledgement(self._next))
        cells.put(self._bound.base + entry.flags, [int(self._overflow) << entry.overflow_bit])
        told = self._buffer.acknowledgement(self._acknowledged)
        tables[Table.HOLDING_REGISTER].put(self._buffer.acknowledge, told)
