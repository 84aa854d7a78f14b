"""A station's registers: its maps bound to the bases of its bays, every point and command at its absolute address.

Knows stations and maps, and what does not fit between them. Does not know sockets, values or how reads are merged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scada.model.errors import Fault
from scada.model.point import Point, PointKind
from scada.model.station import Bay, Station
from scada.tables import Faults
from substations.mapbinding import MappedBay, mapped_bays
from substations.mapnames import in_bay
from substations.mapspans import Span, bit_range, check_overlaps, quality_span, register_span
from substations.registermap import (
    CommandEntry,
    EventBufferEntry,
    FreezeEntry,
    MapBlock,
    PointCodes,
    PointEntry,
    RegisterMap,
)
from substations.setpoint import Form
from substations.wiretypes import DTYPES, HIGHEST_ADDRESS, Order, Table, WireType


@dataclass(frozen=True, slots=True)
class BoundPoint:
    """One point at its absolute place in one station's device."""

    point: Point
    unit: int
    table: Table
    address: int
    type: WireType
    order: Order
    bit: int
    width: int
    scale: float
    add: float
    invalid: float | None
    quality_address: int | None
    period_s: float
    gap: int

    @property
    def size(self) -> int:
        """Addresses the value takes in its table."""
        return self.width if self.table.of_bits else self.type.registers


@dataclass(frozen=True, slots=True)
class BoundCommand:
    """One command at its absolute place; ``name`` is ``STATION/BAY/command``. Fields as in ``CommandEntry``."""

    name: str
    unit: int
    entry: CommandEntry
    operate: int
    select: int | None
    echo: int | None
    result: int | None

    @property
    def bay(self) -> str:
        """``STATION/BAY``."""
        return self.name.rsplit("/", 1)[0]


@dataclass(frozen=True, slots=True)
class BoundEventBuffer:
    """One event buffer at its absolute place; ``points`` by the code its records use."""

    name: str
    unit: int
    entry: EventBufferEntry
    base: int
    points: Mapping[int, Point]


@dataclass(frozen=True, slots=True)
class BoundFreeze:
    """One device's freeze at its absolute place; ``points`` lie where their frozen values are read."""

    name: str
    unit: int
    table: Table
    address: int
    value: int
    points: tuple[BoundPoint, ...]


@dataclass(frozen=True, slots=True)
class StationRegisters:
    """Every point, command, event buffer and freeze of one Modbus station, in the order of its bays and maps."""

    station: str
    points: tuple[BoundPoint, ...]
    commands: tuple[BoundCommand, ...]
    event_buffers: tuple[BoundEventBuffer, ...] = ()
    freezes: tuple[BoundFreeze, ...] = ()

    @property
    def units(self) -> tuple[int, ...]:
        """Every unit behind the station's gateway, ascending."""
        read = {each.unit for each in self.points} | {each.unit for each in self.event_buffers}
        written = {each.unit for each in self.commands} | {each.unit for each in self.freezes}
        return tuple(sorted(read | written))

    def of_unit(self, unit: int) -> "StationRegisters":
        """What one of the devices behind the gateway holds."""
        return StationRegisters(
            self.station,
            tuple(each for each in self.points if each.unit == unit),
            tuple(each for each in self.commands if each.unit == unit),
            tuple(each for each in self.event_buffers if each.unit == unit),
            tuple(each for each in self.freezes if each.unit == unit),
        )


def bind_registers(station: Station, maps: Mapping[str, RegisterMap], found: list[Fault]) -> StationRegisters:
    """The station's points at their absolute addresses; what cannot be bound is left out and noted in ``found``."""
    points: list[BoundPoint] = []
    commands: list[BoundCommand] = []
    buffers: list[BoundEventBuffer] = []
    freezes: list[BoundFreeze] = []
    for mapped in mapped_bays(station, maps, "register", found):
        bay, register_map = mapped.bay, mapped.map
        of_bay = _bind_points(mapped, station.unit_of(bay))
        points += of_bay
        commands += _bind_commands(station, mapped)
        if register_map.event_buffer is not None:
            buffers.append(_bind_event_buffer(station, bay, register_map.event_buffer, mapped.faults))
        if register_map.freeze is not None:
            freezes.append(_bind_freeze(station, bay, register_map.freeze, of_bay, mapped.faults))
    registers = StationRegisters(station.code, tuple(points), tuple(commands), tuple(buffers), tuple(freezes))
    for unit in registers.units:
        _check_places(registers.of_unit(unit), Faults(station.code, found))
    return registers


def _check_places(device: StationRegisters, faults: Faults) -> None:
    """Note what claims an address of one device that another has."""
    frozen = (each for freeze in device.freezes for each in freeze.points)
    spans = [
        Span(each.point.name, each.table, *bit_range(each.table, each.address, each.type, each.bit, each.width))
        for each in (*device.points, *frozen)
    ]
    spans += [span for each in device.event_buffers for span in _event_spans(each.name, each.entry, each.base)]
    writes = _other_writes(device.event_buffers, device.freezes)
    marks = {
        quality_span(each.table, each.quality_address) for each in device.points if each.quality_address is not None
    }
    check_overlaps([*spans, *writes, *marks], faults)
    check_overlaps([*_order_spans(device.commands), *writes], faults)


