"""Bay types: what every bay of a kind has, written once in ``baytypes/*.toml`` with patterns for the names.

Knows the form of a bay-type file and what makes one consistent. Does not know stations, maps or the state of anything.

Patterns: ``{bay}`` is the bay's name, ``{unit}`` the digits it ends in, ``{slot}`` the busbar in a slot and
``{slot_section}`` its last digit, so that ``{bay}-{bus_section}`` of bay 172 on C12 is 172-2. Nodes are the slots and
the names in ``nodes``.
"""

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scada.derivedrow import DerivedRow, check_derived_rows
from scada.model.errors import Fault
from scada.model.point import PointKind
from scada.model.quantity import MEANINGS, Quantity
from scada.model.station import CommandKind, CustomerShares, DeviceKind, TerminalKind
from scada.tables import Faults, bounded, load_table, nearest

NORMAL_POSITIONS = ("open", "closed")


@dataclass(frozen=True, slots=True)
class LoadRow:
    """A consumption: its peak and whose it is."""

    shares: CustomerShares
    p_mw: float = bounded(low=0.0, high=200.0)
    q_mvar: float = bounded(low=-200.0, high=200.0)


@dataclass(frozen=True, slots=True)
class SlotRow:
    """A place for a busbar: the station says which one fills it."""

    slot: str
    voltage_kv: float


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A switching device between two nodes; an earthing switch has one. ``voltage_kv`` 0 is that of the bay."""

    name: str
    kind: DeviceKind
    nodes: tuple[str, ...]
    normal: str = bounded(choices=NORMAL_POSITIONS)
    voltage_kv: float = 0.0


@dataclass(frozen=True, slots=True)
class TerminalRow:
    """Where the bay meets equipment; ``busbar`` is the slot a busbar terminal measures."""

    name: str
    kind: TerminalKind
    node: str
    voltage_kv: float = 0.0
    busbar: str = ""
    load: LoadRow | None = None


@dataclass(frozen=True, slots=True)
class PointRow:
    """One information object; its kind, unit and normal value are those of its quantity."""

    name: str
    quantity: Quantity
    vi: str
    en: str
    number: int = bounded(low=1, high=255)
    device: str = ""
    terminal: str = ""
    deadband: float = bounded(low=0.0, default=0.0)
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class CommandRow:
    """Something to operate and the name of the point that shows the outcome; a set-point has limits."""

    name: str
    device: str
    kind: CommandKind
    select: bool
    return_information: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class BayType:
    """One bay-type file. ``transformer`` marks the type whose bays bear the names of transformers."""

    title_vi: str
    title_en: str
    voltage_kv: float
    busbars: tuple[SlotRow, ...]
    nodes: tuple[str, ...]
    devices: tuple[DeviceRow, ...]
    terminals: tuple[TerminalRow, ...]
    points: tuple[PointRow, ...]
    commands: tuple[CommandRow, ...]
    transformer: bool = False
    derived: tuple[DerivedRow, ...] = ()

    @property
    def placeholders(self) -> tuple[str, ...]:
        """What may stand in braces in this type's patterns."""
        slots = [each.slot for each in self.busbars]
        return ("bay", "unit", *slots, *(f"{slot}_section" for slot in slots))


def read_bay_types(folder: Path, found: list[Fault]) -> tuple[dict[str, BayType], frozenset[str]]:
    """The usable bay types of ``folder`` by name, and the names of all files there; faults go into ``found``."""
    usable: dict[str, BayType] = {}
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        found.append(Fault(folder.name, "", f"no bay types in {folder}"))
    for path in paths:
        label = f"{folder.name}/{path.name}"
        before = len(found)
        bay_type = load_table(BayType, path, found, name=label)
        if bay_type is not None:
            check_bay_type(bay_type, Faults(label, found))
            if len(found) == before:
                usable[path.stem] = bay_type
    return usable, frozenset(path.stem for path in paths)


