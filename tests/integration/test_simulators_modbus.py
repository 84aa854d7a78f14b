"""Claims about a simulated Modbus station, read and written by hand: MBAP header, function code, ``struct``.

Nothing of our own stands between the test and the wire; the addresses are those of ``maps/feeder_22.modbus.toml``,
written out here.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from scada.clock import now_us
from scada.model.ports import Clock
from scada.model.station import Province, Station
from scada.stationfile import load_province
from simulators.field import Field, FieldPlan, load_maps
from simulators.grid_solver import GridSolver
from simulators.impairments import parse_fault
from simulators.listening import PortTaken, listen
from simulators.plant import Plant
from substations import adapters
from substations.link import FreezingLink

pytestmark = pytest.mark.integration

SUBSTATIONS = Path(__file__).resolve().parents[2] / "substations"
READ_HOLDING, READ_INPUT, WRITE_SINGLE = 3, 4, 6
BREAKER_OPEN, BREAKER_CLOSE = 0x6501, 0x0102
POSITION, CURRENT_L1, ACTIVE_POWER, SELECT, ECHO, OPERATE, RESULT = 0, 2, 5, 20, 21, 22, 23
OPEN, CLOSED = 1, 2


class Client:
    """A Modbus TCP client in thirty lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, unit: int) -> None:
        self.reader, self.writer, self.unit = reader, writer, unit
        self.transaction = 0

    async def ask(self, request: bytes, *, unit: int | None = None) -> bytes:
        """The answer's PDU."""
        self.transaction += 1
        unit = self.unit if unit is None else unit
        self.writer.write(struct.pack(">HHHB", self.transaction, 0, len(request) + 1, unit) + request)
        async with asyncio.timeout(60.0):
            transaction, protocol, length, answered = struct.unpack(">HHHB", await self.reader.readexactly(7))
            pdu = await self.reader.readexactly(length - 1)
        assert (transaction, protocol, answered) == (self.transaction, 0, unit)
        return pdu

    async def registers(self, function: int, address: int, count: int) -> tuple[int, ...]:
        answer = await self.ask(struct.pack(">BHH", function, address, count))
        assert answer[:2] == bytes([function, 2 * count])
        return struct.unpack(f">{count}H", answer[2:])

    async def write(self, address: int, value: int) -> bytes:
        return await self.ask(struct.pack(">BHH", WRITE_SINGLE, address, value))


@cache
def province() -> Province:
    return load_province(SUBSTATIONS)


def station(code: str) -> Station:
    found = next(each for each in province().stations if each.code == code)
    return replace(found, endpoint=replace(found.endpoint, host="127.0.0.1", port=0))


def field_of(code: str, *faults: str, clock: Clock = now_us) -> Field:
    stations = (station(code),)
    plan = FieldPlan(stations, load_maps(SUBSTATIONS, stations), 0.1, tuple(parse_fault(each) for each in faults))
    return Field(plan, Plant(province(), GridSolver(province()), seed=1, now=clock()), clock=clock)


async def connect(field: Field, code: str = "TN07") -> Client:
    reader, writer = await asyncio.open_connection("127.0.0.1", field.ports[code])
    return Client(reader, writer, station(code).endpoint.unit_id)


@pytest.fixture
async def field() -> AsyncIterator[Field]:
    async with field_of("TN07") as running:
        yield running


@pytest.fixture
async def client(field: Field) -> AsyncIterator[Client]:
    made = await connect(field)
    yield made
    made.writer.close()


def base_of(bay: str) -> int:
    return next(each.base for each in station("TN07").bays if each.name == bay)


def shown(field: Field, name: str) -> float:
    point = next(each for each in station("TN07").points if each.name == name)
    values = field.plant.values("TN07")
    return float(values.values[np.searchsorted(values.points, point.id)])


async def until(client: Client, address: int, wanted: int) -> None:
    async with asyncio.timeout(60.0):
        while (await client.registers(READ_INPUT, address, 1))[0] & 3 != wanted:  # noqa: ASYNC110  # a register has no bell
            await asyncio.sleep(0.01)


