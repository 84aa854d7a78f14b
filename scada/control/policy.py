"""How many persons an operation takes and how long its steps may last, by class of point.

Knows the classes and the rules of the file. Does not know who is who.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from scada.model.errors import Fault
from scada.model.station import CommandKind, CommandPoint, DeviceKind
from scada.tables import Faults, bounded, load_toml, read_table

SHIPPED: Final = Path(__file__).with_name("policy.toml")


class PointClass(StrEnum):
    """Classes of what can be operated."""

    CIRCUIT_BREAKER = "circuit_breaker"
    LOAD_BREAK_SWITCH = "load_break_switch"
    DISCONNECTOR = "disconnector"
    EARTHING_SWITCH = "earthing_switch"
    TAP_CHANGER = "tap_changer"
    RESET = "reset"
    AUTOMATIC = "automatic"
    SET_POINT = "set_point"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one class takes. ``return_s``: in what time the return information must be as wanted."""

    persons: int = bounded(low=1, high=2)
    return_s: float = bounded(low=0.1, high=600.0)


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of all classes; ``approval_s`` and ``select_s`` are the times a person may take."""

    rules: Mapping[PointClass, Rule]
    approval_s: float
    select_s: float

    def rule(self, point_class: PointClass) -> Rule:
        """The rule of a class; every class has one."""
        return self.rules[point_class]


@dataclass(frozen=True, slots=True)
class _Head:
    approval_s: float = bounded(low=1.0, high=600.0, default=120.0)
    select_s: float = bounded(low=1.0, high=600.0, default=30.0)


def point_class(command: CommandPoint, device: DeviceKind | None) -> PointClass:
    """The class of a command point; ``device`` is the kind of the switching device it moves, if it moves one."""
    if device is not None:
        return PointClass(device.value)
    if command.kind is CommandKind.REGULATING_STEP:
        return PointClass.TAP_CHANGER
    if command.kind is CommandKind.SET_POINT:
        return PointClass.SET_POINT
    return PointClass.RESET if command.kind is CommandKind.SINGLE_COMMAND else PointClass.AUTOMATIC


def load_policy(path: Path, found: list[Fault]) -> Policy | None:
    """The policy in ``path``, or None with every fault in ``found``."""
    tables = load_toml(path, found)
    if tables is None:
        return None
    before = len(found)
    faults = Faults(path.name, found)
    head = read_table(_Head, {key: value for key, value in tables.items() if key != "rule"}, faults)
    rules: dict[PointClass, Rule] = {}
    for number, table in enumerate(tables.get("rule", []), start=1):
        _read_rule(table, faults, f"rule[{number}]", rules)
    readable = len(found) == before
    for each in PointClass:
        if each not in rules and readable:
            faults.add("rule", f"no rule for class {each.value!r}")
    return Policy(rules, head.approval_s, head.select_s) if head is not None and len(found) == before else None


def _read_rule(table: dict[str, Any], faults: Faults, key: str, rules: dict[PointClass, Rule]) -> None:
    known = [each.value for each in PointClass]
    name = table.get("class")
    if name not in known:
        faults.add(f"{key}.class", f"{name!r} is none of {', '.join(known)}")
        return
    if name in rules:
        faults.add(f"{key}.class", f"{name!r} is there twice")
    rule = read_table(Rule, {each: table[each] for each in table if each != "class"}, faults, key=key)
    if rule is not None:
        rules[PointClass(name)] = rule
