"""Claims about the sequence of events: numbers, slots, records, and what is lost when nobody reads."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.model.errors import Fault
from scada.model.point import Point, PointKind
from scada.model.quality import Quality
from scada.tables import Faults, read_table
from simulators.event_ring import EventRing
from substations.eventbuffer import EVENT, EventBuffer, Head, Progress, Registers, to_samples
from substations.mapcheck import load_register_map
from substations.registermap import EventBufferEntry, EventField
from substations.registers import BoundEventBuffer
from substations.wiretypes import Order, Table, WireType

NOW = 1_700_000_000_123_000
ENTRY = EventBufferEntry(
    table=Table.INPUT_REGISTER,
    next=0,
    flags=2,
    records=3,
    acknowledge=0,
    capacity=8,
    record_size=9,
    sequence=EventField(0, WireType.UINT32),
    code=EventField(2),
    value=EventField(3),
    quality=EventField(4),
    time=EventField(5, WireType.UINT64),
)
POINTS = {0x0101: Point(7 << 16 | 0x0101, "TN07/171/171.position", PointKind.DOUBLE_POINT, "", "")}


def buffer(**fields: object) -> EventBuffer:
    entry = {name: getattr(ENTRY, name) for name in ENTRY.__dataclass_fields__} | fields
    return EventBuffer(BoundEventBuffer("TN07/TD event buffer", 1, EventBufferEntry(**entry), 100, POINTS))


@pytest.mark.parametrize(
    ("position", "next_", "wanted"),
    [
        (0, 0, Progress(0, 0)),
        (5, 9, Progress(5, 4)),
        (5, 13, Progress(5, 8)),
        (5, 14, Progress(6, 8, lost=1)),
        (5, 105, Progress(97, 8, lost=92)),
        (0xFFFFFFFE, 2, Progress(0xFFFFFFFE, 4)),
        (900, 3, Progress(0, 3, restarted=True)),
        (900, 12, Progress(4, 8, restarted=True)),
    ],
)
def test_what_waits_and_what_is_lost_follow_from_two_numbers(position: int, next_: int, wanted: Progress) -> None:
    assert buffer().progress(position, Head(next_, overflow=False)) == wanted


def test_sixteen_bit_numbers_wrap_without_loss() -> None:
    short = buffer(sequence_type=WireType.UINT16, sequence=EventField(0))
    assert short.progress(0xFFFE, Head(3, overflow=False)) == Progress(0xFFFE, 5)
    assert [short.acknowledgement(0xFFFE), short.acknowledgement(3)] == [[0xFFFE], [3]]


def test_reads_are_whole_records_within_one_request_and_not_across_the_end_of_the_ring() -> None:
    table = Table.INPUT_REGISTER
    assert buffer().reads(6, 5) == [Registers(table, 103 + 6 * 9, 18), Registers(table, 103, 27)]
    assert [each.count for each in buffer(capacity=64).reads(0, 40)] == [117, 117, 117, 9]


@pytest.mark.parametrize("order", Order)
def test_a_record_is_what_struct_packs(order: Order) -> None:
    fields = [
        struct.pack(">I", 70_000),
        struct.pack(">H", 0x0101),
        struct.pack(">H", 2),
        struct.pack(">H", 0x00C0),
        struct.pack(">Q", NOW // 1000),
    ]
    words = b""
    for data in fields:
        registers = [data[at : at + 2] for at in range(0, len(data), 2)]
        registers = registers[::-1] if order.words_swapped else registers
        words += b"".join(each[::-1] if order.bytes_swapped else each for each in registers)
    raw = np.frombuffer(words, dtype=np.uint8).copy()
    found = buffer(order=order).decode(raw)
    assert found.tolist() == [(70_000, 0x0101, 2.0, 0xC0, NOW)]
    written = np.zeros(18, dtype=np.uint8)
    buffer(order=order).encode(found[0], written)
    assert written.tobytes() == words


def test_head_and_acknowledgement_are_registers_high_word_first() -> None:
    raw = np.frombuffer(struct.pack(">IH", 70_000, 0b1), dtype=np.uint8)
    assert buffer().read_head(raw) == Head(70_000, overflow=True)
    assert buffer(overflow_bit=1).read_head(raw) == Head(70_000, overflow=False)
    assert buffer().acknowledgement(70_000) == [1, 4464]


def test_events_become_samples_in_the_order_of_their_time_and_none_is_merged() -> None:
    rows = [(4, 0x0101, 2, 0, NOW - 5000), (5, 0x0101, 1, 0, NOW - 7000), (6, 0x0101, 1, 0x80, NOW - 5000)]
    taken = to_samples(np.array(rows, dtype=EVENT), POINTS, NOW)
    assert taken.batch[["time", "value", "quality"]].tolist() == [
        (NOW - 7000, 1.0, 0),
        (NOW - 5000, 2.0, 0),
        (NOW - 5000, 1.0, 0x80),
    ]


def test_a_point_code_nobody_knows_and_a_time_no_clock_gives_are_counted() -> None:
    rows = [(0, 0x0999, 1, 0, NOW), (1, 0x0101, 1, 0, 0), (2, 0x0101, 2, 0, NOW + 61_000_000), (3, 0x0101, 1, 0, NOW)]
    taken = to_samples(np.array(rows, dtype=EVENT), POINTS, NOW)
    assert (len(taken.batch), taken.unknown, taken.wrong_times) == (3, 1, 2)
    assert set(taken.batch["time"].tolist()) == {NOW}


class Registry:
    """The registers of a device."""

    def __init__(self) -> None:
        self.words = np.zeros(400, dtype=">u2")

    def put(self, address: int, values: list[int]) -> None:
        self.words[address : address + len(values)] = values

    def raw(self, wanted: Registers) -> np.ndarray:
        return self.words[wanted.start : wanted.start + wanted.count].view(np.uint8).copy()


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=40))
def test_written_is_read_plus_lost_whatever_the_pace(turns: list[tuple[int, bool]]) -> None:
    layout = buffer()
    bound = BoundEventBuffer("TN07/TD event buffer", 1, ENTRY, 100, POINTS)
    ring, cells, held = EventRing(bound), Registry(), Registry()
    tables = {Table.INPUT_REGISTER: cells, Table.HOLDING_REGISTER: held}
    points = np.array([7 << 16 | 0x0101], dtype=np.int32)
    time = position = lost = 0
    ring.record(points, np.zeros(1), np.zeros(1, dtype=np.uint8), np.zeros(1, dtype=np.int64))
    seen: list[int] = []
    for changes, reads in turns:
        for _ in range(changes):
            time += 1000
            value = np.array([float(time // 1000 % 2)])
            ring.record(points, value, np.zeros(1, dtype=np.uint8), np.array([time]))
        ring.show(tables)
        if reads:
            progress = layout.progress(position, layout.read_head(cells.raw(layout.head)))
            lost += progress.lost
            for wanted in layout.reads(progress.position, progress.count):
                seen += layout.decode(cells.raw(wanted))["time"].tolist()
            position = progress.position + progress.count
            assert ring.acknowledge(layout.acknowledge, layout.acknowledgement(position))
    progress = layout.progress(position, layout.read_head(cells.raw(layout.head))) if turns else Progress(0, 0)
    assert ring.written == len(seen) + lost + progress.count + progress.lost
    assert ring.overwritten == lost + progress.lost
    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen)


MAP = """
bay_type = "line_110"
[[block]]
name = "b"
table = "input_register"
type = "int16"
points = [{ name = "x", offset = 0 }]
[event_buffer]
table = "TABLE"
next = 10
flags = 12
records = 13
acknowledge = 10
capacity = CAPACITY
record_size = SIZE
sequence_type = "uint16"
sequence = { offset = 0, type = "SEQUENCE" }
code = { offset = 1 }
value = { offset = 2 }
quality = { offset = 3 }
time = { offset = TIME, type = "uint64" }
"""


def faults_of(tmp_path: Path, **words: object) -> list[str]:
    values = {"TABLE": "input_register", "CAPACITY": 64, "SIZE": 8, "SEQUENCE": "uint16", "TIME": 4} | words
    text = MAP
    for word, value in values.items():
        text = text.replace(word, str(value))
    path = tmp_path / "line_110.modbus.toml"
    path.write_text(text, encoding="utf-8")
    found: list[Fault] = []
    load_register_map(path, found)
    return [f"{fault.key}: {fault.message}" for fault in found]


def test_a_sound_event_buffer_has_no_faults(tmp_path: Path) -> None:
    assert faults_of(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ({"TABLE": "coil"}, "event_buffer.table: records do not fit table 'coil'"),
        ({"CAPACITY": 100}, "event_buffer.capacity: 100 does not divide 65536: slots would jump when numbers wrap"),
        ({"SIZE": 7}, "event_buffer.time: ends beyond the 7 registers of a record"),
        ({"TIME": 3}, "event_buffer.time: overlaps quality at register 3 of the record"),
        (
            {"SEQUENCE": "int16"},
            "event_buffer.sequence.type: is 'int16', but sequence_type says otherwise",
        ),
    ],
)
def test_a_buffer_that_cannot_work_is_refused(tmp_path: Path, words: dict[str, object], fault: str) -> None:
    assert faults_of(tmp_path, **words) == [fault]


def test_a_field_that_is_missing_is_named() -> None:
    found: list[Fault] = []
    read_table(EventBufferEntry, {"table": "input_register"}, Faults("m.toml", found))
    assert "sequence" in {fault.key for fault in found}


def test_quality_bits_outside_the_octet_are_left_out() -> None:
    assert int(Quality.INVALID) == 0x80
    raw = np.frombuffer(struct.pack(">IHHHQ", 0, 0x0101, 1, 0xFF8E, NOW // 1000), dtype=np.uint8)
    assert buffer().decode(raw)["quality"].tolist() == [0x80]
