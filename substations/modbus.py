"""A station over Modbus TCP.

Knows the plan of reads, what an unanswered or refused one means for the others, and events before values. Does not know
the field library, when to scan, when a link counts as lost or what becomes of the samples.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np

from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.point import PointKind
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.sample import PointArray, SampleArray, no_samples
from scada.model.station import Endpoint
from substations.eventbuffer import Registers
from substations.layout import RawArray
from substations.link import FailedRead, LinkCounts, ScanAnswer
from substations.modbus_connection import ModbusConnection, Silence
from substations.modbus_events import EventReading, total
from substations.modbus_frames import Refusal
from substations.modbus_freeze import ModbusFreezes
from substations.polling import ReadBlock, halves, plan_reads
from substations.quality import is_about_the_address, is_about_the_gateway, of_modbus_exception
from substations.registers import StationRegisters
from substations.resting import RestingReads
from substations.scanvalues import Answer, ScanValues

_MOST_SILENT: Final = 2
"""Reads left unanswered before the rest of a scan is given up: each costs a whole timeout."""
_PATIENCE_FOR_EVENTS: Final = 3
"""Scans in which positions wait for their event buffer; then those of the scan must do."""


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """One read of the plan; ``part`` of a larger one that the device refuses as a whole."""

    read: ReadBlock
    name: str
    part: bool = False

    def failed(self, quality: Quality, reason: str) -> FailedRead:
        """Its points got ``quality``."""
        points = np.array([each.point.id for each in self.read.entries], dtype=np.int32)
        return FailedRead(points, quality, f"{self.name}: {reason}")


@dataclass(slots=True)
class _Scan:
    """One scan in the making."""

    answers: dict[_Block, Answer] = field(default_factory=dict)
    failed: list[FailedRead] = field(default_factory=list)
    silent: int = 0
    answered: bool = False


class ModbusLink:
    """StationLink over Modbus TCP; ``now`` dates the samples of cyclic reads: only event records carry a time."""

    def __init__(self, endpoint: Endpoint, registers: StationRegisters, now: Clock) -> None:
        self._now = now
        self._connection = ModbusConnection(endpoint)
        self._several_units = len(registers.units) > 1
        planned: dict[float, list[_Block]] = {}
        for read in plan_reads(registers.points):
            planned.setdefault(read.period_s, []).append(self._block(read))
        self._planned = {period_s: tuple(blocks) for period_s, blocks in planned.items()}
        self._blocks = dict(self._planned)
        self._values = {period_s: _values(blocks) for period_s, blocks in self._planned.items()}
        self._events = tuple(
            EventReading(each, partial(self._ask, each.unit), partial(self._write, each.unit), now)
            for each in registers.event_buffers
        )
        self._freezes = ModbusFreezes(registers.freezes, self._connection, now)
        self._covered = _covered(registers, self._events)
        self._events_missed = 0
        self._resting = RestingReads()
        self._errors = 0

    @property
    def periods(self) -> tuple[float, ...]:
        return tuple(sorted(self._planned))

    @property
    def counts(self) -> LinkCounts:
        events = total([each.counts for each in self._events])
        return LinkCounts(
            round_trips=self._connection.round_trips,
            errors=self._errors,
            events=events.records,
            events_rejected=events.unknown,
            events_lost=events.lost,
            event_overflow=events.overflow,
            wrong_times=events.wrong_times,
        )

    async def open(self) -> None:
        self._resting.clear()
        if self._blocks != self._planned:
            self._blocks = dict(self._planned)
            self._values = {period_s: _values(blocks) for period_s, blocks in self._planned.items()}
        await self._connection.open()

    async def close(self) -> None:
        self._connection.close()

    async def scan(self, period_s: float, cause: Cause) -> ScanAnswer:
        scan = _Scan()
        waiting = deque(self._blocks.get(period_s, ()))
        while waiting:
            block = waiting.popleft()
            if (left_out := self._resting.left_out(block.name)) is not None:
                scan.failed.append(left_out)
                continue
            try:
                waiting.extendleft(reversed(await self._read(block, scan)))
            except Silence as silence:
                if not await self._outlive(block, str(silence), scan):
                    break
        # After the values, so that a value is never newer than the events handed over with it.
        await self._read_events(scan)
        answers = [scan.answers.get(each) for each in self._blocks.get(period_s, ())]
        cyclic = self._values[period_s].samples(answers, cause)
        events, values = self._apart(cyclic, cause)
        batch = np.concatenate([events, values]) if len(events) else values
        return ScanAnswer(batch, tuple(scan.failed), len(events))

    @property
    def frozen(self) -> PointArray:
        return self._freezes.points

    async def freeze(self) -> ScanAnswer:
        return await self._freezes.freeze()

    async def _outlive(self, block: _Block, why: str, scan: _Scan) -> bool:
        """A read was not answered: whether to go on with the scan. Raises LinkError when the station is dead."""
        self._errors += 1
        failed = block.failed(Quality.NOT_TOPICAL, why)
        self._resting.failed(block.name, failed)
        scan.failed.append(failed)
        if not scan.answered:
            await self._prove_alive(block, failed.reason)
            scan.answered = True
        elif not await self._reopened():
            scan.silent = _MOST_SILENT
            return False
        scan.silent += 1
        return scan.silent < _MOST_SILENT

    async def _prove_alive(self, silent: _Block, reason: str) -> None:
        """Another read, preferably of another period: does the station live and only leave one unanswered?"""
        others = [each for blocks in self._blocks.values() for each in blocks if each.name not in self._resting]
        others.sort(key=lambda each: each.read.period_s == silent.read.period_s)
        if not others or not await self._reopened():
            raise LinkError(reason)
        read = others[0].read
        try:
            await self._connection.read(read.unit, read.table, read.start, read.count)
        except Refusal:
            return
        except Silence:
            raise LinkError(reason) from None

    async def _reopened(self) -> bool:
        """A new connection, so that a late answer to the old request cannot be taken for the next one's."""
        try:
            await self._connection.open()
        except LinkError:
            return False
        return True

    async def _read(self, block: _Block, scan: _Scan) -> tuple[_Block, ...]:
        """Note what became of a block; the parts to read instead when the device refuses some of its addresses."""
        try:
            read = block.read
            raw = await self._connection.read(read.unit, read.table, read.start, read.count)
        except Refusal as refusal:
            scan.answered = True
            return self._refused(block, refusal.code, scan)
        scan.answered = True
        self._resting.answered(block.name)
        scan.answers[block] = (raw, self._now())
        return ()

    def _refused(self, block: _Block, code: int, scan: _Scan) -> tuple[_Block, ...]:
        parts = halves(block.read) if is_about_the_address(code) else ()
        if parts:
            return self._divided(block, tuple(self._block(part, part=True) for part in parts))
        self._errors += 1
        meaning, quality = of_modbus_exception(code)
        failed = block.failed(quality, meaning)
        # A gateway waits for a device that is gone before it says so: asked every scan, it would delay its neighbours.
        if block.part or is_about_the_gateway(code):
            self._resting.failed(block.name, failed)
        scan.failed.append(failed)
        return ()

    def _block(self, read: ReadBlock, *, part: bool = False) -> _Block:
        return _Block(read, f"unit {read.unit} {read.place}" if self._several_units else read.place, part)

    def _divided(self, block: _Block, parts: tuple[_Block, ...]) -> tuple[_Block, ...]:
        """One register the device does not have must not cost its neighbours; parts stay until the next ``open``."""
        period_s = block.read.period_s
        mine = self._blocks[period_s]
        where = mine.index(block)
        self._blocks[period_s] = (*mine[:where], *parts, *mine[where + 1 :])
        self._values[period_s] = _values(self._blocks[period_s])
        return parts

    async def _read_events(self, scan: _Scan) -> None:
        missed = False
        for reading in self._events:
            if scan.silent >= _MOST_SILENT:
                missed = True
                break
            try:
                await reading.read()
                missed = missed or not reading.answers
            except Silence as silence:
                self._errors += 1
                missed = True
                scan.silent += 1
                if not scan.answered or not await self._reopened():
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


def _values(blocks: Sequence[_Block]) -> ScanValues:
    return ScanValues([each.read for each in blocks])


def _covered(registers: StationRegisters, events: Sequence[EventReading]) -> PointArray:
    """Ids of the points whose changes an event buffer tells: contacts and positions."""
    recorded = frozenset[int]().union(*(each.covered for each in events))
    kinds = (PointKind.SINGLE_POINT, PointKind.DOUBLE_POINT)
    ids = [each.point.id for each in registers.points if each.point.kind in kinds and each.point.id in recorded]
    return np.array(ids, dtype=np.int32)


def link(endpoint: Endpoint, registers: StationRegisters, now: Clock) -> ModbusLink:
    """The adapter's factory."""
    return ModbusLink(endpoint, registers, now)
