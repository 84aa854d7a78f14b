"""Claims about the OPC UA link, against asyncua's own server over loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from unittest.mock import AsyncMock

import numpy as np
import pytest
from asyncua import Client, Server, ua

from scada.config import ScanConfig
from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.quality import Quality
from scada.model.sample import SampleArray
from scada.model.station import Endpoint, Protocol
from simulators.address_space import Nodes, SharingServer, standard_nodes
from substations.changeblock import ChangeBlock
from substations.nodemap import NodeType
from substations.nodes import BoundNode, StationNodes
from substations.opcua import OpcuaLink
from substations.scan import StationScan, scan_stations
from substations.scancounts import LinkState
from tests.fakes_substations import make_point, own_port

pytestmark = pytest.mark.integration

NAMESPACE = "urn:gridscada:substation"
NOW = 1_700_000_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TYPES = {
    NodeType.DOUBLE: ua.VariantType.Double,
    NodeType.BYTE: ua.VariantType.Byte,
    NodeType.BOOLEAN: ua.VariantType.Boolean,
}


def make_node(number: int, kind: NodeType = NodeType.DOUBLE, **fields: object) -> BoundNode:
    node = BoundNode(make_point(number), NAMESPACE, f"s=TN07.171.P{number}", kind, 1.0, 0.0, 0.0, 0.1, 0.0, 10)
    return replace(node, **fields)  # type: ignore[arg-type]  # tests pass fields by name


POWER, BREAKER, ALARM = make_node(1, scale=0.001), make_node(2, NodeType.BYTE), make_node(3, NodeType.BOOLEAN)
NODES = (POWER, BREAKER, ALARM)
START = {POWER.identifier: 5000.0, BREAKER.identifier: 2, ALARM.identifier: False}


@cache
def shared_nodes() -> Nodes:
    """Built once: a server of its own takes 1.3 s of CPU for them."""
    return standard_nodes()


@dataclass
class Device:
    """A server with one variable for every node; other namespaces may come before ours."""

    port: int
    before: int = 0
    server: Server = field(init=False)

    async def start(self) -> None:
        self.server = Server(SharingServer(shared_nodes()))
        await self.server.init()
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}")
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        for number in range(self.before):
            await self.server.register_namespace(f"urn:other:{number}")
        index = await self.server.register_namespace(NAMESPACE)
        for node in NODES:
            node_id = ua.NodeId.from_string(f"ns={index};{node.identifier}")
            value = START[node.identifier]
            await self.server.nodes.objects.add_variable(node_id, node.identifier, value, TYPES[node.type])
        await self.server.start()
        self.index = index

    async def stop(self) -> None:
        await self.server.stop()

    async def write(self, node: BoundNode, value: object, *, status: int = 0, at: datetime | None = None) -> None:
        target = self.server.get_node(f"ns={self.index};{node.identifier}")
        at = at or datetime.now(UTC)
        variant = ua.Variant(value, TYPES[node.type])
        await target.write_value(ua.DataValue(variant, StatusCode=ua.StatusCode(status), SourceTimestamp=at))


@asynccontextmanager
async def device(before: int = 0) -> AsyncIterator[Device]:
    with own_port() as port:
        one = Device(port, before)
        await one.start()
        try:
            yield one
        finally:
            await one.stop()


def make_link(port: int, *nodes: BoundNode, timeout_s: float = 30.0) -> OpcuaLink:
    endpoint = Endpoint(Protocol.OPCUA, "127.0.0.1", port, timeout_s=timeout_s)
    return OpcuaLink(endpoint, StationNodes("TN07", nodes or NODES, ()), lambda: NOW)


async def collect(link: OpcuaLink, rows: int, within_s: float = 60.0) -> SampleArray:
    """The next ``rows`` samples that the subscription brings."""
    batches: list[SampleArray] = []
    async with asyncio.timeout(within_s):
        while sum(map(len, batches)) < rows:
            batches.append((await link.scan(0.1, Cause.SPONTANEOUS)).batch)
            await asyncio.sleep(0.02)
    return np.concatenate(batches)


def point_of(node: BoundNode) -> int:
    return node.point.id


async def test_interrogation_changes_status_and_source_time_arrive_as_they_were() -> None:
    async with device(before=3) as one:
        link = make_link(one.port)
        await link.open()
        first = (await link.scan(0.1, Cause.GENERAL_INTERROGATION)).batch
        assert first[["point", "value", "quality", "cause"]].tolist() == [
            (point_of(POWER), 5.0, 0, Cause.GENERAL_INTERROGATION),
            (point_of(BREAKER), 2.0, 0, Cause.GENERAL_INTERROGATION),
            (point_of(ALARM), 0.0, 0, Cause.GENERAL_INTERROGATION),
        ]
        await collect(link, 3)

        moment = datetime(2023, 11, 14, 22, 0, 0, 123456, tzinfo=UTC)
        for number, position in enumerate((1, 0, 2)):
            await one.write(BREAKER, position, at=moment + timedelta(milliseconds=number))
        events = await collect(link, 3)
        assert events["value"].tolist() == [1.0, 0.0, 2.0], "a sequence of events must not be merged"
        assert np.diff(events["time"]).tolist() == [1000, 1000]
        assert events["time"][0] == (moment - EPOCH) // timedelta(microseconds=1)
        assert set(events["cause"].tolist()) == {int(Cause.SPONTANEOUS)}

        await one.write(POWER, 5000.0, status=ua.StatusCodes.UncertainLastUsableValue)
        assert (await collect(link, 1))["quality"].tolist() == [Quality.NOT_TOPICAL]
        await one.write(ALARM, value=True, at=datetime(1970, 1, 2, tzinfo=UTC))
        assert (await collect(link, 1))[["value", "time"]].tolist() == [(1.0, NOW)], "1970 is no source time"
        ahead = EPOCH + timedelta(microseconds=NOW) + timedelta(minutes=2)
        await one.write(ALARM, value=False, at=ahead)
        assert (await collect(link, 1))[["value", "time"]].tolist() == [(0.0, NOW)], "nor is two minutes ahead"
        for number in (float("nan"), float("inf"), float("-inf")):
            await one.write(POWER, number)
            assert (await collect(link, 1))[["value", "quality"]].tolist() == [(0.0, Quality.INVALID)]
        assert link.counts.wrong_times >= 2

        background = (await link.scan(0.1, Cause.BACKGROUND_SCAN)).batch
        assert background["cause"].tolist() == [Cause.BACKGROUND_SCAN] * 3
        await link.close()


async def noted(link: OpcuaLink) -> None:
    """A change has come, and waits for the next scan."""
    await eventually(lambda: bool(link._changes._waiting))


async def test_a_change_that_overtakes_the_answer_to_an_integrity_scan_is_what_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both may come in one packet: the change is taken at once, the answer a few turns of the event loop later."""
    async with device() as one:
        link = make_link(one.port)
        await link.open()
        await link.scan(0.1, Cause.GENERAL_INTERROGATION)
        await collect(link, 3)
        read = link._read_all

        async def overtaken(client: Client) -> ChangeBlock:
            answer = await read(client)
            await one.write(BREAKER, 1)
            await noted(link)
            return answer

        monkeypatch.setattr(link, "_read_all", overtaken)
        batch = (await link.scan(0.1, Cause.BACKGROUND_SCAN)).batch
        await link.close()
    assert batch[batch["point"] == point_of(BREAKER)][["value", "cause"]].tolist() == [(1.0, Cause.SPONTANEOUS)]
    assert set(batch["point"].tolist()) == {point_of(node) for node in NODES}