async def test_a_register_holds_what_the_plant_shows(field: Field, client: Client) -> None:
    base = base_of("473")
    for _ in range(5):
        registers = await client.registers(READ_INPUT, base, 8)
        if shown(field, "TN07/473/current_l1") == registers[CURRENT_L1] / 10:
            break
    current, power = struct.unpack(">hh", struct.pack(">HH", registers[CURRENT_L1], registers[ACTIVE_POWER]))
    assert registers[POSITION] & 3 == CLOSED
    assert current / 10 == pytest.approx(shown(field, "TN07/473/current_l1"), rel=0.02)
    assert power / 100 == pytest.approx(shown(field, "TN07/473/active_power"), rel=0.02)
    assert power > 50


async def test_requests_that_come_together_or_in_pieces_are_answered_in_their_order(client: Client) -> None:
    requests = [struct.pack(">HHHBBHH", 100 + n, 0, 6, client.unit, READ_INPUT, n, 1) for n in range(16)]
    whole = b"".join(requests)
    async with asyncio.timeout(60.0):
        for part in (whole[:7], whole[7:100], whole[100:]):
            client.writer.write(part)
            await client.writer.drain()
            await asyncio.sleep(0)
        for n in range(len(requests)):
            transaction, _, length, unit = struct.unpack(">HHHB", await client.reader.readexactly(7))
            assert (transaction, unit) == (100 + n, client.unit)
            await client.reader.readexactly(length - 1)


async def test_an_address_outside_the_map_is_answered_with_illegal_data_address(client: Client) -> None:
    assert await client.ask(struct.pack(">BHH", READ_INPUT, 65000, 1)) == bytes([0x80 | READ_INPUT, 2])
    assert await client.ask(struct.pack(">BHH", READ_HOLDING, base_of("473"), 1)) == bytes([0x80 | READ_HOLDING, 2])
    assert await client.write(base_of("473"), 1) == bytes([0x80 | WRITE_SINGLE, 2])


async def test_another_unit_is_not_answered_for(client: Client) -> None:
    answer = await client.ask(struct.pack(">BHH", READ_INPUT, base_of("473"), 1), unit=99)
    assert answer == bytes([0x80 | READ_INPUT, 0x0B])


async def test_select_and_operate_open_the_breaker_and_the_feeder_goes_dead(field: Field, client: Client) -> None:
    base = base_of("473")
    select, operate = base + SELECT, base + OPERATE

    assert await client.write(select, BREAKER_OPEN) == struct.pack(">BHH", WRITE_SINGLE, select, BREAKER_OPEN)
    assert await client.registers(READ_INPUT, base + ECHO, 1) == (BREAKER_OPEN,)
    assert await client.write(operate, BREAKER_OPEN) == struct.pack(">BHH", WRITE_SINGLE, operate, BREAKER_OPEN)
    await until(client, base + POSITION, OPEN)

    registers = await client.registers(READ_INPUT, base, 8)
    assert (registers[CURRENT_L1], registers[ACTIVE_POWER]) == (0, 0)
    assert not field.plant.feeder_energised()["TN07/473"]
    assert await client.registers(READ_INPUT, base + RESULT, 1) == (0,)
    assert (field.account.orders, field.account.orders_refused) == (1, 0)


async def test_operate_without_select_is_refused_and_nothing_moves(field: Field, client: Client) -> None:
    base = base_of("473")
    assert await client.write(base + OPERATE, BREAKER_OPEN) == bytes([0x80 | WRITE_SINGLE, 4])
    assert await client.registers(READ_INPUT, base + RESULT, 1) == (18,)
    assert await client.write(base + OPERATE, 12345) == bytes([0x80 | WRITE_SINGLE, 3])
    assert shown(field, "TN07/473/473.position") == CLOSED
    assert field.account.orders == 0


