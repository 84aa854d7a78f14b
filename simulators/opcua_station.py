"""A substation as an OPC UA server: the address space and the wire in front of a ``NodeImage``.

Knows asyncua and one socket. Does not know the plant or what an order does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, timedelta
from pathlib import Path
from typing import Final

from asyncua import ua
from asyncua.common.node import Node
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.address_space import AttributeService
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from scada.model.addcause import AddCause
from scada.model.ports import Clock
from scada.model.quality import Quality
from scada.model.sample import PointArray, QualityArray, TimeArray, ValueArray
from simulators.address_space import Nodes, SharingServer
from simulators.listening import listen
from simulators.node_image import NodeImage, NodeOrders, NodeValue
from simulators.opcua_alarms import Alarms
from simulators.opcua_security import secure
from simulators.orders import CarryOut
from substations.nodemap import NodeType
from substations.nodes import StationNodes

_EPOCH: Final = ua.DateTime(1970, 1, 1, tzinfo=UTC)
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
_FLOATING: Final = frozenset({NodeType.FLOAT, NodeType.DOUBLE})
_ANSWERS: Final = {
    None: ua.UInt32(StatusCodes.Good),
    AddCause.NOT_SUPPORTED: ua.UInt32(StatusCodes.BadOutOfRange),
    AddCause.NO_ACCESS_AUTHORITY: ua.UInt32(StatusCodes.BadUserAccessDenied),
}
"""Status of the write or call (OPC UA Part 4, 7.39); the result node tells the cause itself."""
_REFUSED: Final = ua.UInt32(StatusCodes.BadInvalidState)
_GOOD: Final = ua.StatusCode(ua.UInt32(StatusCodes.Good))
_INVALID: Final = ua.StatusCode(ua.UInt32(StatusCodes.BadSensorFailure))
_WRITES_AT_ONCE: Final = 8
"""About half a millisecond of the event loop."""
_Order = Callable[[NodeValue, int], AddCause | None]


class _OrderedWrites(AttributeService):
    """asyncua's write service, where some nodes are orders: the answer to the write is the answer to the order."""

    def __init__(self, server: SharingServer) -> None:
        super().__init__(server.aspace)
        self.orders: dict[ua.NodeId, Callable[[NodeValue], Awaitable[ua.StatusCode]]] = {}

    async def write(self, params: ua.WriteParameters, user: User | None = None) -> list[ua.StatusCode]:
        answers = await super().write(params, user or User(role=UserRole.Admin))
        for row, (written, answer) in enumerate(zip(params.NodesToWrite, answers, strict=True)):
            order = self.orders.get(written.NodeId)
            if order is not None and answer.is_good() and written.AttributeId == AttributeIds.Value:
                answers[row] = await order(written.Value.Value.Value)
        return answers


