"""A station over Modbus TCP.

Knows the field library, one connection and its deadlines. Does not know when to scan, when a link counts as lost or
what becomes of the samples.

One request is outstanding at a time: several on one connection cost 44 ms a cycle instead of 2.6 (measured). Nothing is
retried here and the library never reconnects by itself: whoever scans decides both.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.sample import SampleArray, ValueArray, no_samples, samples
from scada.model.station import Endpoint
from substations.decode import Codec, RawArray
from substations.link import FailedRead, ScanAnswer
from substations.polling import ReadBlock, plan_reads
from substations.quality import mark_implausible, of_modbus_exception
from substations.registermap import StationRegisters, Table

_FUNCTIONS: Final = {
    Table.COIL: 1,
    Table.DISCRETE_INPUT: 2,
    Table.HOLDING_REGISTER: 3,
    Table.INPUT_REGISTER: 4,
}
_MOST_SILENT: Final = 2
"""Reads left unanswered before the rest of a scan is given up: each costs a whole timeout."""
_LONGEST_REST: Final = 32
"""Scans in which a read is left out that stays unanswered while others are answered; it doubles from 1 up to this."""
_HEADER: Final = 8
"""MBAP header and function code (Modbus Messaging on TCP/IP V1.0b, 3.1.3)."""


class _RawAnswer(ModbusPDU):
    """An answer kept as bytes: the library would take 12 µs per 100 registers for a list of numbers nobody wants."""

    data = b""
    complete = False

    def decode(self, data: bytes) -> None:
        self.data = data[1:]
        self.complete = len(data) > 0 and data[0] == len(self.data)

    def encode(self) -> bytes:
        return bytes([len(self.data)]) + self.data


class _RawCoils(_RawAnswer):
    function_code = 1


class _RawDiscreteInputs(_RawAnswer):
    function_code = 2


class _RawHoldingRegisters(_RawAnswer):
    function_code = 3


class _RawInputRegisters(_RawAnswer):
    function_code = 4


class _Read(Protocol):
    def __call__(self, address: int, *, count: int, device_id: int) -> Awaitable[ModbusPDU]: ...


@dataclass(frozen=True, slots=True)
class _Block:
    """One read of the plan with its codec and the plausible limits of its points, in the codec's order."""

    read: ReadBlock
    codec: Codec
    low: ValueArray
    high: ValueArray

    @property
    def name(self) -> str:
        return f"{self.read.table.value} {self.read.start}..{self.read.start + self.read.count - 1}"


@dataclass(frozen=True, slots=True)
class _Rest:
    """A read that is not answered, why, and how many of how many scans it is still left out."""

    reason: str
    scans: int
    left: int


class _Silence(Exception):
    """A read that was not answered, or not usably."""


