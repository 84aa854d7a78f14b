"""Sequence of events in the registers of a device: where the ring stands, what to read next, what the records say.

Knows sequence numbers, slots and record layouts. Does not know sockets, and never decides when to read.

A reader takes records ``[position, next)``. What the device overwrote before it was read is told by the numbers alone:
lost is exactly what the sequence numbers leave out. A number far behind the position is a device that restarted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scada.model.cause import Cause
from scada.model.point import Point, PointKind
from scada.model.quality import Quality
from scada.model.sample import SampleArray, samples
from substations.decode import Codec
from substations.layout import RawArray
from substations.polling import MOST_REGISTERS
from substations.registers import BoundEventBuffer, BoundPoint
from substations.timetag import believable
from substations.wiretypes import Table, WireType

EVENT: Final = np.dtype([("sequence", "<i8"), ("code", "<i4"), ("value", "<f8"), ("quality", "u1"), ("time", "<i8")])
"""One record: sequence number · point code of the map · value in the point's unit · quality octet · time, µs UTC."""

EventArray = NDArray[np.void]
_FIELDS: Final = {"sequence": 0, "code": 1, "value": 2, "quality": 3, "time": 4}
_QUALITY: Final = int(Quality.OVERFLOW | Quality.BLOCKED | Quality.SUBSTITUTED | Quality.NOT_TOPICAL | Quality.INVALID)


@dataclass(frozen=True, slots=True)
class Head:
    """What the buffer's own registers say: number of the next record, and whether one was overwritten unread."""

    next: int
    overflow: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """Where to read on: from ``position``, ``count`` records; ``lost`` were overwritten before, exactly counted."""

    position: int
    count: int
    lost: int = 0
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class Registers:
    """One read of neighbouring registers."""

    table: Table
    start: int
    count: int


