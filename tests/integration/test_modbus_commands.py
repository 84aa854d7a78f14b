"""Claims about orders over Modbus when the connection does not hold."""

import asyncio
from collections.abc import Callable

import pytest

from scada.clock import now_us
from scada.model.addcause import AddCause
from scada.model.commandlink import AnswerLost, DeviceAnswer, NothingSent
from scada.model.station import CommandKind, CommandPoint
from substations.modbus_commands import ModbusCommandLink
from substations.registermap import CommandEntry
from substations.registers import BoundCommand, StationRegisters
from substations.wiretypes import Table, WireType
from tests.fakes_modbus import Device, device
from tests.fakes_substations import make_entry, make_point, make_station

pytestmark = pytest.mark.integration

OPEN = "TN07/171/breaker"
READ, WRITE_ONE = 4, 6
ENTRY = CommandEntry(name="breaker", table=Table.HOLDING_REGISTER, operate=12, values={"open": 1, "close": 2})
SHOWN = make_entry(1, Table.INPUT_REGISTER, 3, WireType.UINT16)
REGISTERS = StationRegisters("TN07", (SHOWN,), (BoundCommand(OPEN, 1, ENTRY, 12, None, None, None),))


def command_link(one: Device, *, timeout_s: float = 30.0) -> ModbusCommandLink:
    told = CommandPoint("breaker", "", CommandKind.DOUBLE_COMMAND, select=False, return_information=make_point(1))
    station = make_station((make_point(1),), commands=(told,), port=one.port, timeout_s=timeout_s)
    return ModbusCommandLink(station, REGISTERS, now_us)


def writes(one: Device) -> list[tuple[int, int, int]]:
    return [each for each in one.requests if each[0] == WRITE_ONE]


def taken(request: bytes, reply: bytes) -> bytes:
    return request if request[7] == WRITE_ONE else reply


async def test_an_order_goes_out_once_over_the_connection_the_device_was_asked_over() -> None:
    async with device(taken) as one:
        link = command_link(one)
        await link.ready()
        assert (await link.return_information(OPEN))["value"].tolist() == [3.0]
        assert (await link.operate(OPEN, "open")).refused is None
        await link.close()
    assert one.requests == [(READ, 3, 1), (WRITE_ONE, 12, 1)]
    assert one.connections == 1


async def test_an_order_that_waited_for_its_turn_is_not_sent_over_a_connection_opened_meanwhile() -> None:
    """Another question is out when the connection dies; it is asked again over a new one, the order is not."""

    def die_at_first(request: bytes, reply: bytes) -> bytes:
        if one.connections == 1:
            raise EOFError
        return taken(request, reply)

    async with device(die_at_first) as one:
        link = command_link(one)
        await link.ready()
        asking = asyncio.create_task(link.return_information(OPEN))
        ordering = asyncio.create_task(link.operate(OPEN, "open"))
        assert (await asking)["value"].tolist() == [3.0]
        with pytest.raises(NothingSent, match="the connection was lost since the device was asked"):
            await ordering
        await link.close()
    assert one.connections == 2
    assert writes(one) == []


async def test_an_order_without_an_answer_is_lost_and_the_next_is_not_sent() -> None:
    async with device(lambda request, reply: reply if request[7] == READ else None) as one:
        link = command_link(one, timeout_s=1.0)
        await link.ready()
        with pytest.raises(AnswerLost, match="no answer within"):
            await link.operate(OPEN, "open")
        with pytest.raises(NothingSent):
            await link.operate(OPEN, "close")
        await link.close()
    assert writes(one) == [(WRITE_ONE, 12, 1)]


async def test_an_order_during_which_the_connection_ends_is_lost_and_never_sent_again() -> None:
    def die(request: bytes, reply: bytes) -> bytes:
        if request[7] == WRITE_ONE:
            raise EOFError
        return reply

    async with device(die) as one:
        link = command_link(one)
        await link.ready()
        with pytest.raises(AnswerLost, match="connection closed by the station"):
            await link.operate(OPEN, "open")
        assert (await link.return_information(OPEN))["value"].tolist() == [3.0]
        await link.close()
    assert writes(one) == [(WRITE_ONE, 12, 1)]


def excepting(code: int) -> Callable[[bytes, bytes], bytes]:
    """A device, or a gateway before it, that answers every write with an exception."""

    def answer(request: bytes, reply: bytes) -> bytes:
        return reply if request[7] == READ else reply[:4] + b"\0\3" + request[6:7] + bytes([WRITE_ONE | 0x80, code])

    return answer


async def test_what_a_gateway_says_when_its_device_does_not_answer_is_no_refusal() -> None:
    """It has passed the order on: whether the device carried it out, nobody knows."""
    async with device(excepting(11)) as one:
        link = command_link(one)
        await link.ready()
        with pytest.raises(AnswerLost, match="gateway target does not respond"):
            await link.operate(OPEN, "open")
        await link.close()
    assert writes(one) == [(WRITE_ONE, 12, 1)]


async def test_a_device_that_has_begun_and_takes_long_has_accepted() -> None:
    async with device(excepting(5)) as one:
        link = command_link(one)
        await link.ready()
        assert await link.operate(OPEN, "open") == DeviceAnswer(detail="acknowledge, still working")
        await link.close()


@pytest.mark.parametrize("code", [1, 2, 3, 6, 10])
async def test_what_was_not_passed_on_or_not_begun_is_refused(code: int) -> None:
    async with device(excepting(code)) as one:
        link = command_link(one)
        await link.ready()
        assert (await link.operate(OPEN, "open")).refused is AddCause.NOT_SUPPORTED
        await link.close()
