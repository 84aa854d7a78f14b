"""A register map read from its file, with every fault it has by itself.

Knows what a device can have and a request can carry. Does not know stations: what depends on one is found when the map
is bound to it (``substations.registers``).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from scada.model.errors import Fault
from scada.tables import Faults, nearest
from substations.mapfile import check_command, load_map
from substations.mapspans import Span, bit_range, check_overlaps, quality_span
from substations.registermap import (
    CommandEntry,
    EventBufferEntry,
    FreezeEntry,
    MapBlock,
    PointEntry,
    RegisterMap,
    command_registers,
)
from substations.wiretypes import HIGHEST_ADDRESS, Table, WireType


def load_register_map(path: Path, found: list[Fault]) -> RegisterMap | None:
    """The map in ``path``, or None with every fault in ``found``."""
    return load_map(RegisterMap, _check_map, path, found)


def _check_map(register_map: RegisterMap, faults: Faults) -> None:
    spans: list[Span] = []
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
                bits = bit_range(block.table, entry.offset, wire_type, entry.bit, entry.width)
                spans.append(Span(key, block.table, *bits))
                order = entry.order or block.order
                if swapped.setdefault((block.table, entry.offset), order.bytes_swapped) != order.bytes_swapped:
                    faults.add(key, f"shares register {entry.offset} with another order of bytes")
            if entry.quality_offset is not None and not block.table.of_bits:
                spans.append(quality_span(block.table, entry.quality_offset))
                _check_quality_register(block, entry, faults, key)
    if register_map.freeze is not None:
        spans += _check_freeze(register_map.freeze, register_map, faults)
    check_overlaps(list(dict.fromkeys(spans)), faults)
    _check_names((entry.name for block in register_map.block for entry in block.points), faults)
    _check_names((entry.name for entry in register_map.command), faults)
    for command in register_map.command:
        _check_command(command, faults)
    _check_orders(register_map.command, faults)
    if register_map.event_buffer is not None:
        _check_event_buffer(register_map.event_buffer, faults)


def _check_freeze(entry: FreezeEntry, register_map: RegisterMap, faults: Faults) -> list[Span]:
    """Where the frozen totals lie. The write that freezes must not be able to order anything."""
    if entry.table not in (Table.COIL, Table.HOLDING_REGISTER):
        faults.add("freeze.table", f"table {entry.table.value!r} cannot be written")
    if entry.table.of_bits and entry.value > 1:
        faults.add("freeze.value", f"{entry.value} is not in 0..1: no frame can carry it")
    for command in register_map.command:
        for register in command_registers(command):
            if (entry.table, entry.write) == (command.table, register):
                faults.add("freeze.write", f"{entry.write} is a register of command {command.name}")
    if not entry.points:
        faults.add("freeze.points", "are missing: nobody would read what was frozen")
    _check_names((f"freeze: {each.name}" for each in entry.points), faults)
    running = {each.name: (block, each) for block in register_map.block for each in block.points}
    spans = []
    for frozen in entry.points:
        block, live = running.get(frozen.name, (None, None))
        if block is None or live is None:
            faults.add(f"freeze: {frozen.name}", f"is no point of this map{nearest(frozen.name, list(running))}")
        elif not block.table.of_bits:
            wire_type = live.type or block.type or WireType.UINT16
            bits = bit_range(block.table, frozen.offset, wire_type, live.bit, live.width)
            spans.append(Span(f"freeze: {frozen.name}", block.table, *bits))
    return spans


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
    check_command(command, faults)
    is_number = command.type not in (WireType.BIT, WireType.BITS) and not command.type.decimal_digits
    if command.set_point and (command.table.of_bits or not is_number):
        faults.add(key, "a set-point takes whole registers: a table of registers and a number's type")
    if command.set_point and command.echo is not None and command.echo_table.of_bits:
        faults.add(key, "the echo of a set-point takes whole registers")
    highest = 1 if command.table.of_bits else 0xFFFF
    for action, value in command.values.items():
        if not 0 <= value <= highest:
            faults.add(f"{key}.values", f"{action} = {value} is not in 0..{highest}: no frame can carry it")


def _check_orders(commands: Sequence[CommandEntry], faults: Faults) -> None:
    """Commands may share a register, but no two orders the same frame: the device would carry out the other one."""
    meaning: dict[tuple[Table, int, int], str] = {}
    for command in commands:
        for action, value in command.values.items():
            frame = (command.table, command.operate, value)
            order = f"{command.name} {action}"
            if meaning.setdefault(frame, order) != order:
                faults.add(f"command {command.name}", f"{action} is the same frame as {meaning[frame]}")
    _check_set_points(commands, faults)


def _check_set_points(commands: Sequence[CommandEntry], faults: Faults) -> None:
    """Any value may be written to a set-point's registers: nothing else may be ordered or shown there."""
    for command in commands:
        mine = _places(command) if command.set_point else set()
        if command.set_point and len(mine) < len(command_registers(command)):
            faults.add(f"command {command.name}", "select and operate of a set-point overlap")
        for other in commands:
            if other is not command and not mine.isdisjoint(_places(other)):
                faults.add(f"command {command.name}", f"shares a register with {other.name}, where a value is an order")


def _places(command: CommandEntry) -> set[tuple[Table, int]]:
    return {(command.table, register) for register in command_registers(command)}
