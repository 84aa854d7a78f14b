"""How every JSON message of a meter is opened: its size, its schema version, and why it cannot be read.

Knows what all of them have in common. Does not know what any of them says: that is ``meters.payload`` for readings,
events and states, ``meters.registers`` for billing registers.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec

from meters.rejection import Reason, Rejected

MAX_SERIAL = 999_999_999_999
"""Serial numbers are decimal, up to 12 digits: a string in JSON and topics, int64 in arrays."""

MAX_JSON_BYTES = 4096
"""Largest JSON message accepted; a load-profile reading has about 300 bytes."""

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_T = TypeVar("_T")

_NOT_A_NUMBER = re.compile(rb"[:\[,]\s*[-+]?(nan|inf(inity)?)\b", re.IGNORECASE)
"""What common encoders write for a value that is none; JSON itself has no such literal (RFC 8259, 6)."""


class _Version(msgspec.Struct, frozen=True, gc=False):
    v: int


_VERSION = msgspec.json.Decoder(_Version)


def decode_by_version(payload: bytes, decoders: Mapping[int, Callable[[bytes], _T | Rejected]]) -> _T | Rejected:
    """What the decoder for the schema version that the payload names makes of it, or why there is none."""
    if len(payload) > MAX_JSON_BYTES:
        return Rejected(Reason.OVERSIZE, f"{len(payload)} bytes, {MAX_JSON_BYTES} allowed")
    named = decoded(payload, _VERSION)
    if isinstance(named, Rejected):
        return named
    decoder = decoders.get(named.v)
    return Rejected(Reason.UNKNOWN_VERSION, f"v = {named.v}") if decoder is None else decoder(payload)


def decoded(payload: bytes, decoder: msgspec.json.Decoder[_T]) -> _T | Rejected:
    """The message of a payload, or why it cannot be read."""
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _why_unreadable(payload, error)


def _why_unreadable(payload: bytes, error: Exception) -> Rejected:
    """The reason behind a decoder's error. Its words are pinned by tests, so a changed library is noticed."""
    detail = str(error)
    if not isinstance(error, msgspec.ValidationError):
        if _NOT_A_NUMBER.search(payload):
            return Rejected(Reason.NOT_A_NUMBER, detail)
        return Rejected(Reason.NOT_JSON, detail)
    if "missing required field" in detail:
        return Rejected(Reason.MISSING_FIELD, detail)
    if "out of range" in detail or "Expected `int` <=" in detail or "Expected `int` >=" in detail:
        return Rejected(Reason.OUT_OF_RANGE, detail)
    return Rejected(Reason.WRONG_TYPE, detail)


def decimal_serial(text: str) -> int | Rejected:
    """A serial as a number. ASCII digits only: ``int()`` alone would take signs and spaces."""
    if len(text) <= 12 and text.isascii() and text.isdecimal():
        return int(text)
    return Rejected(Reason.WRONG_TYPE, f"serial {text[:20]!r} is not a decimal number of up to 12 digits")


def microseconds(time: datetime) -> int:
    """An aware time as µs since 1970 UTC."""
    since = time - _EPOCH  # dividing it by a microsecond takes twice as long
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
