"""Claims about a simulated OPC UA station, seen by asyncua's client; identifiers written out as in the maps."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import BadInvalidState, BadOutOfRange, BadUserAccessDenied

from scada.clock import now_us
from scada.model.station import Province, Station
from scada.stationfile import load_province
from simulators.address_space import Nodes, standard_nodes
from simulators.field import Field, FieldPlan, load_maps
from simulators.grid_solver import GridSolver
from simulators.plant import Plant

pytestmark = pytest.mark.integration

SUBSTATIONS = Path(__file__).resolve().parents[2] / "substations"
NAMESPACE = "urn:gridscada:substation"
INTERMEDIATE, OPEN, CLOSED = 0, 1, 2
OPEN_ORDER = ua.Variant(1, ua.VariantType.Byte)


@cache
def province() -> Province:
    return load_province(SUBSTATIONS)


def station(code: str) -> Station:
    found = next(each for each in province().stations if each.code == code)
    return replace(found, endpoint=replace(found.endpoint, host="127.0.0.1", port=0))


@cache
def shared_nodes() -> Nodes:
    return standard_nodes()


@pytest.fixture
async def field() -> AsyncIterator[Field]:
    stations = (station("TN13"),)
    plan = FieldPlan(stations, load_maps(SUBSTATIONS, stations), period_s=0.1)
    plant = Plant(province(), GridSolver(province()), seed=1, now=now_us())
    async with Field(plan, plant, shared=shared_nodes()) as running:
        yield running


@pytest.fixture
async def client(field: Field) -> AsyncIterator[Client]:
    async with Client(f"opc.tcp://127.0.0.1:{field.ports['TN13']}/TN13", timeout=60) as made:
        yield made


async def node(client: Client, identifier: str) -> Any:
    space = await client.get_namespace_index(NAMESPACE)
    return client.get_node(ua.NodeId.from_string(f"ns={space};s={identifier}"))


def shown(field: Field, name: str) -> float:
    point = next(each for each in station("TN13").points if each.name == name)
    values = field.plant.values("TN13")
    return float(values.values[np.searchsorted(values.points, point.id)])


async def position(client: Client) -> int:
    return int(await (await node(client, "TN13.471.471.position")).read_value())


async def test_a_node_shows_what_the_plant_shows_in_the_unit_of_the_map(field: Field, client: Client) -> None:
    power = await (await node(client, "TN13.471.active_power")).read_data_value()
    assert power.Value.Value / 1000.0 == pytest.approx(shown(field, "TN13/471/active_power"), rel=0.02)
    assert power.Value.VariantType is ua.VariantType.Double
    assert power.Value.Value > 100.0
    assert await position(client) == CLOSED


async def test_a_value_bears_the_time_of_its_source(field: Field, client: Client) -> None:
    value = await (await node(client, "TN13.471.471.position")).read_data_value()
    point = next(each for each in station("TN13").points if each.name == "TN13/471/471.position")
    values = field.plant.values("TN13")
    time = int(values.times[np.searchsorted(values.points, point.id)])
    assert value.SourceTimestamp.replace(tzinfo=UTC) == datetime.fromtimestamp(time / 1e6, UTC)


async def test_every_point_of_the_station_has_a_node_with_a_good_value(field: Field, client: Client) -> None:
    space = await client.get_namespace_index(NAMESPACE)
    nodes = [
        client.get_node(ua.NodeId.from_string(f"ns={space};{each.identifier}"))
        for each in field.plan.maps.nodes["TN13"].points
    ]
    read = await client.read_attributes(nodes, AttributeIds.Value)
    assert len(read) == len(station("TN13").points)
    assert [each for each in read if each.Value is None or each.Value.Value is None] == []
    assert [each for each in read if each.StatusCode is None or not each.StatusCode.is_good()] == []


class Changes:
    """Collects what a subscription tells."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self._news = asyncio.Event()

    def datachange_notification(self, _node: object, value: int, _data: object) -> None:
        self.values.append(value)
        self._news.set()

    async def until(self, value: int) -> None:
        async with asyncio.timeout(60.0):
            while value not in self.values:
                await self._news.wait()
                self._news.clear()


