"""What the head-end asks of meters and what they answer, as bytes: JSON, schema version 1, for both ends of the wire.

Knows kinds of requests and forms of answers. Does not know when to ask, nor what an answer is worth. One message holds
requests of one kind for one concentrator; the answer names every meter again, so that half an answer is seen as such.
Readings asked for do not come in the answer: they come as any other, are stored and only then acknowledged.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from meters.rejection import Reason, Rejected

MAX_ASKED = 5_000
"""Largest number of meters in one request; about 600 kB."""

MAX_ANSWER_BYTES = 4 * 1024 * 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class RequestKind(StrEnum):
    """What is asked of a meter."""

    PROFILE = "profile"
    """Load-profile intervals ending in [first, last], from the meter's memory (OBIS 1-0:99.1.0)."""
    READ = "read"
    """Registers and disconnect control state now."""
    CLOCK = "clock"
    """Set the clock; the answer tells how far it was off."""
    EVENTS = "events"
    """Entries of the standard event log in [first, last] (OBIS 0-0:99.98.0)."""
    DISCONNECT = "disconnect"
    RECONNECT = "reconnect"


class ControlState(StrEnum):
    """State of the disconnect control (DLMS/COSEM Blue Book, class 70)."""

    DISCONNECTED = "DISCONNECTED"
    CONNECTED = "CONNECTED"
    READY_FOR_RECONNECTION = "READY_FOR_RECONNECTION"


@dataclass(frozen=True, slots=True)
class Asked:
    """One meter asked: its serial, its metering point (it refuses for another), and a time span in µs where one is
    needed."""

    serial: int
    metering_point: str
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """What one meter answered.

    first: as asked, so that several spans of one meter are told apart · refused: '' when done, else its reason ·
    sent: readings on their way · empty: spans (µs) it has nothing of ·
    registers: by OBIS code, Wh or varh · state: of its disconnect control · clock_off_s: before it was set ·
    events: (µs, code) · time: of the answer, µs.
    """

    serial: int
    first: int = 0
    refused: str = ""
    time: int = 0
    sent: int = 0
    empty: tuple[tuple[int, int], ...] = ()
    registers: tuple[tuple[str, int], ...] = ()
    state: ControlState | None = None
    clock_off_s: float | None = None
    events: tuple[tuple[int, int], ...] = ()


class _AskedForm(msgspec.Struct, frozen=True, omit_defaults=True):
    serial: str
    point: str
    first: datetime | None = None
    last: datetime | None = None


class _RequestForm(msgspec.Struct, frozen=True):
    v: int
    kind: RequestKind
    meters: list[_AskedForm]


class _AnsweredForm(msgspec.Struct, frozen=True, omit_defaults=True):
    serial: str
    first: datetime | None = None
    refused: str = ""
    time: datetime | None = None
    sent: int = 0
    empty: list[tuple[datetime, datetime]] = []  # msgspec copies defaults of structs
    registers: dict[str, int] = {}  # msgspec copies defaults of structs
    state: ControlState | None = None
    clock_off_s: float | None = None
    events: list[tuple[datetime, int]] = []  # msgspec copies defaults of structs


class _ResponseForm(msgspec.Struct, frozen=True):
    v: int
    meters: list[_AnsweredForm]


_REQUEST = msgspec.json.Decoder(_RequestForm)
_RESPONSE = msgspec.json.Decoder(_ResponseForm)


def encode_request(kind: RequestKind, asked: tuple[Asked, ...]) -> bytes:
    """A request as JSON. Raises ValueError for none or too many meters."""
    if not 1 <= len(asked) <= MAX_ASKED:
        raise ValueError(f"{len(asked)} meters in one request; 1 to {MAX_ASKED} allowed")
    forms = [
        _AskedForm(
            str(each.serial),
            each.metering_point,
            _moment(each.first) if each.first else None,
            _moment(each.last) if each.last else None,
        )
        for each in asked
    ]
    return msgspec.json.encode(_RequestForm(1, kind, forms))


def decode_request(payload: bytes) -> tuple[RequestKind, tuple[Asked, ...]] | Rejected:
    """The meter's side: what is asked. Never raises."""
    try:
        form = _REQUEST.decode(payload)
        if form.v != 1:
            return Rejected(Reason.UNKNOWN_VERSION, f"v = {form.v}")
        asked = tuple(
            Asked(_serial(each.serial), each.point, _optional(each.first), _optional(each.last)) for each in form.meters
        )
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        return Rejected(Reason.WRONG_TYPE, str(error))
    return form.kind, asked


def encode_response(answers: tuple[Answered, ...]) -> bytes:
    """The answers of meters as JSON."""
    forms = [
        _AnsweredForm(
            serial=str(each.serial),
            first=_moment(each.first) if each.first else None,
            refused=each.refused,
            time=_moment(each.time) if each.time else None,
            sent=each.sent,
            empty=[(_moment(first), _moment(last)) for first, last in each.empty],
            registers=dict(each.registers),
            state=each.state,
            clock_off_s=each.clock_off_s,
            events=[(_moment(time), code) for time, code in each.events],
        )
        for each in answers
    ]
    return msgspec.json.encode(_ResponseForm(1, forms))


def decode_response(payload: bytes) -> tuple[Answered, ...] | Rejected:
    """The head-end's side: what meters answered. Never raises."""
    if len(payload) > MAX_ANSWER_BYTES:
        return Rejected(Reason.OVERSIZE, f"{len(payload)} bytes")
    try:
        form = _RESPONSE.decode(payload)
        if form.v != 1:
            return Rejected(Reason.UNKNOWN_VERSION, f"v = {form.v}")
        return tuple(_answered(each) for each in form.meters)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        return Rejected(Reason.WRONG_TYPE, str(error))


def _answered(form: _AnsweredForm) -> Answered:
    return Answered(
        serial=_serial(form.serial),
        first=_optional(form.first),
        refused=form.refused,
        time=_optional(form.time),
        sent=form.sent,
        empty=tuple((_time(first), _time(last)) for first, last in form.empty),
        registers=tuple(sorted(form.registers.items())),
        state=form.state,
        clock_off_s=form.clock_off_s,
        events=tuple((_time(time), code) for time, code in form.events),
    )


def _serial(text: str) -> int:
    if not (len(text) <= 12 and text.isascii() and text.isdecimal()):
        raise ValueError(f"serial {text[:20]!r} is not a decimal number of up to 12 digits")
    return int(text)


def _moment(time: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time)


def _time(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError(f"time {moment.isoformat()} has no zone")
    return (moment - _EPOCH) // _MICROSECOND


def _optional(moment: datetime | None) -> int:
    return 0 if moment is None else _time(moment)
