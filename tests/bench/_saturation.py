"""Modbus stations read as fast as they answer: through the pipe, and by two clients that throw everything away.

Knows how the same requests are made in three ways, in turns, so that all meet the same machine. Knows no periods.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from pymodbus.client import AsyncModbusTcpClient

from historian.sink import TelemetrySink
from scada.clock import now_us
from scada.image import ProcessImage
from scada.model.cause import Cause
from scada.model.station import Station
from substations.adapters import Maps, open_link
from substations.eventbuffer import EventBuffer, Registers
from substations.modbus_connection import ModbusConnection
from substations.polling import plan_reads
from substations.registers import StationRegisters, bind_registers
from substations.wiretypes import Table
from tests.bench._field import RunningField

Round = Callable[[], Awaitable[int]]
"""Reads every block of one station once; the number of points that brought."""


@dataclass(slots=True)
class Pace:
    """What one way of reading brought."""

    points: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0

    @property
    def points_per_s(self) -> float:
        """By the clock on the wall."""
        return self.points / self.seconds

    @property
    def cpu_us_per_point(self) -> float:
        """Processor time of this process; steadier than the wall when the machine is shared."""
        return self.cpu_s / self.points * 1e6


@dataclass(frozen=True, slots=True)
class Saturation:
    """Every way at its limit; ``bare`` is the library's client, ``reads`` the adapter's own connection, no more."""

    pipe: Pace
    bare: Pace
    reads: Pace
    field_cpu_share: float
    """Processor share of the field meanwhile: near 1 it is what was measured."""


async def saturate(field: RunningField, sink: TelemetrySink, *, seconds: float, rounds: int = 4) -> Saturation:
    """Read all Modbus stations side by side for ``seconds``, in turns through the pipe and without it."""
    stations = field.stations
    image = ProcessImage([point for station in stations for point in station.points])
    pipe, bare, only_reads = Pace(), Pace(), Pace()
    async with AsyncExitStack() as stack:
        through = [await _through_the_pipe(stack, each, field.maps, image, sink) for each in stations]
        plain = [await _plain(stack, each, field.maps) for each in stations]
        reads = [await _reads(stack, each, field.maps) for each in stations]
        begun, field_before = time.monotonic(), field.cpu_s()
        for _ in range(rounds):
            await _race(through, seconds / rounds / 3, pipe)
            await _race(plain, seconds / rounds / 3, bare)
            await _race(reads, seconds / rounds / 3, only_reads)
        share = (field.cpu_s() - field_before) / (time.monotonic() - begun)
    return Saturation(pipe, bare, only_reads, share)


async def _race(reads: list[Round], seconds: float, pace: Pace) -> None:
    begun, cpu = time.monotonic(), time.process_time()

    async def keep_reading(read: Round) -> None:
        while time.monotonic() < begun + seconds:
            # Not `+= await`: that takes the old sum before it waits, and forgets what others added meanwhile.
            points = await read()
            pace.points += points

    await asyncio.gather(*(keep_reading(each) for each in reads))
    pace.seconds += time.monotonic() - begun
    pace.cpu_s += time.process_time() - cpu


async def _through_the_pipe(
    stack: AsyncExitStack, station: Station, maps: Maps, image: ProcessImage, sink: TelemetrySink
) -> Round:
    link = open_link(station, maps, now_us)
    await link.open()
    stack.push_async_callback(link.close)

    async def read() -> int:
        points = 0
        for period_s in link.periods:
            answer = await link.scan(period_s, Cause.SPONTANEOUS)
            if answer.failed:
                raise RuntimeError(f"{station.code}: {answer.failed[0].reason}")
            delta = image.apply(answer.batch)
            if len(delta):
                sink.offer(delta)
            points += len(answer.batch)
        return points

    return read


async def _plain(stack: AsyncExitStack, station: Station, maps: Maps) -> Round:
    """The requests of ``_through_the_pipe`` in a loop: after each period's reads the head of the event buffer."""
    end = station.endpoint
    client = AsyncModbusTcpClient(end.host, port=end.port, retries=0)
    assert await client.connect()
    stack.callback(client.close)
    ask = {
        Table.COIL: client.read_coils,
        Table.DISCRETE_INPUT: client.read_discrete_inputs,
        Table.HOLDING_REGISTER: client.read_holding_registers,
        Table.INPUT_REGISTER: client.read_input_registers,
    }
    requests = _requests(bind_registers(station, maps.registers, []))

    async def read() -> int:
        for unit, wanted in requests:
            response = await ask[wanted.table](wanted.start, count=wanted.count, device_id=unit)
            assert not response.isError()
        return len(station.points)

    return read


async def _reads(stack: AsyncExitStack, station: Station, maps: Maps) -> Round:
    """The same requests over the adapter's own connection: what is left is decoding, image and sink."""
    connection = ModbusConnection(station.endpoint)
    await connection.open()
    stack.callback(connection.close)
    requests = _requests(bind_registers(station, maps.registers, []))

    async def read() -> int:
        for unit, wanted in requests:
            await connection.read(unit, wanted.table, wanted.start, wanted.count)
        return len(station.points)

    return read


def _requests(registers: StationRegisters) -> list[tuple[int, Registers]]:
    """Every read with the unit it is asked of."""
    heads = [(each.unit, EventBuffer(each).head) for each in registers.event_buffers]
    periods = {each.period_s for each in registers.points}
    reads = [(each.unit, Registers(each.table, each.start, each.count)) for each in plan_reads(registers.points)]
    return [*reads, *(head for head in heads for _ in periods)]
