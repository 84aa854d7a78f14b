"""Commands to a station over Modbus TCP: select register, echo, operate register, result register.

Knows the field library, one connection and the register map's commands. Does not know who ordered what, or whether the
position came as wanted. A read is asked again on a fresh connection; a write never is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from scada.model.addcause import AddCause
from scada.model.cause import Cause
from scada.model.commandlink import AnswerLost, DeviceAnswer, NothingSent, WireAction
from scada.model.errors import LinkError
from scada.model.ports import Clock
from scada.model.sample import SampleArray, no_samples, samples
from scada.model.station import Station
from substations.decode import Codec
from substations.polling import ReadBlock, plan_reads
from substations.quality import of_modbus_exception
from substations.registermap import CommandEntry
from substations.registers import BoundCommand, BoundPoint, StationRegisters, form_of
from substations.setpoint import nearness
from substations.wiretypes import Table

_DEVICE_FAILURE: Final = 4
"""Exception code of a device that understood and did not carry out (Modbus Application Protocol V1.1b3, 7)."""


class ModbusCommandLink:
    """CommandLink over Modbus TCP."""

    def __init__(self, station: Station, registers: StationRegisters, now: Clock) -> None:
        self._endpoint = station.endpoint
        self._now = now
        self._commands = {each.name: each for each in registers.commands}
        self._returns = _return_blocks(station, registers)
        self._client: AsyncModbusTcpClient | None = None
        self._selected_over: dict[str, AsyncModbusTcpClient | None] = {}
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
            raw = await self._cells(block.table, block.start, block.count)
        values, quality = codec.decode(raw)
        point = np.array([entry.point.id], dtype=np.int32)
        return samples(point, self._now(), values, quality, Cause.RETURN_INFORMATION_REMOTE)

    async def select(self, command: str, action: WireAction) -> DeviceAnswer:
        bound = self._commands[command]
        if bound.select is None or bound.echo is None:
            return DeviceAnswer()
        words = _words(bound.entry, action)
        async with self._turn:
            answer = await self._write(bound, bound.select, words)
            self._selected_over[command] = self._client
            if answer.refused is not None:
                return answer
            # An action is told by one register, a value by all of its own.
            told = words if bound.entry.set_point else words[-1:]
            echoed = await self._registers(bound.entry.echo_table, bound.echo, len(told))
        if echoed != told:
            return DeviceAnswer(AddCause.SELECT_FAILED, f"echo {_told(echoed)} instead of {_told(told)}")
        return DeviceAnswer(detail=f"echo {_told(echoed)}")

    async def cancel(self, command: str) -> DeviceAnswer:
        bound = self._commands[command]
        # In a set-point's register any word is a value: its selection ends by itself.
        if bound.select is None or bound.entry.set_point:
            return DeviceAnswer()
        async with self._turn:
            return await self._write(bound, bound.select, _split(bound.entry, bound.entry.cancel))

    async def operate(self, command: str, action: WireAction) -> DeviceAnswer:
        bound = self._commands[command]
        # Never on a connection opened for it: what was checked and selected came over the one before.
        if self._client is None or not self._client.connected:
            raise NothingSent("the connection was lost since the device was asked")
        if bound.select is not None and self._selected_over.pop(command, None) is not self._client:
            raise NothingSent("the connection it was selected over was lost")
        async with self._turn:
            return await self._write(bound, bound.operate, _words(bound.entry, action))

    async def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _open(self) -> AsyncModbusTcpClient:
        if self._client is not None and self._client.connected:
            return self._client
        await self.close()
        end = self._endpoint
        client = AsyncModbusTcpClient(end.host, port=end.port, timeout=end.timeout_s, retries=0, reconnect_delay=0)
        if not await client.connect():
            client.close()
            raise NothingSent(f"cannot connect to {end.host}:{end.port}")
        self._client = client
        return client

    async def _write(self, bound: BoundCommand, address: int, words: list[int]) -> DeviceAnswer:
        client = await self._open()
        unit = self._endpoint.unit_id
        if bound.entry.table is Table.COIL:
            request = client.write_coil(address, bool(words[0]), device_id=unit)
        elif len(words) == 1:
            request = client.write_register(address, words[0], device_id=unit)
        else:
            request = client.write_registers(address, words, device_id=unit)
        answer = await self._answered(request)
        if not isinstance(answer, ExceptionResponse):
            return DeviceAnswer()
        meaning, _ = of_modbus_exception(answer.exception_code)
        if answer.exception_code != _DEVICE_FAILURE or bound.result is None:
            return DeviceAnswer(AddCause.NOT_SUPPORTED, meaning)
        try:
            code = (await self._registers(bound.entry.echo_table, bound.result, 1))[0]
        except LinkError:
            # It said no before the link went: that stays true.
            return DeviceAnswer(AddCause.UNKNOWN, f"{meaning}; its result register could not be read")
        return DeviceAnswer(_add_cause(code), f"{meaning}; result register {code}")

    async def _registers(self, table: Table, address: int, count: int) -> list[int]:
        raw = await self._cells(table, address, count)
        return [int(each) for each in (raw if table.of_bits else raw.view(">u2"))]

    async def _cells(self, table: Table, address: int, count: int) -> NDArray[np.uint8]:
        """Bits, or bytes of registers; asked a second time on a new connection when the first is dead."""
        try:
            answer = await self._read(table, address, count)
        except AnswerLost:
            await self.close()
            answer = await self._read(table, address, count)
        if isinstance(answer, ExceptionResponse):
            raise NothingSent(f"{table.value} {address}: {of_modbus_exception(answer.exception_code)[0]}")
        if table.of_bits:
            return np.array(answer.bits[:count], dtype=np.uint8)
        if len(answer.registers) != count:
            raise NothingSent(f"{table.value} {address}: {len(answer.registers)} registers where {count} belong")
        return np.array(answer.registers, dtype=">u2").view(np.uint8)

    async def _read(self, table: Table, address: int, count: int) -> ModbusPDU:
        client = await self._open()
        read: dict[Table, Callable[..., Awaitable[ModbusPDU]]] = {
            Table.COIL: client.read_coils,
            Table.DISCRETE_INPUT: client.read_discrete_inputs,
            Table.HOLDING_REGISTER: client.read_holding_registers,
            Table.INPUT_REGISTER: client.read_input_registers,
        }
        return await self._answered(read[table](address, count=count, device_id=self._endpoint.unit_id))

    async def _answered(self, request: Awaitable[ModbusPDU]) -> ModbusPDU:
        try:
            async with asyncio.timeout(self._endpoint.timeout_s * 2):
                return await request
        except (TimeoutError, ModbusException, OSError) as error:
            # A late answer must not be taken for the next one's: this connection is over.
            await self.close()
            raise AnswerLost(str(error) or f"no answer within {self._endpoint.timeout_s:g} s") from None


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
