"""Commands to a station over Modbus TCP: select register, echo, operate register, result register.

Knows one connection and the register map's commands. Does not know the field library, who ordered what, or whether the
position came as wanted. A read is asked again on a fresh connection; a write never is.
"""

import asyncio
from typing import Final

import numpy as np

from scada.model.addcause import AddCause
from scada.model.cause import Cause
from scada.model.commandlink import AnswerLost, DeviceAnswer, NothingSent, WireAction
from scada.model.errors import LinkError
from scada.model.ports import Clock
from scada.model.sample import SampleArray, no_samples, samples
from scada.model.station import Station
from substations.decode import Codec
from substations.layout import RawArray
from substations.modbus_connection import ModbusConnection, Silence
from substations.modbus_frames import Refusal
from substations.polling import ReadBlock, plan_reads
from substations.quality import of_modbus_exception
from substations.registermap import CommandEntry
from substations.registers import BoundCommand, BoundPoint, StationRegisters, form_of
from substations.setpoint import nearness
from substations.wiretypes import Table

_DEVICE_FAILURE: Final = 4
"""Exception code of a device that understood and did not carry out (Modbus Application Protocol V1.1b3, 7)."""
_ACKNOWLEDGE: Final = 5
"""Of one that has begun and takes long."""
_NOBODY_KNOWS: Final = 11
"""Of a gateway that passed the request on and heard nothing of the device."""


