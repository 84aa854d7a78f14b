"""Register maps: where in a Modbus device the points and commands of one bay type lie.

Knows tables, offsets, types, orders of bytes and words, scales and periods, and finds every fault in them. Does not
know sockets, values or how reads are merged. Adapter, simulator, documentation and control desk read the same table.

A map is written per bay type, with offsets from the bay's base address (``docs/maps.md``). Names are those of the bay
type's points, words in braces included.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from scada.model.errors import Fault
from scada.model.point import Point
from scada.model.station import Bay, Station
from scada.tables import Faults, bounded, load_table, nearest

HIGHEST_ADDRESS = 65535


class Table(StrEnum):
    """The four tables of the Modbus data model (Modbus Application Protocol V1.1b3, 4.3)."""

    COIL = "coil"
    DISCRETE_INPUT = "discrete_input"
    INPUT_REGISTER = "input_register"
    HOLDING_REGISTER = "holding_register"

    @property
    def of_bits(self) -> bool:
        """True when one address is one bit, False when it is a register of 16."""
        return self in (Table.COIL, Table.DISCRETE_INPUT)


class WireType(StrEnum):
    """How a value lies in the table. BIT: in a table of bits; BITS: some bits of one register."""

    BIT = "bit"
    BITS = "bits"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"

    @property
    def registers(self) -> int:
        """Registers the value takes; BIT and BITS count as one."""
        return 4 if self.value.endswith("64") else 2 if self.value.endswith("32") else 1


class Order(StrEnum):
    """Order of the bytes of a 32-bit value on the wire, A the most significant. ABCD is Modbus' own order; CDAB swaps
    the words, BADC the bytes of each word, DCBA both. 16 and 64 bits follow the same two swaps."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"

    @property
    def words_swapped(self) -> bool:
        """True when the least significant register comes first."""
        return self in (Order.CDAB, Order.DCBA)

    @property
    def bytes_swapped(self) -> bool:
        """True when the least significant byte of each register comes first."""
        return self in (Order.BADC, Order.DCBA)


ACTIONS = ("open", "close", "raise", "lower", "reset")


@dataclass(frozen=True, slots=True)
class PointEntry:
    """One point of a block. Engineering value = raw x ``scale`` + ``add``; a raw value equal to ``invalid`` means the
    device has none. ``quality_offset`` is a register whose low byte is the IEC 60870-5 quality octet."""

    name: str
    offset: int = bounded(low=0, high=HIGHEST_ADDRESS)
    type: WireType | None = None
    order: Order | None = None
    bit: int = bounded(low=0, high=15, default=0)
    width: int = bounded(low=1, high=16, default=1)
    scale: float = 1.0
    add: float = 0.0
    invalid: float | None = None
    quality_offset: int | None = bounded(low=0, high=HIGHEST_ADDRESS, default=None)


@dataclass(frozen=True, slots=True)
class MapBlock:
    """Points of one table that are scanned together; ``type`` and ``order`` hold where a point does not say its own.

    ``gap`` is how many undefined addresses in a row the device lets us read over; 0 = none. It is at most 120 for
    registers: a request holds no more than 125.
    """

    name: str
    table: Table
    points: tuple[PointEntry, ...]
    type: WireType | None = None
    order: Order = Order.ABCD
    period_s: float = bounded(low=0.05, high=86400.0, default=1.0)
    gap: int = bounded(low=0, high=1900, default=0)


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """How one command is given: write ``values[action]`` to ``operate``, or for a set-point the encoded value.

    With ``select`` the same value is written there first and must be read back from ``echo`` (in ``echo_table``) before
    ``operate`` is written, within ``select_timeout_s``; ``cancel`` withdraws a selection. ``result`` holds the device's
    AddCause code (IEC 61850-7-2, 20.5.2.9) of the last order, 0 = none.
    """

    name: str
    table: Table
    operate: int = bounded(low=0, high=HIGHEST_ADDRESS)
    values: dict[str, int] = field(default_factory=dict)
    select: int | None = bounded(low=0, high=HIGHEST_ADDRESS, default=None)
    echo: int | None = bounded(low=0, high=HIGHEST_ADDRESS, default=None)
    echo_table: Table = Table.INPUT_REGISTER
    cancel: int = 0
    result: int | None = bounded(low=0, high=HIGHEST_ADDRESS, default=None)
    select_timeout_s: float = bounded(low=0.1, high=600.0, default=30.0)
    type: WireType = WireType.UINT16
    order: Order = Order.ABCD
    scale: float = 1.0
    add: float = 0.0
    set_point: bool = False


