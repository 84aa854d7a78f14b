"""Node maps: which OPC UA nodes are the points and commands of one bay type.

Knows node identifiers, value types, sampling and dead bands. Not sockets, sessions or namespace indices: a map
names the namespace by its URI, and the index is asked of the server at every connection, because servers renumber.

Names are those of the bay type's points, words in braces included; a node identifier may hold the same words, and
``{station}`` and ``{point}`` for the station's code and the point's name in its bay.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np

from scada.model.errors import Fault
from scada.model.point import Point, PointKind
from scada.model.station import Bay, CommandKind, CommandPoint, Station
from scada.tables import Faults, bounded, load_table, nearest
from substations.mapnames import ACTIONS, in_bay, like
from substations.setpoint import Form, check_limits

_IDENTIFIERS = ("s=", "i=", "g=", "b=")


class NodeType(StrEnum):
    """Built-in type of a node's value (OPC UA Part 6, 5.1.2), in the standard's names but lower case."""

    BOOLEAN = "boolean"
    SBYTE = "sbyte"
    BYTE = "byte"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT = "float"
    DOUBLE = "double"


_DTYPES: Final[Mapping[NodeType, np.dtype[Any]]] = {
    NodeType.BOOLEAN: np.dtype("<u1"),
    NodeType.SBYTE: np.dtype("<i1"),
    NodeType.BYTE: np.dtype("<u1"),
    NodeType.INT16: np.dtype("<i2"),
    NodeType.UINT16: np.dtype("<u2"),
    NodeType.INT32: np.dtype("<i4"),
    NodeType.UINT32: np.dtype("<u4"),
    NodeType.INT64: np.dtype("<i8"),
    NodeType.UINT64: np.dtype("<u8"),
    NodeType.FLOAT: np.dtype("<f4"),
    NodeType.DOUBLE: np.dtype("<f8"),
}


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """One point: ``node`` is its identifier without the namespace (``s={station}.{bay}.P``); without one the group's
    pattern holds. Engineering value = node value x ``scale`` + ``add``.

    ``deadband``, in the point's unit, is asked of the server; 0 asks for every change and leaves the judgement to our
    process image, because some servers compare with the last sample instead of the last reported value (slow drift is
    lost) or let a dead band swallow a change of status.
    """

    name: str
    node: str = ""
    type: NodeType | None = None
    scale: float = 1.0
    add: float = 0.0
    deadband: float = bounded(low=0.0, default=0.0)


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Points of one subscription: published every ``period_s``, sampled by the server every ``sampling_s``, each with a
    queue of ``queue_size`` values so that no change between two publications is lost."""

    name: str
    points: tuple[NodeEntry, ...]
    node: str = ""
    type: NodeType = NodeType.DOUBLE
    period_s: float = bounded(low=0.02, high=3600.0, default=0.5)
    sampling_s: float = bounded(low=0.0, high=3600.0, default=0.25)
    queue_size: int = bounded(low=1, high=100_000, default=10)


@dataclass(frozen=True, slots=True)
class ConditionEntry:
    """One point; without a name of its ``condition`` the group's pattern holds."""

    name: str
    condition: str = ""


@dataclass(frozen=True, slots=True)
class ConditionGroup:
    """Points whose changes the server tells as events of conditions (OPC UA Part 9): 1 while the condition is active.

    A condition is known by its ``source`` (SourceNode, a node identifier) and its name there (ConditionName). The
    points' nodes in the groups are then read for an interrogation only. The server keeps ``queue_size`` events between
    two publications, ``period_s`` apart.
    """

    name: str
    source: str
    points: tuple[ConditionEntry, ...]
    condition: str = "{point}"
    period_s: float = bounded(low=0.02, high=3600.0, default=0.25)
    queue_size: int = bounded(low=1, high=100_000, default=1000)


@dataclass(frozen=True, slots=True)
class NodeCommand:
    """How one command is given: write ``values[action]``, or a set-point's value, to node ``operate``.

    With ``select`` the same value goes there first and must be read back from ``echo`` before ``operate`` is written,
    within ``select_timeout_s``; ``cancel`` withdraws a selection. ``result`` shows the AddCause code (IEC 61850-7-2,
    20.5.2.9) of the last order, 0 = none. With ``object`` set, ``select`` and ``operate`` are methods of that object,
    called with the value, and their status is the answer.
    """

    name: str
    operate: str
    type: NodeType = NodeType.BYTE
    values: dict[str, int] = field(default_factory=dict)
    select: str = ""
    echo: str = ""
    result: str = ""
    object: str = ""
    cancel: int = 0
    select_timeout_s: float = bounded(low=0.1, high=600.0, default=30.0)
    scale: float = 1.0
    add: float = 0.0
    set_point: bool = False


@dataclass(frozen=True, slots=True)
class NodeMap:
    """The map of one bay type, as in its file; ``namespace`` is a URI."""

    bay_type: str
    namespace: str
    group: tuple[NodeGroup, ...]
    condition: tuple[ConditionGroup, ...] = ()
    command: tuple[NodeCommand, ...] = ()


