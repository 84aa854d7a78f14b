"""Commands to a station over OPC UA: two-step nodes with an echo, or methods of an object.

Knows the field library, one session and the node map's commands. Does not know who ordered what, or whether the
position came as wanted. A read is asked again in a fresh session; a write or call never is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from scada.model.addcause import AddCause
from scada.model.cause import Cause
from scada.model.commandlink import AnswerLost, DeviceAnswer, NothingSent, WireAction
from scada.model.errors import LinkError
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.sample import SampleArray, no_samples, samples
from scada.model.station import Station
from substations.nodemap import NodeCommand, NodeType
from substations.nodes import BoundNode, BoundNodeCommand, StationNodes, form_of
from substations.opcua_security import secure
from substations.quality import of_opcua_status
from substations.setpoint import nearness

T = TypeVar("T")

_NOBODY_KNOWS: Final = (
    "BadConnection",
    "BadSecureChannel",
    "BadSession",
    "BadTimeout",
    "BadRequestTimeout",
    "BadCommunication",
    "BadShutdown",
    "BadServerNotConnected",
    "BadServerHalted",
    "BadTcp",
    "BadNoCommunication",
    "BadDisconnect",
    "BadInternalError",
    "BadUnexpectedError",
    "BadRequestInterrupted",
    "BadOperationAbandoned",
)
"""Status codes (OPC UA Part 4, 7.39) of a lost link, or of a server that failed over the order: they say nothing of the
order itself, it may have been carried out."""
_DRIVER_ERRORS: Final = (OSError, UaError, asyncio.TimeoutError)
_CAUSES: Final = {
    "BadUserAccessDenied": AddCause.NO_ACCESS_AUTHORITY,
    "BadOutOfRange": AddCause.NOT_SUPPORTED,
    "BadNodeIdUnknown": AddCause.NOT_SUPPORTED,
    "BadNotWritable": AddCause.NOT_SUPPORTED,
    "BadMethodInvalid": AddCause.NOT_SUPPORTED,
    "BadTypeMismatch": AddCause.INCONSISTENT_PARAMETERS,
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_VARIANTS: Final = {
    NodeType.BOOLEAN: ua.VariantType.Boolean,
    NodeType.SBYTE: ua.VariantType.SByte,
    NodeType.BYTE: ua.VariantType.Byte,
    NodeType.INT16: ua.VariantType.Int16,
    NodeType.UINT16: ua.VariantType.UInt16,
    NodeType.INT32: ua.VariantType.Int32,
    NodeType.UINT32: ua.VariantType.UInt32,
    NodeType.INT64: ua.VariantType.Int64,
    NodeType.UINT64: ua.VariantType.UInt64,
    NodeType.FLOAT: ua.VariantType.Float,
    NodeType.DOUBLE: ua.VariantType.Double,
}


class OpcuaCommandLink:
    """CommandLink over OPC UA."""

    def __init__(self, station: Station, nodes: StationNodes, now: Clock) -> None:
        self._endpoint = station.endpoint
        self._station = station.code
        self._now = now
        self._commands = {each.name: each for each in nodes.commands}
        places = {each.point.name: each for each in nodes.points}
        self._returns: dict[str, BoundNode] = {
            f"{station.code}/{bay.name}/{each.name}": places[each.return_information.name]
            for bay in station.bays
            for each in bay.commands
            if each.return_information is not None and each.return_information.name in places
        }
        self._client: Client | None = None
        self._selected_over: dict[str, Client | None] = {}
        self._uris: list[str] = []
        self._turn = asyncio.Lock()

    def select_timeout_s(self, command: str) -> float | None:
        bound = self._commands[command]
        return bound.entry.select_timeout_s if bound.select else None

    def actions(self, command: str) -> tuple[str, ...]:
        entry = self._commands[command].entry
        return ("set",) if entry.set_point else tuple(entry.values)

    def nearness(self, command: str, value: float) -> float:
        return nearness(form_of(self._commands[command].entry), form_of(self._returns[command]), value)

    async def ready(self) -> None:
        async with self._turn:
            await self._open()

    async def return_information(self, command: str) -> SampleArray:
        node = self._returns.get(command)
        if node is None:
            return no_samples()
        async with self._turn:
            shown = await self._read(node.namespace, node.identifier)
        content = shown.Value.Value if shown.Value is not None else None
        value = float(content) if isinstance(content, bool | int | float) else np.nan
        status = shown.StatusCode.value if shown.StatusCode is not None else 0
        quality = int(of_opcua_status(status))
        if not np.isfinite(value):
            value, quality = 0.0, quality | int(Quality.INVALID)
        return samples(
            np.array([node.point.id], dtype=np.int32),
            _microseconds(shown.SourceTimestamp) or self._now(),
            np.array([value * node.scale + node.add]),
            quality,
            Cause.RETURN_INFORMATION_REMOTE,
        )

    async def select(self, command: str, action: WireAction) -> DeviceAnswer:
        bound = self._commands[command]
        if not bound.select:
            return DeviceAnswer()
        value = _raw(bound.entry, action)
        async with self._turn:
            answer = await self._order(bound, bound.select, value)
            self._selected_over[command] = self._client
            if answer.refused is not None or not bound.echo:
                return answer
            shown = await self._read(bound.namespace, bound.echo)
        echoed = shown.Value.Value if shown.Value is not None else None
        if echoed != value:
            return DeviceAnswer(AddCause.SELECT_FAILED, f"echo {echoed} instead of {value}")
        return DeviceAnswer(detail=f"echo {echoed}")

    async def cancel(self, command: str) -> DeviceAnswer:
        bound = self._commands[command]
        # In a set-point's node any number is a value: its selection ends by itself.
        if not bound.select or bound.entry.set_point:
            return DeviceAnswer()
        async with self._turn:
            return await self._order(bound, bound.select, bound.entry.cancel)

    async def operate(self, command: str, action: WireAction) -> DeviceAnswer:
        bound = self._commands[command]
        client = self._client
        async with self._turn:
            # Never on a connection opened for it: what was checked and selected came over the one before.
            if client is None or client is not self._client or client.state is not UaClientState.CONNECTED:
                raise NothingSent("the connection was lost since the device was asked")
            if bound.select and self._selected_over.pop(command, None) is not client:
                raise NothingSent("the connection it was selected over was lost")
            return await self._order(bound, bound.operate, _raw(bound.entry, action))

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        client.uaclient.request_disconnect()
        try:
            async with asyncio.timeout(self._endpoint.timeout_s):
                await client.disconnect()
        except _DRIVER_ERRORS:
            client.disconnect_socket()

    async def _open(self) -> Client:
        if self._client is not None and self._client.state is UaClientState.CONNECTED:
            return self._client
        await self.close()
        end = self._endpoint
        client = Client(
            f"opc.tcp://{end.host}:{end.port}{end.path}",
            timeout=end.timeout_s,
            watchdog_intervall=max(1.0, end.timeout_s),
        )
        try:
            await secure(client, end, self._station)
            await client.connect()
            self._client = client
            self._uris = await client.get_namespace_array()
        except (*_DRIVER_ERRORS, LinkError) as error:
            await self.close()
            why = str(error) or type(error).__name__
            raise NothingSent(f"cannot connect to {end.host}:{end.port}: {why}") from None
        return client

    def _node_id(self, namespace: str, identifier: str) -> ua.NodeId:
        if namespace not in self._uris:
            raise NothingSent(f"the server has no namespace {namespace}")
        return ua.NodeId.from_string(f"ns={self._uris.index(namespace)};{identifier}")

    async def _order(self, bound: BoundNodeCommand, place: str, value: int | float) -> DeviceAnswer:
        client = await self._open()
        variant = ua.Variant(value, _VARIANTS[bound.entry.type])
        node_id = self._node_id(bound.namespace, place)
        if bound.object:
            owner = client.get_node(self._node_id(bound.namespace, bound.object))
            attempt: Awaitable[Any] = owner.call_method(node_id, variant)
        else:
            attempt = client.get_node(node_id).write_value(ua.DataValue(variant))
        try:
            await self._answered(lambda: attempt)
        except UaStatusCodeError as error:
            return await self._refused(bound, ua.StatusCode(ua.UInt32(error.code)).name)
        return DeviceAnswer()

    async def _refused(self, bound: BoundNodeCommand, name: str) -> DeviceAnswer:
        """The device's own reason, where it shows one."""
        if not bound.result:
            return DeviceAnswer(_CAUSES.get(name, AddCause.UNKNOWN), name)
        try:
            shown = await self._read(bound.namespace, bound.result)
        except LinkError:
            # It said no before the link went: that stays true.
            return DeviceAnswer(_CAUSES.get(name, AddCause.UNKNOWN), f"{name}; its result could not be read")
        code = shown.Value.Value if shown.Value is not None else None
        if isinstance(code, int) and 0 < code <= max(AddCause):
            return DeviceAnswer(AddCause(code), f"{name}; result {code}")
        return DeviceAnswer(_CAUSES.get(name, AddCause.UNKNOWN), f"{name}; result {code}")

    async def _read(self, namespace: str, identifier: str) -> ua.DataValue:
        try:
            return await self._read_once(namespace, identifier)
        except AnswerLost:
            return await self._read_once(namespace, identifier)

    async def _read_once(self, namespace: str, identifier: str) -> ua.DataValue:
        client = await self._open()
        node = client.get_node(self._node_id(namespace, identifier))
        try:
            return await self._answered(lambda: node.read_data_value(raise_on_bad_status=False))
        except UaStatusCodeError as error:
            raise NothingSent(f"node {identifier}: {error}") from None

    async def _answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Raises AnswerLost, or UaStatusCodeError when the server itself said no."""
        try:
            async with asyncio.timeout(self._endpoint.timeout_s * 2):
                return await ask()
        except UaStatusCodeError as error:
            if not ua.StatusCode(ua.UInt32(error.code)).name.startswith(_NOBODY_KNOWS):
                raise
            await self.close()
            raise AnswerLost(str(error)) from None
        except _DRIVER_ERRORS as error:
            await self.close()
            raise AnswerLost(str(error) or f"no answer within {self._endpoint.timeout_s:g} s") from None


def _raw(entry: NodeCommand, action: WireAction) -> int | float:
    """The number that gives the order."""
    return form_of(entry).raw(float(action)) if entry.set_point else entry.values[str(action)]


def _microseconds(moment: datetime | None) -> int:
    if moment is None:
        return 0
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


def command_link(station: Station, nodes: StationNodes, now: Clock) -> OpcuaCommandLink:
    """The protocol's factory."""
    return OpcuaCommandLink(station, nodes, now)
