"""Claims about our Modbus against libmodbus, an implementation in C that shares nothing with ours or pymodbus.

Our link reads a libmodbus server; a libmodbus client reads our simulated station; floats are laid out in all four
orders by libmodbus itself. A mistake common to our adapter and our simulator would show.
"""

import asyncio
import struct
from pathlib import Path

import numpy as np
import pytest

from scada.model.cause import Cause
from scada.model.quality import Quality
from scada.model.station import Endpoint, Protocol
from scada.stationfile import load_province
from simulators.modbus_station import ModbusStation
from simulators.register_image import RegisterImage
from substations.adapters import bind, load_maps
from substations.modbus import ModbusLink
from substations.registers import BoundPoint, StationRegisters
from substations.wiretypes import Order, Table, WireType
from tests.fakes_libmodbus import LibmodbusClient, LibmodbusServer
from tests.fakes_substations import make_entry

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[2] / "substations"
NOW = 1_700_000_000_000_000
UNIT = 7


async def scan(
    port: int, points: list[BoundPoint], times: int = 1
) -> list[tuple[dict[int, float], dict[str, Quality]]]:
    link = ModbusLink(
        Endpoint(Protocol.MODBUS, "127.0.0.1", port, unit_id=UNIT, timeout_s=30.0),
        StationRegisters("TN07", tuple(points), ()),
        lambda: NOW,
    )
    number = {each.point.id: int(each.point.name.rsplit("P", 1)[1]) for each in points}
    answers = []
    await link.open()
    for _ in range(times):
        answer = await link.scan(1.0, Cause.SPONTANEOUS)
        values = {number[row[0]]: row[2] for row in answer.batch.tolist()}
        answers.append((values, {each.reason: each.quality for each in answer.failed}))
    await link.close()
    return answers


AS_WE_CALL_THEM = {order: order for order in Order}
BYTES_EXCHANGED = {Order.ABCD: Order.BADC, Order.BADC: Order.ABCD, Order.CDAB: Order.DCBA, Order.DCBA: Order.CDAB}
"""libmodbus 3.1.6 counts the bytes of a register from the low one: its ABCD of 123456.0 is 0xF147, 0x0020."""


@pytest.mark.parametrize("value", [110.25, -0.0078125, 123456.0])
async def test_each_layout_of_a_float_by_libmodbus_is_read_by_exactly_one_of_our_orders(value: float) -> None:
    places = {order: 10 * row for row, order in enumerate(Order)}
    with LibmodbusServer(UNIT) as device:
        for order, place in places.items():
            device.put_float(place, value, order.value.lower())
        found = {}
        for ours in Order:
            points = [make_entry(n, Table.INPUT_REGISTER, n, WireType.FLOAT32, order=ours) for n in places.values()]
            ((values, failed),) = await scan(device.port, points)
            assert failed == {}
            found |= {theirs: ours for theirs, place in places.items() if values[place] == value}
    assert found in (AS_WE_CALL_THEM, BYTES_EXCHANGED)


async def test_every_table_of_a_libmodbus_device_is_read() -> None:
    with LibmodbusServer(UNIT) as device:
        tables = device.tables
        tables.tab_bits[3] = tables.tab_input_bits[9] = tables.tab_input_bits[10] = 1
        tables.tab_registers[199], tables.tab_input_registers[5] = 0xFFFE, 0x1234
        points = [
            make_entry(1, Table.COIL, 3, WireType.BIT),
            make_entry(2, Table.DISCRETE_INPUT, 8, WireType.BIT, width=2),
            make_entry(3, Table.DISCRETE_INPUT, 10, WireType.BIT),
            make_entry(4, Table.HOLDING_REGISTER, 199, WireType.INT16),
            make_entry(5, Table.INPUT_REGISTER, 5, WireType.UINT16, scale=0.1),
        ]
        ((values, failed),) = await scan(device.port, points)
    assert values == {1: 1.0, 2: 2.0, 3: 1.0, 4: -2.0, 5: pytest.approx(466.0)}
    assert failed == {}


async def test_one_register_libmodbus_does_not_have_costs_only_its_own_point() -> None:
    """The block 190..205 is refused as a whole; the parts that exist stay good from the first scan on."""
    with LibmodbusServer(UNIT) as device:
        for address in range(190, 200):
            device.tables.tab_input_registers[address] = address
        points = [make_entry(n, Table.INPUT_REGISTER, n, WireType.UINT16) for n in range(190, 203)]
        answers = await scan(device.port, points, times=3)
    for values, failed in answers:
        assert values == {n: float(n) for n in range(190, 200)}
        assert sorted(failed) == [f"input_register {n}..{n}: illegal data address" for n in (200, 201, 202)]
        assert set(failed.values()) == {Quality.INVALID}


async def test_a_libmodbus_client_reads_our_simulated_station_and_its_events() -> None:
    station = next(each for each in load_province(FOLDER).stations if each.code == "TN07")
    bound = bind(station, load_maps(FOLDER / "maps"), [])
    assert isinstance(bound, StationRegisters)
    image = RegisterImage(bound, lambda *_: None)
    points = np.array(sorted(each.id for each in station.points), dtype=np.int32)
    values, quality = np.zeros(len(points)), np.zeros(len(points), dtype=np.uint8)
    voltage, contact = (
        next(each for each in bound.points if each.point.name.endswith(name))
        for name in ("/171/voltage_l12", "/TD/gps_clock_fault")
    )
    image.refresh(points, values, quality, NOW)
    values[np.searchsorted(points, voltage.point.id)] = 112.5
    values[np.searchsorted(points, contact.point.id)] = 1.0
    image.refresh(points, values, quality, NOW + 123_000)
    server = ModbusStation("TN07", {station.endpoint.unit_id: image}, lambda: NOW)
    port = await server.start("127.0.0.1", 0)
    (buffer,) = bound.event_buffers
    base, entry = buffer.base, buffer.entry

    def ask() -> tuple[list[int], list[int], list[int], list[int], str]:
        client = LibmodbusClient(port, station.endpoint.unit_id)
        try:
            measured = client.input_registers(voltage.address, 2)
            shown = client.discrete_inputs(contact.address, 1)
            head = client.input_registers(base + entry.next, 3)
            record = client.input_registers(base + entry.records, entry.record_size)
            client.write_registers(base + entry.acknowledge, [0, 1])
            assert client.holding_registers(base + entry.acknowledge, 2) == [0, 1]
            try:
                client.input_registers(65000, 1)
            except ValueError as refused:
                return measured, shown, head, record, str(refused)
        finally:
            client.close()
        return measured, shown, head, record, ""

    try:
        measured, shown, head, record, refused = await asyncio.to_thread(ask)
    finally:
        await server.stop()
    assert struct.unpack(">f", struct.pack(">HH", *measured)) == (112.5,)
    assert shown == [1]
    assert head == [0, 1, 0]
    sequence, code, value, octet, time = struct.unpack(">IHHHQ", struct.pack(">9H", *record))
    assert (sequence, code, value, octet, time) == (0, contact.point.id & 0xFFFF, 1, 0, (NOW + 123_000) // 1000)
    assert refused == "Illegal data address"
