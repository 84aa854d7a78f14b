"""A station over OPC UA.

Knows the field library, one session and its subscriptions. Does not know when to scan, when a link counts as lost or
what becomes of the samples.

Changes arrive by subscription, with the source's time and status, and wait here until the next scan takes them. The
present value of every point is read for a general interrogation; subscriptions begin after it, so that nothing older
than it arrives behind it. The library never reconnects by itself: whoever scans decides.

A lost connection leaves the subscriptions at the server; the next one takes them over where the server allows it, with
all that was queued meanwhile. What cannot be had again is counted, and the present values are read.
"""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState
from asyncua.client.ua_session import UaSession
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError
from numpy.typing import NDArray

from scada.model.cause import Cause
from scada.model.errors import LinkError
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.sample import SampleArray, no_samples, samples
from scada.model.station import Endpoint
from substations.link import FailedRead, LinkCounts, ScanAnswer
from substations.nodemap import BoundNode, StationNodes
from substations.opcua_inbox import Inbox
from substations.opcua_security import secure
from substations.opcua_session import LeftSession, ResumingClient
from substations.quality import mark_implausible, of_opcua_status, tells_overflow
from substations.timetag import believable

logger = logging.getLogger(__name__)

_MOST_NODES: Final = 1000
"""Nodes of one read or one request for monitored items; servers limit it, commonly to 1,000 or more."""
_KEEP_ALIVE_S: Final = 5.0
"""A subscription without changes shows after this time that it is alive."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DRIVER_ERRORS: Final = (OSError, UaError, asyncio.TimeoutError, ValueError)


class OpcuaLink:
    """StationLink over OPC UA; ``now`` dates samples whose source gives no usable time."""

    def __init__(self, endpoint: Endpoint, nodes: StationNodes, now: Clock) -> None:
        self._endpoint = endpoint
        self._station = nodes.station
        self._nodes = nodes.points
        self._now = now
        self._points = np.array([node.point.id for node in self._nodes], dtype=np.int32)
        self._scale = np.array([node.scale for node in self._nodes])
        self._add = np.array([node.add for node in self._nodes])
        self._low = np.array([-np.inf if node.point.low is None else node.point.low for node in self._nodes])
        self._high = np.array([np.inf if node.point.high is None else node.point.high for node in self._nodes])
        self._period_s = min((node.period_s for node in self._nodes), default=1.0)
        self._client: ResumingClient | None = None
        self._left_session: LeftSession | None = None
        self._ids: list[ua.NodeId] = []
        self._inboxes: list[Inbox] = []
        self._left: list[Inbox] = []
        self._is_lost = self._must_read_again = False
        self._round_trips = self._errors = self._lost = self._wrong_times = self._changes = self._earlier = 0
        self._overflow = False
        self._refused: tuple[FailedRead, ...] = ()
        self._loss = ""
        self._handles: list[int] = []
        self._values: list[float] = []
        self._statuses: list[int] = []
        self._times: list[int] = []

    @property
    def periods(self) -> tuple[float, ...]:
        return (self._period_s,)

    @property
    def counts(self) -> LinkCounts:
        heard = self._earlier + sum(inbox.heard for inbox in self._inboxes)
        return LinkCounts(
            round_trips=self._round_trips + heard,
            errors=self._errors,
            events=self._changes,
            events_lost=self._lost,
            event_overflow=self._overflow,
            wrong_times=self._wrong_times,
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
        except LinkError:
            await self.close()
            raise
        except _DRIVER_ERRORS as error:
            await self.close()
            raise LinkError(f"cannot read the namespaces: {_reason(error)}") from None
        await self._resume(client)

    async def _resume(self, client: ResumingClient) -> None:
        """Take over the subscriptions a lost connection left at the server: all of them, or none."""
        left, self._left, self._left_session = self._left, [], None
        session = client.uaclient.session
        if client.resumed:
            mine = [inbox for inbox in left if await inbox.is_alive(session)]
        else:
            mine = [inbox for inbox in left if await inbox.transfer(session)]
        if len(mine) == len(left):
            for inbox in mine:
                await inbox.adopt(session)
            self._inboxes = mine
        elif mine:
            await self._delete(session, mine)
        if self._inboxes:
            how = "with their session" if client.resumed else "by transfer"
            logger.info("%s subscriptions taken over %s", self._station, how)

    async def _delete(self, session: UaSession, inboxes: Sequence[Inbox]) -> None:
        try:
            await session.delete_subscriptions([inbox.subscription_id or 0 for inbox in inboxes])
        except _DRIVER_ERRORS as error:
            raise LinkError(f"cannot end an old subscription: {_reason(error)}") from None

    async def close(self) -> None:
        client, self._client = self._client, None
        if self._is_lost and not self._loss and client is not None:
            # One that brought nothing since it was taken over would not the next time either.
            self._left = self._inboxes if all(inbox.heard for inbox in self._inboxes) else []
        self._earlier += sum(inbox.heard for inbox in self._inboxes)
        for inbox in self._inboxes:
            inbox.heard = 0
        self._inboxes = []
        if client is None:
            return
        if self._is_lost:
            # Without a socket nothing can be said: the server keeps the session and its subscriptions for us.
            self._left_session = client.leave() if self._left else None
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
        batches = [self._drain(Cause.SPONTANEOUS)]
        # What came before a link died is handed over first; the next scan finds it dead.
        if not len(batches[0]):
            self._check_alive(client)
        if cause is not Cause.SPONTANEOUS or self._must_read_again:
            try:
                await self._read_all(client)
                self._must_read_again = False
                batches.append(self._drain(cause))
                if not self._inboxes:
                    await self._subscribe(client)
            except _DRIVER_ERRORS as error:
                raise LinkError(_reason(error)) from None
        return ScanAnswer(np.concatenate(batches), self._refused)

    def take(self, items: Sequence[ua.MonitoredItemNotification]) -> None:
        """Note changes; ``ClientHandle`` is the row of the point."""
        self._changes += len(items)
        for item in items:
            self._note(item.ClientHandle, item.Value)

    def miss(self, notifications: int) -> None:
        """Notifications are gone for good: counted, and the present values are read with the next scan."""
        self._lost += notifications
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
        longest = max((inbox.parameters.RequestedPublishingInterval / 1000 for inbox in self._inboxes), default=0.0)
        patience = 2 * max(_KEEP_ALIVE_S, longest) + self._endpoint.timeout_s
        if any(time.monotonic() - inbox.heard_at > patience for inbox in self._inboxes):
            raise LinkError(f"no keep-alive of a subscription for {patience:g} s")

    async def _read_all(self, client: Client) -> None:
        for first in range(0, len(self._ids), _MOST_NODES):
            parameters = ua.ReadParameters()
            parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            for node_id in self._ids[first : first + _MOST_NODES]:
                parameters.NodesToRead.append(ua.ReadValueId(NodeId=node_id, AttributeId=AttributeIds.Value))
            self._round_trips += 1
            for row, value in enumerate(await client.uaclient.session.read(parameters), start=first):
                self._note(row, value)

    async def _subscribe(self, client: Client) -> None:
        refused: list[tuple[int, str]] = []
        for period_s in sorted({node.period_s for node in self._nodes}):
            rows = [row for row, node in enumerate(self._nodes) if node.period_s == period_s]
            parameters = ua.CreateSubscriptionParameters()
            parameters.RequestedPublishingInterval = period_s * 1000
            parameters.RequestedMaxKeepAliveCount = max(1, round(_KEEP_ALIVE_S / period_s))
            parameters.RequestedLifetimeCount = 10 * parameters.RequestedMaxKeepAliveCount
            parameters.PublishingEnabled = True
            inbox = Inbox(self, client.uaclient.session, parameters)
            await inbox.init()
            self._inboxes.append(inbox)
            for first in range(0, len(rows), _MOST_NODES):
                some = rows[first : first + _MOST_NODES]
                results = await inbox.create_monitored_items([self._request(row) for row in some])
                refused += [
                    (row, result.name)
                    for row, result in zip(some, results, strict=True)
                    if isinstance(result, ua.StatusCode)
                ]
        self._refused = tuple(
            FailedRead(self._points[row : row + 1], Quality.INVALID, f"node {self._nodes[row].identifier}: {why}")
            for row, why in refused
        )

    def _request(self, row: int) -> ua.MonitoredItemCreateRequest:
        node = self._nodes[row]
        parameters = ua.MonitoringParameters()
        parameters.ClientHandle = row
        parameters.SamplingInterval = node.sampling_s * 1000
        parameters.QueueSize = node.queue_size
        parameters.DiscardOldest = True
        if node.deadband > 0:
            parameters.Filter = ua.DataChangeFilter(
                Trigger=ua.DataChangeTrigger.StatusValue,
                DeadbandType=int(ua.DeadbandType.Absolute),
                DeadbandValue=node.deadband,
            )
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor = ua.ReadValueId(NodeId=self._ids[row], AttributeId=AttributeIds.Value)
        request.MonitoringMode = ua.MonitoringMode.Reporting
        request.RequestedParameters = parameters
        return request

    def _note(self, row: int, value: ua.DataValue) -> None:
        content = value.Value.Value if value.Value is not None else None
        self._handles.append(row)
        self._values.append(float(content) if isinstance(content, bool | int | float) else math.nan)
        self._statuses.append(value.StatusCode.value if value.StatusCode is not None else 0)
        self._times.append(_microseconds(value.SourceTimestamp or value.ServerTimestamp))

    def _drain(self, cause: Cause) -> SampleArray:
        """What was noted since the last time, in the order of arrival."""
        if not self._handles:
            return no_samples()
        rows = np.array(self._handles, dtype=np.intp)
        values = np.array(self._values) * self._scale[rows] + self._add[rows]
        statuses = tuple(self._statuses)
        quality = np.array([of_opcua_status(status) for status in statuses], dtype=np.uint8)
        times = np.array(self._times, dtype=np.int64)
        for column in (self._handles, self._values, self._statuses, self._times):
            column.clear()
        self._note_overflow(rows, statuses)
        times, wrong = believable(times, self._now())
        self._note_times(int(np.count_nonzero(wrong)))
        mark_implausible(values, quality, self._low[rows], self._high[rows])
        return samples(self._points[rows], times, values, quality, cause)

    def _note_overflow(self, rows: NDArray[np.intp], statuses: Sequence[int]) -> None:
        """A queue at the server overflowed: at least one change before the flagged one is gone."""
        flagged = [row for row, status in zip(rows.tolist(), statuses, strict=True) if tells_overflow(status)]
        if flagged and not self._overflow:
            names = ", ".join(dict.fromkeys(self._nodes[row].point.name for row in flagged[:3]))
            logger.warning("%s queue overflow at the server: changes of %s are lost", self._station, names)
        elif self._overflow and not flagged:
            logger.info("%s queues at the server hold again; %d overflows in all", self._station, self._lost)
        self._overflow = bool(flagged)
        self._lost += len(flagged)

    def _note_times(self, wrong: int) -> None:
        if wrong and not self._wrong_times:
            logger.warning("%s: a source clock is wrong: %d values got the receive time", self._station, wrong)
        self._wrong_times += wrong


def _node_id(node: BoundNode, uris: Sequence[str]) -> ua.NodeId:
    if node.namespace not in uris:
        raise LinkError(f"the server has no namespace {node.namespace}")
    return ua.NodeId.from_string(f"ns={uris.index(node.namespace)};{node.identifier}")


def _microseconds(moment: datetime | None) -> int:
    if moment is None:
        return 0
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def link(endpoint: Endpoint, nodes: StationNodes, now: Clock) -> OpcuaLink:
    """The adapter's factory."""
    return OpcuaLink(endpoint, nodes, now)
