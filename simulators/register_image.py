"""What a Modbus device of a station holds: its registers and bits, and what writing one of them orders.

Knows the station's register map, values and orders. Does not know sockets or the plant: values are handed in, orders
are carried out by an argument.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from scada.model.addcause import AddCause
from scada.model.point import Point, PointKind
from scada.model.sample import PointArray, QualityArray, TimeArray, ValueArray
from simulators.event_ring import EventRing, event_spans
from simulators.orders import Action, CarryOut, OrderSlot
from substations.decode import Codec, Overflow
from substations.registers import BoundCommand, BoundFreeze, BoundPoint, StationRegisters
from substations.wiretypes import Table


class Denied(Enum):
    """Why a device does not answer a request with data (Modbus Application Protocol V1.1b3, 7)."""

    ADDRESS = "no such address in the map"
    VALUE = "no such action"
    REFUSED = "the order was refused; the result register tells why"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a command may be written, and what writing there means."""

    command: BoundCommand
    slot: OrderSlot
    selecting: bool


class RegisterImage:
    """Registers and bits of one device of a station, as bytes on the wire; addresses outside the map do not exist."""

    def __init__(self, registers: StationRegisters, carry_out: CarryOut) -> None:
        self.reads = 0
        """Read requests answered with data."""
        self._tables = {table: _TableImage(table, registers) for table in Table}
        self._rings = tuple(EventRing(each) for each in registers.event_buffers)
        self._freezes = {(each.table, each.address): each for each in registers.freezes}
        self._places: dict[tuple[Table, int], list[_Place]] = {}
        for command in registers.commands:
            self._add_command(command, carry_out)

    def _add_command(self, command: BoundCommand, carry_out: CarryOut) -> None:
        entry = command.entry
        slot = OrderSlot(
            command.name,
            carry_out,
            needs_select=command.select is not None,
            select_timeout_s=entry.select_timeout_s,
        )
        self._places.setdefault((entry.table, command.operate), []).append(_Place(command, slot, selecting=False))
        if command.select is not None:
            self._places.setdefault((entry.table, command.select), []).append(_Place(command, slot, selecting=True))

    @property
    def events(self) -> int:
        """Records written into the event buffers since the start."""
        return sum(ring.written for ring in self._rings)

    def refresh(
        self,
        points: PointArray,
        values: ValueArray,
        quality: QualityArray,
        now: int,
        times: TimeArray | None = None,
    ) -> None:
        """Take over the plant's values. points: ids, sorted ascending; all shape (n,). ``now`` ends old selections.

        Contacts and positions that changed are recorded in the event buffers with their ``times``, else with ``now``.
        """
        for table in self._tables.values():
            table.refresh(points, values, quality)
        for ring in self._rings:
            ring.record(points, values, quality, np.full(len(points), now) if times is None else times)
            ring.show(self._tables)
        for places in self._places.values():
            # Several commands may share one echo: it is empty only when none of them is selected.
            if all(place.selecting and place.slot.selected(now) is None for place in places):
                self._echo(places[0].command, ())

    def read(self, table: Table, address: int, count: int) -> list[int] | Denied:
        """Registers, or bits as 0 and 1, from ``address`` on; shape of the answer (count,)."""
        answer = self._tables[table].read(address, count)
        self.reads += not isinstance(answer, Denied)
        return answer

    def write(self, table: Table, address: int, values: Sequence[int], now: int) -> Denied | None:
        """Carry out what writing ``values`` at ``address`` orders; None when the device accepted it."""
        for ring in self._rings:
            if table is Table.HOLDING_REGISTER and ring.acknowledge(address, values):
                ring.show(self._tables)
                return None
        if (freeze := self._freezes.get((table, address))) is not None:
            return self._frozen(freeze, values)
        places = self._places.get((table, address), [])
        if not places or len(values) != places[0].command.entry.type.registers:
            return Denied.ADDRESS
        self._tables[table].put(address, values)
        withdrawn = [each for each in places if each.selecting and _cancels(each.command, values)]
        if withdrawn:
            return self._cancel(withdrawn)
        # Bays share one register among their commands: the value tells which is meant.
        meant = [(each, action) for each in places if (action := _action(each.command, values)) is not None]
        if not meant:
            return Denied.VALUE
        place, action = meant[0]
        if place.selecting:
            cause = place.slot.select(action, now)
            if cause is None:
                self._echo(place.command, values)
        else:
            cause = place.slot.operate(action, now)
            self._echo(place.command, ())
        return self._done(place.command, cause)

    def _frozen(self, freeze: BoundFreeze, values: Sequence[int]) -> Denied | None:
        """Keep the totals shown at this moment beside the running ones."""
        if list(values) != [freeze.value]:
            return Denied.VALUE
        for each in self._tables.values():
            each.freeze(freeze)
        return None

    def _cancel(self, places: Sequence[_Place]) -> Denied | None:
        for place in places:
            place.slot.cancel()
            self._echo(place.command, ())
        return self._done(places[0].command, None)

    def _echo(self, command: BoundCommand, values: Sequence[int]) -> None:
        """Show what is selected, or nothing: an action in one register, a value in all of its own."""
        if command.echo is not None:
            size = _echo_size(command)
            self._tables[command.entry.echo_table].put(command.echo, [*values, *[0] * size][:size])

    def _done(self, command: BoundCommand, cause: AddCause | None) -> Denied | None:
        if command.result is not None:
            self._tables[command.entry.echo_table].put(command.result, [0 if cause is None else int(cause)])
        return None if cause is None else Denied.REFUSED