class ModbusCommandLink:
    """CommandLink over Modbus TCP."""

    def __init__(self, station: Station, registers: StationRegisters, now: Clock) -> None:
        self._connection = ModbusConnection(station.endpoint)
        self._now = now
        self._commands = {each.name: each for each in registers.commands}
        self._returns = _return_blocks(station, registers)
        self._selected_over: dict[str, int | None] = {}
        self._turn = asyncio.Lock()

    def select_timeout_s(self, command: str) -> float | None:
        bound = self._commands[command]
        return None if bound.select is None else bound.entry.select_timeout_s

    def actions(self, command: str) -> tuple[str, ...]:
        entry = self._commands[command].entry
        return ("set",) if entry.set_point else tuple(entry.values)

    def nearness(self, command: str, value: float) -> float:
        return nearness(form_of(self._commands[command].entry), form_of(self._returns[command][0]), value)

    async def ready(self) -> None:
        async with self._turn:
            await self._open()

    async def return_information(self, command: str) -> SampleArray:
        found = self._returns.get(command)
        if found is None:
            return no_samples()
        entry, block, codec = found
        async with self._turn:
            raw = await self._cells(block.unit, block.table, block.start, block.count)
        values, quality = codec.decode(raw)
        point = np.array([entry.point.id], dtype=np.int32)
        return samples(point, self._now(), values, quality, Cause.RETURN_INFORMATION_REMOTE)

    async def select(self, command: str, action: WireAction) -> DeviceAnswer:
        bound = self._commands[command]
        if bound.select is None or bound.echo is None:
            return DeviceAnswer()
        words = _words(bound.entry, action)
        async with self._turn:
            await self._open()
            answer = await self._write(bound, bound.select, words)
            self._selected_over[command] = self._connection.session
            if answer.refused is not None:
                return answer
            # An action is told by one register, a value by all of its own.
            told = words if bound.entry.set_point else words[-1:]
            echoed = await self._registers(bound.unit, bound.entry.echo_table, bound.echo, len(told))
        if echoed != told:
            return DeviceAnswer(AddCause.SELECT_FAILED, f"echo {_told(echoed)} instead of {_told(told)}")
        return DeviceAnswer(detail=f"echo {_told(echoed)}")

    async def cancel(self, command: str) -> DeviceAnswer:
        bound = self._commands[command]
        # In a set-point's register any word is a value: its selection ends by itself.
        if bound.select is None or bound.entry.set_point:
            return DeviceAnswer()
        async with self._turn:
            await self._open()
            return await self._write(bound, bound.select, _split(bound.entry, bound.entry.cancel))

    async def operate(self, command: str, action: WireAction) -> DeviceAnswer:
        bound = self._commands[command]
        words = _words(bound.entry, action)
        session = self._connection.session
        async with self._turn:
            # Never on a connection opened for it: what was checked and selected came over the one before.
            if session is None or session != self._connection.session:
                raise NothingSent("the connection was lost since the device was asked")
            if bound.select is not None and self._selected_over.pop(command, None) != session:
                raise NothingSent("the connection it was selected over was lost")
            return await self._write(bound, bound.operate, words)

    async def close(self) -> None:
        self._connection.close()

    async def _open(self) -> None:
        if self._connection.session is not None:
            return
        try:
            await self._connection.open()
        except LinkError as error:
            raise NothingSent(str(error)) from None

    async def _write(self, bound: BoundCommand, address: int, words: list[int]) -> DeviceAnswer:
        """Once, over the connection there is."""
        try:
            if len(words) == 1:
                await self._connection.write_one(bound.unit, bound.entry.table, address, words[0])
            else:
                await self._connection.write(bound.unit, address, words)
        except Refusal as refusal:
            return await self._exception(bound, refusal.code)
        except Silence as silence:
            raise self._lost(silence) from None
        return DeviceAnswer()

    async def _exception(self, bound: BoundCommand, code: int) -> DeviceAnswer:
        """A refusal, but for two codes that are none. Raises AnswerLost."""
        meaning, _ = of_modbus_exception(code)
        if code == _NOBODY_KNOWS:
            raise AnswerLost(meaning)
        if code == _ACKNOWLEDGE:
            return DeviceAnswer(detail=meaning)
        if code != _DEVICE_FAILURE or bound.result is None:
            return DeviceAnswer(AddCause.NOT_SUPPORTED, meaning)
        try:
            result = (await self._registers(bound.unit, bound.entry.echo_table, bound.result, 1))[0]
        except LinkError:
            # It said no before the link went: that stays true.
            return DeviceAnswer(AddCause.UNKNOWN, f"{meaning}; its result register could not be read")
        return DeviceAnswer(_add_cause(result), f"{meaning}; result register {result}")

    async def _registers(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        raw = await self._cells(unit, table, address, count)
        return [int(each) for each in (raw if table.of_bits else raw.view(">u2"))]

    async def _cells(self, unit: int, table: Table, address: int, count: int) -> RawArray:
        """Raw bytes; asked a second time on a new connection when the first is dead."""
        try:
            return await self._read(unit, table, address, count)
        except AnswerLost:
            return await self._read(unit, table, address, count)

    async def _read(self, unit: int, table: Table, address: int, count: int) -> RawArray:
        await self._open()
        try:
            return await self._connection.read(unit, table, address, count)
        except Refusal as refusal:
            raise NothingSent(f"{table.value} {address}: {of_modbus_exception(refusal.code)[0]}") from None
        except Silence as silence:
            raise self._lost(silence) from None

    def _lost(self, silence: Silence) -> AnswerLost:
        """A late answer must not be taken for the next one's: this connection is over."""
        self._connection.close()
        return AnswerLost(str(silence))


def _words(entry: CommandEntry, action: WireAction) -> list[int]:
    """The registers that give the order."""
    if entry.set_point:
        return form_of(entry).words(float(action), entry.order)
    return _split(entry, entry.values[str(action)])


def _split(entry: CommandEntry, value: int) -> list[int]:
    return [value >> 16 * place & 0xFFFF for place in reversed(range(entry.type.registers))]


def _told(words: list[int]) -> str:
    return " ".join(str(each) for each in words)


def _return_blocks(station: Station, registers: StationRegisters) -> dict[str, tuple[BoundPoint, ReadBlock, Codec]]:
    places = {each.point.name: each for each in registers.points}
    blocks = {}
    for bay in station.bays:
        for command in bay.commands:
            point = command.return_information
            if point is not None and point.name in places:
                entry = places[point.name]
                block = plan_reads([entry])[0]
                name = f"{station.code}/{bay.name}/{command.name}"
                blocks[name] = (entry, block, Codec([entry], block.start, block.count))
    return blocks


def _add_cause(code: int) -> AddCause:
    try:
        return AddCause(code)
    except ValueError:
        return AddCause.UNKNOWN


def command_link(station: Station, registers: StationRegisters, now: Clock) -> ModbusCommandLink:
    """The protocol's factory."""
    return ModbusCommandLink(station, registers, now)