def _bind_points(mapped: MappedBay[RegisterMap], unit: int) -> list[BoundPoint]:
    bay, known = mapped.bay, mapped.points
    entries = [(in_bay(entry.name, bay), block, entry) for block in mapped.map.block for entry in block.points]
    placed = sorted({name for name, _, _ in entries})
    mapped.check_names(known, placed, "point")
    bound = [_bound(known[name], unit, block, entry, bay.base) for name, block, entry in entries if name in known]
    highest = max((each.address + each.size - 1 for each in bound), default=0)
    if highest > HIGHEST_ADDRESS:
        mapped.faults.add("base", f"{bay.base} puts the last address at {highest}, above {HIGHEST_ADDRESS}")
    return bound


def _bound(point: Point, unit: int, block: MapBlock, entry: PointEntry, base: int) -> BoundPoint:
    wire_type = entry.type or block.type or WireType.BIT
    return BoundPoint(
        point=point,
        unit=unit,
        table=block.table,
        address=base + entry.offset,
        type=wire_type,
        order=entry.order or block.order,
        bit=entry.bit,
        width=entry.width,
        scale=entry.scale,
        add=entry.add,
        invalid=entry.invalid,
        quality_address=None if entry.quality_offset is None else base + entry.quality_offset,
        period_s=block.period_s,
        gap=block.gap,
    )


def _bind_commands(station: Station, mapped: MappedBay[RegisterMap]) -> list[BoundCommand]:
    bay, known, unit = mapped.bay, mapped.commands, station.unit_of(mapped.bay)
    entries = {in_bay(entry.name, bay): entry for entry in mapped.map.command}
    mapped.check_names(known, entries, "command")
    bound = []
    for name, entry in entries.items():
        if name not in known:
            continue
        set_point = form_of(entry) if entry.set_point else None
        mapped.check_command(name, known[name], set_point=set_point, selects=entry.select is not None)
        operate, select, echo, result = (
            None if offset is None else bay.base + offset
            for offset in (entry.operate, entry.select, entry.echo, entry.result)
        )
        assert operate is not None
        last = max(place for place in (operate, select, echo, result) if place is not None) + entry.type.registers - 1
        if last > HIGHEST_ADDRESS:
            mapped.faults.add(f"command {name}", f"address {last} is above {HIGHEST_ADDRESS}")
        bound.append(BoundCommand(f"{station.code}/{bay.name}/{name}", unit, entry, operate, select, echo, result))
    return bound


def form_of(placed: CommandEntry | BoundPoint) -> Form:
    """How the value of a set-point, or of the point that shows it, lies in its registers."""
    return Form(DTYPES.get(placed.type, DTYPES[WireType.BITS]), placed.scale, placed.add)


def _bind_event_buffer(station: Station, bay: Bay, entry: EventBufferEntry, faults: Faults) -> BoundEventBuffer:
    highest = bay.base + max(entry.records + entry.capacity * entry.record_size, entry.next + 2, entry.acknowledge + 2)
    if highest - 1 > HIGHEST_ADDRESS:
        faults.add("event_buffer", f"base {bay.base} puts its last address at {highest - 1}, above {HIGHEST_ADDRESS}")
    if entry.codes is PointCodes.STATION:
        points = {point.id & 0xFFFF: point for each in station.bays for point in each.points}
    else:
        points = {point.id & 0xFF: point for point in bay.points}
    return BoundEventBuffer(f"{station.code}/{bay.name} event buffer", station.unit_of(bay), entry, bay.base, points)


def _bind_freeze(
    station: Station, bay: Bay, entry: FreezeEntry, points: Sequence[BoundPoint], faults: Faults
) -> BoundFreeze:
    offsets = {in_bay(each.name, bay): each.offset for each in entry.points}
    frozen: list[BoundPoint] = []
    for each in points:
        name = each.point.name.split("/", 2)[2]
        if name not in offsets:
            continue
        if each.point.kind is not PointKind.INTEGRATED_TOTAL:
            faults.add(f"freeze: {name}", f"is a {each.point.kind.value}: only integrated totals can be frozen")
        address = bay.base + offsets[name]
        frozen.append(replace(each, address=address, quality_address=None))
    highest = max([bay.base + entry.write, *(each.address + each.size - 1 for each in frozen)])
    if highest > HIGHEST_ADDRESS:
        faults.add("freeze", f"base {bay.base} puts its last address at {highest}, above {HIGHEST_ADDRESS}")
    name, address = f"{station.code}/{bay.name} freeze", bay.base + entry.write
    return BoundFreeze(name, station.unit_of(bay), entry.table, address, entry.value, tuple(frozen))


def _event_spans(name: str, entry: EventBufferEntry, base: int) -> list[Span]:
    registers = entry.sequence_type.registers
    places = ((entry.next, registers), (entry.flags, 1), (entry.records, entry.capacity * entry.record_size))
    return [register_span(name, entry.table, base + start, count) for start, count in sorted(places)]


def _order_spans(commands: Sequence[BoundCommand]) -> list[Span]:
    """Every register an order is written to. A bay may share its own among its commands, no two bays may."""
    return list(
        dict.fromkeys(
            register_span(f"command register of {each.bay}", each.entry.table, address, each.entry.type.registers)
            for each in commands
            for address in (each.operate, each.select)
            if address is not None
        )
    )


def _other_writes(buffers: Sequence[BoundEventBuffer], freezes: Sequence[BoundFreeze]) -> list[Span]:
    """Every register the scan itself writes to: none of them may be a command's, or it would be a second door."""
    acknowledgements = [
        register_span(
            f"{each.name} acknowledgement",
            Table.HOLDING_REGISTER,
            each.base + each.entry.acknowledge,
            each.entry.sequence_type.registers,
        )
        for each in buffers
    ]
    return [*acknowledgements, *(register_span(each.name, each.table, each.address, 1) for each in freezes)]
