"""Packed load-profile batch of a concentrator: header, fixed-width records, CRC-32. Schema version 1, little-endian.

Knows the bytes, for both ends of the wire. Does not know which meters exist or what is plausible. Record times are the
meter's *local* clock and the header says how far that is from UTC, as in the DLMS/COSEM date-time (Blue Book 4.1.6.1):
deviation = minutes to add to local time to reach UTC, so −420 in Viet Nam; 0x8000 = not specified, which is refused.
"""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meters.jsonform import MAX_SERIAL
from meters.payload import INCOMING, IncomingArray
from meters.rejection import Reason, Rejected

RECORD = np.dtype(
    [
        ("serial", "<u8"),
        ("time", "<u4"),
        ("point_check", "<u4"),
        ("import_wh", "<i8"),
        ("export_wh", "<i8"),
        ("import_varh", "<i8"),
        ("power_w", "<i4"),
        ("voltage_dv", "<i2"),
        ("status", "u1"),
        ("reserved", "u1"),
    ]
)
"""One reading, 48 bytes. time: seconds of the meter's local clock since 1970-01-01 00:00 local, end of the interval;
four bytes last until 2106 and no value of them can overflow µs in int64 · power_w: positive = import · reserved: 0."""

RecordArray = NDArray[np.void]

HEADER = struct.Struct("<4sBBHIIhHQ")
"""magic, schema version, kind, flags, count, interval_s, deviation in minutes, reserved, seq: 28 bytes."""

MAGIC = b"AMIB"
KIND_PROFILE = 1
FLAG_HISTORICAL = 0x0001
DEVIATION_NOT_SPECIFIED = -0x8000
MAX_DEVIATION = 840
VIET_NAM = -420

MAX_RECORDS = 20_000
"""Largest batch accepted: 0.96 MB. A concentrator has at most 1,000 meters, so this is 20 intervals of all of them."""

_CRC = struct.Struct("<I")
_RECORD_COLUMNS = ("serial", "point_check", "import_wh", "export_wh", "import_varh", "power_w", "voltage_dv", "status")


@dataclass(frozen=True, slots=True)
class BatchHeader:
    """What holds for all records of a batch. ``historical``: a replay; it never becomes a meter's live value."""

    interval_s: int
    seq: int
    historical: bool = False
    deviation: int = VIET_NAM


@dataclass(frozen=True, slots=True)
class Batch:
    """An opened batch: its header, and its records as sent, of shape (count,)."""

    header: BatchHeader
    records: RecordArray

    @property
    def rows(self) -> IncomingArray:
        """The records as rows of dtype INCOMING, shape (count,)."""
        return incoming_rows([self])


def pack_records(
    *,
    serial: ArrayLike,
    time: ArrayLike,
    point_check: ArrayLike,
    import_wh: ArrayLike,
    export_wh: ArrayLike,
    import_varh: ArrayLike,
    power_w: ArrayLike,
    voltage_dv: ArrayLike,
    status: ArrayLike = 0,
    deviation: int = VIET_NAM,
) -> RecordArray:
    """Columns to RECORD rows, shape (n,); scalars are repeated. time: µs since 1970 UTC, whole seconds.

    Raises ValueError when a value does not fit its field: assignment to a numpy array would wrap it silently.
    """
    local = np.asarray(time, dtype=np.int64) - deviation * 60_000_000
    if np.any(local % 1_000_000):
        raise ValueError("time is not in whole seconds")
    columns = {
        "serial": serial,
        "time": local // 1_000_000,
        "point_check": point_check,
        "import_wh": import_wh,
        "export_wh": export_wh,
        "import_varh": import_varh,
        "power_w": power_w,
        "voltage_dv": voltage_dv,
        "status": status,
        "reserved": 0,
    }
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    records = np.empty(np.broadcast_shapes(*(array.shape for array in arrays.values()), (1,)), dtype=RECORD)
    for name, array in arrays.items():
        _check_fits(name, array)
        records[name] = array
    return records


def encode_batch(header: BatchHeader, records: RecordArray) -> bytes:
    """Header, records (dtype RECORD, shape (n,), 1 ≤ n ≤ MAX_RECORDS) and checksum as bytes.

    Raises ValueError when there are too many or no records, struct.error when a header field does not fit.
    """
    if records.dtype != RECORD:
        raise ValueError("records are not of dtype RECORD")
    if not 1 <= len(records) <= MAX_RECORDS:
        raise ValueError(f"{len(records)} records; 1 to {MAX_RECORDS} allowed")
    flags = FLAG_HISTORICAL if header.historical else 0
    head = HEADER.pack(MAGIC, 1, KIND_PROFILE, flags, len(records), header.interval_s, header.deviation, 0, header.seq)
    body = head + records.tobytes()
    return body + _CRC.pack(zlib.crc32(body))


