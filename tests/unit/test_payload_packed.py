"""Packed batches: what is written is read, and whatever was damaged on the way is found."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.jsonform import MAX_SERIAL
from meters.packed import (
    DEVIATION_NOT_SPECIFIED,
    HEADER,
    MAGIC,
    MAX_RECORDS,
    RECORD,
    Batch,
    BatchHeader,
    decode_batch,
    encode_batch,
    pack_records,
)
from meters.payload import INCOMING
from meters.rejection import Reason, Rejected
from tests.fakes_meters import NOW, batch_payload

GOOD = batch_payload([1, 2, 3])
COLUMNS: dict[str, int] = {
    "serial": 1,
    "time": NOW,
    "point_check": 1,
    "import_wh": 1,
    "export_wh": 1,
    "import_varh": 1,
    "power_w": 1,
    "voltage_dv": 1,
}


def reason_of(payload: bytes) -> Reason:
    outcome = decode_batch(payload)
    assert isinstance(outcome, Rejected)
    return outcome.reason


def with_header(**changes: int) -> bytes:
    """The good batch with fields of its header replaced and the checksum made right again."""
    names = ("magic", "version", "kind", "flags", "count", "interval_s", "deviation", "reserved", "seq")
    fields = dict(zip(names, HEADER.unpack_from(GOOD), strict=True))
    body = HEADER.pack(*{**fields, **changes}.values()) + GOOD[HEADER.size : -4]
    return body + struct.pack("<I", zlib.crc32(body))


def test_the_sizes_are_those_of_the_reference() -> None:
    assert (HEADER.size, RECORD.itemsize) == (28, 48)
    assert len(GOOD) == 28 + 3 * 48 + 4


def test_fields_of_a_record_neither_overlap_nor_leave_holes() -> None:
    """numpy accepts overlapping offsets silently."""
    ends = 0
    for name in RECORD.names or ():
        field_type, offset = RECORD.fields[name][:2]  # type: ignore[index]  # a structured dtype has fields
        assert offset == ends
        ends += field_type.itemsize
    assert ends == RECORD.itemsize


@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, MAX_SERIAL),
            st.integers(420 * 60, 2**32 - 1),
            st.integers(0, 2**32 - 1),
            *[st.integers(-(2**63), 2**63 - 1)] * 3,
            st.integers(-(2**31), 2**31 - 1),
            st.integers(-(2**15), 2**15 - 1),
            st.integers(0, 255),
        ),
        min_size=1,
        max_size=20,
    ),
    interval_s=st.integers(0, 2**32 - 1),
    seq=st.integers(0, 2**63 - 1),
    historical=st.booleans(),
    deviation=st.integers(-420, 0),
)
def test_what_is_written_is_read(
    *, rows: list[tuple[int, ...]], interval_s: int, seq: int, historical: bool, deviation: int
) -> None:
    columns = list(zip(*rows, strict=True))
    time = (np.array(columns[1], dtype=np.int64) + deviation * 60) * 1_000_000
    records = pack_records(
        serial=np.array(columns[0]),
        time=time,
        point_check=np.array(columns[2]),
        import_wh=np.array(columns[3], dtype=np.int64),
        export_wh=np.array(columns[4], dtype=np.int64),
        import_varh=np.array(columns[5], dtype=np.int64),
        power_w=np.array(columns[6]),
        voltage_dv=np.array(columns[7]),
        status=np.array(columns[8]),
        deviation=deviation,
    )
    header = BatchHeader(interval_s, seq, historical, deviation)
    batch = decode_batch(encode_batch(header, records))
    assert isinstance(batch, Batch)
    assert batch.header == header
    assert batch.rows.dtype == INCOMING
    expected = [
        (row[0], row[2], when, *row[3:], interval_s, seq, historical)
        for row, when in zip(rows, time.tolist(), strict=True)
    ]
    assert batch.rows.tolist() == expected


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_one_changed_byte_anywhere_is_found(place: int, difference: int) -> None:
    payload = bytearray(GOOD)
    payload[place] ^= difference
    assert isinstance(decode_batch(bytes(payload)), Rejected)


@given(st.integers(0, len(GOOD) - 1))
def test_every_shortened_batch_is_refused(length: int) -> None:
    assert reason_of(GOOD[:length]) in (Reason.TRUNCATED, Reason.NOT_A_BATCH)


@given(st.binary(max_size=200))
def test_no_bytes_raise(tail: bytes) -> None:
    assert isinstance(decode_batch(tail), Rejected)
    assert isinstance(decode_batch(MAGIC + b"\x01" + tail), Rejected)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Reason.NOT_A_BATCH),
        (b'{"v": 1}', Reason.NOT_A_BATCH),
        (MAGIC, Reason.TRUNCATED),
        (GOOD[:-5], Reason.TRUNCATED),
        (GOOD + b"\0", Reason.OVERSIZE),
        (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), Reason.BAD_CHECKSUM),
        (with_header(version=2), Reason.UNKNOWN_VERSION),
        (with_header(kind=2), Reason.UNKNOWN_VERSION),
        (with_header(count=2), Reason.OVERSIZE),
        (with_header(count=4), Reason.TRUNCATED),
        (with_header(count=MAX_RECORDS + 1), Reason.OVERSIZE),
        (with_header(count=2**32 - 1), Reason.OVERSIZE),
        (with_header(deviation=DEVIATION_NOT_SPECIFIED), Reason.NO_ZONE),
        (with_header(deviation=900), Reason.OUT_OF_RANGE),
        (with_header(deviation=-841), Reason.OUT_OF_RANGE),
        (with_header(seq=2**63), Reason.OUT_OF_RANGE),
    ],
)
def test_what_is_not_a_batch_has_its_reason(payload: bytes, reason: Reason) -> None:
    assert reason_of(payload) is reason


def test_a_serial_beyond_int64_does_not_become_another_meter() -> None:
    records = np.zeros(2, dtype=RECORD)
    records["serial"] = [2**64 - 240_000_000_001, 240_000_000_001]
    batch = decode_batch(encode_batch(BatchHeader(1800, 1), records))
    assert isinstance(batch, Batch)
    assert batch.rows["serial"].tolist() == [-1, 240_000_000_001]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("serial", MAX_SERIAL + 1),
        ("serial", -1),
        ("voltage_dv", 40_000),
        ("power_w", 2**31),
        ("point_check", -1),
        ("point_check", 2**32),
        ("status", 256),
        ("time", NOW + 1),
        ("time", (2**32 + 1) * 1_000_000),
        ("time", -8 * 3600 * 1_000_000),
    ],
)
def test_a_value_that_would_wrap_silently_is_refused_by_the_encoder(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        pack_records(**{**COLUMNS, name: np.array([value])})  # type: ignore[arg-type]  # deviation keeps its default


def test_a_column_of_fractions_is_refused_by_the_encoder() -> None:
    with pytest.raises(ValueError, match="import_wh is float64"):
        pack_records(**{**COLUMNS, "import_wh": np.array([1.5])})  # type: ignore[arg-type]  # deviation keeps its default


def test_batches_without_records_or_with_too_many_are_not_written() -> None:
    with pytest.raises(ValueError, match="0 records"):
        encode_batch(BatchHeader(1800, 1), np.zeros(0, dtype=RECORD))
    with pytest.raises(ValueError, match="20001 records"):
        encode_batch(BatchHeader(1800, 1), np.zeros(MAX_RECORDS + 1, dtype=RECORD))
    with pytest.raises(ValueError, match="not of dtype RECORD"):
        encode_batch(BatchHeader(1800, 1), np.zeros(1, dtype=INCOMING))
