"""Claims about orders over OPC UA: our command link against a simulated station, over loopback and a failing wire."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pytest

from scada.clock import now_us
from scada.model.addcause import AddCause
from scada.model.commandlink import AnswerLost, DeviceAnswer, NothingSent
from scada.model.point import PointKind
from scada.model.station import CommandKind, CommandPoint, Endpoint, Protocol
from simulators.address_space import Nodes, standard_nodes
from simulators.impairments import Impairment
from simulators.opcua_station import OpcuaStation
from simulators.orders import Action
from simulators.relay import ImpairedLink
from substations.nodemap import NodeCommand, NodeType
from substations.nodes import BoundNode, BoundNodeCommand, StationNodes
from substations.opcua_commands import OpcuaCommandLink
from tests.fakes_substations import make_point, make_station

pytestmark = pytest.mark.integration

NAMESPACE = "urn:gridscada:substation"
POSITION = make_point(1, name="TN07/171/171.position", kind=PointKind.DOUBLE_POINT)
NODE = BoundNode(POSITION, NAMESPACE, "s=171.position", NodeType.BYTE, 1.0, 0.0, 0.0, 0.25, 0.1, 10)
MOVED_AT = 1_750_000_000_123_000
BREAKER, METHOD, RESET = "TN07/171/171.operate", "TN07/171/441.operate", "TN07/171/f86.reset"
TWO_STEPS = BoundNodeCommand(
    BREAKER,
    NAMESPACE,
    NodeCommand("171.operate", "s=171.Oper", values={"open": 1, "close": 2}, select="s", echo="s"),
    operate="s=171.Oper",
    select="s=171.SBO",
    echo="s=171.SBO.echo",
    result="s=171.AddCause",
    object="",
)
METHODS = BoundNodeCommand(
    METHOD,
    NAMESPACE,
    NodeCommand("441.operate", "s=441.operate", values={"open": 1, "close": 2}, select="s", object="s"),
    operate="s=441.operate",
    select="s=441.select",
    echo="",
    result="",
    object="s=441",
)
DIRECT = BoundNodeCommand(
    RESET,
    NAMESPACE,
    NodeCommand("f86.reset", "s=f86.Oper", values={"reset": 1, "raise": 7}),
    operate="s=f86.Oper",
    select="",
    echo="",
    result="s=f86.AddCause",
    object="",
)
SET_POINT, SET_METHOD = "TN07/171/avr.set", "TN07/171/avr.call"
SET = BoundNodeCommand(
    SET_POINT,
    NAMESPACE,
    NodeCommand("avr.set", "s", type=NodeType.INT32, scale=0.001, select="s", echo="s", set_point=True),
    operate="s=avr.Oper",
    select="s=avr.SBO",
    echo="s=avr.SBO.echo",
    result="s=avr.AddCause",
    object="",
)
SET_BY_METHOD = BoundNodeCommand(
    SET_METHOD,
    NAMESPACE,
    NodeCommand("avr.call", "s", type=NodeType.FLOAT, select="s", object="s", set_point=True),
    operate="s=avr.call.operate",
    select="s=avr.call.select",
    echo="",
    result="",
    object="s=avr",
)
NODES = StationNodes("TN07", (NODE,), (TWO_STEPS, METHODS, DIRECT, SET, SET_BY_METHOD))
BOTH = pytest.mark.parametrize("command", [BREAKER, METHOD], ids=["two-step nodes", "methods"])


@cache
def shared_nodes() -> Nodes:
    """Built once: a server of its own takes 1.3 s of CPU for them."""
    return standard_nodes()


@dataclass
class Bay:
    """A simulated station that notes its orders, behind a wire that a test can cut, and the link to its commands."""

    now: int = field(default_factory=now_us)
    orders: list[tuple[str, Action]] = field(default_factory=list)
    refuses: AddCause | None = None
    errs: bool = False
    wire: ImpairedLink = field(init=False)
    link: OpcuaCommandLink = field(init=False)

    def carry_out(self, command: str, action: Action, now: int) -> AddCause | None:
        if self.refuses is None:
            self.orders.append((command, action))
        if self.errs:
            raise ZeroDivisionError("a bug of the station's")
        return self.refuses

    def connect(self, nodes: StationNodes = NODES) -> OpcuaCommandLink:
        told = CommandPoint("171.operate", "171", CommandKind.DOUBLE_COMMAND, select=True, return_information=POSITION)
        station = make_station((POSITION,), commands=(told,), protocol=Protocol.OPCUA)
        endpoint = Endpoint(Protocol.OPCUA, "127.0.0.1", self.wire.address[1], path="/TN07", timeout_s=30.0)
        return OpcuaCommandLink(replace(station, endpoint=endpoint), nodes, now_us)

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """While the block lasts the link waits for no answer that does not come at once."""
        patient = self.link._endpoint
        self.link._endpoint = replace(patient, timeout_s=0.1)
        try:
            yield
        finally:
            self.link._endpoint = patient


@asynccontextmanager
async def bay() -> AsyncIterator[Bay]:
    one = Bay()
    station = OpcuaStation(NODES, one.carry_out, lambda: one.now, shared_nodes())
    port = await station.start("127.0.0.1", 0, "/TN07")
    one.wire = ImpairedLink("TN07", "127.0.0.1", 0, ("127.0.0.1", port))
    await one.wire.start()
    one.link = one.connect()
    ids, closed, moved = np.array([POSITION.id], dtype=np.int32), np.array([2.0]), np.array([MOVED_AT])
    try:
        await station.refresh(ids, closed, np.zeros(1, dtype=np.uint8), moved, one.now)
        yield one
    finally:
        await one.link.close()
        await one.wire.stop()
        await station.stop()


@BOTH
async def test_what_was_selected_is_operated_once(command: str) -> None:
    async with bay() as one:
        assert (await one.link.select(command, "open")).refused is None
        assert one.orders == []
        assert (await one.link.operate(command, "open")).refused is None
        assert one.orders == [(command, "open")]


async def test_the_answer_to_a_selection_is_the_device_s_echo() -> None:
    async with bay() as one:
        assert await one.link.select(BREAKER, "close") == DeviceAnswer(detail="echo 2")
        elsewhere = one.connect(replace(NODES, commands=(replace(TWO_STEPS, echo="s=171.AddCause"),)))
        await one.link.cancel(BREAKER)
        answer = await elsewhere.select(BREAKER, "open")
        await elsewhere.close()
        assert answer == DeviceAnswer(AddCause.SELECT_FAILED, "echo 0 instead of 1")


@BOTH
async def test_an_order_without_selection_is_not_even_sent(command: str) -> None:
    async with bay() as one:
        await one.link.return_information(BREAKER)
        with pytest.raises(NothingSent):
            await one.link.operate(command, "open")
        assert one.orders == []


async def test_a_selection_somebody_else_withdrew_is_refused_with_the_device_s_cause() -> None:
    async with bay() as one:
        await one.link.select(BREAKER, "open")
        other = one.connect()
        await other.cancel(BREAKER)
        await other.close()
        answer = await one.link.operate(BREAKER, "open")
        assert answer == DeviceAnswer(AddCause.OBJECT_NOT_SELECTED, "BadInvalidState; result 18")
        assert one.orders == []


@BOTH
async def test_a_cancelled_selection_cannot_be_operated(command: str) -> None:
    async with bay() as one:
        await one.link.select(command, "open")
        assert (await one.link.cancel(command)).refused is None
        assert (await one.link.operate(command, "open")).refused is not None
        assert one.orders == []


@BOTH
async def test_a_selection_holds_no_longer_than_its_time(command: str) -> None:
    async with bay() as one:
        await one.link.select(command, "open")
        timeout_s = one.link.select_timeout_s(command)
        assert timeout_s is not None
        one.now += int(timeout_s * 1e6)
        assert (await one.link.operate(command, "open")).refused is not None
        assert one.orders == []


async def test_a_second_selection_and_another_action_are_refused() -> None:
    async with bay() as one:
        await one.link.select(BREAKER, "open")
        assert (await one.link.select(BREAKER, "close")).refused is AddCause.OBJECT_ALREADY_SELECTED
        assert (await one.link.operate(BREAKER, "close")).refused is AddCause.INCONSISTENT_PARAMETERS
        assert one.orders == []


async def test_what_the_bay_itself_refuses_is_told_with_its_cause() -> None:
    async with bay() as one:
        one.refuses = AddCause.BLOCKED_BY_INTERLOCKING
        await one.link.select(BREAKER, "open")
        assert (await one.link.operate(BREAKER, "open")).refused is AddCause.BLOCKED_BY_INTERLOCKING
        await one.link.select(METHOD, "open")
        assert await one.link.operate(METHOD, "open") == DeviceAnswer(AddCause.UNKNOWN, "BadInvalidState")


async def test_a_direct_command_needs_no_selection_and_an_unknown_value_is_not_supported() -> None:
    narrower = replace(DIRECT, entry=replace(DIRECT.entry, values={"reset": 1, "raise": 9}))
    async with bay() as one:
        link = one.connect(replace(NODES, commands=(narrower,)))
        assert await link.select(RESET, "reset") == DeviceAnswer(), "nothing to select"
        await link.ready()
        assert (await link.operate(RESET, "reset")).refused is None
        assert (await link.operate(RESET, "raise")).refused is AddCause.NOT_SUPPORTED
        await link.close()
        assert one.orders == [(RESET, "reset")]


async def test_a_set_point_is_echoed_and_carried_as_the_number_of_its_node() -> None:
    async with bay() as one:
        assert one.link.actions(SET_POINT) == ("set",)
        assert await one.link.select(SET_POINT, 23.101) == DeviceAnswer(detail="echo 23101")
        assert (await one.link.operate(SET_POINT, 23.102)).refused is AddCause.INCONSISTENT_PARAMETERS
        assert (await one.link.select(SET_POINT, 23.101)).refused is None
        assert (await one.link.operate(SET_POINT, 23.101)).refused is None
        assert one.orders == [(SET_POINT, pytest.approx(23.101, abs=1e-9))]


async def test_a_set_point_is_the_argument_of_a_method() -> None:
    async with bay() as one:
        assert (await one.link.select(SET_METHOD, 23.1)).refused is None
        assert (await one.link.operate(SET_METHOD, 23.1)).refused is None
        assert one.orders == [(SET_METHOD, struct.unpack("f", struct.pack("f", 23.1))[0])]


async def test_the_position_is_asked_of_the_device_with_its_time() -> None:
    async with bay() as one:
        (row,) = await one.link.return_information(BREAKER)
        assert (row["point"], row["value"], row["quality"], row["time"]) == (POSITION.id, 2.0, 0, MOVED_AT)
        assert len(await one.link.return_information(RESET)) == 0


@BOTH
async def test_a_link_lost_after_the_selection_sends_nothing_and_stays_unsent(command: str) -> None:
    async with bay() as one:
        await one.link.select(command, "open")
        await one.link.close()
        with pytest.raises(NothingSent):
            await one.link.operate(command, "open")
        await one.link.return_information(BREAKER)
        assert one.orders == []


@BOTH
async def test_an_order_whose_answer_is_cut_is_unknown_and_not_sent_again(command: str) -> None:
    async with bay() as one:
        await one.link.select(command, "open")
        await one.wire.impair(Impairment.CUT)
        with pytest.raises(AnswerLost):
            await one.link.operate(command, "open")
        await one.wire.impair(Impairment.NONE)
        await one.link.return_information(BREAKER)
        assert one.orders == [(command, "open")], "it was carried out; nobody could say so"


@BOTH
async def test_a_server_that_errs_over_an_order_has_not_refused_it(command: str) -> None:
    async with bay() as one:
        await one.link.select(command, "open")
        one.errs = True
        with pytest.raises(AnswerLost):
            await one.link.operate(command, "open")
        assert one.orders == [(command, "open")], "it was carried out before the error"


async def test_an_order_into_silence_is_unknown_and_never_arrives_later() -> None:
    async with bay() as one:
        await one.link.select(BREAKER, "open")
        await one.wire.impair(Impairment.SILENT)
        with one.impatient(), pytest.raises(AnswerLost):
            await one.link.operate(BREAKER, "open")
        await one.wire.impair(Impairment.NONE)
        await one.link.return_information(BREAKER)
        assert one.orders == []


async def test_a_station_that_cannot_be_reached_has_been_sent_nothing() -> None:
    async with bay() as one:
        await one.wire.impair(Impairment.REFUSE)
        for attempt in (one.link.select(BREAKER, "open"), one.link.cancel(BREAKER), one.link.operate(BREAKER, "open")):
            with pytest.raises(NothingSent):
                await attempt


async def test_an_order_that_waited_for_its_turn_is_not_sent_over_a_connection_opened_meanwhile() -> None:
    """Another question is out when the connection dies; it is asked again over a new one, the order is not."""
    async with bay() as one:
        await one.link.ready()
        await one.wire.impair(Impairment.SILENT)
        asking = asyncio.create_task(one.link.return_information(BREAKER))
        ordering = asyncio.create_task(one.link.operate(RESET, "reset"))
        await asyncio.sleep(0)
        await one.wire.impair(Impairment.NONE)
        assert (await asking)["value"].tolist() == [2.0]
        with pytest.raises(NothingSent, match="the connection was lost since the device was asked"):
            await ordering
        assert one.orders == []