class OpcuaStation:
    """Serves one image on one socket, from ``start`` to ``stop``; with ``certificates``, signed and encrypted only."""

    def __init__(
        self, nodes: StationNodes, carry_out: CarryOut, clock: Clock, shared: Nodes, certificates: Path | None = None
    ) -> None:
        self.station = nodes.station
        self._nodes = nodes
        self._image = NodeImage(nodes)
        self._orders = [NodeOrders(command, carry_out) for command in nodes.commands]
        self._clock = clock
        self._certificates = certificates
        self._core = SharingServer(shared)
        self._core.bind_condition_methods = True
        self._writes = self._core.attribute_service = _OrderedWrites(self._core)
        self._server = Server(self._core)
        self._alarms = Alarms(self._core, (), {})
        self._places: dict[str, ua.NodeId] = {}
        self._results: dict[str, ua.NodeId] = {}
        self._echoes: list[tuple[NodeOrders, ua.NodeId]] = []
        self._shown_echo: dict[str, NodeValue] = {}

    async def start(self, host: str, port: int, path: str) -> int:
        """Build the address space, listen and answer; returns the port. Takes 0.25 s of CPU. Raises PortTaken."""
        with listen(host, port, self.station) as probe:
            # asyncua logs a traceback when its own bind fails; asking first keeps a taken port one sentence.
            port = int(probe.getsockname()[1])
        await self._server.init()
        await self._server.set_application_uri(f"urn:gridscada:simulator:{self.station}")
        self._server.set_server_name(f"{self.station} simulator")
        if self._certificates is None:
            self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        else:
            await secure(self._server, self.station, self._certificates)
        # Anonymous only: the library would warn about passwords in plain text for every station.
        self._server.set_identity_tokens([ua.AnonymousIdentityToken])
        self._server.set_endpoint(f"opc.tcp://{host}:{port}/{path.strip('/')}")
        await self._add_nodes()
        await self._server.start()
        return port

    async def stop(self) -> None:
        """Close the socket and every session."""
        await self._server.stop()

    async def refresh(
        self, points: PointArray, values: ValueArray, quality: QualityArray, times: TimeArray, now: int
    ) -> int:
        """Publish the values that changed, with their source time; returns how many. points: ids, ascending; (n,).

        Requests are answered in between: 400 changes take some 20 ms, and no device keeps an order waiting for its own
        measurements. Not to be called again before it has returned.
        """
        count = 0
        for change in self._image.refresh(points, values, quality, times):
            status = _INVALID if change.quality & Quality.INVALID else _GOOD
            shown = _data_value(change.node.type, change.value, status, change.time, now)
            await self._write(self._places[change.node.identifier], shown)
            await self._alarms.show(change.node.point.id, active=change.value != 0, time=change.time, now=now)
            count += 1
            if count % _WRITES_AT_ONCE == 0:
                await asyncio.sleep(0)
        await self._show_echoes(now)
        return count

    async def _show_echoes(self, now: int) -> None:
        for orders, place in self._echoes:
            shown = orders.selected_value(now)
            if shown != self._shown_echo.get(orders.command.name):
                self._shown_echo[orders.command.name] = shown
                await self._write(place, _data_value(orders.command.entry.type, shown, _GOOD, now, now))

    async def _write(self, place: ua.NodeId, shown: ua.DataValue) -> None:
        await self._core.aspace.write_attribute_value(place, AttributeIds.Value, shown)

    async def _add_nodes(self) -> None:
        objects = self._server.nodes.objects
        spaces = {uri: await self._server.register_namespace(uri) for uri in self._namespaces()}
        home = min(spaces.values())
        root = await objects.add_object(_node_id(f"s={self.station}", home), ua.QualifiedName(self.station, home))
        folders = {
            bay: await root.add_object(_node_id(f"s={self.station}/{bay}", home), ua.QualifiedName(bay, home))
            for bay in dict.fromkeys(each.point.bay for each in self._nodes.points)
        }
        for each in self._nodes.points:
            place = _node_id(each.identifier, spaces[each.namespace])
            self._places[each.identifier] = place
            await _add_variable(folders[each.point.bay], place, each.point.name.split("/", 2)[2], each.type)
        for orders in self._orders:
            command = orders.command
            folder = folders[command.name.split("/")[1]]
            await self._add_command(folder, orders, spaces[command.namespace])
        self._alarms = Alarms(self._core, self._nodes.conditions, await self._sources(root, spaces))

    async def _sources(self, root: Node, spaces: Mapping[str, int]) -> dict[str, ua.NodeId]:
        """The node of every source of conditions, made where it is not there as a bay, by its identifier."""
        places: dict[str, ua.NodeId] = {}
        for each in self._nodes.conditions:
            place = places[each.source] = _node_id(each.source, spaces[each.namespace])
            if place not in self._core.aspace:
                await root.add_object(place, ua.QualifiedName(each.source.partition("=")[2], place.NamespaceIndex))
        return places

    def _namespaces(self) -> list[str]:
        of_points = [each.namespace for each in self._nodes.points]
        return list(dict.fromkeys([*of_points, *(each.namespace for each in self._nodes.commands)]))

    async def _add_command(self, folder: Node, orders: NodeOrders, space: int) -> None:
        command = orders.command
        name = command.name.split("/")[2]
        if command.result:
            place = self._results[command.name] = _node_id(command.result, space)
            await _add_variable(folder, place, f"{name}.result", NodeType.BYTE)
        if command.echo:
            place = _node_id(command.echo, space)
            await _add_variable(folder, place, f"{name}.echo", command.entry.type)
            self._echoes.append((orders, place))
        parent = folder
        if command.object:
            parent = await folder.add_object(_node_id(command.object, space), ua.QualifiedName(name, space))
        for identifier, word, order in (
            (command.operate, "operate", orders.operate),
            (command.select, "select", orders.select),
        ):
            if identifier and command.object:
                await self._add_method(parent, _node_id(identifier, space), word, orders, order)
            elif identifier:
                await self._add_writable(parent, _node_id(identifier, space), f"{name}.{word}", orders, order)

    async def _add_method(self, parent: Node, place: ua.NodeId, word: str, orders: NodeOrders, order: _Order) -> None:
        async def call(_parent: ua.NodeId, value: ua.Variant) -> ua.StatusCode:
            return await self._carry_out(orders, order, value.Value)

        variant = _VARIANTS[orders.command.entry.type]
        await parent.add_method(place, ua.QualifiedName(word, place.NamespaceIndex), call, [variant], [])

    async def _add_writable(self, parent: Node, place: ua.NodeId, name: str, orders: NodeOrders, order: _Order) -> None:
        node = await _add_variable(parent, place, name, orders.command.entry.type)
        await node.set_writable()

        async def write(value: NodeValue) -> ua.StatusCode:
            return await self._carry_out(orders, order, value)

        self._writes.orders[place] = write

    async def _carry_out(self, orders: NodeOrders, order: _Order, value: NodeValue) -> ua.StatusCode:
        now = self._clock()
        cause = order(value, now)
        result = self._results.get(orders.command.name)
        if result is not None:
            await self._write(result, _data_value(NodeType.BYTE, 0 if cause is None else int(cause), _GOOD, now, now))
        await self._show_echoes(now)
        return ua.StatusCode(_ANSWERS.get(cause, _REFUSED))


def _data_value(node_type: NodeType, value: NodeValue, status: ua.StatusCode, time: int, now: int) -> ua.DataValue:
    return ua.DataValue(
        ua.Variant(value, _VARIANTS[node_type]), status, SourceTimestamp=_date(time), ServerTimestamp=_date(now)
    )


def _date(time: int) -> ua.DateTime:
    return _EPOCH + timedelta(microseconds=time)


async def _add_variable(parent: Node, place: ua.NodeId, name: str, node_type: NodeType) -> Node:
    empty = False if node_type is NodeType.BOOLEAN else 0.0 if node_type in _FLOATING else 0
    variable: Node = await parent.add_variable(
        place, ua.QualifiedName(name, place.NamespaceIndex), empty, varianttype=_VARIANTS[node_type]
    )
    return variable


def _node_id(identifier: str, space: int) -> ua.NodeId:
    return ua.NodeId.from_string(f"ns={space};{identifier}")