def decode_batch(payload: bytes) -> Batch | Rejected:
    """A batch of any known schema version, checksum verified, or why it cannot be read. Never raises."""
    if payload[:4] != MAGIC:
        return Rejected(Reason.NOT_A_BATCH, f"begins with {payload[:4].hex() or 'nothing'}")
    if len(payload) < HEADER.size + _CRC.size:
        return Rejected(Reason.TRUNCATED, f"{len(payload)} bytes")
    decoder = BATCH_DECODERS.get(payload[4])
    if decoder is None:
        return Rejected(Reason.UNKNOWN_VERSION, f"schema version {payload[4]}")
    return decoder(payload)


def _batch_v1(payload: bytes) -> Batch | Rejected:
    _, _, kind, flags, count, interval_s, deviation, _, seq = HEADER.unpack_from(payload)
    expected = HEADER.size + count * RECORD.itemsize + _CRC.size
    if count > MAX_RECORDS:
        return Rejected(Reason.OVERSIZE, f"{count} records, {MAX_RECORDS} allowed")
    if len(payload) != expected:
        reason = Reason.TRUNCATED if len(payload) < expected else Reason.OVERSIZE
        return Rejected(reason, f"{len(payload)} bytes for {count} records, expected {expected}")
    (checksum,) = _CRC.unpack_from(payload, expected - _CRC.size)
    if zlib.crc32(memoryview(payload)[: -_CRC.size]) != checksum:
        return Rejected(Reason.BAD_CHECKSUM, f"{count} records")
    if kind != KIND_PROFILE:
        return Rejected(Reason.UNKNOWN_VERSION, f"kind {kind} of schema version 1")
    if deviation == DEVIATION_NOT_SPECIFIED:
        return Rejected(Reason.NO_ZONE, "deviation not specified (0x8000)")
    if abs(deviation) > MAX_DEVIATION:
        return Rejected(Reason.OUT_OF_RANGE, f"deviation of {deviation} minutes")
    if seq > 2**63 - 1:
        return Rejected(Reason.OUT_OF_RANGE, "seq does not fit 63 bits")
    header = BatchHeader(interval_s, seq, bool(flags & FLAG_HISTORICAL), deviation)
    records = np.frombuffer(payload, dtype=RECORD, count=count, offset=HEADER.size)
    return Batch(header, records)


BATCH_DECODERS: Mapping[int, Callable[[bytes], Batch | Rejected]] = {1: _batch_v1}


def incoming_rows(batches: Sequence[Batch]) -> IncomingArray:
    """The records of several batches, one after the other, as rows of dtype INCOMING.

    All at once: a column of a hundred batches costs little more than that of one.
    """
    counts = [len(batch.records) for batch in batches]
    records = np.frombuffer(b"".join([batch.records.data for batch in batches]), dtype=RECORD)
    rows = np.empty(len(records), dtype=INCOMING)
    for name in _RECORD_COLUMNS:
        rows[name] = records[name]
    rows["serial"][records["serial"] > MAX_SERIAL] = -1  # u8 beyond int64 would have wrapped to some other meter
    headers = [batch.header for batch in batches]
    to_utc_s = np.repeat(np.array([header.deviation * 60 for header in headers], dtype=np.int64), counts)
    rows["time"] = (records["time"] + to_utc_s) * 1_000_000
    for name in ("interval_s", "seq", "historical"):
        rows[name] = np.repeat(np.array([getattr(header, name) for header in headers], dtype=INCOMING[name]), counts)
    return rows


def _check_fits(name: str, column: NDArray[np.generic]) -> None:
    if column.dtype.kind not in "iu":
        raise ValueError(f"{name} is {column.dtype}, not an integer")
    limits = np.iinfo(RECORD[name])
    high = MAX_SERIAL if name == "serial" else int(limits.max)
    if column.size and (int(column.min()) < limits.min or int(column.max()) > high):
        raise ValueError(f"{name} {int(column.min())} to {int(column.max())} does not fit {int(limits.min)} to {high}")