class PointCodes(StrEnum):
    """What the point code in an event record is."""

    STATION = "station"
    """Bay number << 8 | point number: the buffer is the whole station's."""
    BAY = "bay"
    """The point number alone: the buffer is that of its own bay."""


@dataclass(frozen=True, slots=True)
class EventField:
    """Where one field lies in an event record, counted from the record's first register."""

    offset: int = bounded(low=0, high=120)
    type: WireType = WireType.UINT16


@dataclass(frozen=True, slots=True)
class EventBufferEntry:
    """A sequence of events kept by the device: a ring of ``capacity`` records of ``record_size`` registers.

    The record with sequence number s lies in slot s mod ``capacity``. ``next`` holds the number the next record will
    get, bit ``overflow_bit`` of register ``flags`` that one was overwritten unread. ``acknowledge``, holding registers,
    is where the reader writes the number up to which it has taken everything, exclusive; read back after a restart,
    it tells where to go on. Numbers are of ``sequence_type``; with uint16 the capacity divides 65536. ``time`` counts
    in units of ``time_unit_s`` since 1970 UTC.
    """

    table: Table
    sequence: EventField
    code: EventField
    value: EventField
    quality: EventField
    time: EventField
    next: int = bounded(low=0, high=HIGHEST_ADDRESS)
    flags: int = bounded(low=0, high=HIGHEST_ADDRESS)
    records: int = bounded(low=0, high=HIGHEST_ADDRESS)
    acknowledge: int = bounded(low=0, high=HIGHEST_ADDRESS)
    capacity: int = bounded(low=2, high=16384)
    record_size: int = bounded(low=1, high=125)
    codes: PointCodes = PointCodes.STATION
    sequence_type: WireType = WireType.UINT32
    order: Order = Order.ABCD
    overflow_bit: int = bounded(low=0, high=15, default=0)
    time_unit_s: float = bounded(low=1e-6, high=1.0, default=0.001)

    @property
    def fields(self) -> tuple[tuple[str, EventField], ...]:
        """The fields of a record by name."""
        return tuple((name, getattr(self, name)) for name in ("sequence", "code", "value", "quality", "time"))


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """The map of one bay type, as in its file."""

    bay_type: str
    block: tuple[MapBlock, ...]
    command: tuple[CommandEntry, ...] = ()
    event_buffer: EventBufferEntry | None = None


@dataclass(frozen=True, slots=True)
class BoundPoint:
    """One point at its absolute place in one station's device."""

    point: Point
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
    entry: CommandEntry
    operate: int
    select: int | None
    echo: int | None
    result: int | None


@dataclass(frozen=True, slots=True)
class BoundEventBuffer:
    """One event buffer at its absolute place; ``points`` by the code its records use."""

    name: str
    entry: EventBufferEntry
    base: int
    points: Mapping[int, Point]


@dataclass(frozen=True, slots=True)
class StationRegisters:
    """Every point, command and event buffer of one Modbus station, in the order of its bays and maps."""

    station: str
    points: tuple[BoundPoint, ...]
    commands: tuple[BoundCommand, ...]
    event_buffers: tuple[BoundEventBuffer, ...] = ()


def load_register_map(path: Path, found: list[Fault]) -> RegisterMap | None:
    """The map in ``path``, or None with every fault in ``found``."""
    before = len(found)
    register_map = load_table(RegisterMap, path, found)
    if register_map is not None:
        _check_map(register_map, Faults(path.name, found))
    return register_map if len(found) == before else None