class EventBuffer:
    """The layout of one buffer. Every question is answered from its arguments."""

    def __init__(self, bound: BoundEventBuffer) -> None:
        self.name = bound.name
        self.unit = bound.unit
        self.points = bound.points
        entry = bound.entry
        self.entry = entry
        self.modulus = 1 << 16 * entry.sequence_type.registers
        self.acknowledge = bound.base + entry.acknowledge
        """First holding register of the acknowledged number."""
        first = min(entry.next, entry.flags)
        last = max(entry.next + entry.sequence_type.registers, entry.flags + 1)
        self.head = Registers(entry.table, bound.base + first, last - first)
        self._head_codec = Codec([self._place(0, entry.next - first, entry.sequence_type)], 0, self.head.count)
        self._flags = (entry.flags - first) * 2
        self._last_head = (b"", Head(0, overflow=False))
        self._ack_codec = Codec([self._place(0, 0, entry.sequence_type)], 0, entry.sequence_type.registers)
        self._records = bound.base + entry.records
        self.most = MOST_REGISTERS // entry.record_size
        self._codecs: dict[int, tuple[Codec, NDArray[np.intp], NDArray[np.intp]]] = {}

    def read_head(self, raw: RawArray) -> Head:
        """``raw`` are the bytes of ``head``."""
        content = raw.tobytes()
        # Most scans find nothing new: the same bytes need not be decoded again.
        if content != self._last_head[0]:
            flags = int(raw[self._flags]) << 8 | int(raw[self._flags + 1])
            head = Head(int(self._head_codec.decode(raw)[0][0]), bool(flags >> self.entry.overflow_bit & 1))
            self._last_head = (content, head)
        return self._last_head[1]

    def read_acknowledged(self, raw: RawArray) -> int:
        """``raw`` are the bytes of the acknowledge registers."""
        return int(self._ack_codec.decode(raw)[0][0])

    def acknowledgement(self, position: int) -> list[int]:
        """Registers to write: everything before ``position`` has been taken."""
        raw = np.zeros(self.entry.sequence_type.registers * 2, dtype=np.uint8)
        self._ack_codec.encode(np.array([float(position)]), np.zeros(1, dtype=np.uint8), raw)
        words: list[int] = raw.view(">u2").tolist()
        return words

    def progress(self, position: int, head: Head) -> Progress:
        """From a position to the head: what waits, what was overwritten, or that the device began anew."""
        waiting = (head.next - position) % self.modulus
        if waiting > self.modulus // 2:
            # Numbers never run backwards: the device restarted and counts from 0 again.
            return Progress(
                max(0, head.next - self.entry.capacity), min(head.next, self.entry.capacity), restarted=True
            )
        lost = max(0, waiting - self.entry.capacity)
        return Progress((position + lost) % self.modulus, waiting - lost, lost)

    def reads(self, position: int, count: int) -> list[Registers]:
        """Reads for records ``[position, position + count)``: whole records, at most ``most`` each, none across the end
        of the ring."""
        reads: list[Registers] = []
        while count:
            slot = position % self.entry.capacity
            some = min(count, self.most, self.entry.capacity - slot)
            size = self.entry.record_size
            reads.append(Registers(self.entry.table, self._records + slot * size, some * size))
            position, count = (position + some) % self.modulus, count - some
        return reads

    def decode(self, raw: RawArray) -> EventArray:
        """Records, EVENT, shape (n,), from the bytes of n whole records, in the order of the slots."""
        count = len(raw) // (self.entry.record_size * 2)
        codec, fields, records = self._codec(count)
        values, _ = codec.decode(raw)
        columns = np.empty((len(_FIELDS), count))
        columns[fields, records] = values
        found = np.empty(count, dtype=EVENT)
        found["sequence"], found["code"], found["value"] = columns[0], columns[1], columns[2]
        found["quality"] = columns[3].astype(np.int64) & _QUALITY
        # float64 is exact up to 2^53: 285 years of µs. Nonsense beyond that, or NaN, is made 0: no believable time.
        time = columns[4] * (self.entry.time_unit_s * 1e6)
        found["time"] = np.rint(np.where(np.abs(time) < 2.0**53, time, 0.0)).astype(np.int64)
        return found

    def encode(self, event: EventArray, raw: RawArray) -> None:
        """Write one record, EVENT, shape (), into ``raw``, the bytes of one slot."""
        codec, fields, _ = self._codec(1)
        unit_us = self.entry.time_unit_s * 1e6
        columns = (event["sequence"], event["code"], event["value"], event["quality"], event["time"] // unit_us)
        values = np.array([float(columns[each]) for each in fields])
        codec.encode(values, np.zeros(len(values), dtype=np.uint8), raw)

    def _codec(self, count: int) -> tuple[Codec, NDArray[np.intp], NDArray[np.intp]]:
        """Codec of ``count`` records, and for each of its rows the field and the record."""
        if count not in self._codecs:
            size = self.entry.record_size
            places = [
                self._place(record * len(_FIELDS) + _FIELDS[name], record * size + field.offset, field.type)
                for record in range(count)
                for name, field in self.entry.fields
            ]
            codec = Codec(places, 0, count * size)
            records, fields = np.divmod(codec.points.astype(np.intp), len(_FIELDS))
            self._codecs[count] = (codec, fields, records)
        return self._codecs[count]

    def _place(self, number: int, offset: int, wire_type: WireType) -> BoundPoint:
        """A field as if it were a point, so that the one codec reads and writes it."""
        point = Point(number, f"{self.name} field {number}", PointKind.INTEGRATED_TOTAL, "", "")
        return BoundPoint(
            point=point,
            unit=self.unit,
            table=self.entry.table,
            address=offset,
            type=wire_type,
            order=self.entry.order,
            bit=0,
            width=1,
            scale=1.0,
            add=0.0,
            invalid=None,
            quality_address=None,
            period_s=1.0,
            gap=0,
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of records: received = samples + unknown. ``wrong_times`` of the samples got the receive time."""

    batch: SampleArray
    unknown: int
    wrong_times: int


def to_samples(events: EventArray, points: Mapping[int, Point], now: int) -> Taken:
    """Records as SPONTANEOUS samples with the source's time, ordered by it; equal times keep the device's order."""
    known = np.array([int(code) in points for code in events["code"]], dtype=np.bool_)
    mine: Any = events[known]
    ids = np.array([points[int(code)].id for code in mine["code"]], dtype=np.int32)
    times, wrong = believable(mine["time"], now)
    batch = samples(ids, times, mine["value"], mine["quality"], Cause.SPONTANEOUS)
    return Taken(
        batch[np.argsort(batch["time"], kind="stable")],
        int(len(events) - np.count_nonzero(known)),
        int(np.count_nonzero(wrong)),
    )
