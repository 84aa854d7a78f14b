"""The bytes of binary COPY, judged by struct.pack; a server judges them in the integration tests."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from historian.copyformat import (
    ARRIVAL,
    ARRIVAL_COPY,
    METER_EVENT_COPY,
    POSTGRES_EPOCH,
    READING_COPY,
    SAMPLE_COPY,
    CopyLayout,
    decode,
    encode,
)
from scada.model.reading import METER_EVENT, READING
from scada.model.sample import SAMPLE

HEADER = b"PGCOPY\n\377\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)
NEW_YEAR_2026 = 1_767_225_600_000_000

LAYOUTS = {"sample": SAMPLE_COPY, "reading": READING_COPY, "arrival": ARRIVAL_COPY, "meter_event": METER_EVENT_COPY}


def test_a_sample_becomes_the_bytes_of_the_manual() -> None:
    rows = np.array([(0x010203, NEW_YEAR_2026, 117.25, 0x90, 3)], dtype=SAMPLE)
    time = 9497 * 86_400_000_000  # days from 2000-01-01 to 2026-01-01
    row = struct.pack(">hiqidiiihih", 5, 8, time, 8, 117.25, 4, 0x010203, 2, 0x90, 2, 3)
    assert encode(rows, SAMPLE_COPY) == HEADER + row + TRAILER


def test_a_reading_becomes_the_bytes_of_the_manual() -> None:
    rows = np.array([(7, NEW_YEAR_2026 - 1, 2**40, 5, -6, -2_000_000, 2301, 0x80, 65, 17)], dtype=READING)
    time = 9497 * 86_400_000_000 - 1
    row = struct.pack(">h", 10) + struct.pack(">iqiqiqiqii", 8, time, 8, 2**40, 8, 5, 8, -6, 4, 7)
    row += struct.pack(">iiihihihih", 4, -2_000_000, 2, 2301, 2, 0x80, 2, 65, 2, 17)
    assert encode(rows, READING_COPY) == HEADER + row + TRAILER


def test_an_arrival_carries_its_mark_in_one_byte() -> None:
    rows = np.zeros(1, dtype=ARRIVAL)
    rows["time"], rows["first"] = POSTGRES_EPOCH, 1
    assert encode(rows, ARRIVAL_COPY).endswith(struct.pack(">iB", 1, 1) + TRAILER)


def test_a_meter_event_becomes_the_bytes_of_the_manual() -> None:
    rows = np.array([(7, POSTGRES_EPOCH + 1, 99)], dtype=METER_EVENT)
    assert encode(rows, METER_EVENT_COPY) == HEADER + struct.pack(">hiqiiih", 3, 8, 1, 4, 7, 2, 99) + TRAILER


def test_no_rows_are_a_header_and_a_trailer() -> None:
    assert encode(np.empty(0, dtype=SAMPLE), SAMPLE_COPY) == HEADER + TRAILER
    assert decode(HEADER + TRAILER, SAMPLE_COPY).tolist() == []


def test_a_time_that_leaves_int64_lands_where_the_tables_refuse_it() -> None:
    rows = np.zeros(1, dtype=SAMPLE)
    rows["time"] = np.iinfo(np.int64).min
    (time,) = struct.unpack_from(">q", encode(rows, SAMPLE_COPY), len(HEADER) + 6)
    assert time > 290_000 * 365 * 86_400_000_000


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@given(data=st.data())
def test_what_is_encoded_decodes_to_the_same(layout: CopyLayout, data: st.DataObject) -> None:
    rows = data.draw(hnp.arrays(layout.rows, st.integers(0, 20)))
    assert decode(encode(rows, layout), layout).tobytes() == rows.tobytes()


ONE_SAMPLE = encode(np.ones(1, dtype=SAMPLE), SAMPLE_COPY)
NULL_VALUE = HEADER + struct.pack(">hiqi", 5, 8, 0, -1) + bytes(len(ONE_SAMPLE) - len(HEADER) - 20) + TRAILER


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (ONE_SAMPLE[:-1], "not a complete binary COPY stream"),
        (b"PGCOPY" + ONE_SAMPLE, "not a complete binary COPY stream"),
        (ONE_SAMPLE[:-3] + TRAILER, "45 bytes are no whole number of 46-byte rows"),
        (NULL_VALUE, "rows of another layout, or a null"),
    ],
    ids=["cut", "no signature", "half a row", "a null"],
)
def test_a_stream_of_another_form_is_refused(stream: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(stream, SAMPLE_COPY)