def check_bay_type(bay_type: BayType, faults: Faults) -> None:
    """Every contradiction within one bay type, into ``faults``."""
    _check_patterns(bay_type, faults)
    _check_unique(faults, "busbars", "slot", [each.slot for each in bay_type.busbars])
    _check_unique(faults, "nodes", "node", [*(each.slot for each in bay_type.busbars), *bay_type.nodes])
    _check_unique(faults, "devices", "name", [each.name for each in bay_type.devices])
    _check_unique(faults, "terminals", "name", [each.name for each in bay_type.terminals])
    _check_unique(faults, "points", "name", [each.name for each in bay_type.points])
    _check_unique(faults, "points", "number", [each.number for each in bay_type.points])
    _check_unique(faults, "commands", "name", [each.name for each in bay_type.commands])
    _check_devices(bay_type, faults)
    _check_terminals(bay_type, faults)
    _check_connected(bay_type, faults)
    _check_points(bay_type, faults)
    _check_commands(bay_type, faults)
    check_derived_rows(
        bay_type.derived,
        {each.name: each.quantity for each in bay_type.points},
        [each.number for each in bay_type.points],
        faults,
        transformer=bay_type.transformer,
    )


def names_of_bay(bay_type: BayType, bay: str, busbars: Sequence[str]) -> Mapping[str, str]:
    """What the placeholders stand for in one bay. ``busbars`` fill the slots in order."""
    unit = bay[len(bay.rstrip(string.digits)) :]
    names = {"bay": bay, "unit": unit}
    for slot, busbar in zip(bay_type.busbars, busbars, strict=True):
        names[slot.slot] = busbar
        names[f"{slot.slot}_section"] = busbar[-1:]
    return names


def _check_unique(faults: Faults, key: str, what: str, values: Sequence[str | int]) -> None:
    first: dict[str | int, int] = {}
    for index, value in enumerate(values, start=1):
        if value in first:
            faults.add(f"{key}[{index}].{what}", f"{value!r} is already that of {key}[{first[value]}]")
        first.setdefault(value, index)


def _patterns(bay_type: BayType) -> Iterator[tuple[str, str]]:
    for index, device in enumerate(bay_type.devices, start=1):
        yield f"devices[{index}].name", device.name
    for index, terminal in enumerate(bay_type.terminals, start=1):
        yield f"terminals[{index}].name", terminal.name
    for index, point in enumerate(bay_type.points, start=1):
        yield f"points[{index}].name", point.name
        yield f"points[{index}].vi", point.vi
        yield f"points[{index}].en", point.en
    for index, command in enumerate(bay_type.commands, start=1):
        yield f"commands[{index}].name", command.name
    for index, derived in enumerate(bay_type.derived, start=1):
        yield f"derived[{index}].name", derived.name
        yield f"derived[{index}].vi", derived.vi
        yield f"derived[{index}].en", derived.en


def _check_patterns(bay_type: BayType, faults: Faults) -> None:
    known = bay_type.placeholders
    for key, pattern in _patterns(bay_type):
        try:
            fields = [name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None]
        except ValueError as error:
            faults.add(key, f"{pattern!r} is no pattern: {error}")
            continue
        for name in fields:
            if name not in known:
                faults.add(key, f"{{{name}}} stands for nothing{nearest(name, known)}")


def _check_devices(bay_type: BayType, faults: Faults) -> None:
    nodes = (*(each.slot for each in bay_type.busbars), *bay_type.nodes)
    positions = [each.device for each in bay_type.points if each.quantity is Quantity.POSITION]
    for index, device in enumerate(bay_type.devices, start=1):
        key = f"devices[{index}]"
        wanted = 1 if device.kind is DeviceKind.EARTHING_SWITCH else 2
        if len(device.nodes) != wanted or len(set(device.nodes)) != wanted:
            faults.add(f"{key}.nodes", f"{device.kind} {device.name} needs {wanted} different node(s)")
        for node in device.nodes:
            if node not in nodes:
                faults.add(f"{key}.nodes", f"unknown node {node!r}{nearest(node, nodes)}")
        if positions.count(device.name) != 1:
            faults.add(
                key, f"{device.name} has {positions.count(device.name)} points of quantity 'position', needs one"
            )


def _check_terminals(bay_type: BayType, faults: Faults) -> None:
    slots = tuple(each.slot for each in bay_type.busbars)
    nodes = (*slots, *bay_type.nodes)
    holder: dict[str, str] = dict.fromkeys(slots, "the busbar")
    for index, terminal in enumerate(bay_type.terminals, start=1):
        key = f"terminals[{index}]"
        if terminal.node not in nodes:
            faults.add(f"{key}.node", f"unknown node {terminal.node!r}{nearest(terminal.node, nodes)}")
        elif terminal.kind is TerminalKind.BUSBAR:
            _check_busbar_terminal(bay_type, terminal, faults, key)
        elif terminal.node in holder:
            faults.add(f"{key}.node", f"{terminal.node!r} already holds {holder[terminal.node]}")
        else:
            holder[terminal.node] = terminal.name
        if terminal.load is not None:
            if terminal.kind is not TerminalKind.LOAD:
                faults.add(f"{key}.load", f"a terminal of kind {terminal.kind} has no load")
            check_shares(terminal.load.shares, faults, f"{key}.load.shares")


