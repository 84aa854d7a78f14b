"""A node map read from its file, with every fault it has by itself.

Knows what an identifier looks like and what belongs together. Does not know stations: what depends on one is found when
the map is bound to it (``substations.nodes``).
"""

from collections.abc import Container
from pathlib import Path
from typing import Final

from scada.model.errors import Fault
from scada.tables import Faults
from substations.mapfile import check_command, load_map
from substations.nodemap import ConditionGroup, NodeCommand, NodeMap, NodeType

_IDENTIFIERS: Final = ("s=", "i=", "g=", "b=")


def load_node_map(path: Path, found: list[Fault]) -> NodeMap | None:
    """The map in ``path``, or None with every fault in ``found``."""
    return load_map(NodeMap, _check_map, path, found)


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
    check_command(command, faults)
    if command.set_point and command.type is NodeType.BOOLEAN:
        faults.add(key, "a set-point is a number, not boolean")