async def follow(client: Client, identifier: str) -> Changes:
    heard = Changes()
    subscription = await client.create_subscription(20, heard)
    await subscription.subscribe_data_change(await node(client, identifier), queuesize=10)
    return heard


async def test_an_order_opens_the_breaker_through_its_intermediate_position(field: Field, client: Client) -> None:
    heard = await follow(client, "TN13.471.471.position")

    await (await node(client, "TN13.471.471.operate.SBO")).write_value(OPEN_ORDER)
    assert await (await node(client, "TN13.471.471.operate.SBO.echo")).read_value() == 1
    await (await node(client, "TN13.471.471.operate.Oper")).write_value(OPEN_ORDER)
    await heard.until(OPEN)

    assert heard.values == [CLOSED, INTERMEDIATE, OPEN]
    assert not field.plant.feeder_energised()["TN13/471"]
    assert await (await node(client, "TN13.471.471.operate.SBO.echo")).read_value() == 0
    assert await (await node(client, "TN13.471.471.operate.AddCause")).read_value() == 0


async def test_a_movement_that_was_over_before_it_could_be_shown_is_told_as_it_went() -> None:
    """The machine had something else to do: the clock is a second on when the simulator gets its turn."""
    stations = (station("TN13"),)
    plan = FieldPlan(stations, load_maps(SUBSTATIONS, stations), period_s=60.0)
    moments = [now_us()]
    plant = Plant(province(), GridSolver(province()), seed=1, now=moments[0])
    made = Field(plan, plant, clock=lambda: moments[-1], shared=shared_nodes())
    async with made as field, Client(f"opc.tcp://127.0.0.1:{field.ports['TN13']}/TN13", timeout=60) as client:
        heard = await follow(client, "TN13.471.471.position")
        assert field.order("TN13/471/471.operate", "open", moments[0]) is None
        moments.append(moments[0] + 1_000_000)
        await heard.until(OPEN)
    assert heard.values == [CLOSED, INTERMEDIATE, OPEN]


async def test_an_order_without_selection_is_refused_with_its_cause(field: Field, client: Client) -> None:
    with pytest.raises(BadInvalidState):
        await (await node(client, "TN13.471.471.operate.Oper")).write_value(OPEN_ORDER)
    assert await (await node(client, "TN13.471.471.operate.AddCause")).read_value() == 18
    with pytest.raises(BadOutOfRange):
        await (await node(client, "TN13.471.471.operate.SBO")).write_value(ua.Variant(77, ua.VariantType.Byte))
    assert await position(client) == CLOSED


async def test_a_value_cannot_be_written(client: Client) -> None:
    with pytest.raises(BadUserAccessDenied):
        await (await node(client, "TN13.471.471.position")).write_value(OPEN_ORDER)


async def test_two_servers_of_one_process_do_not_share_what_they_show() -> None:
    stations = (station("TN13"), station("TN14"))
    plan = FieldPlan(stations, load_maps(SUBSTATIONS, stations), period_s=5.0)
    plant = Plant(province(), GridSolver(province()), seed=1, now=now_us())
    async with Field(plan, plant, shared=shared_nodes()) as field:
        arrays = []
        for code in ("TN13", "TN14"):
            async with Client(f"opc.tcp://127.0.0.1:{field.ports[code]}/{code}", timeout=60) as client:
                arrays.append(await client.nodes.server.get_child("0:ServerArray"))
                arrays[-1] = await arrays[-1].read_value()
    assert arrays == [["urn:gridscada:simulator:TN13"], ["urn:gridscada:simulator:TN14"]]


async def test_what_the_field_has_shown_is_what_a_station_says_also_while_it_was_showing_something_older(
    field: Field, client: Client
) -> None:
    switch = await node(client, "TN13.471.local_remote")
    assert await switch.read_value() == 1
    older = asyncio.create_task(field.show())
    await asyncio.sleep(0)
    field.plant.set_signal("TN13/471/local_remote", 0.0, now_us())
    await field.show()
    assert await switch.read_value() == 0
    await older
    assert await switch.read_value() == 0