def _check_busbar_terminal(bay_type: BayType, terminal: TerminalRow, faults: Faults, key: str) -> None:
    slots = tuple(each.slot for each in bay_type.busbars)
    if terminal.busbar not in slots:
        faults.add(f"{key}.busbar", f"unknown slot {terminal.busbar!r}{nearest(terminal.busbar, slots)}")
    breakers = [each for each in bay_type.devices if each.kind is DeviceKind.CIRCUIT_BREAKER]
    if breakers and not any(terminal.node in each.nodes for each in breakers):
        faults.add(f"{key}.node", f"{terminal.node!r} is not at the circuit breaker whose flow it measures")


def check_shares(shares: CustomerShares, faults: Faults, key: str) -> None:
    """The shares of customers must add up."""
    parts = (shares.residential, shares.production, shares.business)
    if min(*parts, shares.pv) < 0.0:
        faults.add(key, "a share is below 0")
    if abs(sum(parts) - 1.0) > 0.001:
        faults.add(key, f"residential + production + business is {sum(parts):.3f}, must be 1")


def _check_connected(bay_type: BayType, faults: Faults) -> None:
    reached = {each.slot for each in bay_type.busbars}
    links = [set(each.nodes) for each in bay_type.devices if len(each.nodes) == 2]
    while fresh := [link for link in links if link & reached and link - reached]:
        reached.update(*fresh)
    for index, node in enumerate(bay_type.nodes, start=1):
        if node not in reached:
            faults.add(f"nodes[{index}]", f"{node!r} is connected to no busbar through the devices of the bay")


def _check_points(bay_type: BayType, faults: Faults) -> None:
    devices = tuple(each.name for each in bay_type.devices)
    devices = (*devices, "{bay}") if bay_type.transformer else devices
    terminals = tuple(each.name for each in bay_type.terminals)
    for index, point in enumerate(bay_type.points, start=1):
        key = f"points[{index}]"
        if point.device and point.device not in devices:
            faults.add(f"{key}.device", f"unknown device {point.device!r}{nearest(point.device, devices)}")
        if point.terminal and point.terminal not in terminals:
            faults.add(f"{key}.terminal", f"unknown terminal {point.terminal!r}{nearest(point.terminal, terminals)}")
        if point.low is not None and point.high is not None and point.low >= point.high:
            faults.add(f"{key}.low", f"{point.low} is not below high {point.high}")


def _check_commands(bay_type: BayType, faults: Faults) -> None:
    devices = tuple(each.name for each in bay_type.devices)
    devices = (*devices, "{bay}") if bay_type.transformer else devices
    points = tuple(each.name for each in bay_type.points)
    for index, command in enumerate(bay_type.commands, start=1):
        key = f"commands[{index}]"
        if command.name in points:
            faults.add(f"{key}.name", f"{command.name!r} is the name of a point")
        if command.device and command.device not in devices:
            faults.add(f"{key}.device", f"unknown device {command.device!r}{nearest(command.device, devices)}")
        if command.return_information and command.return_information not in points:
            where = nearest(command.return_information, points) if len(points) < 200 else ""
            faults.add(f"{key}.return_information", f"unknown point {command.return_information!r}{where}")
        _check_limits(command, bay_type, faults, key)


def _check_limits(command: CommandRow, bay_type: BayType, faults: Faults, key: str) -> None:
    """A set-point without limits is not offered, nor one that nobody could see in force; nothing else has limits."""
    if command.kind is not CommandKind.SET_POINT:
        if command.low is not None or command.high is not None:
            faults.add(key, f"low and high belong to set_point, not to {command.kind.value}")
        return
    if command.low is None or command.high is None or not command.low < command.high:
        faults.add(key, "a set-point needs low and high, low below high")
    shown = [each for each in bay_type.points if each.name == command.return_information]
    if not shown or MEANINGS[shown[0].quantity].kind is not PointKind.MEASURED_VALUE:
        faults.add(key, "a set-point needs a measured value as return_information")
    if command.device:
        faults.add(key, "a set-point moves no device")