@dataclass(frozen=True, slots=True)
class BoundNode:
    """One point at its node. ``identifier`` is complete but for the namespace index, ``deadband`` in the node's own
    unit, 0 = every change."""

    point: Point
    namespace: str
    identifier: str
    type: NodeType
    scale: float
    add: float
    deadband: float
    period_s: float
    sampling_s: float
    queue_size: int


@dataclass(frozen=True, slots=True)
class BoundCondition:
    """One point told by a condition; ``source`` is complete but for the namespace index."""

    point: Point
    namespace: str
    source: str
    condition: str
    period_s: float
    queue_size: int


@dataclass(frozen=True, slots=True)
class BoundNodeCommand:
    """One command at its nodes; ``name`` is ``STATION/BAY/command``, identifiers without the namespace index, '' where
    the entry has none."""

    name: str
    namespace: str
    entry: NodeCommand
    operate: str
    select: str
    echo: str
    result: str
    object: str


@dataclass(frozen=True, slots=True)
class StationNodes:
    """Every point and command of one OPC UA station, in the order of its bays and maps; ``conditions`` are of its
    points."""

    station: str
    points: tuple[BoundNode, ...]
    commands: tuple[BoundNodeCommand, ...]
    conditions: tuple[BoundCondition, ...] = ()


def load_node_map(path: Path, found: list[Fault]) -> NodeMap | None:
    """The map in ``path``, or None with every fault in ``found``."""
    before = len(found)
    node_map = load_table(NodeMap, path, found)
    if node_map is not None:
        _check_map(node_map, Faults(path.name, found))
    return node_map if len(found) == before else None


def bind_nodes(station: Station, maps: Mapping[str, NodeMap], found: list[Fault]) -> StationNodes:
    """The station's points at their nodes; what cannot be bound is left out and noted in ``found``."""
    points: list[BoundNode] = []
    commands: list[BoundNodeCommand] = []
    conditions: list[BoundCondition] = []
    seen: set[str] = set()
    for bay in station.bays:
        faults = Faults(f"{station.code}/{bay.name}", found)
        node_map = maps.get(bay.map)
        if node_map is None:
            faults.add("map", f"no such node map: {bay.map!r}{nearest(bay.map, list(maps))}")
            continue
        if node_map.bay_type != bay.bay_type:
            faults.add("map", f"{bay.map!r} is for bay type {node_map.bay_type!r}, not {bay.bay_type!r}")
            continue
        complete = Faults(f"{bay.map}.toml", [] if bay.map in seen else found)
        seen.add(bay.map)
        points += _bind_points(station.code, bay, node_map, complete)
        commands += _bind_commands(station.code, bay, node_map, complete)
        conditions += _bind_conditions(station.code, bay, node_map, complete)
    faults = Faults(station.code, found)
    _check_twice(((each.point.name, each.namespace, each.identifier, "node") for each in points), faults)
    _check_twice(
        ((each.point.name, each.namespace, f"{each.condition} of {each.source}", "condition") for each in conditions),
        faults,
    )
    return StationNodes(station.code, tuple(points), tuple(commands), tuple(conditions))


def _bind_points(station: str, bay: Bay, node_map: NodeMap, faults: Faults) -> list[BoundNode]:
    known = {point.name.split("/", 2)[2]: point for point in bay.points}
    bound: dict[str, BoundNode] = {}
    for group in node_map.group:
        for entry in group.points:
            name = in_bay(entry.name, bay)
            if name not in known:
                faults.add(name, f"is no point of bay type {bay.bay_type!r}{like(name, list(known))}")
                continue
            point = known[name]
            bound[name] = BoundNode(
                point=point,
                namespace=node_map.namespace,
                identifier=_identifier(entry.node or group.node, station, bay, name),
                type=entry.type or group.type,
                scale=entry.scale,
                add=entry.add,
                deadband=entry.deadband / abs(entry.scale),
                period_s=group.period_s,
                sampling_s=group.sampling_s,
                queue_size=group.queue_size,
            )
    for name in known:
        if name not in bound:
            faults.add(name, f"is a point of bay type {bay.bay_type!r} that the map does not place")
    return list(bound.values())


def _bind_conditions(station: str, bay: Bay, node_map: NodeMap, faults: Faults) -> list[BoundCondition]:
    known = {point.name.split("/", 2)[2]: point for point in bay.points}
    bound: dict[str, BoundCondition] = {}
    for group in node_map.condition:
        for entry in group.points:
            name = in_bay(entry.name, bay)
            if name not in known:
                faults.add(name, f"is no point of bay type {bay.bay_type!r}{like(name, list(known))}")
            elif known[name].kind is not PointKind.SINGLE_POINT:
                faults.add(name, f"is a {known[name].kind.value}; a condition is a single point: active or not")
            else:
                bound[name] = BoundCondition(
                    point=known[name],
                    namespace=node_map.namespace,
                    source=_identifier(group.source, station, bay, name),
                    condition=_identifier(entry.condition or group.condition, station, bay, name),
                    period_s=group.period_s,
                    queue_size=group.queue_size,
                )
    return list(bound.values())