async def test_changes_lost_while_everything_is_read_are_read_with_the_next_scan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They may be newer than the answer, and nobody would tell them before the next integrity scan."""
    async with device() as one:
        link = make_link(one.port)
        await link.open()
        await link.scan(0.1, Cause.GENERAL_INTERROGATION)
        await collect(link, 3)
        read = link._read_all

        async def losing(client: Client) -> ChangeBlock:
            answer = await read(client)
            link.miss(1)
            return answer

        with monkeypatch.context() as once:
            once.setattr(link, "_read_all", losing)
            await link.scan(0.1, Cause.BACKGROUND_SCAN)
        again = (await link.scan(0.1, Cause.SPONTANEOUS)).batch
        assert set(again["point"].tolist()) == {point_of(node) for node in NODES}
        assert len((await link.scan(0.1, Cause.SPONTANEOUS)).batch) == 0, "and that once"
        await link.close()


async def test_changes_before_an_integrity_scan_that_broke_off_come_with_the_next_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server was told that they had arrived: it does not tell them again."""
    async with device() as one:
        link = make_link(one.port)
        await link.open()
        await link.scan(0.1, Cause.GENERAL_INTERROGATION)
        await collect(link, 3)
        for position in (1, 0, 2):
            await one.write(BREAKER, position)
        await noted(link)
        with monkeypatch.context() as broken:
            broken.setattr(link, "_read_all", AsyncMock(side_effect=ConnectionError("reset")))
            with pytest.raises(LinkError, match="reset"):
                await link.scan(0.1, Cause.BACKGROUND_SCAN)
        await link.close()
        await link.open()
        batch = (await link.scan(0.1, Cause.GENERAL_INTERROGATION)).batch
        await link.close()
    shown = batch[batch["point"] == point_of(BREAKER)]
    assert shown["value"].tolist() == [1.0, 0.0, 2.0, 2.0]
    assert shown["cause"].tolist() == [*[Cause.SPONTANEOUS] * 3, Cause.GENERAL_INTERROGATION]