def bind_registers(station: Station, maps: Mapping[str, RegisterMap], found: list[Fault]) -> StationRegisters:
    """The station's points at their absolute addresses; what cannot be bound is left out and noted in ``found``."""
    points: list[BoundPoint] = []
    commands: list[BoundCommand] = []
    buffers: list[BoundEventBuffer] = []
    seen: set[tuple[str, str]] = set()
    for bay in station.bays:
        faults = Faults(f"{station.code}/{bay.name}", found)
        register_map = maps.get(bay.map)
        if register_map is None:
            faults.add("map", f"no such register map: {bay.map!r}{nearest(bay.map, list(maps))}")
            continue
        if register_map.bay_type != bay.bay_type:
            faults.add("map", f"{bay.map!r} is for bay type {register_map.bay_type!r}, not {bay.bay_type!r}")
            continue
        complete = Faults(f"{bay.map}.toml", [] if (bay.map, bay.bay_type) in seen else found)
        seen.add((bay.map, bay.bay_type))
        points += _bind_points(bay, register_map, faults, complete)
        commands += _bind_commands(station.code, bay, register_map, faults, complete)
        if register_map.event_buffer is not None:
            buffers.append(_bind_event_buffer(station, bay, register_map.event_buffer, faults))
    spans = [_Span(each.point.name, each.table, *_bits_of(each)) for each in points]
    spans += [span for each in buffers for span in _event_spans(each.name, each.entry, each.base)]
    marks = {_quality_span(each.table, each.quality_address) for each in points if each.quality_address is not None}
    _check_overlaps([*spans, *marks], Faults(station.code, found))
    return StationRegisters(station.code, tuple(points), tuple(commands), tuple(buffers))


def in_bay(pattern: str, bay: Bay) -> str:
    """A name of a map with its words in braces replaced by what they stand for in this bay."""
    for word, name in (("bay", bay.name), *bay.placeholders):
        pattern = pattern.replace(f"{{{word}}}", name)
    return pattern


def like(name: str, known: Sequence[str]) -> str:
    """``; did you mean X?`` for the known name most like ``name``; all known names only when they are few."""
    hint = nearest(name, known)
    return hint if len(known) <= 8 or "did you mean" in hint else ""


def _bind_points(bay: Bay, register_map: RegisterMap, faults: Faults, complete: Faults) -> list[BoundPoint]:
    known = {point.name.split("/", 2)[2]: point for point in bay.points}
    entries = [(block, entry) for block in register_map.block for entry in block.points]
    mapped = {in_bay(entry.name, bay) for _, entry in entries}
    for name in sorted(mapped - known.keys()):
        complete.add(name, f"is no point of bay type {bay.bay_type!r}{like(name, list(known))}")
    for name in known:
        if name not in mapped:
            complete.add(name, f"is a point of bay type {bay.bay_type!r} that the map does not place")
    bound = [
        _bound(known[name], block, entry, bay.base)
        for block, entry in entries
        if (name := in_bay(entry.name, bay)) in known
    ]
    highest = max((each.address + each.size - 1 for each in bound), default=0)
    if highest > HIGHEST_ADDRESS:
        faults.add("base", f"{bay.base} puts the last address at {highest}, above {HIGHEST_ADDRESS}")
    return bound


