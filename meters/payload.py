"""What a single meter sends: JSON, schema version 1, and ``INCOMING``, the common form of every decoded reading.

Knows how bytes become rows of ``INCOMING`` and back, for both ends of the wire; the packed batches of concentrators are
in ``meters.packed``. Does not know which meters exist, what time it is, or whether a value is plausible: that is
``meters.validate``. The formats are described in ``docs/payloads.md``; decoders are a table by version, so a new schema
is a new row.
"""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import starmap

import msgspec
import numpy as np
from numpy.typing import NDArray

from meters.jsonform import MAX_JSON_BYTES, Int64, decimal_serial, decode_by_version, decoded, microseconds
from meters.rejection import Reason, Rejected

INCOMING = np.dtype(
    [
        ("serial", "<i8"),
        ("point_check", "<u4"),
        ("time", "<i8"),
        ("import_wh", "<i8"),
        ("export_wh", "<i8"),
        ("import_varh", "<i8"),
        ("power_w", "<i8"),
        ("voltage_dv", "<i8"),
        ("status", "<i8"),
        ("interval_s", "<i8"),
        ("seq", "<i8"),
        ("historical", "?"),
    ]
)
"""One decoded reading before any rule: columns as wide as the wire allows, so that nothing wraps before it is checked.
time: µs since 1970 UTC, end of the interval · point_check: ``point_check`` of the metering-point code."""

IncomingArray = NDArray[np.void]


class ProfileValues(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={
        "import_wh": "1-0:1.8.0",
        "export_wh": "1-0:2.8.0",
        "import_varh": "1-0:3.8.0",
        "import_w": "1-0:1.7.0",
        "export_w": "1-0:2.7.0",
        "voltage_v": "1-0:32.7.0",
    },
):
    """Values of one interval by OBIS code, base units. Other codes may be present; schema 1 does not keep them."""

    import_wh: Int64
    export_wh: Int64
    import_varh: Int64
    import_w: float
    voltage_v: float
    export_w: float = 0.0


class ProfileReading(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One load-profile reading of one meter. ``time`` is the end of the interval and has an offset."""

    v: int = 1
    serial: str
    point: str
    time: datetime
    interval_s: Int64
    seq: Int64
    historical: bool = False
    status: Int64 = 0
    values: ProfileValues


class EventMessage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event of one meter: ``code`` as in the standard event log, 99 = last gasp."""

    v: int = 1
    serial: str
    point: str
    time: datetime
    seq: Int64
    code: Int64


class StateMessage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """State of a concentrator, retained: ``online`` when it connects, ``offline`` as its last will."""

    v: int = 1
    state: str


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """A decoded event before any rule; time in µs since 1970 UTC."""

    serial: int
    point_check: int
    time: int
    code: int
    seq: int


class _VersionedReading(ProfileReading, frozen=True, kw_only=True, gc=False):
    """A reading that names its version itself."""

    v: int


_PROFILE = msgspec.json.Decoder(_VersionedReading)
_EVENT = msgspec.json.Decoder(EventMessage)
_STATE = msgspec.json.Decoder(StateMessage)
_ENCODER = msgspec.json.Encoder()

_ROW = struct.Struct("<qIqqqqqqqqq?")

IncomingRow = tuple[int, int, int, int, int, int, int, int, int, int, int, bool]
"""One row of INCOMING as a tuple, in the order of its fields."""


def point_check(metering_point: str) -> int:
    """Compact form of a metering-point code: CRC-32 (IEEE 802.3) of its UTF-8 bytes, 0..2^32-1.

    Four bytes instead of the 13 to 16 of the code on a narrow radio link; another code passes once in 4.3 × 10^9.
    """
    return zlib.crc32(metering_point.encode())


def encode_message(message: ProfileReading | EventMessage | StateMessage) -> bytes:
    """A message as JSON bytes."""
    return _ENCODER.encode(message)


def rows_of(rows: Sequence[IncomingRow]) -> IncomingArray:
    """Decoded readings as an array of dtype INCOMING: a fifth of what numpy takes for a list of tuples."""
    return np.frombuffer(bytearray().join(starmap(_ROW.pack, rows)), dtype=INCOMING)


def decode_profile(payload: bytes) -> IncomingRow | Rejected:
    """One JSON load-profile reading as a row of INCOMING, whatever its schema version. Never raises.

    Whatever is well-formed schema 1 is read at once; only the others are asked for their version first.
    """
    if len(payload) <= MAX_JSON_BYTES:
        try:
            reading = _PROFILE.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        else:
            if reading.v == 1:
                return _profile_row(reading)
    return decode_by_version(payload, PROFILE_DECODERS)


def decode_event(payload: bytes) -> IncomingEvent | Rejected:
    """One JSON event. Never raises."""
    return decode_by_version(payload, EVENT_DECODERS)


def decode_state(payload: bytes) -> str | Rejected:
    """State of a concentrator: ``online`` or ``offline``. Never raises."""
    message = decoded(payload, _STATE)
    if isinstance(message, Rejected):
        return message
    if message.v != 1:
        return Rejected(Reason.UNKNOWN_VERSION, f"v = {message.v}")
    if message.state not in ("online", "offline"):
        return Rejected(Reason.WRONG_TYPE, f"state {message.state[:20]!r}")
    return message.state


def _profile_v1(payload: bytes) -> IncomingRow | Rejected:
    reading = decoded(payload, _PROFILE)
    return reading if isinstance(reading, Rejected) else _profile_row(reading)


def _profile_row(reading: ProfileReading) -> IncomingRow | Rejected:
    serial = decimal_serial(reading.serial)
    if isinstance(serial, Rejected):
        return serial
    if reading.time.tzinfo is None:
        return Rejected(Reason.NO_ZONE, f"time {reading.time.isoformat()}")
    values = reading.values
    power_w = values.import_w - values.export_w
    if not (abs(power_w) < 2**53 and abs(values.voltage_v) < 2**49):
        return Rejected(Reason.OUT_OF_RANGE, "power or voltage")
    return (
        serial,
        zlib.crc32(reading.point.encode()),
        microseconds(reading.time),
        values.import_wh,
        values.export_wh,
        values.import_varh,
        round(power_w),
        round(values.voltage_v * 10),
        reading.status,
        reading.interval_s,
        reading.seq,
        reading.historical,
    )


def _event_v1(payload: bytes) -> IncomingEvent | Rejected:
    message = decoded(payload, _EVENT)
    if isinstance(message, Rejected):
        return message
    serial = decimal_serial(message.serial)
    if isinstance(serial, Rejected):
        return serial
    if message.time.tzinfo is None:
        return Rejected(Reason.NO_ZONE, f"time {message.time.isoformat()}")
    time = microseconds(message.time)
    return IncomingEvent(serial, point_check(message.point), time, message.code, message.seq)


PROFILE_DECODERS: Mapping[int, Callable[[bytes], IncomingRow | Rejected]] = {1: _profile_v1}
EVENT_DECODERS: Mapping[int, Callable[[bytes], IncomingEvent | Rejected]] = {1: _event_v1}