async def test_a_node_the_server_does_not_have_is_invalid_and_the_others_are_read() -> None:
    absent = make_node(9)
    async with device() as one:
        link = make_link(one.port, *NODES, absent)
        await link.open()
        answer = await link.scan(0.1, Cause.GENERAL_INTERROGATION)
        await link.close()
    assert [(each.points.tolist(), each.quality) for each in answer.failed] == [([point_of(absent)], Quality.INVALID)]
    assert "BadNodeIdUnknown" in answer.failed[0].reason
    good = answer.batch[answer.batch["quality"] == 0]
    assert good["point"].tolist() == [point_of(node) for node in NODES]


async def test_a_server_without_our_namespace_is_a_broken_link() -> None:
    elsewhere = replace(POWER, namespace="urn:somebody:else")
    async with device() as one:
        link = make_link(one.port, elsewhere)
        with pytest.raises(LinkError, match="the server has no namespace urn:somebody:else"):
            await link.open()


async def test_nobody_listening_is_a_broken_link() -> None:
    with own_port() as port, pytest.raises(LinkError, match=r"cannot connect to 127\.0\.0\.1"):
        await make_link(port).open()


async def test_who_accepts_and_stays_silent_is_a_broken_link() -> None:
    gone = asyncio.Event()

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0)
    async with server:
        link = make_link(server.sockets[0].getsockname()[1], timeout_s=1.0)
        with pytest.raises(LinkError, match="cannot connect"):
            await link.open()
        await link.close()
        await asyncio.wait_for(gone.wait(), 60)


async def eventually(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 -- the condition is another task's figure
            await asyncio.sleep(0.02)


async def test_a_restarted_server_with_other_namespace_indices_is_interrogated_and_followed_again() -> None:
    batches: list[SampleArray] = []
    with own_port() as port:
        one = Device(port)
        await one.start()
        config = ScanConfig(silent_scans=2, reconnect_min_s=0.2, reconnect_max_s=0.5)
        points = [node.point for node in NODES]
        scan = StationScan("TN07", points, make_link(one.port), batches.append, config)
        task = asyncio.create_task(scan_stations([scan]))
        try:
            await eventually(lambda: scan.statistics.state is LinkState.UP)
            await one.stop()
            await eventually(lambda: scan.statistics.state is LinkState.LOST)
            assert batches[-1]["quality"].tolist() == [Quality.NOT_TOPICAL] * 3
            assert batches[-1]["value"].tolist() == [5.0, 2.0, 0.0]
            lost_at = len(batches)
            one = Device(port, before=2)
            await one.start()
            await eventually(lambda: len(batches) > lost_at)
            assert batches[lost_at]["cause"].tolist() == [Cause.GENERAL_INTERROGATION] * 3
            assert batches[lost_at]["quality"].tolist() == [0, 0, 0]
            await one.write(BREAKER, 1)
            await eventually(lambda: bool((np.concatenate(batches[lost_at:])["value"] == 1.0).any()))
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await one.stop()
