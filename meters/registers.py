"""What a meter says of its billing registers: JSON, schema version 1, for both ends of the wire.

Knows the bytes and which OBIS codes are registers. Does not know which meters exist, what time it is, or whether a
register is plausible. The format is described in ``docs/payloads.md``; decoders are a table by version.

A message is of one meter and one boundary: a midnight, a month's end, a price change, an exchange, or the moment of a
question. What the meter captured later than the boundary, because it had no supply then, says so in ``taken``.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from meters.jsonform import Int64, decimal_serial, decode_by_version, decoded, microseconds
from meters.obis import BY_CODE, ObisKind
from meters.rejection import Reason, Rejected
from scada.model.reading import RegisterKind

KIND_WORDS: Mapping[str, RegisterKind] = {
    kind.name.lower(): kind for kind in RegisterKind if kind is not RegisterKind.SNAPSHOT
}
"""``daily``, ``month_end``, ``price_change``, ``exchange``, ``on_demand``: what a meter may say."""


INCOMING_REGISTER = np.dtype(
    [
        ("serial", "<i8"),
        ("point_check", "<u4"),
        ("time", "<i8"),
        ("taken_at", "<i8"),
        ("obis", "<i2"),
        ("value", "<i8"),
        ("status", "<i8"),
        ("seq", "<i8"),
        ("kind", "u1"),
        ("aligned", "?"),
    ]
)
"""One decoded register before any rule; the fields as in ``IncomingRegisters``."""


class TimedValue(msgspec.Struct, frozen=True, gc=False):
    """A value that has a moment of its own within the period, as a maximum demand has."""

    value: Int64
    time: datetime


class RegisterMessage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Registers of one meter at one boundary. ``time`` and ``taken`` have an offset; ``values`` by OBIS code."""

    v: int = 1
    serial: str
    point: str
    kind: str
    time: datetime
    taken: datetime | None = None
    seq: Int64
    historical: bool = False
    status: Int64 = 0
    values: dict[str, Int64 | TimedValue]


@dataclass(frozen=True, slots=True)
class RegisterValue:
    """One register: OBIS number, value in its base unit, and when it was counted (µs)."""

    obis: int
    value: int
    taken_at: int


@dataclass(frozen=True, slots=True)
class IncomingRegisters:
    """A decoded message before any rule; time in µs since 1970 UTC.

    ``unknown`` are codes that are no registers; ``aligned`` is False when a daily or monthly boundary is no midnight.
    """

    serial: int
    point_check: int
    time: int
    kind: RegisterKind
    seq: int
    historical: bool
    status: int
    values: tuple[RegisterValue, ...]
    unknown: tuple[str, ...] = ()
    aligned: bool = True


_REGISTERS = msgspec.json.Decoder(RegisterMessage)
_ENCODER = msgspec.json.Encoder()


def encode_registers(message: RegisterMessage) -> bytes:
    """A message as JSON bytes."""
    return _ENCODER.encode(message)


def decode_registers(payload: bytes) -> IncomingRegisters | Rejected:
    """Registers of one meter, whatever the schema version. Never raises."""
    return decode_by_version(payload, REGISTER_DECODERS)


def _registers_v1(payload: bytes) -> IncomingRegisters | Rejected:
    message = decoded(payload, _REGISTERS)
    if isinstance(message, Rejected):
        return message
    serial = decimal_serial(message.serial)
    if isinstance(serial, Rejected):
        return serial
    kind = KIND_WORDS.get(message.kind)
    if kind is None:
        return Rejected(Reason.WRONG_TYPE, f"kind {message.kind[:20]!r}")
    if not message.values:
        return Rejected(Reason.MISSING_FIELD, "no values")
    zoneless = _without_zone(message)
    if zoneless is not None:
        return Rejected(Reason.NO_ZONE, f"time {zoneless.isoformat()}")
    taken_at = microseconds(message.taken or message.time)
    known = {code: value for code, value in message.values.items() if _is_register(code)}
    return IncomingRegisters(
        serial,
        zlib.crc32(message.point.encode()),
        microseconds(message.time),
        kind,
        message.seq,
        message.historical,
        message.status,
        tuple(_value(code, value, taken_at) for code, value in known.items()),
        tuple(code for code in message.values if code not in known),
        _is_aligned(kind, message.time),
    )


def register_rows(messages: Sequence[IncomingRegisters]) -> tuple[NDArray[np.void], NDArray[np.intp]]:
    """All registers of some messages as rows of dtype INCOMING_REGISTER, and of each row the index of its message."""
    rows = [
        (m.serial, m.point_check, m.time, each.taken_at, each.obis, each.value, m.status, m.seq, m.kind, m.aligned)
        for m in messages
        for each in m.values
    ]
    number = np.repeat(np.arange(len(messages)), [len(m.values) for m in messages])
    return np.array(rows, dtype=INCOMING_REGISTER), number.astype(np.intp)


REGISTER_DECODERS: Mapping[int, Callable[[bytes], IncomingRegisters | Rejected]] = {1: _registers_v1}


def _without_zone(message: RegisterMessage) -> datetime | None:
    times = [message.time, message.taken or message.time]
    times += [value.time for value in message.values.values() if isinstance(value, TimedValue)]
    return next((time for time in times if time.tzinfo is None), None)


def _is_aligned(kind: RegisterKind, time: datetime) -> bool:
    at_midnight = (time.hour, time.minute, time.second, time.microsecond) == (0, 0, 0, 0)
    if kind is RegisterKind.MONTH_END:
        return at_midnight and time.day == 1
    return at_midnight or kind is not RegisterKind.DAILY


def _is_register(code: str) -> bool:
    return code in BY_CODE and BY_CODE[code].kind is ObisKind.REGISTER


def _value(code: str, value: int | TimedValue, taken_at: int) -> RegisterValue:
    number = BY_CODE[code].number
    if isinstance(value, TimedValue):
        return RegisterValue(number, value.value, microseconds(value.time))
    return RegisterValue(number, value, taken_at)
