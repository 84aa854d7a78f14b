"""Claims about alarms that come as events: a simulated station over loopback, and what the image makes of them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
from asyncua import ua

from scada.clock import now_us
from scada.image import ProcessImage
from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.point import PointKind
from scada.model.sample import SampleArray
from scada.model.station import Endpoint, Protocol
from simulators.address_space import Nodes, standard_nodes
from simulators.impairments import Impairment
from simulators.opcua_station import OpcuaStation
from simulators.relay import ImpairedLink
from substations.nodemap import NodeType
from substations.nodes import BoundCondition, BoundNode, StationNodes
from substations.opcua import OpcuaLink
from tests.fakes_substations import make_point

pytestmark = pytest.mark.integration

NAMESPACE = "urn:gridscada:substation"
NAMES = ("f87l", "f86")
POINTS = tuple(make_point(row, name=f"TN07/171/{name}", kind=PointKind.SINGLE_POINT) for row, name in enumerate(NAMES))
NODES = StationNodes(
    "TN07",
    tuple(
        BoundNode(each, NAMESPACE, f"s={each.name}", NodeType.BOOLEAN, 1.0, 0.0, 0.0, 0.05, 0.0, 10) for each in POINTS
    ),
    (),
    tuple(BoundCondition(each, NAMESPACE, "s=TN07/171", each.name[9:], 0.05, 1000) for each in POINTS),
)
IDS = np.array([each.id for each in POINTS], dtype=np.int32)


@cache
def shared_nodes() -> Nodes:
    """Built once: a server of its own takes 1.3 s of CPU for them."""
    return standard_nodes()


@dataclass
class Bay:
    """A simulated station whose relays a test moves, and a link to it behind a relay that can cut it."""

    station: OpcuaStation
    wire: ImpairedLink
    link: OpcuaLink
    image: ProcessImage = field(default_factory=lambda: ProcessImage(POINTS))
    events: list[tuple[str, float, int]] = field(default_factory=list)
    """Name, value and source time of what the image takes for events."""
    shown: dict[str, tuple[float, int]] = field(default_factory=dict)

    async def show(self, **picked_up: float) -> int:
        """Set signals at one moment of the plant; returns it."""
        now = now_us()
        self.shown |= {name: (value, now) for name, value in picked_up.items()}
        state = [self.shown.get(name, (0.0, 1_700_000_000_000_000)) for name in NAMES]
        values, times = (np.array(column) for column in zip(*state, strict=True))
        await self.station.refresh(IDS, values, np.zeros(len(IDS), dtype=np.uint8), times, now)
        return now

    async def scan(self, cause: Cause = Cause.SPONTANEOUS) -> SampleArray:
        batch = (await self.link.scan(0.05, cause)).batch
        names = {each.id: each.name[9:] for each in POINTS}
        told = self.image.take(batch).events
        self.events += [(names[row["point"]], float(row["value"]), int(row["time"])) for row in told]
        return batch

    async def until_events(self, count: int) -> None:
        async with asyncio.timeout(60.0):
            while len(self.events) < count:
                await self.scan()
                await asyncio.sleep(0.02)

    async def until_quiet(self) -> None:
        """Scan until what is on its way has come: two publications and more."""
        for _ in range(10):
            await self.scan()
            await asyncio.sleep(0.02)

    async def lose(self) -> None:
        await self.wire.impair(Impairment.REFUSE)
        with pytest.raises(LinkError):
            async with asyncio.timeout(60.0):
                while True:
                    await self.scan()
                    await asyncio.sleep(0.02)
        await self.link.close()

    async def find_again(self) -> None:
        await self.wire.impair(Impairment.NONE)
        await self.link.open()
        await self.scan(Cause.GENERAL_INTERROGATION)


@asynccontextmanager
async def bay() -> AsyncIterator[Bay]:
    station = OpcuaStation(NODES, lambda *_: None, now_us, shared_nodes())
    port = await station.start("127.0.0.1", 0, "/TN07")
    wire = ImpairedLink("TN07", "127.0.0.1", 0, ("127.0.0.1", port))
    await wire.start()
    link = OpcuaLink(
        Endpoint(Protocol.OPCUA, "127.0.0.1", wire.address[1], path="/TN07", timeout_s=30.0), NODES, now_us
    )
    one = Bay(station, wire, link)
    try:
        await one.show()
        yield one
    finally:
        await link.close()
        await wire.stop()
        await station.stop()


async def started(one: Bay) -> None:
    await one.link.open()
    await one.scan(Cause.GENERAL_INTERROGATION)
    await one.until_quiet()


async def test_pick_ups_between_two_scans_are_all_events_each_once_with_the_relay_s_time() -> None:
    async with bay() as one:
        await started(one)
        wanted = [("f87l", float(step % 2), await one.show(f87l=step % 2)) for step in range(1, 8)]
        wanted.append(("f86", 1.0, await one.show(f86=1)))
        await one.until_events(len(wanted))
        await one.until_quiet()
        await one.scan(Cause.BACKGROUND_SCAN)
        assert one.events == wanted
        assert one.image.snapshot()[["value", "quality"]].tolist() == [(1.0, 0), (1.0, 0)]


async def test_a_condition_that_was_active_before_is_the_initial_state_and_no_event() -> None:
    async with bay() as one:
        at = await one.show(f86=1)
        await started(one)
        assert one.events == []
        assert one.image.read(["TN07/171/f86"])[["value", "time"]].tolist() == [(1.0, at)]


async def test_what_happened_during_an_outage_comes_once_and_in_order_with_the_taken_over_subscription() -> None:
    async with bay() as one:
        await started(one)
        wanted = [("f87l", 1.0, await one.show(f87l=1))]
        await one.until_events(1)
        await one.lose()
        wanted += [("f87l", float(step % 2), await one.show(f87l=step % 2)) for step in range(2, 6)]
        wanted.append(("f86", 1.0, await one.show(f86=1)))
        await one.find_again()
        await one.until_quiet()
        assert one.events == wanted
        assert one.link.counts.events_lost == 0


async def test_a_new_subscription_is_refreshed_what_is_known_is_not_told_again_what_is_active_now_is() -> None:
    async with bay() as one:
        await started(one)
        before = [("f87l", 1.0, await one.show(f87l=1))]
        await one.until_events(1)
        await one.lose()
        service = one.station._core.subscription_service
        await service.delete_subscriptions(list(service.subscriptions))
        picked_up = await one.show(f86=1)
        await one.find_again()
        await one.until_quiet()
        assert one.events == [*before, ("f86", 1.0, picked_up)]
        dropped_out = await one.show(f87l=0)
        await one.until_events(3)
        assert one.events[2:] == [("f87l", 0.0, dropped_out)]


async def test_what_went_while_nobody_was_told_is_seen_by_the_interrogation() -> None:
    async with bay() as one:
        await started(one)
        await one.show(f87l=1)
        await one.until_events(1)
        await one.lose()
        service = one.station._core.subscription_service
        await service.delete_subscriptions(list(service.subscriptions))
        dropped_out = await one.show(f87l=0)
        await one.find_again()
        await one.until_quiet()
        assert one.events[1:] == [("f87l", 0.0, dropped_out)]


async def test_a_server_without_events_has_its_conditions_followed_as_values(caplog: pytest.LogCaptureFixture) -> None:
    async with bay() as one:
        await one.station._server.nodes.server.set_event_notifier([])
        await started(one)
        at = await one.show(f87l=1)
        await one.until_events(1)
        assert one.events == [("f87l", 1.0, at)]
    assert "TN07 tells no events: BadServiceUnsupported; conditions are followed as values" in caplog.messages


async def test_lost_events_make_the_link_refresh_and_read(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with bay() as one:
        await started(one)
        trips = one.link.counts.round_trips
        overflow = ua.EventFieldList()
        overflow.EventFields = [ua.Variant(), ua.Variant(ua.NodeId(ua.Int32(ua.ObjectIds.EventQueueOverflowEventType)))]
        one.link.hear([overflow])
        batch = await one.scan()
        assert set(batch["point"].tolist()) == set(IDS.tolist())
        assert one.link.counts.round_trips - trips >= 2
        assert one.link.counts.events_lost == 1
        assert one.events == []