async def test_values_move_on_by_themselves(field: Field, client: Client) -> None:
    base = base_of("473")
    before = field.account.refreshes
    async with asyncio.timeout(60.0):
        while field.account.refreshes < before + 3:
            await client.registers(READ_INPUT, base, 1)
            await asyncio.sleep(0.02)


async def test_a_fault_from_the_start_holds_when_the_field_is_ready() -> None:
    async with field_of("TN07", "TN07=refuse") as field:
        # Nothing is awaited in between: no task of the field gets a turn.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", field.ports["TN07"]))


async def test_a_silent_station_accepts_and_does_not_answer() -> None:
    async with field_of("TN07", "TN07=silent") as field:
        client = await connect(field)
        client.writer.write(struct.pack(">HHHBBHH", 1, 0, 6, 7, READ_INPUT, 0, 1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.reader.readexactly(1)
        client.writer.close()


async def test_a_cut_station_dies_in_the_middle_of_an_answer() -> None:
    async with field_of("TN07", "TN07=cut") as field:
        client = await connect(field)
        client.writer.write(struct.pack(">HHHBBHH", 1, 0, 6, 7, READ_INPUT, base_of("473"), 8))
        async with asyncio.timeout(60.0):
            assert len(await client.reader.read()) == (9 + 16) // 2
        client.writer.close()


async def test_a_refusing_station_takes_connections_again_when_the_fault_is_over() -> None:
    """The fault lasts by the field's clock, which stands still until the refusal was seen."""
    moments = [now_us()]
    async with field_of("TN07", "TN07=refuse@0:0.2", clock=lambda: moments[-1]) as field:
        async with asyncio.timeout(60.0):
            with pytest.raises(OSError, match="Connect call failed"):
                while True:
                    (await connect(field)).writer.close()
                    await asyncio.sleep(0.01)
            moments.append(moments[0] + 200_000)
            while True:
                try:
                    client = await connect(field)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        assert await client.registers(READ_INPUT, base_of("473"), 1)
        client.writer.close()


async def test_a_taken_port_is_one_sentence() -> None:
    with listen("127.0.0.1", 0, "somebody") as taken:
        port = taken.getsockname()[1]
        made = field_of("TN07")
        placed = replace(made.plan.stations[0], endpoint=replace(made.plan.stations[0].endpoint, port=port))
        blocked = Field(replace(made.plan, stations=(placed,)), made.plant)
        with pytest.raises(PortTaken, match=f"TN07 cannot listen on 127.0.0.1:{port}: another program listens there"):
            await blocked.__aenter__()


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    async with field_of("TN07", "TN07=silent") as field:
        client = await connect(field)
        port = field.ports["TN07"]
    client.writer.close()
    async with asyncio.timeout(60.0):
        while asyncio.all_tasks() != before:  # noqa: ASYNC110  # what is closed may end a few turns later
            await asyncio.sleep(0)
    listen("127.0.0.1", port, "the next").close()


async def test_a_transformers_energies_are_frozen_by_the_simulated_device(field: Field) -> None:
    """Over the product's own link and the shipped map: eight energies of each transformer, dated to the freeze."""
    seven = station("TN07")
    reached = replace(seven, endpoint=replace(seven.endpoint, port=field.ports["TN07"], timeout_s=60.0))
    link = adapters.open_link(reached, adapters.load_maps(SUBSTATIONS / "maps"), now_us)
    await link.open()
    try:
        assert isinstance(link, FreezingLink)
        before = now_us()
        answer = await link.freeze()
    finally:
        await link.close()
    energies = {point.id: point.name for point in seven.points if "energy" in point.name and point.bay in ("T1", "T2")}
    assert (set(answer.batch["point"].tolist()), answer.failed) == (energies.keys(), ())
    assert len(energies) == 16
    assert before <= min(answer.batch["time"]) <= max(answer.batch["time"]) <= now_us()
    for row in answer.batch:
        running = shown(field, energies[int(row["point"])])
        assert 0.99 * running <= float(row["value"]) <= running + 1
