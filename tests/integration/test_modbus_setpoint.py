"""A set-point of two registers over a real Modbus connection: one request, echoed whole, carried out once."""

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from scada.clock import now_us
from scada.model.addcause import AddCause
from scada.model.commandlink import DeviceAnswer
from scada.model.station import CommandKind, CommandPoint
from simulators.modbus_station import ModbusStation
from simulators.orders import Action
from simulators.register_image import RegisterImage
from substations.modbus_commands import ModbusCommandLink
from substations.registermap import CommandEntry
from substations.registers import BoundCommand, StationRegisters
from substations.wiretypes import Order, Table, WireType
from tests.fakes_substations import make_entry, make_point, make_station

pytestmark = pytest.mark.integration

SET = "TN07/171/set"
ENTRY = CommandEntry(
    name="set",
    table=Table.HOLDING_REGISTER,
    operate=12,
    select=10,
    echo=20,
    result=22,
    type=WireType.FLOAT32,
    order=Order.CDAB,
    set_point=True,
)
SHOWN = make_entry(1, Table.INPUT_REGISTER, 0, WireType.FLOAT32)
REGISTERS = StationRegisters("TN07", (SHOWN,), (BoundCommand(SET, 1, ENTRY, 12, 10, 20, 22),))


@dataclass
class Bay:
    link: ModbusCommandLink
    image: RegisterImage
    orders: list[tuple[str, Action]] = field(default_factory=list)


@pytest.fixture
async def bay() -> AsyncIterator[Bay]:
    orders: list[tuple[str, Action]] = []

    def carry_out(command: str, action: Action, now: int) -> AddCause | None:
        orders.append((command, action))
        return None

    image = RegisterImage(REGISTERS, carry_out)
    station = ModbusStation("TN07", {1: image}, now_us)
    port = await station.start("127.0.0.1", 0)
    told = CommandPoint("set", "", CommandKind.SET_POINT, select=True, return_information=make_point(1))
    place = make_station((make_point(1),), commands=(told,), port=port, timeout_s=30.0)
    link = ModbusCommandLink(place, REGISTERS, now_us)
    try:
        yield Bay(link, image, orders)
    finally:
        await link.close()
        await station.stop()


async def test_two_registers_are_echoed_whole_and_carried_out_once(bay: Bay) -> None:
    high, low = struct.unpack(">HH", struct.pack(">f", 23.1))
    assert await bay.link.select(SET, 23.1) == DeviceAnswer(detail=f"echo {low} {high}")
    assert bay.orders == []
    assert (await bay.link.operate(SET, 23.1)).refused is None
    assert bay.orders == [(SET, struct.unpack(">f", struct.pack(">f", 23.1))[0])]
    assert bay.image.read(Table.HOLDING_REGISTER, 12, 2) == [low, high]


async def test_another_value_than_the_selected_one_is_refused_by_the_device(bay: Bay) -> None:
    assert (await bay.link.select(SET, 23.1)).refused is None
    assert (await bay.link.operate(SET, 23.2)).refused is AddCause.INCONSISTENT_PARAMETERS
    assert bay.orders == []


async def test_an_echo_that_differs_in_one_register_selects_nothing(bay: Bay) -> None:
    elsewhere = replace(REGISTERS.commands[0], echo=19)
    shifted = replace(REGISTERS, commands=(elsewhere,))
    bay.link._commands = {SET: shifted.commands[0]}
    bay.image._tables[Table.INPUT_REGISTER]._readable[19] = True
    answer = await bay.link.select(SET, 23.1)
    assert answer.refused is AddCause.SELECT_FAILED
    assert answer.detail.startswith("echo 0 ")
