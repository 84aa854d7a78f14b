"""A station over OPC UA.

Knows the field library, one session and its reads. Does not know when to scan, when a link counts as lost or
what becomes of the samples.

Changes arrive by subscription, with the source's time and status, and wait here until the next scan takes them. The
present value of every point is read for a general interrogation; subscriptions begin after it, so that nothing older
than it arrives behind it. The library never reconnects by itself: whoever scans decides.

Points that conditions tell are subscribed as events instead; what an interrogation reads of them is settled with those.

A lost connection leaves the subscriptions at the server; the next one takes them over where the server allows it, with
all that was queued meanwhile. What cannot be had again is counted, and the present values are read.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError

from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.sample import SampleArray, no_samples
from scada.model.station import Endpoint
from substations.changeblock import ChangeBlock, joined
from substations.link import FailedRead, LinkCounts, ScanAnswer
from substations.nodes import BoundNode, StationNodes
from substations.opcua_changes import Changes, of_values
from substations.opcua_conditions import Conditions
from substations.opcua_inbox import Inbox
from substations.opcua_items import refresh
from substations.opcua_security import secure
from substations.opcua_session import LeftSession, ResumingClient
from substations.opcua_subscriptions import Subscriptions

logger = logging.getLogger(__name__)

_MOST_NODES: Final = 1000
"""Nodes of one read; servers limit it, commonly to 1,000 or more."""
_LOOK_S: Final = 0.02
_DRIVER_ERRORS: Final = (OSError, UaError, asyncio.TimeoutError, ValueError)


class OpcuaLink:
    """StationLink over OPC UA; ``now`` dates samples whose source gives no usable time."""

    def __init__(self, endpoint: Endpoint, nodes: StationNodes, now: Clock) -> None:
        self._endpoint = endpoint
        self._station = nodes.station
        self._nodes = nodes.points
        self._points = np.array([node.point.id for node in self._nodes], dtype=np.int32)
        self._changes = Changes(nodes.station, nodes.points, now)
        rows = {node.point.id: row for row, node in enumerate(nodes.points)}
        self._conditions = Conditions(nodes.station, nodes.conditions, rows)
        periods = [each.period_s for each in nodes.points] + [each.period_s for each in nodes.conditions]
        self._period_s = min(periods, default=1.0)
        self._client: ResumingClient | None = None
        self._left_session: LeftSession | None = None
        self._ids: list[ua.NodeId] = []
        self._subscriptions = Subscriptions(nodes.station, nodes.points, self)
        self._is_lost = self._must_read_again = False
        self._untold: list[SampleArray] = []
        """Changes taken from the server and not yet handed over: no interrogation that breaks off may lose them."""
        self._round_trips = self._errors = self._missed = self._heard_changes = self._unknown = 0
        self._loss = ""

    @property
    def periods(self) -> tuple[float, ...]:
        return (self._period_s,)

    @property
    def counts(self) -> LinkCounts:
        return LinkCounts(
            round_trips=self._round_trips + self._subscriptions.heard,
            errors=self._errors,
            events=self._heard_changes + self._conditions.heard,
            events_rejected=self._unknown + self._conditions.unknown,
            events_lost=self._missed + self._changes.lost + self._conditions.overflows,
            event_overflow=self._changes.overflow,
            wrong_times=self._changes.wrong_times,
        )

    async def open(self) -> None:
        await self.close()
        endpoint = self._endpoint
        url = f"opc.tcp://{endpoint.host}:{endpoint.port}{endpoint.path}"
        client = ResumingClient(url, endpoint.timeout_s, self._left_session)
        self._loss = ""
        self._is_lost = False
        try:
            await secure(client, endpoint, self._station)
            await client.connect()
        except _DRIVER_ERRORS as error:
            raise LinkError(f"cannot connect to {endpoint.host}:{endpoint.port}: {_reason(error)}") from None
        self._client = client
        try:
            # Servers renumber their namespaces, so the index holds for one connection only.
            uris = await client.get_namespace_array()
            self._ids = [_node_id(node, uris) for node in self._nodes]
            self._conditions.locate(uris)
        except LinkError:
            await self.close()
            raise
        except _DRIVER_ERRORS as error:
            await self.close()
            raise LinkError(f"cannot read the namespaces: {_reason(error)}") from None
        self._left_session = None
        await self._subscriptions.resume(client)

    async def close(self) -> None:
        client, self._client = self._client, None
        self._subscriptions.let_go(leave=self._is_lost and not self._loss and client is not None)
        if client is None:
            return
        if self._is_lost:
            # Without a socket nothing can be said: the server keeps the session and its subscriptions for us.
            self._left_session = client.leave() if self._subscriptions.are_left else None
        client.uaclient.request_disconnect()
        if self._is_lost:
            client.disconnect_socket()
        try:
            async with asyncio.timeout(self._endpoint.timeout_s):
                await client.disconnect()
        except _DRIVER_ERRORS:
            client.disconnect_socket()

    async def scan(self, period_s: float, cause: Cause) -> ScanAnswer:
        try:
            return await self._scan(cause)
        except LinkError:
            self._errors += 1
            self._is_lost = True
            raise

    async def _scan(self, cause: Cause) -> ScanAnswer:
        client = self._client
        if client is None:
            raise LinkError("is not open")
        self._take_changes()
        # What came before a link died is handed over first; the next scan finds it dead.
        if not self._untold:
            self._check_alive(client)
        present = no_samples()
        if cause is not Cause.SPONTANEOUS or self._must_read_again or self._conditions.asks_refresh:
            try:
                present = await self._interrogate(client, cause)
            except _DRIVER_ERRORS as error:
                raise LinkError(_reason(error)) from None
        told = np.concatenate([*self._untold, present])
        self._untold.clear()
        return ScanAnswer(told, self._refused, len(told))

    def _take_changes(self) -> SampleArray:
        changes = self._changes.drain(Cause.SPONTANEOUS)
        if len(changes):
            self._untold.append(changes)
        return changes

    @property
    def _refused(self) -> tuple[FailedRead, ...]:
        """The points whose nodes the server does not follow."""
        return tuple(
            FailedRead(self._points[row : row + 1], Quality.INVALID, f"node {self._nodes[row].identifier}: {why}")
            for row, why in self._subscriptions.refused
        )

    async def _interrogate(self, client: ResumingClient, cause: Cause) -> SampleArray:
        """The present value of every point; subscribes what is not subscribed yet. What came meanwhile is told first.

        A change may overtake the answer to the read before it: then only the change is told.
        """
        subscriptions, conditions = self._subscriptions, self._conditions
        is_new = not subscriptions.are_made
        if is_new and conditions:
            await subscriptions.follow_events(client, conditions.period_s, conditions.queue_size)
        must_refresh = cause is not Cause.BACKGROUND_SCAN or self._must_refresh
        # What is lost from here on may be newer than the answer: it is read again with the next scan.
        self._must_read_again = False
        present = await self._read_all(client)
        is_complete = is_new
        if subscriptions.events is not None and must_refresh:
            is_complete = await self._refresh(client, subscriptions.events) or is_new
        meanwhile = self._take_changes()
        if subscriptions.events is not None:
            present = conditions.settle(present, is_complete=is_complete)
        self._changes.note(present)
        conditions.asks_refresh = False
        answer = self._changes.drain(cause)
        told = conditions.rows if subscriptions.events is not None else frozenset[int]()
        # What is newer than the answer is told by the subscription too; only of conditions an answer may be newer.
        overtaken = np.isin(answer["point"], meanwhile["point"]) & ~np.isin(answer["point"], self._points[list(told)])
        if is_new:
            await subscriptions.follow_values(client, self._ids, told)
        return answer[~overtaken]

    @property
    def _must_refresh(self) -> bool:
        return self._must_read_again or self._conditions.asks_refresh

    async def _refresh(self, client: ResumingClient, events: Inbox) -> bool:
        """Have the server tell the present state of its conditions; True when every event of before has come."""
        before = self._conditions.refreshes
        self._round_trips += 1
        (answer,) = await client.uaclient.session.call([refresh(int(events.subscription_id or 0))])
        if not answer.StatusCode.is_good():
            logger.info("%s does not refresh its conditions: %s", self._station, answer.StatusCode.name)
            return False
        until = time.monotonic() + self._endpoint.timeout_s + 2 * self._conditions.period_s
        while self._conditions.refreshes == before and time.monotonic() < until:
            self._check_alive(client)
            await asyncio.sleep(_LOOK_S)
        return self._conditions.refreshes > before

    def take(self, changes: ChangeBlock) -> None:
        """Note changes; their rows are those of the points."""
        self._heard_changes += len(changes)
        known = (changes.rows >= 0) & (changes.rows < len(self._nodes))
        if not known.all():
            # A server that makes up handles must not end the scan.
            self._unknown += len(changes) - int(np.count_nonzero(known))
            changes = changes.only(known)
        self._changes.note(changes)

    def hear(self, events: Sequence[ua.EventFieldList]) -> None:
        """Note what events say of points that conditions tell."""
        self._changes.note(self._conditions.take(events))

    def miss(self, notifications: int) -> None:
        """Notifications are gone for good: counted, and the present values are read with the next scan."""
        self._missed += notifications
        self._must_read_again = True
        logger.warning("%s lost %d notifications; reads all values", self._station, notifications)

    def lose(self, reason: str) -> None:
        """The server said that it will send no more: the next scan finds the link dead."""
        self._loss = reason

    def _check_alive(self, client: Client) -> None:
        if self._loss:
            raise LinkError(self._loss)
        if client.state is not UaClientState.CONNECTED:
            raise LinkError("connection lost")
        self._subscriptions.check_alive(self._endpoint.timeout_s)

    async def _read_all(self, client: Client) -> ChangeBlock:
        read = []
        for first in range(0, len(self._ids), _MOST_NODES):
            parameters = ua.ReadParameters()
            parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            for node_id in self._ids[first : first + _MOST_NODES]:
                parameters.NodesToRead.append(ua.ReadValueId(NodeId=node_id, AttributeId=AttributeIds.Value))
            self._round_trips += 1
            values = await client.uaclient.session.read(parameters)
            read.append(of_values(range(first, first + len(values)), values))
        return joined(read)


def _node_id(node: BoundNode, uris: Sequence[str]) -> ua.NodeId:
    if node.namespace not in uris:
        raise LinkError(f"the server has no namespace {node.namespace}")
    return ua.NodeId.from_string(f"ns={uris.index(node.namespace)};{node.identifier}")


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def link(endpoint: Endpoint, nodes: StationNodes, now: Clock) -> OpcuaLink:
    """The adapter's factory."""
    return OpcuaLink(endpoint, nodes, now)
