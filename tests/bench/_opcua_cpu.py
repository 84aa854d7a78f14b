"""Processor time of one OPC UA data change: our link, socket to sample, against asyncua's own handler, in turns.

Both subscribe the same nodes of the same server, which is another process. The handler only keeps value, status and
time; our link also scales, checks and dates, and makes SAMPLE rows.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncua import Client, ua

from scada.clock import now_us
from scada.model.cause import Cause
from scada.model.point import Point, PointKind, point_id
from scada.model.station import Endpoint, Protocol
from substations.nodemap import NodeType
from substations.nodes import BoundNode, StationNodes
from substations.opcua import OpcuaLink
from tests.bench._field import end_process, start_process
from tests.bench._opcua_source import NAMESPACE, is_double

NODES = 1000
CHANGES_PER_S = 8000.0
PERIOD_S = 0.25
QUEUE = 100
ROUNDS = 2
READY_WITHIN_S = 60.0


@dataclass(slots=True)
class Spent:
    """What one of the two took."""

    changes: int = 0
    cpu_s: float = 0.0

    @property
    def us_per_change(self) -> float:
        """Processor time of this process."""
        return self.cpu_s / self.changes * 1e6


async def compare(folder: Path, kind: str, seconds: float) -> tuple[Spent, Spent]:
    """Our link's and the handler's; ``kind`` is ``double``, or ``mixed`` for types in turn."""
    ours, theirs = Spent(), Spent()
    async with _source(folder, kind) as port:
        for _ in range(ROUNDS):
            await _through_our_link(port, kind, seconds / ROUNDS / 2, ours)
            await _through_the_handler(port, seconds / ROUNDS / 2, theirs)
    return ours, theirs


@asynccontextmanager
async def _source(folder: Path, kind: str) -> AsyncIterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    log = folder / f"opcua-{kind}.log"
    words = [str(port), str(NODES), str(CHANGES_PER_S), kind]
    child = start_process(["-m", "tests.bench._opcua_source", *words], log)
    try:
        for _ in range(int(READY_WITHIN_S * 10)):
            if "ready" in log.read_text(encoding="utf-8"):
                break
            await asyncio.sleep(0.1)
        yield port
    finally:
        end_process(child, 10.0)


async def _through_our_link(port: int, kind: str, seconds: float, spent: Spent) -> None:
    link = OpcuaLink(Endpoint(Protocol.OPCUA, "127.0.0.1", port, timeout_s=10.0), _station(kind), now_us)
    await link.open()
    await link.scan(PERIOD_S, Cause.GENERAL_INTERROGATION)
    await asyncio.sleep(2 * PERIOD_S)
    await link.scan(PERIOD_S, Cause.SPONTANEOUS)
    before, cpu, until = link.counts.events, time.process_time(), time.monotonic() + seconds
    samples = 0
    while time.monotonic() < until:
        await asyncio.sleep(PERIOD_S)
        samples += len((await link.scan(PERIOD_S, Cause.SPONTANEOUS)).batch)
    spent.cpu_s += time.process_time() - cpu
    spent.changes += samples
    assert 0 <= link.counts.events - before - samples <= QUEUE * NODES
    await link.close()


def _station(kind: str) -> StationNodes:
    nodes = []
    for number in range(NODES):
        point = Point(
            point_id(99, 1 + number // 250, 1 + number % 250),
            f"TN99/{number // 250}/P{number}",
            PointKind.MEASURED_VALUE,
            "",
            "",
        )
        node_type = NodeType.DOUBLE if is_double(number, kind) else NodeType.BOOLEAN
        nodes.append(BoundNode(point, NAMESPACE, f"s=P{number}", node_type, 1.0, 0.0, 0.0, PERIOD_S, 0.0, QUEUE))
    return StationNodes("TN99", tuple(nodes), ())


class _Handler:
    """As little as a handler can do and still know what a sample holds."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        item = data.monitored_item
        self.kept.append((item.ClientHandle, value, item.Value.StatusCode.value, item.Value.SourceTimestamp))


async def _through_the_handler(port: int, seconds: float, spent: Spent) -> None:
    handler = _Handler()
    async with Client(f"opc.tcp://127.0.0.1:{port}", timeout=10) as client:
        index = await client.get_namespace_index(NAMESPACE)
        subscription = await client.create_subscription(PERIOD_S * 1000, handler)
        places = [client.get_node(ua.NodeId(ua.String(f"P{number}"), ua.Int16(index))) for number in range(NODES)]
        await subscription.subscribe_data_change(places, queuesize=QUEUE)
        await asyncio.sleep(2 * PERIOD_S)
        handler.kept.clear()
        cpu, until = time.process_time(), time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(PERIOD_S)
            spent.changes += len(handler.kept)
            handler.kept.clear()
        spent.cpu_s += time.process_time() - cpu
        await subscription.delete()