def _bind_commands(station: str, bay: Bay, node_map: NodeMap, faults: Faults) -> list[BoundNodeCommand]:
    known = {command.name.split("/")[-1]: command for command in bay.commands}
    bound: dict[str, BoundNodeCommand] = {}
    for entry in node_map.command:
        name = in_bay(entry.name, bay)
        if name not in known:
            faults.add(name, f"is no command of bay type {bay.bay_type!r}{like(name, list(known))}")
            continue
        if entry.set_point != (known[name].kind is CommandKind.SET_POINT):
            faults.add(name, f"is a {known[name].kind.value} in bay type {bay.bay_type!r}: set_point does not fit")
        _check_carried(entry, known[name], faults)
        if bool(entry.select) != known[name].select:
            faults.add(name, f"select-before-operate is {known[name].select} in bay type {bay.bay_type!r}, not here")
        operate, select, echo, result, owner = (
            _identifier(each, station, bay, name)
            for each in (entry.operate, entry.select, entry.echo, entry.result, entry.object)
        )
        bound[name] = BoundNodeCommand(
            f"{station}/{bay.name}/{name}", node_map.namespace, entry, operate, select, echo, result, owner
        )
    for name in known:
        if name not in bound:
            faults.add(name, f"is a command of bay type {bay.bay_type!r} that the map does not place")
    return list(bound.values())


def _check_carried(entry: NodeCommand, command: CommandPoint, faults: Faults) -> None:
    if entry.set_point and entry.type is not NodeType.BOOLEAN:
        check_limits(form_of(entry), command, faults)


def form_of(placed: "NodeCommand | BoundNode") -> Form:
    """How the value of a set-point, or of the point that shows it, lies in its node."""
    return Form(_DTYPES[placed.type], placed.scale, placed.add)


def _identifier(pattern: str, station: str, bay: Bay, name: str) -> str:
    return in_bay(pattern, bay).replace("{station}", station).replace("{point}", name)


def _check_twice(places: Iterable[tuple[str, str, str, str]], faults: Faults) -> None:
    """``places``: name of the point, namespace, what only one point may have there, and the word for it."""
    owners: dict[tuple[str, str], str] = {}
    for name, namespace, place, word in places:
        owner = owners.setdefault((namespace, place), name)
        if owner != name:
            faults.add(name, f"has the {word} of {owner}: {place}")


def _check_map(node_map: NodeMap, faults: Faults) -> None:
    if not node_map.namespace:
        faults.add("namespace", "must be the URI of the server's namespace")
    names: set[str] = set()
    for group in node_map.group:
        if not group.points:
            faults.add(f"group {group.name}", "has no points")
        for entry in group.points:
            key = f"{group.name}: {entry.name}"
            _check_identifier(entry.node or group.node, faults, key)
            if entry.scale == 0.0:
                faults.add(key, "scale must not be 0")
            if entry.name in names:
                faults.add(key, "is there twice")
            names.add(entry.name)
    for conditions in node_map.condition:
        _check_conditions(conditions, names, faults)
    for command in node_map.command:
        _check_command(command, faults)


def _check_conditions(group: ConditionGroup, placed: Container[str], faults: Faults) -> None:
    if not group.points:
        faults.add(f"condition {group.name}", "has no points")
    _check_identifier(group.source, faults, f"condition {group.name}")
    seen: set[str] = set()
    for entry in group.points:
        if entry.name in seen:
            faults.add(f"condition {group.name}: {entry.name}", "is there twice")
        elif entry.name not in placed:
            faults.add(f"condition {group.name}: {entry.name}", "has no node in a group, which interrogation reads")
        seen.add(entry.name)


def _check_identifier(identifier: str, faults: Faults, key: str) -> None:
    if not identifier.startswith(_IDENTIFIERS):
        faults.add(key, f"{identifier!r} is no node identifier; it begins with one of {', '.join(_IDENTIFIERS)}")


def _check_command(command: NodeCommand, faults: Faults) -> None:
    key = f"command {command.name}"
    for identifier in (command.operate, command.select, command.echo, command.result, command.object):
        if identifier or identifier is command.operate:
            _check_identifier(identifier, faults, key)
    if command.echo and not command.select:
        faults.add(key, "echo belongs to select")
    if command.select and not command.echo and not command.object:
        faults.add(key, "select needs echo, or object when it is a method")
    if command.set_point == bool(command.values):
        faults.add(key, "needs either values or set_point = true")
    for action in command.values:
        if action not in ACTIONS:
            faults.add(f"{key}.values", f"unknown action {action!r}{nearest(action, ACTIONS)}")
    if command.scale == 0.0:
        faults.add(key, "scale must not be 0")
    if command.set_point and command.type is NodeType.BOOLEAN:
        faults.add(key, "a set-point is a number, not boolean")