def _bound(point: Point, block: MapBlock, entry: PointEntry, base: int) -> BoundPoint:
    wire_type = entry.type or block.type or WireType.BIT
    return BoundPoint(
        point=point,
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


def _bind_commands(
    station: str, bay: Bay, register_map: RegisterMap, faults: Faults, complete: Faults
) -> list[BoundCommand]:
    known = {command.name.split("/")[-1]: command for command in bay.commands}
    bound = []
    for entry in register_map.command:
        name = in_bay(entry.name, bay)
        if name not in known:
            complete.add(name, f"is no command of bay type {bay.bay_type!r}{like(name, list(known))}")
            continue
        if (entry.select is not None) != known[name].select:
            complete.add(name, f"select-before-operate is {known[name].select} in bay type {bay.bay_type!r}, not here")
        places = [
            None if offset is None else bay.base + offset
            for offset in (entry.operate, entry.select, entry.echo, entry.result)
        ]
        operate, select, echo, result = places
        assert operate is not None
        highest = max(place for place in places if place is not None)
        if highest > HIGHEST_ADDRESS:
            faults.add(f"command {name}", f"address {highest} is above {HIGHEST_ADDRESS}")
        bound.append(BoundCommand(f"{station}/{bay.name}/{name}", entry, operate, select, echo, result))
    for name in known:
        if name not in {in_bay(entry.name, bay) for entry in register_map.command}:
            complete.add(name, f"is a command of bay type {bay.bay_type!r} that the map does not place")
    return bound


def _bind_event_buffer(station: Station, bay: Bay, entry: EventBufferEntry, faults: Faults) -> BoundEventBuffer:
    highest = bay.base + max(entry.records + entry.capacity * entry.record_size, entry.next + 2, entry.acknowledge + 2)
    if highest - 1 > HIGHEST_ADDRESS:
        faults.add("event_buffer", f"base {bay.base} puts its last address at {highest - 1}, above {HIGHEST_ADDRESS}")
    if entry.codes is PointCodes.STATION:
        points = {point.id & 0xFFFF: point for each in station.bays for point in each.points}
    else:
        points = {point.id & 0xFF: point for point in bay.points}
    return BoundEventBuffer(f"{station.code}/{bay.name} event buffer", entry, bay.base, points)


@dataclass(frozen=True, slots=True)
class _Span:
    """Bits [start, end) of a table that belong to one name."""

    name: str
    table: Table
    start: int
    end: int


def _quality_span(table: Table, address: int) -> _Span:
    return _Span(f"quality register {address}", table, address * 16, address * 16 + 16)


def _bits_of(each: BoundPoint) -> tuple[int, int]:
    return _bit_range(each.table, each.address, each.type, each.bit, each.width)


def _bit_range(table: Table, address: int, wire_type: WireType, bit: int, width: int) -> tuple[int, int]:
    if table.of_bits:
        return address, address + width
    if wire_type is WireType.BITS:
        return address * 16 + bit, address * 16 + bit + width
    return address * 16, (address + wire_type.registers) * 16


def _event_spans(name: str, entry: EventBufferEntry, base: int) -> list[_Span]:
    registers = entry.sequence_type.registers
    places = ((entry.next, registers), (entry.flags, 1), (entry.records, entry.capacity * entry.record_size))
    spans = [
        _Span(name, entry.table, (base + start) * 16, (base + start + length) * 16) for start, length in sorted(places)
    ]
    own = (base + entry.acknowledge) * 16
    return [*spans, _Span(name, Table.HOLDING_REGISTER, own, own + registers * 16)]


def _check_overlaps(spans: Sequence[_Span], faults: Faults) -> None:
    last: dict[Table, _Span] = {}
    for span in sorted(spans, key=lambda each: (each.table, each.start, each.end)):
        before = last.get(span.table)
        if before is not None and span.start < before.end:
            address = span.start if span.table.of_bits else span.start // 16
            faults.add(span.name, f"overlaps {before.name} at {span.table.value} {address}")
        if before is None or span.end > before.end:
            last[span.table] = span


def _check_map(register_map: RegisterMap, faults: Faults) -> None:
    spans: list[_Span] = []
    swapped: dict[tuple[Table, int], bool] = {}
    for block in register_map.block:
        if not block.points:
            faults.add(f"block {block.name}", "has no points")
        if block.gap > 120 and not block.table.of_bits:
            faults.add(f"block {block.name}", f"gap {block.gap} is above 120, the most a read of registers can hold")
        for entry in block.points:
            key = f"{block.name}: {entry.name}"
            wire_type = entry.type or block.type or (WireType.BIT if block.table.of_bits else None)
            if wire_type is None:
                faults.add(key, "has no type")
            elif _check_entry(block, entry, wire_type, faults, key):
                bits = _bit_range(block.table, entry.offset, wire_type, entry.bit, entry.width)
                spans.append(_Span(key, block.table, *bits))
                order = entry.order or block.order
                if swapped.setdefault((block.table, entry.offset), order.bytes_swapped) != order.bytes_swapped:
                    faults.add(key, f"shares register {entry.offset} with another order of bytes")
            if entry.quality_offset is not None and not block.table.of_bits:
                spans.append(_quality_span(block.table, entry.quality_offset))
                _check_quality_register(block, entry, faults, key)
    _check_overlaps(list(dict.fromkeys(spans)), faults)
    _check_names((entry.name for block in register_map.block for entry in block.points), faults)
    _check_names((entry.name for entry in register_map.command), faults)
    for command in register_map.command:
        _check_command(command, faults)
    if register_map.event_buffer is not None:
        _check_event_buffer(register_map.event_buffer, faults)


def _check_event_buffer(entry: EventBufferEntry, faults: Faults) -> None:
    key = "event_buffer"
    if entry.table.of_bits:
        faults.add(f"{key}.table", f"records do not fit table {entry.table.value!r}")
    if entry.sequence_type not in (WireType.UINT16, WireType.UINT32):
        faults.add(f"{key}.sequence_type", f"sequence numbers are uint16 or uint32, not {entry.sequence_type.value!r}")
    if entry.sequence.type is not entry.sequence_type:
        faults.add(f"{key}.sequence.type", f"is {entry.sequence.type.value!r}, but sequence_type says otherwise")
    if entry.sequence_type is WireType.UINT16 and 65536 % entry.capacity:
        faults.add(f"{key}.capacity", f"{entry.capacity} does not divide 65536: slots would jump when numbers wrap")
    taken: dict[int, str] = {}
    for name, each in entry.fields:
        if each.type in (WireType.BIT, WireType.BITS):
            faults.add(f"{key}.{name}.type", "a field takes whole registers")
        if each.offset + each.type.registers > entry.record_size:
            faults.add(f"{key}.{name}", f"ends beyond the {entry.record_size} registers of a record")
        for register in range(each.offset, each.offset + each.type.registers):
            if taken.setdefault(register, name) != name:
                faults.add(f"{key}.{name}", f"overlaps {taken[register]} at register {register} of the record")


def _check_entry(block: MapBlock, entry: PointEntry, wire_type: WireType, faults: Faults, key: str) -> bool:
    before = len(faults.found)
    if block.table.of_bits != (wire_type is WireType.BIT):
        faults.add(key, f"type {wire_type.value!r} does not fit table {block.table.value!r}")
    if entry.width > 1 and wire_type not in (WireType.BIT, WireType.BITS):
        faults.add(key, f"width belongs to bits, not to {wire_type.value!r}")
    if wire_type is WireType.BIT and entry.width > 2:
        faults.add(key, "at most 2 bits of a table of bits make one point")
    if wire_type is WireType.BITS and entry.bit + entry.width > 16:
        faults.add(key, f"bits {entry.bit} to {entry.bit + entry.width - 1} do not fit a register")
    if wire_type is not WireType.BITS and entry.bit:
        faults.add(key, f"bit belongs to type 'bits', not to {wire_type.value!r}")
    if entry.scale == 0.0:
        faults.add(key, "scale must not be 0")
    if entry.quality_offset is not None and block.table.of_bits:
        faults.add(key, "a quality register needs a table of registers")
    size = entry.width if block.table.of_bits else wire_type.registers
    if entry.offset + size - 1 > HIGHEST_ADDRESS:
        faults.add(key, f"ends at {entry.offset + size - 1}, above {HIGHEST_ADDRESS}")
    return len(faults.found) == before


def _check_quality_register(block: MapBlock, entry: PointEntry, faults: Faults, key: str) -> None:
    """A point and its quality register are read by one request, or they would not belong together."""
    defined = {each.quality_offset for each in block.points}
    for each in block.points:
        defined |= set(range(each.offset, each.offset + (each.type or block.type or WireType.BITS).registers))
    first, last = sorted((entry.offset, entry.quality_offset or 0))
    between = [address for address in range(first, last) if address not in defined]
    if last - first > 120 or len(between) > block.gap:
        faults.add(key, f"quality register {entry.quality_offset} cannot be read together with the value")


def _check_names(names: Iterable[str], faults: Faults) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            faults.add(name, "is there twice")
        seen.add(name)


def _check_command(command: CommandEntry, faults: Faults) -> None:
    key = f"command {command.name}"
    if command.table not in (Table.COIL, Table.HOLDING_REGISTER):
        faults.add(key, f"table {command.table.value!r} cannot be written")
    if (command.select is None) != (command.echo is None):
        faults.add(key, "select and echo belong together")
    if command.set_point == bool(command.values):
        faults.add(key, "needs either values or set_point = true")
    for action in command.values:
        if action not in ACTIONS:
            faults.add(f"{key}.values", f"unknown action {action!r}{nearest(action, ACTIONS)}")
    highest = 1 if command.table.of_bits else 0xFFFF
    for action, value in command.values.items():
        if not 0 <= value <= highest:
            faults.add(f"{key}.values", f"{action} = {value} is not in 0..{highest}: no frame can carry it")
    if len(set(command.values.values())) < len(command.values):
        faults.add(f"{key}.values", "two actions have the same value")
    if command.scale == 0.0:
        faults.add(key, "scale must not be 0")
