"""A station's nodes: its maps bound to its bays, every point, condition and command at its node.

Knows stations and maps, and what does not fit between them. Does not know sessions or namespace indices.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scada.model.errors import Fault
from scada.model.point import Point, PointKind
from scada.model.station import Bay, Station
from scada.tables import Faults
from substations.mapbinding import MappedBay, mapped_bays
from substations.mapnames import in_bay
from substations.nodemap import DTYPES, NodeCommand, NodeMap, NodeType
from substations.setpoint import Form


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

    @property
    def bay(self) -> str:
        """``STATION/BAY``."""
        return self.name.rsplit("/", 1)[0]


@dataclass(frozen=True, slots=True)
class StationNodes:
    """Every point and command of one OPC UA station, in the order of its bays and maps; ``conditions`` are of its
    points."""

    station: str
    points: tuple[BoundNode, ...]
    commands: tuple[BoundNodeCommand, ...]
    conditions: tuple[BoundCondition, ...] = ()


def bind_nodes(station: Station, maps: Mapping[str, NodeMap], found: list[Fault]) -> StationNodes:
    """The station's points at their nodes; what cannot be bound is left out and noted in ``found``."""
    points: list[BoundNode] = []
    commands: list[BoundNodeCommand] = []
    conditions: list[BoundCondition] = []
    for mapped in mapped_bays(station, maps, "node", found):
        points += _bind_points(station.code, mapped)
        commands += _bind_commands(station.code, mapped)
        conditions += _bind_conditions(station.code, mapped)
    faults = Faults(station.code, found)
    _check_twice(((each.point.name, each.namespace, each.identifier, "node") for each in points), faults)
    _check_twice(
        ((each.point.name, each.namespace, f"{each.condition} of {each.source}", "condition") for each in conditions),
        faults,
    )
    _check_orders(commands, faults)
    return StationNodes(station.code, tuple(points), tuple(commands), tuple(conditions))


def _bind_points(station: str, mapped: MappedBay[NodeMap]) -> list[BoundNode]:
    bay, known = mapped.bay, mapped.points
    entries = {in_bay(entry.name, bay): (group, entry) for group in mapped.map.group for entry in group.points}
    mapped.check_names(known, entries, "point")
    return [
        BoundNode(
            point=known[name],
            namespace=mapped.map.namespace,
            identifier=_identifier(entry.node or group.node, station, bay, name),
            type=entry.type or group.type,
            scale=entry.scale,
            add=entry.add,
            deadband=entry.deadband / abs(entry.scale),
            period_s=group.period_s,
            sampling_s=group.sampling_s,
            queue_size=group.queue_size,
        )
        for name, (group, entry) in entries.items()
        if name in known
    ]


def _bind_conditions(station: str, mapped: MappedBay[NodeMap]) -> list[BoundCondition]:
    bay, known = mapped.bay, mapped.points
    entries = {in_bay(entry.name, bay): (group, entry) for group in mapped.map.condition for entry in group.points}
    mapped.check_known(known, entries, "point")
    single = {name for name in entries if name in known and known[name].kind is PointKind.SINGLE_POINT}
    for name in entries:
        if name in known and name not in single:
            mapped.of_map.add(name, f"is a {known[name].kind.value}; a condition is a single point: active or not")
    return [
        BoundCondition(
            point=known[name],
            namespace=mapped.map.namespace,
            source=_identifier(group.source, station, bay, name),
            condition=_identifier(entry.condition or group.condition, station, bay, name),
            period_s=group.period_s,
            queue_size=group.queue_size,
        )
        for name, (group, entry) in entries.items()
        if name in single
    ]


def _bind_commands(station: str, mapped: MappedBay[NodeMap]) -> list[BoundNodeCommand]:
    bay, known = mapped.bay, mapped.commands
    entries = {in_bay(entry.name, bay): entry for entry in mapped.map.command}
    mapped.check_names(known, entries, "command")
    bound = []
    for name, entry in entries.items():
        if name not in known:
            continue
        set_point = form_of(entry) if entry.set_point else None
        mapped.check_command(name, known[name], set_point=set_point, selects=bool(entry.select))
        operate, select, echo, result, owner = (
            _identifier(each, station, bay, name)
            for each in (entry.operate, entry.select, entry.echo, entry.result, entry.object)
        )
        full_name = f"{station}/{bay.name}/{name}"
        bound.append(BoundNodeCommand(full_name, mapped.map.namespace, entry, operate, select, echo, result, owner))
    return bound


def form_of(placed: "NodeCommand | BoundNode") -> Form:
    """How the value of a set-point, or of the point that shows it, lies in its node."""
    return Form(DTYPES[placed.type], placed.scale, placed.add)


def _identifier(pattern: str, station: str, bay: Bay, name: str) -> str:
    return in_bay(pattern, bay).replace("{station}", station).replace("{point}", name)


def _check_twice(places: Iterable[tuple[str, str, str, str]], faults: Faults) -> None:
    """``places``: name of the point, namespace, what only one point may have there, and the word for it."""
    owners: dict[tuple[str, str], str] = {}
    for name, namespace, place, word in places:
        owner = owners.setdefault((namespace, place), name)
        if owner != name:
            faults.add(name, f"has the {word} of {owner}: {place}")


def _check_orders(commands: Sequence[BoundNodeCommand], faults: Faults) -> None:
    """No bay is ordered where another one is, and no two orders are the same: the wrong device would carry one out."""
    at: dict[tuple[str, str, str], list[BoundNodeCommand]] = defaultdict(list)
    for command in commands:
        for node in dict.fromkeys(each for each in (command.operate, command.select) if each):
            sharing = at[command.namespace, command.object, node]
            for other in sharing:
                if other.bay != command.bay:
                    faults.add(command.name, f"is ordered at the node of {other.name}: {node}")
                elif node == command.operate == other.operate:
                    _check_shared(command, other, faults)
            sharing.append(command)


def _check_shared(command: BoundNodeCommand, other: BoundNodeCommand, faults: Faults) -> None:
    if command.entry.set_point or other.entry.set_point:
        faults.add(command.name, f"is ordered at the node of {other.name}, where any value is an order")
    meaning = {value: action for action, value in other.entry.values.items()}
    for action, value in command.entry.values.items():
        if value in meaning:
            faults.add(command.name, f"{action} is the same order as {meaning[value]} of {other.name}")
