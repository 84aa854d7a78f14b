"""A station from its file and the bay types: names put into the patterns, numbers joined to ids.

Knows the rows of a station file and how a bay grows out of its type. Does not know folders or faults: what comes here
was checked by ``scada.stationfile``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scada.baytype import BayType, LoadRow, names_of_bay
from scada.derivedrow import StationDerivedRow, derived_of_bay, derived_of_station
from scada.model.point import Point, point_id
from scada.model.quantity import MEANINGS, Quantity
from scada.model.station import (
    Bay,
    Busbar,
    CommandPoint,
    Device,
    Endpoint,
    Load,
    Station,
    Terminal,
    TerminalKind,
    Transformer,
)
from scada.model.supervision import LINK_BAY_NUMBER
from scada.tables import bounded


@dataclass(frozen=True, slots=True)
class BayRow:
    """One ``[[bay]]``: ``busbars`` fill the slots of its type in order; ``unit_id`` is a device's behind a gateway."""

    type: str
    name: str
    map: str
    busbars: tuple[str, ...]
    number: int = bounded(low=1, high=LINK_BAY_NUMBER - 1)
    base: int = bounded(low=0, high=65535, default=0)
    load: LoadRow | None = None
    unit_id: int | None = None


@dataclass(frozen=True, slots=True)
class StationFile:
    """One ``stations/*.toml``."""

    code: str
    title_vi: str
    title_en: str
    endpoint: Endpoint
    busbars: tuple[Busbar, ...]
    transformers: tuple[Transformer, ...]
    bay: tuple[BayRow, ...]
    common_address: int = bounded(low=1, high=0x7FFF)
    derived: tuple[StationDerivedRow, ...] = ()


def build_station(file: StationFile, bay_types: Mapping[str, BayType], line_at: Mapping[str, str]) -> Station:
    """The station of a file that was found consistent. ``line_at`` names the line at each bay, ``STATION/BAY``."""
    bays: list[Bay] = []
    devices: list[Device] = []
    terminals: list[Terminal] = []
    loads: list[Load] = []
    for row in file.bay:
        bay_type = bay_types[row.type]
        names = names_of_bay(bay_type, row.name, row.busbars)
        bay = _bay(file, row, bay_type, names)
        bays.append(bay)
        devices += _devices(row, bay_type, names, bay.points)
        terminals += _terminals(file, row, bay_type, names, line_at.get(f"{file.code}/{row.name}", ""))
        loads += _loads(file, row, bay_type, names)
    points = [point for bay in bays for point in bay.points]
    numbers = {bay.name: bay.number for bay in bays}
    whole = derived_of_station(file.derived, points, file.code, file.common_address, numbers)
    bays = [replace(bay, derived=(*bay.derived, *whole.get(bay.name, ()))) for bay in bays]
    return Station(
        code=file.code,
        common_address=file.common_address,
        title_vi=file.title_vi,
        title_en=file.title_en,
        endpoint=file.endpoint,
        busbars=file.busbars,
        transformers=file.transformers,
        bays=tuple(bays),
        devices=tuple(devices),
        terminals=tuple(terminals),
        loads=tuple(loads),
    )


def _bay(file: StationFile, row: BayRow, bay_type: BayType, names: Mapping[str, str]) -> Bay:
    points = tuple(_points(file, row, bay_type, names))
    by_name = {pattern.name: point for pattern, point in zip(bay_type.points, points, strict=True)}
    commands = tuple(
        CommandPoint(
            name=each.name.format_map(names),
            device=each.device.format_map(names),
            kind=each.kind,
            select=each.select,
            return_information=by_name.get(each.return_information),
            low=each.low,
            high=each.high,
        )
        for each in bay_type.commands
    )
    rated = {each.name: each.rated_mva for each in file.transformers}
    derived = derived_of_bay(
        bay_type.derived,
        by_name,
        {each.name.format_map(names): each.kind for each in bay_type.devices},
        names,
        (file.code, row.name, file.common_address, row.number),
        rated.get(row.name, 1.0),
    )
    return Bay(
        name=row.name,
        number=row.number,
        bay_type=row.type,
        map=row.map,
        base=row.base,
        unit_id=row.unit_id,
        voltage_kv=bay_type.voltage_kv,
        points=points,
        commands=commands,
        busbars=row.busbars,
        placeholders=tuple(names.items()),
        derived=derived,
    )


def _points(file: StationFile, row: BayRow, bay_type: BayType, names: Mapping[str, str]) -> list[Point]:
    prefix = f"{file.code}/{row.name}/"
    points = []
    for each in bay_type.points:
        meaning = MEANINGS[each.quantity]
        points.append(
            Point(
                id=point_id(file.common_address, row.number, each.number),
                name=prefix + each.name.format_map(names),
                kind=meaning.kind,
                title_vi=each.vi.format_map(names),
                title_en=each.en.format_map(names),
                unit=meaning.unit,
                deadband=each.deadband,
                low=each.low,
                high=each.high,
                quantity=each.quantity,
                device=each.device.format_map(names),
                terminal=each.terminal.format_map(names),
            )
        )
    return points


def _node(row: BayRow, bay_type: BayType, name: str) -> str:
    for slot, busbar in zip(bay_type.busbars, row.busbars, strict=True):
        if slot.slot == name:
            return busbar
    return f"{row.name}:{name}"


def _devices(row: BayRow, bay_type: BayType, names: Mapping[str, str], points: Sequence[Point]) -> list[Device]:
    positions = {each.device: each for each in points if each.quantity == Quantity.POSITION}
    devices = []
    for each in bay_type.devices:
        name = each.name.format_map(names)
        nodes = [_node(row, bay_type, node) for node in each.nodes]
        devices.append(
            Device(
                name=name,
                kind=each.kind,
                bay=row.name,
                voltage_kv=each.voltage_kv or bay_type.voltage_kv,
                node_1=nodes[0],
                node_2=nodes[1] if len(nodes) == 2 else "",
                position=positions[name],
                normally_closed=each.normal == "closed",
            )
        )
    return devices


def _terminals(
    file: StationFile, row: BayRow, bay_type: BayType, names: Mapping[str, str], line: str
) -> list[Terminal]:
    terminals = []
    for each in bay_type.terminals:
        name = each.name.format_map(names)
        equipment = {
            TerminalKind.LINE: line,
            TerminalKind.LOAD: f"{file.code}/{name if each.load else row.name}",
            TerminalKind.WINDING: row.name,
            TerminalKind.BUSBAR: names.get(each.busbar, ""),
        }[each.kind]
        node = _node(row, bay_type, each.node)
        terminals.append(Terminal(name, each.kind, row.name, each.voltage_kv or bay_type.voltage_kv, node, equipment))
    return terminals


def _loads(file: StationFile, row: BayRow, bay_type: BayType, names: Mapping[str, str]) -> list[Load]:
    loads = []
    for each in bay_type.terminals:
        if each.kind is not TerminalKind.LOAD:
            continue
        name = each.name.format_map(names)
        load = each.load or row.load
        if load is not None:
            full = f"{file.code}/{name if each.load else row.name}"
            loads.append(Load(full, row.name, load.p_mw, load.q_mvar, load.shares, terminal=name))
    return loads
