"""Claims about a gateway with several devices behind it: every read and every order reaches the bay's own unit."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from scada.clock import now_us
from scada.model.addcause import AddCause
from scada.model.cause import Cause
from scada.model.quality import Quality
from scada.model.station import CommandKind, CommandPoint
from simulators.modbus_station import ModbusStation
from simulators.orders import Action
from simulators.register_image import RegisterImage
from substations.modbus import ModbusLink
from substations.modbus_commands import ModbusCommandLink
from substations.registermap import CommandEntry
from substations.registers import BoundCommand, BoundFreeze, StationRegisters
from substations.wiretypes import Table, WireType
from tests.fakes_modbus import device
from tests.fakes_substations import make_entry, make_point, make_station

pytestmark = pytest.mark.integration

UNITS = (11, 12)
OPEN = CommandEntry(name="breaker", table=Table.HOLDING_REGISTER, operate=12, values={"open": 1, "close": 2})
NAMES = {unit: f"TN07/171/breaker-{unit}" for unit in UNITS}
SHOWN = {
    unit: make_entry(number, Table.INPUT_REGISTER, 3, WireType.UINT16, unit=unit)
    for number, unit in enumerate(UNITS, start=1)
}
"""Two bays that keep their value at the same address, each in a device of its own."""
FREEZES = tuple(
    BoundFreeze(f"TN07/{unit} freeze", unit, Table.COIL, 9, 1, (replace(SHOWN[unit], address=30),)) for unit in UNITS
)
REGISTERS = StationRegisters(
    "TN07",
    tuple(SHOWN.values()),
    tuple(BoundCommand(NAMES[unit], unit, OPEN, 12, None, None, None) for unit in UNITS),
    freezes=FREEZES,
)


@asynccontextmanager
async def gateway(orders: list[tuple[str, Action]], units: tuple[int, ...] = UNITS) -> AsyncIterator[int]:
    """A simulated one, its units showing 110 and 120; the port."""

    def carry_out(command: str, action: Action, now: int) -> AddCause | None:
        orders.append((command, action))
        return None

    images = {unit: RegisterImage(REGISTERS.of_unit(unit), carry_out) for unit in units}
    points = np.array([each.point.id for each in SHOWN.values()], dtype=np.int32)
    for image in images.values():
        image.refresh(points, np.array([110.0, 120.0]), np.zeros(2, dtype=np.uint8), now_us())
    server = ModbusStation("TN07", images, now_us)
    port = await server.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await server.stop()


async def scanned(port: int, scans: int = 1) -> list[tuple[dict[int, float], list[str]]]:
    """What each of some scans brought: values by point, and the reasons of what failed."""
    link = ModbusLink(make_station((), port=port).endpoint, REGISTERS, now_us)
    await link.open()
    try:
        answers = [await link.scan(1.0, Cause.SPONTANEOUS) for _ in range(scans)]
    finally:
        await link.close()
    return [
        (
            dict(zip(each.batch["point"].tolist(), each.batch["value"].tolist(), strict=True)),
            [failed.reason for failed in each.failed],
        )
        for each in answers
    ]


async def test_the_same_address_of_two_units_is_two_points() -> None:
    async with gateway([]) as port:
        ((values, failed),) = await scanned(port)
    assert values == {SHOWN[11].point.id: 110.0, SHOWN[12].point.id: 120.0}
    assert failed == []


async def test_an_order_reaches_the_unit_of_its_bay_and_no_other() -> None:
    orders: list[tuple[str, Action]] = []
    commands = tuple(
        CommandPoint(name[9:], "", CommandKind.DOUBLE_COMMAND, select=False, return_information=SHOWN[unit].point)
        for unit, name in NAMES.items()
    )
    async with gateway(orders) as port:
        station = make_station(tuple(make_point(n) for n in (1, 2)), commands=commands, port=port)
        link = ModbusCommandLink(station, REGISTERS, now_us)
        await link.ready()
        assert (await link.return_information(NAMES[12]))["value"].tolist() == [120.0]
        assert (await link.operate(NAMES[12], "open")).refused is None
        await link.close()
    assert orders == [(NAMES[12], "open")]


async def test_a_freeze_is_told_to_every_unit() -> None:
    async with gateway([]) as port:
        link = ModbusLink(make_station((), port=port).endpoint, REGISTERS, now_us)
        await link.open()
        answer = await link.freeze()
        await link.close()
    assert answer.batch["value"].tolist() == [110.0, 120.0]


async def test_a_unit_the_gateway_does_not_reach_costs_only_its_own_bay() -> None:
    async with gateway([], units=(12,)) as port:
        ((values, failed), *_) = await scanned(port)
    assert values == {SHOWN[12].point.id: 120.0}
    assert failed == ["unit 11 input_register 3..3: gateway target does not respond"]


async def test_a_unit_that_is_gone_is_asked_more_and_more_seldom() -> None:
    """The gateway waits for it each time: asked every scan, it would delay its neighbours."""

    def gone(request: bytes, reply: bytes) -> bytes:
        return reply[:4] + struct.pack(">HBBB", 3, reply[6], reply[7] | 0x80, 11) if request[6] == 11 else reply

    async with device(gone) as one:
        answers = await scanned(one.port, scans=10)
    assert all(values == {SHOWN[12].point.id: 3.0} and len(failed) == 1 for values, failed in answers)
    # Scans 1, 3 and 6 ask for it: one is left out, then two, then four. The other unit is asked every time.
    assert len(one.requests) == 10 + 3


async def test_an_answer_of_another_unit_is_no_answer() -> None:
    def crossed(request: bytes, reply: bytes) -> bytes:
        return reply[:6] + bytes([12]) + reply[7:] if request[6] == 11 else reply

    async with device(crossed) as one:
        link = ModbusLink(make_station((), port=one.port, timeout_s=1.0).endpoint, REGISTERS, now_us)
        await link.open()
        answer = await link.scan(1.0, Cause.SPONTANEOUS)
        await link.close()
    assert answer.batch["point"].tolist() == [SHOWN[12].point.id]
    assert [(each.points.tolist(), each.quality) for each in answer.failed] == [
        ([SHOWN[11].point.id], Quality.NOT_TOPICAL)
    ]
