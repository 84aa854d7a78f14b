"""Register maps as their files are: where in a Modbus device the points and commands of one bay type lie.

Knows the rows of a map file. Does not know its faults, stations, values or how reads are merged. Adapter, simulator,
documentation and control desk read the same table.

A map is written per bay type, with offsets from the bay's base address (``docs/maps.md``). Names are those of the bay
type's points, words in braces included.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from scada.tables import bounded
from substations.wiretypes import HIGHEST_ADDRESS, Order, Table, WireType


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


def command_registers(command: CommandEntry) -> tuple[int, ...]:
    """Offsets an order of this command is written to."""
    firsts = [each for each in (command.operate, command.select) if each is not None]
    length = 1 if command.table.of_bits else command.type.registers
    return tuple(first + place for first in firsts for place in range(length))


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
class FrozenEntry:
    """Where the frozen value of an integrated total lies, in the table and with the type of the running one."""

    name: str
    offset: int = bounded(low=0, high=HIGHEST_ADDRESS)


@dataclass(frozen=True, slots=True)
class FreezeEntry:
    """A device that freezes its integrated totals when ``value`` is written to ``write``, and keeps them for reading.

    Nothing else may be done by that write: ``write`` is no register of a command (IEC 60870-5-101, 7.3.4.4, freeze).
    """

    points: tuple[FrozenEntry, ...]
    write: int = bounded(low=0, high=HIGHEST_ADDRESS)
    table: Table = Table.HOLDING_REGISTER
    value: int = bounded(low=0, high=0xFFFF, default=1)


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """The map of one bay type, as in its file."""

    bay_type: str
    block: tuple[MapBlock, ...]
    command: tuple[CommandEntry, ...] = ()
    event_buffer: EventBufferEntry | None = None
    freeze: FreezeEntry | None = None
