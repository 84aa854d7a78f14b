"""What a meter says of its billing registers: JSON, schema version 1, for both ends of the wire.

Knows the bytes and which OBIS codes are registers. Does not know which meters exist, what time it is, or whether a
register is plausible. The format is described in ``docs/payloads.md``; decoders are a table by version.

A message is of one meter and one boundary: a midnight, a month's end, a price change, an exchange, or the moment of a
question. What the meter captured later than the boundary, because it had no supply then, says so in ``taken``.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from meters.jsonform import Int64, decimal_serial, microseconds, versioned, why_unreadable
from meters.obis import BY_CODE, ObisKind
from meters.rejection import Reason, Rejected
from scada.model.reading import RegisterKind

KIND_WORDS: Mapping[str, RegisterKind] = {
    kind.name.lower(): kind for kind in RegisterKind if kind is not RegisterKind.SNAPSHOT
}
"""``daily``, ``month_end``, ``price_change``, ``exchange``, ``on_demand``: what a meter may say."""


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
    """A decoded message before any rule; time in µs since 1970 UTC. ``unknown`` are codes that are no registers."""

    serial: int
    point_check: int
    time: int
    kind: RegisterKind
    seq: int
    historical: bool
    status: int
    values: tuple[RegisterValue, ...]
    unknown: tuple[str, ...] = ()


_REGISTERS = msgspec.json.Decoder(RegisterMessage)
_ENCODER = msgspec.json.Encoder()


def encode_registers(message: RegisterMessage) -> bytes:
    """A message as JSON bytes."""
    return _ENCODER.encode(message)


def decode_registers(payload: bytes) -> IncomingRegisters | Rejected:
    """Registers of one meter, whatever the schema version. Never raises."""
    decoder = versioned(payload, REGISTER_DECODERS)
    return decoder if isinstance(decoder, Rejected) else decoder(payload)


def _registers_v1(payload: bytes) -> IncomingRegisters | Rejected:
    try:
        message = _REGISTERS.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return why_unreadable(payload, error)
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
    )


REGISTER_DECODERS: Mapping[int, Callable[[bytes], IncomingRegisters | Rejected]] = {1: _registers_v1}


def _without_zone(message: RegisterMessage) -> datetime | None:
    times = [message.time, message.taken or message.time]
    times += [value.time for value in message.values.values() if isinstance(value, TimedValue)]
    return next((time for time in times if time.tzinfo is None), None)


def _is_register(code: str) -> bool:
    return code in BY_CODE and BY_CODE[code].kind is ObisKind.REGISTER


def _value(code: str, value: int | TimedValue, taken_at: int) -> RegisterValue:
    number = BY_CODE[code].number
    if isinstance(value, TimedValue):
        return RegisterValue(number, value.value, microseconds(value.time))
    return RegisterValue(number, value, taken_at)