class _TableImage:
    """One of the four tables: bytes, which addresses exist, and the codec of the points in it."""

    def __init__(self, table: Table, registers: StationRegisters) -> None:
        self._of_bits = table.of_bits
        points = [each for each in registers.points if each.table is table]
        spans = [(each.address, each.size, each.gap) for each in points]
        spans += [(each.quality_address, 1, each.gap) for each in points if each.quality_address is not None]
        frozen = [each for freeze in registers.freezes for each in freeze.points if each.table is table]
        spans += [(each.address, each.size, each.gap) for each in frozen]
        others = [(each.address, 1) for each in registers.freezes if each.table is table]
        others += [span for each in registers.commands for span in _command_spans(each, table)]
        others += [span for each in registers.event_buffers for span in event_spans(each, table)]
        size = max((start + count for start, count, *_ in (*spans, *others)), default=0)
        self._readable = _readable(spans, size)
        for start, count in others:
            self._readable[start : start + count] = True
        self._raw = np.zeros(size if self._of_bits else size * 2, dtype=np.uint8)
        self._codec = Codec(points, 0, size) if points else None
        self._rows: NDArray[np.intp] | None = None
        totals = {each.point.id for each in frozen}
        self._running = {each.point.id: each.address for each in points if each.point.id in totals}

    def refresh(self, points: PointArray, values: ValueArray, quality: QualityArray) -> None:
        if self._codec is None:
            return
        if self._rows is None:
            self._rows = np.searchsorted(points, self._codec.points)
        self._codec.encode(values[self._rows], quality[self._rows], self._raw, Overflow.CLIP)

    def freeze(self, freeze: BoundFreeze) -> None:
        """Copy the running totals of ``freeze`` that lie here, byte for byte."""
        for each in freeze.points:
            if (running := self._running.get(each.point.id)) is not None:
                size = each.size * 2
                now = self._raw[running * 2 : running * 2 + size]
                self._raw[each.address * 2 : each.address * 2 + size] = now

    def read(self, address: int, count: int) -> list[int] | Denied:
        if not self._readable[address : address + count].all() or address + count > len(self._readable):
            return Denied.ADDRESS
        cells: NDArray[np.generic] = self._raw if self._of_bits else self._raw.view(">u2")
        found: list[int] = cells[address : address + count].tolist()
        return found

    def put(self, address: int, values: Sequence[int]) -> None:
        """Set registers or bits from ``address`` on."""
        cells: NDArray[np.generic] = self._raw if self._of_bits else self._raw.view(">u2")
        cells[address : address + len(values)] = values


def _command_spans(command: BoundCommand, table: Table) -> list[tuple[int, int]]:
    entry = command.entry
    written = [command.operate, command.select] if entry.table is table else []
    told = [(command.echo, _echo_size(command)), (command.result, 1)] if entry.echo_table is table else []
    return [(each, entry.type.registers) for each in written if each is not None] + [
        (each, size) for each, size in told if each is not None
    ]


def _echo_size(command: BoundCommand) -> int:
    return command.entry.type.registers if command.entry.set_point else 1


def _readable(spans: Sequence[tuple[int, int, int]], size: int) -> NDArray[np.bool_]:
    """True where an address exists, or lies in a hole the device lets one read over (``gap`` of both its edges)."""
    readable = np.zeros(size, dtype=np.bool_)
    gap = np.zeros(size + 1, dtype=np.int64)
    for address, length, allowed in spans:
        readable[address : address + length] = True
        gap[address : address + length] = np.maximum(gap[address : address + length], allowed)
    defined = np.flatnonzero(readable)
    for left, right in zip(defined[:-1].tolist(), defined[1:].tolist(), strict=True):
        if 1 < right - left <= min(gap[left], gap[right]) + 1:
            readable[left:right] = True
    return readable


def _cancels(command: BoundCommand, values: Sequence[int]) -> bool:
    return not command.entry.set_point and values[0] == command.entry.cancel


def _action(command: BoundCommand, values: Sequence[int]) -> Action | None:
    entry = command.entry
    if not entry.set_point:
        return next((action for action, value in entry.values.items() if value == values[0]), None)
    decoded, _ = Codec([_set_point(command)], 0, entry.type.registers).decode(
        np.array(values, dtype=">u2").view(np.uint8)
    )
    return float(decoded[0])


def _set_point(command: BoundCommand) -> BoundPoint:
    """The written value as if it were a point, so that the one codec decodes it."""
    entry = command.entry
    return BoundPoint(
        point=Point(0, command.name, PointKind.MEASURED_VALUE, "", ""),
        unit=command.unit,
        table=entry.table,
        address=0,
        type=entry.type,
        order=entry.order,
        bit=0,
        width=1,
        scale=entry.scale,
        add=entry.add,
        invalid=None,
        quality_address=None,
        period_s=1.0,
        gap=0,
    )
