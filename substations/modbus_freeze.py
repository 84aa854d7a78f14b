"""Freezing the integrated totals of a Modbus station: tell every device, then read what each froze.

Knows the order and what a refusal costs. Does not know the hour, or what takes the place of what was not frozen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.sample import PointArray, no_samples
from substations.link import FailedRead, ScanAnswer
from substations.modbus_connection import ModbusConnection, Silence
from substations.modbus_frames import Refusal
from substations.polling import ReadBlock, plan_reads
from substations.quality import of_modbus_exception
from substations.registers import BoundFreeze
from substations.scanvalues import ScanValues


@dataclass(frozen=True, slots=True)
class _Device:
    bound: BoundFreeze
    reads: tuple[ReadBlock, ...]

    @property
    def points(self) -> PointArray:
        return np.array([each.point.id for each in self.bound.points], dtype=np.int32)

    def refused(self, code: int) -> ScanAnswer:
        reason = f"{self.bound.name}: {of_modbus_exception(code)[0]}"
        return ScanAnswer(failed=(FailedRead(self.points, Quality.NOT_TOPICAL, reason),))


class ModbusFreezes:
    """The devices of one station that freeze; ``points`` are ids of their totals, ascending."""

    def __init__(self, freezes: Sequence[BoundFreeze], connection: ModbusConnection, now: Clock) -> None:
        self._devices = tuple(_Device(each, plan_reads(each.points)) for each in freezes)
        self._connection = connection
        self._now = now
        self.points: PointArray = np.sort(np.concatenate([np.zeros(0, np.int32), *(d.points for d in self._devices)]))

    async def freeze(self) -> ScanAnswer:
        """As ``FreezingLink.freeze``. All devices are told before one is read: as close to the moment as can be."""
        try:
            told = [(each, await self._tell(each)) for each in self._devices]
            answers = [
                frozen if isinstance(frozen, ScanAnswer) else await self._read(device, frozen)
                for device, frozen in told
            ]
        except Silence as silence:
            raise LinkError(f"freeze: {silence}") from None
        batch = np.concatenate([no_samples(), *(each.batch for each in answers)])
        return ScanAnswer(batch, tuple(failed for each in answers for failed in each.failed))

    async def _tell(self, device: _Device) -> int | ScanAnswer:
        """When the device confirmed that it froze, µs UTC, or its refusal."""
        bound = device.bound
        try:
            if bound.table.of_bits:
                await self._connection.write_one(bound.unit, bound.table, bound.address, bound.value)
            else:
                await self._connection.write(bound.unit, bound.address, [bound.value])
        except Refusal as refusal:
            return device.refused(refusal.code)
        return self._now()

    async def _read(self, device: _Device, at: int) -> ScanAnswer:
        try:
            read = self._connection.read
            answers = [(await read(each.unit, each.table, each.start, each.count), at) for each in device.reads]
        except Refusal as refusal:
            return device.refused(refusal.code)
        return ScanAnswer(ScanValues(device.reads).samples(answers, Cause.COUNTER_INTERROGATION))
