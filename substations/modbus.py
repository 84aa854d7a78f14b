"""A station over Modbus TCP.

Knows the field library, one connection and its deadlines. Does not know when to scan, when a link counts as lost or
what becomes of the samples.

One request is outstanding at a time: several on one connection cost 44 ms a cycle instead of 2.6 (measured,
``docs/decisions``). Nothing is retried here and the library never reconnects by itself: whoever scans decides both.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.point import PointKind
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.sample import PointArray, SampleArray, ValueArray, no_samples, samples
from scada.model.station import Endpoint
from substations.decode import Codec, RawArray
from substations.eventbuffer import Registers
from substations.link import FailedRead, LinkCounts, ScanAnswer
from substations.modbus_events import EventReading, total
from substations.modbus_frames import ANSWERS, NotUsable, is_modbus, raw_of
from substations.polling import ReadBlock, halves, plan_reads
from substations.quality import is_about_the_address, mark_implausible, of_modbus_exception
from substations.registermap import StationRegisters, Table

_MOST_SILENT: Final = 2
"""Reads left unanswered before the rest of a scan is given up: each costs a whole timeout."""
_LONGEST_REST: Final = 32
"""Scans in which a read is left out that fails while others are answered; it doubles from 1 up to this."""
_PATIENCE_FOR_EVENTS: Final = 3
"""Scans in which positions wait for their event buffer; then those of the scan must do."""


class _Read(Protocol):
    def __call__(self, address: int, *, count: int, device_id: int) -> Awaitable[ModbusPDU]: ...


@dataclass(frozen=True, slots=True)
class _Block:
    """One read of the plan with its codec and the plausible limits of its points, in the codec's order.

    ``part`` of a larger block that the device refuses as a whole.
    """

    read: ReadBlock
    codec: Codec
    low: ValueArray
    high: ValueArray
    part: bool = False

    @property
    def name(self) -> str:
        return f"{self.read.table.value} {self.read.start}..{self.read.start + self.read.count - 1}"


@dataclass(frozen=True, slots=True)
class _Rest:
    """A read that fails, with what, and how many of how many scans it is still left out."""

    failed: FailedRead
    scans: int
    left: int


@dataclass(slots=True)
class _Scan:
    """One scan in the making."""

    batches: list[SampleArray]
    failed: list[FailedRead]
    silent: int = 0
    answered: bool = False


class _Silence(Exception):
    """A read that was not answered, or not usably."""


class ModbusLink:
    """StationLink over Modbus TCP; ``now`` dates the samples of cyclic reads: only event records carry a time."""

    def __init__(self, endpoint: Endpoint, registers: StationRegisters, now: Clock) -> None:
        self._endpoint = endpoint
        self._now = now
        self._planned: dict[float, tuple[_Block, ...]] = {}
        for read in plan_reads(registers.points):
            self._planned[read.period_s] = (*self._planned.get(read.period_s, ()), _block(read))
        self._blocks = dict(self._planned)
        self._events = tuple(EventReading(each, self._ask_events, self._write, now) for each in registers.event_buffers)
        self._covered = _covered(registers, self._events)
        self._events_missed = 0
        self._client: AsyncModbusTcpClient | None = None
        self._deadline: asyncio.Timeout | None = None
        self._loss = ""
        self._resting: dict[str, _Rest] = {}
        self._round_trips = self._errors = 0

    @property
    def periods(self) -> tuple[float, ...]:
        return tuple(sorted(self._planned))

    @property
    def counts(self) -> LinkCounts:
        events = total([each.counts for each in self._events])
        return LinkCounts(
            round_trips=self._round_trips,
            errors=self._errors,
            events=events.records,
            events_rejected=events.unknown,
            events_lost=events.lost,
            event_overflow=events.overflow,
            wrong_times=events.wrong_times,
        )

    async def open(self) -> None:
        self._resting.clear()
        self._blocks = dict(self._planned)
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
        for answer in ANSWERS:
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
        scan = _Scan([], [])
        for block in self._blocks.get(period_s, ()):
            if (rest := self._resting.get(block.name)) is not None and rest.left:
                self._resting[block.name] = replace(rest, left=rest.left - 1)
                scan.failed.append(rest.failed)
                continue
            try:
                outcomes = await self._read(block, cause)
            except _Silence as silence:
                if not await self._outlive(block, str(silence), scan):
                    break
                continue
            scan.answered = True
            for part, outcome in outcomes:
                self._note(part, outcome, scan)
        # After the values, so that a value is never newer than the events handed over with it.
        await self._read_events(scan)
        cyclic = np.concatenate([no_samples(), *scan.batches])
        return ScanAnswer(self._with_events(cyclic, cause), tuple(scan.failed))

    def _note(self, block: _Block, outcome: SampleArray | FailedRead, scan: _Scan) -> None:
        if isinstance(outcome, FailedRead):
            self._errors += 1
            scan.failed.append(self._rest(block, outcome) if block.part else outcome)
            return
        self._resting.pop(block.name, None)
        scan.batches.append(outcome)

    async def _outlive(self, block: _Block, why: str, scan: _Scan) -> bool:
        """A read was not answered: whether to go on with the scan. Raises LinkError when the station is dead."""
        self._errors += 1
        reason = f"{block.name}: {why}"
        scan.failed.append(self._rest(block, FailedRead(block.codec.points, Quality.NOT_TOPICAL, reason)))
        if not scan.answered:
            await self._prove_alive(block, reason)
            scan.answered = True
        elif not await self._reopened():
            scan.silent = _MOST_SILENT
            return False
        scan.silent += 1
        return scan.silent < _MOST_SILENT

    def _rest(self, block: _Block, failed: FailedRead) -> FailedRead:
        before = self._resting.get(block.name)
        scans = 1 if before is None else min(before.scans * 2, _LONGEST_REST)
        self._resting[block.name] = _Rest(failed, scans, scans)
        return failed

    async def _prove_alive(self, silent: _Block, reason: str) -> None:
        """Another read, preferably of another period: does the station live and only leave one unanswered?"""
        others = [each for blocks in self._blocks.values() for each in blocks if each.name not in self._resting]
        others.sort(key=lambda each: each.read.period_s == silent.read.period_s)
        if not others or not await self._reopened():
            raise LinkError(reason)
        read = others[0].read
        try:
            await self._ask(read.table, read.start, read.count)
        except _Silence:
            raise LinkError(reason) from None

    async def _reopened(self) -> bool:
        """A new connection, so that a late answer to the old request cannot be taken for the next one's."""
        try:
            await self._connect()
        except LinkError:
            return False
        return True

    async def _read(self, block: _Block, cause: Cause) -> list[tuple[_Block, SampleArray | FailedRead]]:
        """What became of a block: one outcome, or those of its parts when the device refuses only some addresses."""
        response = await self._ask(block.read.table, block.read.start, block.read.count)
        if isinstance(response, ExceptionResponse):
            meaning, quality = of_modbus_exception(response.exception_code)
            parts = halves(block.read) if is_about_the_address(response.exception_code) else ()
            if parts:
                return await self._divide(block, tuple(_block(part, part=True) for part in parts), cause)
            return [(block, FailedRead(block.codec.points, quality, f"{block.name}: {meaning}"))]
        raw = _usable(block.read.table, block.read.count, response)
        values, quality_octets = block.codec.decode(raw)
        mark_implausible(values, quality_octets, block.low, block.high)
        return [(block, samples(block.codec.points, self._now(), values, quality_octets, cause))]

    async def _divide(
        self, block: _Block, parts: tuple[_Block, ...], cause: Cause
    ) -> list[tuple[_Block, SampleArray | FailedRead]]:
        """One register the device does not have must not cost its neighbours; parts stay until the next ``open``."""
        outcomes: list[tuple[_Block, SampleArray | FailedRead]] = []
        period_s = block.read.period_s
        mine = self._blocks[period_s]
        where = next(row for row, each in enumerate(mine) if each is block)
        self._blocks[period_s] = (*mine[:where], *parts, *mine[where + 1 :])
        for part in parts:
            outcomes += await self._read(part, cause)
        return outcomes

    async def _read_events(self, scan: _Scan) -> None:
        missed = False
        for reading in self._events:
            if scan.silent >= _MOST_SILENT:
                missed = True
                break
            try:
                await reading.read()
                missed = missed or not reading.answers
            except _Silence as silence:
                self._errors += 1
                missed = True
                scan.silent += 1
                if not scan.answered or not await self._reopened():
                    raise LinkError(str(silence)) from None
        self._events_missed = self._events_missed + 1 if missed else 0

    def _with_events(self, cyclic: SampleArray, cause: Cause) -> SampleArray:
        """Events first, in the order of their time, then the cyclic values that do not contradict them.

        A value read before the events that came with it is older than their last: only the event tells the moment.
        """
        if not self._events:
            return cyclic
        events = np.concatenate([each.hand_over() for each in self._events])
        events = events[np.argsort(events["time"], kind="stable")]
        if cause is Cause.SPONTANEOUS and 0 < self._events_missed <= _PATIENCE_FOR_EVENTS:
            cyclic = cyclic[~np.isin(cyclic["point"], self._covered)]
        if len(events):
            cyclic = cyclic[~np.isin(cyclic["point"], events["point"])]
        merged: SampleArray = np.concatenate([events, cyclic])
        return merged

    async def raw(self, read: ReadBlock) -> RawArray | str:
        """The bytes of one read, or the device's reason for refusing it. Raises LinkError when none comes."""
        try:
            return await self._ask_events(Registers(read.table, read.start, read.count))
        except _Silence as silence:
            raise LinkError(str(silence)) from None

    async def _ask_events(self, wanted: Registers) -> RawArray | str:
        response = await self._ask(wanted.table, wanted.start, wanted.count)
        if isinstance(response, ExceptionResponse):
            return of_modbus_exception(response.exception_code)[0]
        return _usable(wanted.table, wanted.count, response)

    async def _write(self, address: int, words: Sequence[int]) -> str:
        client = self._living()
        request = client.write_registers(address, list(words), device_id=self._endpoint.unit_id)
        response = await self._answered(request)
        return of_modbus_exception(response.exception_code)[0] if isinstance(response, ExceptionResponse) else ""

    async def _ask(self, table: Table, start: int, count: int) -> ModbusPDU:
        client = self._living()
        functions: dict[Table, _Read] = {
            Table.COIL: client.read_coils,
            Table.DISCRETE_INPUT: client.read_discrete_inputs,
            Table.HOLDING_REGISTER: client.read_holding_registers,
            Table.INPUT_REGISTER: client.read_input_registers,
        }
        return await self._answered(functions[table](start, count=count, device_id=self._endpoint.unit_id))

    def _living(self) -> AsyncModbusTcpClient:
        if self._client is None:
            raise LinkError("is not open")
        if self._loss or not self._client.connected:
            raise _Silence(self._loss or "connection closed by the station")
        return self._client

    async def _answered(self, request: Awaitable[ModbusPDU]) -> ModbusPDU:
        self._round_trips += 1
        try:
            # The library's own timeout is the shorter one; ours is moved to now when the connection is lost meanwhile.
            async with asyncio.timeout(self._endpoint.timeout_s * 2) as self._deadline:
                return await request
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
        if sending or is_modbus(data):
            return data
        self._give_up("garbage on the connection")
        return b""

    def _give_up(self, reason: str) -> None:
        self._loss = self._loss or reason
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time())


def _block(read: ReadBlock, *, part: bool = False) -> _Block:
    codec = Codec(read.entries, read.start, read.count)
    low = [-np.inf if each.point.low is None else each.point.low for each in codec.entries]
    high = [np.inf if each.point.high is None else each.point.high for each in codec.entries]
    return _Block(read, codec, np.array(low), np.array(high), part)


def _covered(registers: StationRegisters, events: Sequence[EventReading]) -> PointArray:
    """Ids of the points whose changes an event buffer tells: contacts and positions."""
    recorded = frozenset[int]().union(*(each.covered for each in events))
    kinds = (PointKind.SINGLE_POINT, PointKind.DOUBLE_POINT)
    ids = [each.point.id for each in registers.points if each.point.kind in kinds and each.point.id in recorded]
    return np.array(ids, dtype=np.int32)


def _usable(table: Table, count: int, response: ModbusPDU) -> RawArray:
    try:
        return raw_of(table, count, response)
    except NotUsable as error:
        raise _Silence(str(error)) from None


def link(endpoint: Endpoint, registers: StationRegisters, now: Clock) -> ModbusLink:
    """The adapter's factory."""
    return ModbusLink(endpoint, registers, now)
