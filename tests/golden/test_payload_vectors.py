"""A packed batch written by hand with ``struct``, field by field from docs/payloads.md, judges both codecs."""

import struct
import zlib
from datetime import UTC, datetime

import numpy as np

from meters.packed import BatchHeader, decode_batch, encode_batch, pack_records
from meters.payload import INCOMING
from meters.rejection import Rejected

# 2025-06-01 10:30:00 on a clock in Viet Nam, counted from 1970-01-01 00:00 on the same clock: 20240 days 10.5 h
LOCAL_S = 20240 * 86400 + 10 * 3600 + 30 * 60
UTC_US = (LOCAL_S - 7 * 3600) * 1_000_000
POINT_1, POINT_2 = 0xE23C80B3, 0x00000001

HEADER = (
    b"AMIB"
    + bytes([1, 1])  # schema version, kind
    + struct.pack("<H", 1)  # flags: historical
    + struct.pack("<I", 2)  # records
    + struct.pack("<I", 1800)  # interval_s
    + struct.pack("<h", -420)  # deviation
    + struct.pack("<H", 0)  # reserved
    + struct.pack("<Q", 4711)  # seq
)
RECORD_1 = (
    struct.pack("<Q", 240000000017)
    + struct.pack("<I", LOCAL_S)
    + struct.pack("<I", POINT_1)
    + struct.pack("<q", 123456)
    + struct.pack("<q", 7)
    + struct.pack("<q", 890)
    + struct.pack("<i", -500)
    + struct.pack("<h", 2301)
    + bytes([0x20, 0])  # status: clock adjusted; reserved
)
RECORD_2 = struct.pack("<QIIqqqihBB", 999999999999, LOCAL_S, POINT_2, 2**62, 0, 0, 2**31 - 1, 32767, 0xFF, 0)
BODY = HEADER + RECORD_1 + RECORD_2
GOLDEN = BODY + struct.pack("<I", zlib.crc32(BODY))


def test_the_vector_is_the_instant_it_says() -> None:
    assert datetime(2025, 6, 1, 3, 30, tzinfo=UTC).timestamp() * 1e6 == UTC_US


def test_the_bytes_written_by_hand_are_read() -> None:
    batch = decode_batch(GOLDEN)
    assert not isinstance(batch, Rejected)
    assert batch.header == BatchHeader(interval_s=1800, seq=4711, historical=True, deviation=-420)
    expected = [
        (240000000017, POINT_1, UTC_US, 123456, 7, 890, -500, 2301, 0x20, 1800, 4711, True),
        (999999999999, POINT_2, UTC_US, 2**62, 0, 0, 2**31 - 1, 32767, 0xFF, 1800, 4711, True),
    ]
    assert batch.rows.tolist() == expected
    assert batch.rows.dtype == INCOMING
    assert batch.records.tobytes() == RECORD_1 + RECORD_2


def test_the_encoder_writes_the_same_bytes() -> None:
    records = pack_records(
        serial=np.array([240000000017, 999999999999]),
        time=UTC_US,
        point_check=np.array([POINT_1, POINT_2]),
        import_wh=np.array([123456, 2**62]),
        export_wh=np.array([7, 0]),
        import_varh=np.array([890, 0]),
        power_w=np.array([-500, 2**31 - 1]),
        voltage_dv=np.array([2301, 32767]),
        status=np.array([0x20, 0xFF]),
    )
    assert encode_batch(BatchHeader(interval_s=1800, seq=4711, historical=True), records) == GOLDEN


def test_the_same_instant_on_a_clock_west_of_greenwich() -> None:
    """DLMS counts the deviation from local time *to* UTC: +300 minutes on a clock five hours behind."""
    body = bytearray(BODY)
    body[16:18] = struct.pack("<h", 300)
    batch = decode_batch(bytes(body) + struct.pack("<I", zlib.crc32(bytes(body))))
    assert not isinstance(batch, Rejected)
    assert batch.rows["time"].tolist() == [(LOCAL_S + 5 * 3600) * 1_000_000] * 2
