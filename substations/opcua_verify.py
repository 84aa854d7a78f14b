"""Compares a station's node map with its server: nodes that are not there, of another type, or not in the map.

Knows browsing and attributes. Does not know what is plausible. Commands are looked up, never written.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaError

from scada.model.errors import LinkError
from scada.model.station import Endpoint
from substations.nodemap import NodeType
from substations.nodes import StationNodes
from substations.opcua_security import secure
from substations.quality import of_opcua_status
from substations.verification import Finding, Verification, Weight, judge_value

_MOST: Final = 500
"""Nodes of one request; servers limit it."""
_TYPES: Final = {
    NodeType.BOOLEAN: ObjectIds.Boolean,
    NodeType.SBYTE: ObjectIds.SByte,
    NodeType.BYTE: ObjectIds.Byte,
    NodeType.INT16: ObjectIds.Int16,
    NodeType.UINT16: ObjectIds.UInt16,
    NodeType.INT32: ObjectIds.Int32,
    NodeType.UINT32: ObjectIds.UInt32,
    NodeType.INT64: ObjectIds.Int64,
    NodeType.UINT64: ObjectIds.UInt64,
    NodeType.FLOAT: ObjectIds.Float,
    NodeType.DOUBLE: ObjectIds.Double,
}
_PROPERTY: Final = ua.NodeId(ua.Int32(ObjectIds.HasProperty))
"""What describes a node, such as the arguments of a method, is no value of the field."""
_NAMES: Final = {int(number): node_type.value for node_type, number in _TYPES.items()}
_DRIVER_ERRORS: Final = (OSError, UaError, asyncio.TimeoutError, ValueError)


async def verify(endpoint: Endpoint, nodes: StationNodes) -> Verification:
    """What does not fit between the map and the server. Raises LinkError when the station cannot be reached."""
    client = Client(f"opc.tcp://{endpoint.host}:{endpoint.port}{endpoint.path}", timeout=endpoint.timeout_s)
    await secure(client, endpoint, nodes.station)
    try:
        async with client:
            return await _compare(client, nodes)
    except _DRIVER_ERRORS as error:
        why = str(error) or type(error).__name__
        raise LinkError(f"cannot compare {endpoint.host}:{endpoint.port}: {why}") from None


async def _compare(client: Client, nodes: StationNodes) -> Verification:
    uris = await client.get_namespace_array()
    wanted = {each.namespace for each in nodes.points} | {each.namespace for each in nodes.commands}
    findings = [
        Finding(Weight.FAULT, uri, f"is no namespace of the server; it has {', '.join(uris[1:])}")
        for uri in sorted(wanted - set(uris))
    ]
    places = {
        ua.NodeId.from_string(f"ns={uris.index(each.namespace)};{each.identifier}"): each
        for each in nodes.points
        if each.namespace in uris
    }
    types = await _read(client, list(places), AttributeIds.DataType)
    values = await _read(client, list(places), AttributeIds.Value)
    for (node_id, node), data_type, value in zip(places.items(), types, values, strict=True):
        status = data_type.StatusCode
        if status is not None and not status.is_good():
            findings.append(Finding(Weight.FAULT, node.point.name, f"node {node_id.to_string()}: {status.name}"))
            continue
        identifier = data_type.Value.Value.Identifier if data_type.Value is not None else 0
        if identifier != _TYPES[node.type]:
            theirs = _NAMES.get(identifier, f"type {identifier}")
            findings.append(
                Finding(Weight.FAULT, node.point.name, f"is {theirs} at the server, {node.type.value} in the map")
            )
            continue
        findings += _judge(node.point.name, value, node.scale, node.add, node.point.low, node.point.high)
    findings += await _compare_sources(client, nodes, uris)
    mapped = {node_id.to_string() for node_id in places} | _command_nodes(nodes, uris)
    findings += await _unmapped(client, mapped, {uris.index(uri) for uri in wanted if uri in uris})
    return Verification(len(places), tuple(findings))


async def _compare_sources(client: Client, nodes: StationNodes, uris: Sequence[str]) -> list[Finding]:
    """Sources of conditions that are no nodes of the server, and whether it tells events at all."""
    if not nodes.conditions:
        return []
    sources = {
        ua.NodeId.from_string(f"ns={uris.index(each.namespace)};{each.source}"): each.point.name
        for each in nodes.conditions
        if each.namespace in uris
    }
    found = await _read(client, list(sources), AttributeIds.NodeClass)
    findings = [
        Finding(Weight.FAULT, name, f"source of conditions {node_id.to_string()}: {value.StatusCode.name}")
        for (node_id, name), value in zip(sources.items(), found, strict=True)
        if value.StatusCode is not None and not value.StatusCode.is_good()
    ]
    (notifier,) = await _read(client, [ua.NodeId(ua.Int32(ObjectIds.Server))], AttributeIds.EventNotifier)
    told = notifier.Value.Value if notifier.Value is not None else None
    if not isinstance(told, int) or not told & 1 << ua.EventNotifier.SubscribeToEvents:
        findings.append(Finding(Weight.FAULT, nodes.station, "the server tells no events, so none of its conditions"))
    return findings


def _judge(
    name: str, value: ua.DataValue, scale: float, add: float, low: float | None, high: float | None
) -> list[Finding]:
    status = value.StatusCode.value if value.StatusCode is not None else 0
    content = value.Value.Value if value.Value is not None else None
    if of_opcua_status(status):
        label = value.StatusCode.name if value.StatusCode is not None else ""
        return [Finding(Weight.NOTE, name, f"has no good value now: {label}")]
    if not isinstance(content, bool | int | float):
        return [Finding(Weight.FAULT, name, f"holds {type(content).__name__}, no number")]
    found = judge_value(name, float(content) * scale + add, low, high, "")
    return [] if found is None else [found]


def _command_nodes(nodes: StationNodes, uris: Sequence[str]) -> set[str]:
    return {
        ua.NodeId.from_string(f"ns={uris.index(each.namespace)};{identifier}").to_string()
        for each in nodes.commands
        if each.namespace in uris
        for identifier in (each.operate, each.select, each.echo, each.result, each.object)
        if identifier
    }


async def _read(client: Client, node_ids: Sequence[ua.NodeId], attribute: AttributeIds) -> list[ua.DataValue]:
    values: list[ua.DataValue] = []
    for first in range(0, len(node_ids), _MOST):
        parameters = ua.ReadParameters()
        for node_id in node_ids[first : first + _MOST]:
            parameters.NodesToRead.append(ua.ReadValueId(NodeId=node_id, AttributeId=attribute))
        values += await client.uaclient.session.read(parameters)
    return values


async def _unmapped(client: Client, mapped: set[str], spaces: set[int]) -> list[Finding]:
    """Variables of our namespaces that no map names, found by browsing down from the Objects folder."""
    found: list[str] = []
    seen: set[str] = set()
    level = [ua.NodeId(ua.Int32(ObjectIds.ObjectsFolder))]
    while level:
        below: list[ua.NodeId] = []
        for first in range(0, len(level), _MOST):
            for reference in await _children(client, level[first : first + _MOST]):
                name = reference.NodeId.to_string()
                if (
                    name in seen
                    or reference.NodeId.NamespaceIndex not in spaces
                    or reference.ReferenceTypeId == _PROPERTY
                ):
                    continue
                seen.add(name)
                below.append(ua.NodeId(reference.NodeId.Identifier, reference.NodeId.NamespaceIndex))
                if reference.NodeClass is ua.NodeClass.Variable and name not in mapped:
                    found.append(name)
        level = below
    return [Finding(Weight.NOTE, name, "is at the server and in no map") for name in sorted(found)]


async def _children(client: Client, parents: Sequence[ua.NodeId]) -> list[ua.ReferenceDescription]:
    parameters = ua.BrowseParameters()
    parameters.View.Timestamp = ua.get_win_epoch()
    for parent in parents:
        description = ua.BrowseDescription()
        description.NodeId = parent
        description.BrowseDirection = ua.BrowseDirection.Forward
        description.ReferenceTypeId = ua.NodeId(ua.Int32(ObjectIds.HierarchicalReferences))
        description.IncludeSubtypes = True
        description.ResultMask = ua.BrowseResultMask.All
        parameters.NodesToBrowse.append(description)
    results = await client.uaclient.session.browse(parameters)
    references = [each for result in results for each in result.References or ()]
    while points := [result.ContinuationPoint for result in results if result.ContinuationPoint]:
        more = ua.BrowseNextParameters()
        more.ContinuationPoints = points
        results = await client.uaclient.session.browse_next(more)
        references += [each for result in results for each in result.References or ()]
    return references