class ModbusLink:
    """StationLink over Modbus TCP; ``now`` dates the samples, because the protocol carries no time."""

    def __init__(self, endpoint: Endpoint, registers: StationRegisters, now: Clock) -> None:
        self._endpoint = endpoint
        self._now = now
        self._blocks: dict[float, tuple[_Block, ...]] = {}
        for read in plan_reads(registers.points):
            self._blocks[read.period_s] = (*self._blocks.get(read.period_s, ()), _block(read))
        self._client: AsyncModbusTcpClient | None = None
        self._deadline: asyncio.Timeout | None = None
        self._loss = ""
        self._resting: dict[str, _Rest] = {}

    @property
    def periods(self) -> tuple[float, ...]:
        return tuple(sorted(self._blocks))

    async def open(self) -> None:
        self._resting.clear()
        await self._connect()

    async def _connect(self) -> None:
        await self.close()
        endpoint = self._endpoint
        client = AsyncModbusTcpClient(
            endpoint.host,
            port=endpoint.port,
            timeout=endpoint.timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._screen,
            trace_connect=self._connection_changed,
        )
        for answer in (_RawCoils, _RawDiscreteInputs, _RawHoldingRegisters, _RawInputRegisters):
            client.register(answer)
        self._loss = ""
        if not await client.connect():
            client.close()
            raise LinkError(f"cannot connect to {endpoint.host}:{endpoint.port}")
        self._client = client

    async def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def scan(self, period_s: float, cause: Cause) -> ScanAnswer:
        batches: list[SampleArray] = []
        failed: list[FailedRead] = []
        silent = 0
        answered = False
        for block in self._blocks.get(period_s, ()):
            if (rest := self._resting.get(block.name)) is not None and rest.left:
                self._resting[block.name] = replace(rest, left=rest.left - 1)
                failed.append(FailedRead(block.codec.points, Quality.NOT_TOPICAL, rest.reason))
                continue
            try:
                outcome = await self._read(block, cause)
            except _Silence as silence:
                failed.append(self._rest(block, str(silence)))
                if not answered:
                    await self._prove_alive(block, failed[-1].reason)
                    answered = True
                elif not await self._reopened():
                    break
                silent += 1
                if silent >= _MOST_SILENT:
                    break
                continue
            answered = True
            self._resting.pop(block.name, None)
            if isinstance(outcome, FailedRead):
                failed.append(outcome)
            else:
                batches.append(outcome)
        return ScanAnswer(np.concatenate([no_samples(), *batches]), tuple(failed))

    def _rest(self, block: _Block, why: str) -> FailedRead:
        before = self._resting.get(block.name)
        scans = 1 if before is None else min(before.scans * 2, _LONGEST_REST)
        reason = f"{block.name}: {why}"
        self._resting[block.name] = _Rest(reason, scans, scans)
        return FailedRead(block.codec.points, Quality.NOT_TOPICAL, reason)

    async def _prove_alive(self, silent: _Block, reason: str) -> None:
        """Another read, preferably of another period: does the station live and only leave one unanswered?"""
        others = [each for blocks in self._blocks.values() for each in blocks if each.name not in self._resting]
        others.sort(key=lambda each: each.read.period_s == silent.read.period_s)
        if not others or not await self._reopened():
            raise LinkError(reason)
        try:
            await self._ask(others[0].read)
        except _Silence:
            raise LinkError(reason) from None

    async def _reopened(self) -> bool:
        """A new connection, so that a late answer to the old request cannot be taken for the next one's."""
        try:
            await self._connect()
        except LinkError:
            return False
        return True

    async def _read(self, block: _Block, cause: Cause) -> SampleArray | FailedRead:
        response = await self._ask(block.read)
        if isinstance(response, ExceptionResponse):
            meaning, quality = of_modbus_exception(response.exception_code)
            return FailedRead(block.codec.points, quality, f"{block.name}: {meaning}")
        raw = _raw(block.read, response)
        values, quality_octets = block.codec.decode(raw)
        mark_implausible(values, quality_octets, block.low, block.high)
        return samples(block.codec.points, self._now(), values, quality_octets, cause)

    async def _ask(self, read: ReadBlock) -> ModbusPDU:
        client = self._client
        if client is None:
            raise LinkError("is not open")
        if self._loss or not client.connected:
            raise _Silence(self._loss or "connection closed by the station")
        functions: dict[Table, _Read] = {
            Table.COIL: client.read_coils,
            Table.DISCRETE_INPUT: client.read_discrete_inputs,
            Table.HOLDING_REGISTER: client.read_holding_registers,
            Table.INPUT_REGISTER: client.read_input_registers,
        }
        try:
            # The library's own timeout is the shorter one; ours is moved to now when the connection is lost meanwhile.
            async with asyncio.timeout(self._endpoint.timeout_s * 2) as self._deadline:
                return await functions[read.table](read.start, count=read.count, device_id=self._endpoint.unit_id)
        except TimeoutError:
            raise _Silence(self._why()) from None
        except ModbusException:
            raise _Silence(self._why()) from None
        finally:
            self._deadline = None

    def _why(self) -> str:
        return self._loss or f"no answer within {self._endpoint.timeout_s:g} s"

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 -- the library's signature
        if not connected:
            self._give_up("connection closed by the station")

    def _screen(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 -- the library's signature
        """Bytes that are no Modbus end the request at once; the library would raise into the event loop or wait."""
        if sending or len(data) < _HEADER:
            return data
        is_ours = data[2:4] == b"\0\0" and data[7] & 0x7F in _FUNCTIONS.values()
        if is_ours:
            return data
        self._give_up("garbage on the connection")
        return b""

    def _give_up(self, reason: str) -> None:
        self._loss = self._loss or reason
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time())


def _block(read: ReadBlock) -> _Block:
    codec = Codec(read.entries, read.start, read.count)
    low = [-np.inf if each.point.low is None else each.point.low for each in codec.entries]
    high = [np.inf if each.point.high is None else each.point.high for each in codec.entries]
    return _Block(read, codec, np.array(low), np.array(high))


def _raw(read: ReadBlock, response: ModbusPDU) -> RawArray:
    if not isinstance(response, _RawAnswer) or response.function_code != _FUNCTIONS[read.table]:
        raise _Silence("an answer to another question")
    wanted = (read.count + 7) // 8 if read.table.of_bits else read.count * 2
    if not response.complete:
        raise _Silence("a byte count that does not fit the bytes")
    if len(response.data) != wanted:
        raise _Silence(f"{len(response.data)} bytes where {wanted} belong")
    raw = np.frombuffer(response.data, dtype=np.uint8)
    return np.unpackbits(raw, count=read.count, bitorder="little") if read.table.of_bits else raw


def link(endpoint: Endpoint, registers: StationRegisters, now: Clock) -> ModbusLink:
    """The adapter's factory."""
    return ModbusLink(endpoint, registers, now)
