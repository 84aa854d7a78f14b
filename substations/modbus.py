"""A station over Modbus TCP.

Knows what belongs to it: cyclic reads, event buffers, freezes, and events before values. Does not know the field
library, when to scan, when a link counts as lost or what becomes of the samples.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.point import PointKind
from scada.model.ports import Clock
from scada.model.sample import PointArray, SampleArray, no_samples
from scada.model.station import Endpoint
from substations.eventbuffer import Registers
from substations.layout import RawArray
from substations.link import LinkCounts, ScanAnswer
from substations.modbus_connection import ModbusConnection, Silence
from substations.modbus_cycle import MOST_SILENT, CyclicReads, Scan
from substations.modbus_events import EventReading, total
from substations.modbus_frames import Refusal
from substations.modbus_freeze import ModbusFreezes
from substations.polling import ReadBlock
from substations.quality import of_modbus_exception
from substations.registers import StationRegisters

_PATIENCE_FOR_EVENTS: Final = 3
"""Scans in which positions wait for their event buffer; then those of the scan must do."""


class ModbusLink:
    """StationLink over Modbus TCP; ``now`` dates the samples of cyclic reads: only event records carry a time."""

    def __init__(self, endpoint: Endpoint, registers: StationRegisters, now: Clock) -> None:
        self._connection = ModbusConnection(endpoint)
        self._cycle = CyclicReads(endpoint, registers, self._connection, now)
        self._events = tuple(
            EventReading(each, partial(self._ask, each.unit), partial(self._write, each.unit), now)
            for each in registers.event_buffers
        )
        self._freezes = ModbusFreezes(registers.freezes, self._connection, now)
        self._covered = _covered(registers, self._events)
        self._events_missed = 0

    @property
    def periods(self) -> tuple[float, ...]:
        return self._cycle.periods

    @property
    def counts(self) -> LinkCounts:
        events = total([each.counts for each in self._events])
        return LinkCounts(
            round_trips=self._connection.round_trips,
            errors=self._cycle.errors,
            events=events.records,
            events_rejected=events.unknown,
            events_lost=events.lost,
            event_overflow=events.overflow,
            wrong_times=events.wrong_times,
        )

    async def open(self) -> None:
        self._cycle.begin_anew()
        await self._connection.open()

    async def close(self) -> None:
        self._connection.close()

    async def scan(self, period_s: float, cause: Cause) -> ScanAnswer:
        scan = await self._cycle.scan(period_s)
        # After the values, so that a value is never newer than the events handed over with it.
        await self._read_events(scan)
        events, values = self._apart(self._cycle.samples(period_s, scan, cause), cause)
        batch = np.concatenate([events, values]) if len(events) else values
        return ScanAnswer(batch, tuple(scan.failed), len(events))

    @property
    def frozen(self) -> PointArray:
        return self._freezes.points

    async def freeze(self) -> ScanAnswer:
        return await self._freezes.freeze()

    async def _read_events(self, scan: Scan) -> None:
        missed = False
        for reading in self._events:
            if scan.silent >= MOST_SILENT:
                missed = True
                break
            try:
                await reading.read()
                missed = missed or not reading.answers
            except Silence as silence:
                self._cycle.errors += 1
                missed = True
                scan.silent += 1
                if not scan.answered or not await self._cycle.reopened():
                    raise LinkError(str(silence)) from None
        self._events_missed = self._events_missed + 1 if missed else 0

    def _apart(self, cyclic: SampleArray, cause: Cause) -> tuple[SampleArray, SampleArray]:
        """Events in the order of their time, and the cyclic values that do not contradict them.

        A value read before the events that came with it is older than their last: only the event tells the moment.
        """
        if not self._events:
            return no_samples(), cyclic
        batches = [batch for each in self._events if len(batch := each.hand_over())]
        if cause is Cause.SPONTANEOUS and 0 < self._events_missed <= _PATIENCE_FOR_EVENTS:
            cyclic = cyclic[~np.isin(cyclic["point"], self._covered)]
        if not batches:
            return no_samples(), cyclic
        events = np.concatenate(batches)
        events = events[np.argsort(events["time"], kind="stable")]
        return events, cyclic[~np.isin(cyclic["point"], events["point"])]

    async def raw(self, read: ReadBlock) -> RawArray | str:
        """The bytes of one read, or the device's reason for refusing it. Raises LinkError when none comes."""
        try:
            return await self._ask(read.unit, Registers(read.table, read.start, read.count))
        except Silence as silence:
            raise LinkError(str(silence)) from None

    async def _ask(self, unit: int, wanted: Registers) -> RawArray | str:
        try:
            return await self._connection.read(unit, wanted.table, wanted.start, wanted.count)
        except Refusal as refusal:
            return of_modbus_exception(refusal.code)[0]

    async def _write(self, unit: int, address: int, words: Sequence[int]) -> str:
        try:
            await self._connection.write(unit, address, words)
        except Refusal as refusal:
            return of_modbus_exception(refusal.code)[0]
        return ""


def _covered(registers: StationRegisters, events: Sequence[EventReading]) -> PointArray:
    """Ids of the points whose changes an event buffer tells: contacts and positions."""
    recorded = frozenset[int]().union(*(each.covered for each in events))
    kinds = (PointKind.SINGLE_POINT, PointKind.DOUBLE_POINT)
    ids = [each.point.id for each in registers.points if each.point.kind in kinds and each.point.id in recorded]
    return np.array(ids, dtype=np.int32)


def link(endpoint: Endpoint, registers: StationRegisters, now: Clock) -> ModbusLink:
    """The adapter's factory."""
    return ModbusLink(endpoint, registers, now)
